"""Documents of a place to draw and to put into words: wet, dry, without radar, with inflow."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from service.schemas.places import PointOut

REFERENCE = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
WET = [0.0] * 4 + [0.4, 1.2, 3.0, 8.0, 14.0, 9.0, 4.0, 2.0, 0.6, 0.2] + [0.0] * 12
DRY = [0.0] * 30


def point_of(rates: Sequence[float | None], zone: str = "Europe/Berlin", known: int = 30, **more: Any) -> PointOut:
    """A document with 5-minute leads; leads from `known` on rest on no observation."""
    now = REFERENCE.astimezone(ZoneInfo(zone))
    series = []
    for number, rate in enumerate(rates):
        chance = None if rate is None else min(0.97, rate / 2 + 0.05)
        series.append(
            {
                "valid_time": now + timedelta(minutes=5 * (number + 1)),
                "lead_minutes": 5 * (number + 1),
                "rate_mmh": rate,
                "known": None if rate is None else number < known,
                **{f"q{q}": None if rate is None else rate * q / 50 for q in (10, 50, 90)},
                "probabilities": [{"threshold_mmh": 0.1, "probability": chance}],
            }
        )
    fields: dict[str, Any] = {
        "forecast_id": UUID(int=1),
        "status": "ok",
        "stale": False,
        "reference_time": now,
        "data_age_s": 200.0,
        "model": {"name": "default", "version": "1"},
        "lat": 52.52,
        "lon": 13.41,
        "time_zone": zone,
        "row": 1,
        "col": 1,
        "radar_coverage": "ok",
        "series": series,
        "outlook": "dry",
        "next_rain_start": None,
        "next_rain_end": None,
        "rain_from_mmh": 0.1,
    }
    return PointOut.model_validate({**fields, **more})


def rain(start: int, start_chance: float | None, end: int | None, basis: str = "members") -> dict[str, Any]:
    return {
        "start_minutes": start,
        "start_probability": start_chance,
        "end_minutes": end,
        "end_probability": None if end is None else 0.7,
        "basis": basis,
    }


AMOUNTS = [{"minutes": 60, "q10": 0.4, "q50": 1.0, "q90": 2.12, "probabilities": []}]
