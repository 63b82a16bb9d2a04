"""Observation or forecast: the one decision for all formats, from the times that a file states."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.errors import FrameError

FORECAST_PRODUCTS: Final = ("RV", "RS", "RQ", "RE", "WN", "EN", "FM")
"""Products with leads: their nominal time is that of the newest observation (DWD's, and KNMI's `FM`)."""

OBSERVED_PRODUCTS: Final = ("RY", "RX", "RZ", "RW", "RH", "YW", "SF", "WX", "HX")
"""Products of DWD that never hold a forecast, whatever their nominal time."""

SCAN_MINUTES: Final = 15.0
"""Longest interval of one scan or composite (OPERA); within it a nominal time may be the start or the middle."""

SLACK_S: Final = 60.0
"""Times of one scan that differ by less than this are taken as the same."""


@dataclass(frozen=True)
class FrameTimes:
    """The times that a file states of one field, aware UTC.

    Attributes:
        end: end of the interval, or the time of an instantaneous field.
        start: start of the interval; None or equal to the end where the file states no interval.
        nominal: the file's own time (ODIM `what/date` and `time`), which may be start, middle or end of a scan.
        reference: a time that is stated to be the forecast's reference (CF `forecast_reference_time`).
        stated_lead_minutes: a lead stated as such (RADOLAN `VV`, CF `forecast_period`).
        product: in capitals.
        is_simulated: the file marks the field as simulated (ODIM `how/simulated`).
        is_series: the file holds further fields with other ends, some after the nominal time.
    """

    end: datetime
    start: datetime | None = None
    nominal: datetime | None = None
    reference: datetime | None = None
    stated_lead_minutes: float | None = None
    product: str = ""
    is_simulated: bool = False
    is_series: bool = False


def lead_minutes(times: FrameTimes) -> int:
    """Return the lead in minutes: 0 for an observation, above 0 for a forecast.

    A stated lead or reference time is decisive. A nominal time within a scan of at most 15 minutes is the scan's own,
    unless product, mark or series make the field a forecast. A field that begins after the nominal time is a forecast.

    Raises:
        FrameError: the statements contradict each other, or leave open whether the field is a forecast.
    """
    if times.start is not None and times.start > times.end:
        raise FrameError(f"expected an end after the start, got {times.start} to {times.end}")
    if times.reference is not None or times.stated_lead_minutes is not None:
        return _stated(times)
    if times.nominal is None:
        if times.is_simulated:
            raise FrameError(f"expected a reference time of the simulated field of {times.end}, got none")
        return 0
    return _from_nominal(times, times.nominal)


def _stated(times: FrameTimes) -> int:
    """Return the lead that the file states, once or twice."""
    lead = times.stated_lead_minutes
    if times.reference is not None:
        from_reference = (times.end - times.reference).total_seconds() / 60
        if lead is not None and abs(lead - from_reference) * 60 >= SLACK_S:
            raise FrameError(f"expected one lead, got {lead:g} minutes and {from_reference:g} from the reference time")
        lead = from_reference
    return max(0, round(lead or 0.0))


def _from_nominal(times: FrameTimes, nominal: datetime) -> int:
    ahead_s = (times.end - nominal).total_seconds()
    if ahead_s < SLACK_S:
        return 0
    lead = round(ahead_s / 60)
    start = times.start or times.end
    interval_s = (times.end - start).total_seconds()
    into_s = (nominal - start).total_seconds()
    marked = times.is_simulated or times.is_series or times.product in FORECAST_PRODUCTS
    if marked or (interval_s > 0 and into_s <= -SLACK_S):
        return lead
    observed = times.product in OBSERVED_PRODUCTS
    if interval_s > 0 and (interval_s <= SCAN_MINUTES * 60 + SLACK_S or observed):
        return 0
    if interval_s == 0 and ahead_s > SCAN_MINUTES * 60:
        return lead
    raise FrameError(
        f"observation or forecast is not decided: nominal time {nominal:%Y-%m-%d %H:%M:%S}, field of "
        f"{start:%Y-%m-%d %H:%M:%S} to {times.end:%Y-%m-%d %H:%M:%S}; expected a nominal time at or after the end, "
        "a reference time, or a mark how/simulated"
    )
