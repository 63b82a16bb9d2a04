"""Documents of a forecast at places, as JSON and as CSV."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from core.errors import InputError, shown
from service.api.backend import Backend
from service.api.views import run_fields
from service.forecasts.nowcast import StoredForecast
from service.queries.point import RAIN_MMH, PointSeries, point_series
from service.schemas.places import NextRainOut, ObservedNowOut, PointLeadOut, PointOut, ProbabilityOut

DECIMALS: Final = 3
UTC_NAME: Final = "UTC"
UTC_ZONE: Final = ZoneInfo(UTC_NAME)
CSV_COLUMNS: Final = ("lat", "lon", "status", "reference_time", "valid_time", "lead_minutes", "rate_mmh", "known")
CSV_QUANTILES: Final = ("q10", "q50", "q90")
NO_AMOUNTS: Final = "amounts are null: ensemble members of this forecast are not available (yet)"
INFLOW: Final = (
    "at leads with `known` false rain can flow in from outside the observed area: a rate of 0 does not mean dry there"
)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        InputError: no IANA name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as err:  # a folder of the data base is an OSError
        raise InputError(f"tz: expected an IANA time zone such as Europe/Berlin, got {shown(name)}") from err


def point_out(
    backend: Backend, forecast: StoredForecast, lat: float, lon: float, zone: ZoneInfo = UTC_ZONE
) -> PointOut:
    """Return the document of a forecast at one place, with its times in a zone."""
    point = point_series(forecast, lat, lon)
    row, col = point.cell or (None, None)
    return PointOut.of(
        point,
        **run_fields(backend, forecast),
        reference_time=forecast.reference_time.astimezone(zone),
        time_zone=zone.key,
        row=row,
        col=col,
        radar_coverage=point.coverage,
        observed=_observed(forecast, point, zone),
        series=_rows(forecast, point, zone),
        next_rain_start=_in(zone, point.next_rain_start),
        next_rain_end=_in(zone, point.next_rain_end),
        next_rain=point.next_rain and _next_rain(point),
        rain_from_mmh=RAIN_MMH,
        notes=_notes(point),
    )


def points_csv(points: Sequence[PointOut], thresholds_mmh: Sequence[float]) -> str:
    """Return a table of places: the newest scan at lead 0, then every lead; what is unknown is empty.

    Args:
        points: of one forecast.
        thresholds_mmh: those of the forecast.
    """
    table = io.StringIO()
    writer = csv.writer(table)
    header = [*CSV_COLUMNS, *CSV_QUANTILES, *(f"probability_{mmh:g}" for mmh in thresholds_mmh)]
    writer.writerow(header)
    for point in points:
        start = [point.lat, point.lon, point.status, point.reference_time.isoformat()]
        if point.observed is not None:
            now = [*start, point.observed.valid_time.isoformat(), 0, point.observed.rate_mmh]
            writer.writerow([*now, *[""] * (len(header) - len(now))])
        for lead in point.series:
            known = "" if lead.known is None else str(lead.known).lower()
            values = [lead.rate_mmh, known, lead.q10, lead.q50, lead.q90]
            writer.writerow(
                [*start, lead.valid_time.isoformat(), lead.lead_minutes, *values]
                + [one.probability for one in lead.probabilities]
            )
    return table.getvalue()


def _observed(forecast: StoredForecast, point: PointSeries, zone: ZoneInfo) -> ObservedNowOut | None:
    if not forecast.inputs_path.is_file():
        return None
    return ObservedNowOut(valid_time=forecast.reference_time.astimezone(zone), rate_mmh=_plain(point.observed_mmh))


def _rows(forecast: StoredForecast, point: PointSeries, zone: ZoneInfo) -> list[PointLeadOut]:
    """Return rate, quantiles and exceedance probabilities of a place by lead."""
    rows = zip(
        point.valid_times,
        forecast.lead_minutes,
        point.rate_mmh,
        point.known,
        zip(*point.quantiles_mmh, strict=True),
        point.probabilities,
        strict=True,
    )
    return [
        PointLeadOut.model_construct(
            valid_time=time.astimezone(zone),
            lead_minutes=lead,
            rate_mmh=_plain(rate_mmh),
            known=known,
            **dict(zip(CSV_QUANTILES, map(_rounded, quantiles), strict=True)),
            probabilities=[
                ProbabilityOut.model_construct(threshold_mmh=threshold_mmh, probability=_rounded(probability))
                for threshold_mmh, probability in zip(forecast.thresholds_mmh, probability_K, strict=True)
            ],
        )
        for time, lead, rate_mmh, known, quantiles, probability_K in rows
    ]


def _next_rain(point: PointSeries) -> NextRainOut:
    rain = point.next_rain
    assert rain is not None
    return NextRainOut.of(
        rain, start_probability=_rounded(rain.start_probability), end_probability=_rounded(rain.end_probability)
    )


def _notes(point: PointSeries) -> list[str]:
    notes = [NO_AMOUNTS]
    if False in point.known:
        notes.append(INFLOW)
    return notes


def _in(zone: ZoneInfo, time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(zone)


def _rounded(value: float | None) -> Any:
    return None if value is None else round(value, DECIMALS)


def _plain(rate_mmh: float | None) -> float | None:
    """Return a rate with the digits of a 32-bit number: 3.84 instead of 3.8399999141693115."""
    return None if rate_mmh is None else float(f"{rate_mmh:.7g}")
