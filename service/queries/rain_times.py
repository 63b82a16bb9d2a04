"""The record of stated starts and ends of rain: at places all over a grid, against the scans that followed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from service.forecasts.member_codes import decoded
from service.forecasts.members import read_member_block
from service.forecasts.nowcast import NowcastService
from service.forecasts.observed import Observations
from service.forecasts.products import read_known
from service.forecasts.records import StoredForecast, read_rate
from service.queries.point import outlook_of
from service.queries.rain import RAIN_MMH, NextRain, member_rain, rain_minutes
from verification.rain_times import DRY, FAMILY, RainTimes, end_bin, is_right, start_bin
from verification.table import SumRow

EVERY: Final = timedelta(minutes=30)
"""Only forecasts of full and half hours are counted: those in between state nearly the same."""

PLACES: Final = 30
"""Places along each side of a grid, at equal distances: 30 km on cells of 1 km."""

LOOK_BACK: Final = timedelta(hours=24)


@dataclass(frozen=True, eq=False)
class Places:
    """A forecast at places, with what was observed there at its leads.

    Attributes:
        rate_mmh_LN: forecast.
        known_LN: whether it rests on an observation.
        member_rate_mmh_MLN: members; None without them.
        now_mmh_N: newest scan; NaN is not observed.
        observed_mmh_LN: scans of the leads.
    """

    rate_mmh_LN: Float32Field
    known_LN: BoolField
    member_rate_mmh_MLN: Float32Field | None
    now_mmh_N: Float32Field
    observed_mmh_LN: Float32Field


def record_rain_times(service: NowcastService, within_s: float) -> int:
    """Count what the forecasts of the last day stated, each once all of its leads are scored; return their number.

    Args:
        service: with forecasts, scans and scores.
        within_s: no further forecast is begun after this time.
    """
    ends_at, done = monotonic() + within_s, 0
    start = service.now() - LOOK_BACK
    found = service.catalogue.select(origin="scans", baselines=False, replaced=False, start=start)
    observations = Observations(service.store)
    for forecast in found:
        if monotonic() >= ends_at:
            break
        lead_id = None if forecast.reference_time.timestamp() % EVERY.total_seconds() else _lead_id(service, forecast)
        if lead_id is not None:
            with service.healing.passing_over(f"rain time of {forecast.id}"):
                done += _record(service, observations, forecast, lead_id)
    return done


def _record(service: NowcastService, observations: Observations, forecast: StoredForecast, lead_id: int) -> int:
    """Count what one forecast stated; 0 where a scan of its leads is not stored."""
    places = read_places(observations, forecast)
    if places is None:
        return 0
    sums = RainTimes.of(statements(places, forecast.lead_minutes))
    row = SumRow(forecast.model, forecast.lead_minutes[-1], FAMILY, sums, RAIN_MMH)
    return service.score_book.add(lead_id, row)


def _lead_id(service: NowcastService, forecast: StoredForecast) -> int | None:
    """Return the id of the last scored lead of a forecast that has no record yet."""
    if not forecast.has_file or not forecast.lead_minutes:
        return None
    return service.score_book.lead_without(forecast, forecast.lead_minutes[-1], FAMILY)


def read_places(observations: Observations, forecast: StoredForecast) -> Places | None:
    """Return a forecast at its places; None where a scan of its leads is not stored."""
    scans = observations.scans(forecast)
    if len(scans) < len(forecast.lead_minutes):
        return None
    height, width = forecast.grid.shape
    rows, cols = (np.arange(step // 2, size, step) for size in (height, width) if (step := -(-size // PLACES)))
    cells = np.ix_(rows, cols)
    seen = {lead: field_HW[cells].ravel() for lead, field_HW in observations.fields(forecast, scans)}
    if len(seen) < len(scans):
        return None
    leads = range(len(scans))
    rates = [read_rate(forecast.path, [lead])[0][cells].ravel() for lead in leads]
    masks = [_known(forecast, lead, cells) for lead in leads]
    now_N = (
        read_rate(forecast.inputs_path, [-1])[0][cells].ravel()
        if forecast.has_inputs
        else np.full_like(rates[0], np.nan)
    )
    observed_LN = np.stack([seen[lead] for lead in leads])
    return Places(np.stack(rates), np.stack(masks), _members(forecast, rows, cols), now_N, observed_LN)


def _known(forecast: StoredForecast, lead: int, cells: tuple[NDArray[np.int_], ...]) -> BoolField:
    known_LHW = read_known(forecast.path, [lead])
    shape = np.broadcast(*cells).shape
    return np.ones(shape, np.bool_).ravel() if known_LHW is None else known_LHW[0][cells].ravel()


def _members(forecast: StoredForecast, rows: NDArray[np.int_], cols: NDArray[np.int_]) -> Float32Field | None:
    """Read the members of the places, row by row: each chunk of their file is read once."""
    found = []
    for row in rows.tolist():
        block = read_member_block(forecast, slice(row, row + 1), slice(None))
        if block is None:
            return None
        found.append(decoded(block.codes_MLHW[:, :, 0][..., cols // block.factor], block.table))
    return np.concatenate(found, axis=-1)


def statements(places: Places, lead_minutes: Sequence[int]) -> Iterator[tuple[int, bool, bool]]:
    """Yield what was stated at each place, as `RainTimes.of` takes it; nothing where it is not observed throughout.

    Args:
        places: of one forecast.
        lead_minutes: of its leads.
    """
    for number in range(places.now_mmh_N.size):
        seen_L = places.observed_mmh_LN[:, number]
        rates_L = places.rate_mmh_LN[:, number]
        if not (np.isfinite(seen_L).all() and np.isfinite(rates_L).all()):
            continue
        now = float(places.now_mmh_N[number])
        rains_now = now >= RAIN_MMH
        start, end = observed_times(seen_L >= RAIN_MMH, lead_minutes, rains_now=rains_now)
        rates = [float(rate) for rate in rates_L]
        outlook = outlook_of(rates, places.known_LN[:, number].tolist())
        rain = _rain(places, number, rates, lead_minutes, now) if outlook == "rain" else None
        if outlook == "dry" and not rains_now:
            yield DRY, start is None, start is not None
        if rain is None or rain.start_minutes is None:
            continue
        if rain.start_minutes > 0:
            bin_ = start_bin(rain.start_minutes, rain.start_probability)
            yield bin_, is_right(rain.start_minutes, start), start is not None
        if rain.end_minutes is not None and start is not None:
            yield end_bin(rain.end_minutes), is_right(rain.end_minutes, end), True


def _rain(
    places: Places, number: int, rates: Sequence[float], lead_minutes: Sequence[int], now: float
) -> NextRain | None:
    """Return the next rain as the response for a place states it."""
    observed = now if np.isfinite(now) else None
    members = places.member_rate_mmh_MLN
    if members is not None and np.isfinite(members[:, :, number]).all():
        return member_rain(members[:, :, number], lead_minutes, observed)
    return rain_minutes(lead_minutes, rates, None, observed)


def observed_times(wet_L: BoolField, lead_minutes: Sequence[int], *, rains_now: bool) -> tuple[int | None, int | None]:
    """Return the minutes at which rain began (0: it rained already) and ended; None where it did not.

    Args:
        wet_L: whether the scan of a lead has rain.
        lead_minutes: of the leads.
        rains_now: whether the newest scan has.
    """
    first = -1 if rains_now else next((index for index, wet in enumerate(wet_L) if wet), None)
    if first is None:
        return None, None
    dry = next((index for index in range(first + 1, len(wet_L)) if not wet_L[index]), None)
    return 0 if first < 0 else lead_minutes[first], None if dry is None else lead_minutes[dry]
