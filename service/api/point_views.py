"""Documents of a forecast at places, as JSON and as CSV."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from core.grid import Grid
from service.api.backend import Backend
from service.api.csv_tables import csv_text
from service.api.views import run_fields
from service.forecasts.fields import FIELDS
from service.forecasts.members import amounts_at
from service.forecasts.nowcast import StoredForecast
from service.queries.cells import OUTSIDE, BBox, box_block, box_swap_hint, swap_hint
from service.queries.motion import motion_at, motion_vectors, speed_kmh, towards_degrees
from service.queries.point import PointSeries, point_series, rain_at
from service.queries.rain import RAIN_MMH, NextRain
from service.queries.zones import zone_at
from service.schemas.places import MotionOut

Document = dict[str, Any]

DECIMALS: Final = 3
UTC_NAME: Final = "UTC"
CSV_COLUMNS: Final = ("lat", "lon", "status", "reference_time", "valid_time", "lead_minutes", "rate_mmh", "known")
CSV_QUANTILES: Final = ("q10", "q50", "q90")
NO_AMOUNTS: Final = "amounts are null: ensemble members of this forecast are not available (yet)"
NO_MOTION: Final = "this forecast holds no motion: it is of a model or of a version without it"
NO_CELLS: Final = "the box is outside the grid"
INFLOW: Final = (
    "at leads with `known` false rain can flow in from outside the observed area: a rate of 0 does not mean dry there"
)


def point_document(backend: Backend, forecast: StoredForecast, lat: float, lon: float, zone: ZoneInfo) -> Document:
    """Return the document of a forecast at one place (`PointOut`) as plain values, with its times in a zone.

    Making its 300 parts as models takes ten times as long.
    """
    point = point_series(forecast, lat, lon)
    row, col = point.cell or (None, None)
    now = forecast.reference_time.astimezone(zone)
    has_input = FIELDS.read(forecast).analysis_mmh_HW is not None
    return {
        **run_fields(backend, forecast),
        "reference_time": now,
        "lat": lat,
        "lon": lon,
        "time_zone": zone.key,
        "place_time_zone": zone_at(lat, lon).key,
        "row": row,
        "col": col,
        "radar_coverage": point.coverage,
        "observed": {"valid_time": now, "rate_mmh": _plain(point.observed_mmh)} if has_input else None,
        "series": _series(forecast, point, zone),
        "outlook": point.outlook,
        "next_rain_start": _in(zone, point.next_rain_start),
        "next_rain_end": _in(zone, point.next_rain_end),
        "next_rain": _next_rain(rain_at(forecast, point)),
        "amounts": (amounts := _amounts(forecast, point)),
        "motion": None if point.cell is None or point.rate_mmh[0] is None else _motion(forecast, point.cell),
        "rain_from_mmh": RAIN_MMH,
        "notes": _notes(point, amounts, forecast.grid),
    }


def motion_document(backend: Backend, forecast: StoredForecast, every_km: float, bbox: BBox | None) -> MotionOut:
    """Return the motion of the rain as vectors, whole or in a box.

    Raises:
        InputError: not a box on Earth.
        TooLargeError: too many vectors.
    """
    block = None if bbox is None else box_block(forecast.grid, bbox)
    is_off = bbox is not None and block is None
    found = None if is_off else motion_vectors(forecast, every_km, block)
    vectors = () if found is None else zip(found.lon, found.lat, found.eastward_ms, found.northward_ms, strict=True)
    note = NO_CELLS + box_swap_hint(forecast.grid, bbox) if bbox is not None and is_off else NO_MOTION
    return MotionOut.of(
        forecast,
        **run_fields(backend, forecast),
        every_km=every_km if found is None else found.every_km,
        vectors=[
            {"lon": round(lon, 4), "lat": round(lat, 4), "eastward_ms": round(east, 2), "northward_ms": round(north, 2)}
            | _direction(east, north)
            for lon, lat, east, north in vectors
        ],
        notes=[note] if found is None else [],
    )


def points_csv(points: Sequence[Document], thresholds_mmh: Sequence[float]) -> str:
    """Return a table of places: the newest scan at lead 0, then every lead; what is unknown is empty.

    Args:
        points: of one forecast.
        thresholds_mmh: those of the forecast.
    """
    columns = [*CSV_COLUMNS, *CSV_QUANTILES, *(f"probability_{mmh:g}" for mmh in thresholds_mmh), "attribution"]
    return csv_text(columns, _padded(points, len(columns)))


def _padded(points: Sequence[Document], width: int) -> Iterator[list[Any]]:
    """Yield the rows of the table of `points_csv`."""
    for point in points:
        start = [point["lat"], point["lon"], point["status"], point["reference_time"].isoformat()]
        if point["observed"] is not None:
            now = [*start, point["reference_time"].isoformat(), 0, point["observed"]["rate_mmh"]]
            yield [*now, *[None] * (width - len(now) - 1), point["attribution"]]
        for lead in point["series"]:
            values = [lead[name] for name in ("rate_mmh", "known", *CSV_QUANTILES)]
            probabilities = [one["probability"] for one in lead["probabilities"]]
            yield [
                *start,
                lead["valid_time"].isoformat(),
                lead["lead_minutes"],
                *values,
                *probabilities,
                point["attribution"],
            ]


def _series(forecast: StoredForecast, point: PointSeries, zone: ZoneInfo) -> list[Document]:
    """Return rate, quantiles and exceedance probabilities of a place by lead."""
    rows = zip(
        point.valid_times,
        forecast.lead_minutes,
        point.rate_mmh,
        point.known,
        _thousandths(point.quantile_mmh_LQ),
        _thousandths(point.probability_KL.T),
        strict=True,
    )
    thresholds = forecast.thresholds_mmh
    return [
        {
            "valid_time": time.astimezone(zone),
            "lead_minutes": lead,
            "rate_mmh": _plain(rate_mmh),
            "known": known,
            **dict(zip(CSV_QUANTILES, quantiles, strict=True)),
            "probabilities": [
                {"threshold_mmh": mmh, "probability": probability}
                for mmh, probability in zip(thresholds, probability_K, strict=True)
            ],
        }
        for time, lead, rate_mmh, known, quantiles, probability_K in rows
    ]


def _next_rain(rain: NextRain | None) -> Document | None:
    if rain is None:
        return None
    return {
        "start_minutes": rain.start_minutes,
        "start_probability": _rounded(rain.start_probability),
        "end_minutes": rain.end_minutes,
        "end_probability": _rounded(rain.end_probability),
        "basis": rain.basis,
    }


def _amounts(forecast: StoredForecast, point: PointSeries) -> list[Document] | None:
    """Return the amounts of the next hours; None where there are no members (yet), or no radar data."""
    amounts = None if point.cell is None or point.rate_mmh[0] is None else amounts_at(forecast, point.cell)
    if amounts is None or np.isnan(amounts.probability_SKHW).any():
        return None
    return [
        {
            "minutes": minutes,
            **{f"q{quantile * 100:.0f}": depth for quantile, depth in zip(amounts.quantiles, depth_mm_Q, strict=True)},
            "probabilities": [
                {"threshold_mm": mm, "probability": probability}
                for mm, probability in zip(amounts.thresholds_mm, probability_K, strict=True)
            ],
        }
        for minutes, depth_mm_Q, probability_K in zip(
            amounts.minutes,
            _thousandths(amounts.quantile_mm_SQHW[..., 0, 0]),
            _thousandths(amounts.probability_SKHW[..., 0, 0]),
            strict=True,
        )
    ]


def _motion(forecast: StoredForecast, cell: tuple[int, int]) -> Document | None:
    motion = motion_at(forecast, cell)
    return None if motion is None else _direction(*motion)


def _direction(eastward_ms: float, northward_ms: float) -> Document:
    return {
        "speed_kmh": round(speed_kmh(eastward_ms, northward_ms), 1),
        "towards_degrees": round(towards_degrees(eastward_ms, northward_ms), 1),
    }


def _notes(point: PointSeries, amounts: list[Document] | None, grid: Grid) -> list[str]:
    """Return why fields are null or not known."""
    if point.cell is None:
        return [OUTSIDE + swap_hint(grid, point.lat, point.lon)]
    notes = [NO_AMOUNTS] if amounts is None and point.rate_mmh[0] is not None else []
    return [*notes, INFLOW] if False in point.known else notes


def _in(zone: ZoneInfo, time: datetime | None) -> datetime | None:
    return None if time is None else time.astimezone(zone)


def _thousandths(values_LK: NDArray[Any]) -> list[list[float | None]]:
    """Return rows of numbers, with None for NaN."""
    rows = np.round(values_LK.astype(np.float64), DECIMALS).tolist()
    if np.isfinite(values_LK).all():
        return cast(list[list[float | None]], rows)
    return [[None if value != value else value for value in row] for row in rows]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def _plain(rate_mmh: float | None) -> float | None:
    """Return a rate with the digits of a 32-bit number: 3.84 instead of 3.8399999141693115."""
    return None if rate_mmh is None else float(f"{rate_mmh:.7g}")
