"""A frame refuses what is not a frame, and tells its times and coverage."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.frame import RadarFrame
from core.grid import RADOLAN_SPHERE, Grid
from core.times import iso, utc

GRID = Grid(RADOLAN_SPHERE, 0, -4_000_000, 1000, 1000, 2, 4)
TIME = datetime(2024, 6, 1, 15, 30, tzinfo=UTC)
FIELD_HW = np.array([[0, 1, np.nan, np.nan], [2, 3, 4, np.nan]], np.float32)


def test_times_and_coverage() -> None:
    frame = RadarFrame(TIME, GRID, FIELD_HW, "RV", lead_minutes=30)
    assert frame.is_forecast
    assert frame.reference_time == TIME - timedelta(minutes=30)
    assert frame.coverage == 5 / 8
    assert not RadarFrame(TIME, GRID, FIELD_HW, "RV").is_forecast


@pytest.mark.parametrize("time", [datetime(2024, 6, 1), datetime(2024, 6, 1, tzinfo=timezone(timedelta(hours=2)))])  # noqa: DTZ001
def test_naive_and_foreign_times_are_refused(time: datetime) -> None:
    with pytest.raises(ValueError, match="expected an aware UTC time"):
        RadarFrame(time, GRID, FIELD_HW, "RY")


def test_fields_of_another_shape_or_type_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected the grid's shape \(2, 4\), got \(4, 2\)"):
        RadarFrame(TIME, GRID, FIELD_HW.T, "RY")
    with pytest.raises(ValueError, match="expected float32, got float64"):
        RadarFrame(TIME, GRID, FIELD_HW.astype(np.float64), "RY")


@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(-14, 14))  # noqa: DTZ001
def test_a_time_comes_back_from_its_text(naive: datetime, hours: int) -> None:
    time = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert utc(iso(time)) == time
    assert iso(time).endswith("Z")
    assert utc(iso(time)).utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["2024-06-01T15:30", "2024-06-01T15:30Z", "2024-06-01T17:30+02:00", "20240601T1530Z"])
def test_text_of_any_zone_becomes_utc(text: str) -> None:
    assert utc(text) == TIME
    assert iso(utc(text)) == "2024-06-01T15:30:00Z"


def test_text_that_is_no_time() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        utc("yesterday")
