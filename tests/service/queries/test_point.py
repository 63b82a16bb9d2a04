"""A place's series: missing data are never an all-clear."""

from datetime import timedelta

import numpy as np
import pytest

from core.errors import InputError
from core.times import utc
from service.queries.point import point_series
from service.queries.rain import next_rain

T = tuple(utc("2024-06-01T12:00Z") + timedelta(minutes=30 * n) for n in range(1, 6))


@pytest.mark.parametrize(
    ("rates", "start", "end"),
    [
        ([0.0, 0.0, 0.2, 0.1, 0.05], 2, 4),
        ([0.1, 0.0, 0.0, 0.0, 0.0], 0, 1),
        ([0.0, 0.0, 0.0, 0.0, 1.0], 4, None),
        ([0.0, 0.0, 0.0, 0.0, 0.0], None, None),
        ([None, 1.0, 0.0, 0.0, 0.0], None, None),
        ([0.0, 1.0, None, 0.0, 0.0], 1, None),
        ([0.0, 1.0, 0.0, None, 1.0], 1, 2),
        ([None] * 5, None, None),
        ([0.09, 0.0999, 0.0, 0.0, 0.0], None, None),
    ],
)
def test_next_rain_by_hand(rates, start, end):
    assert next_rain(T, rates) == (None if start is None else T[start], None if end is None else T[end])


@pytest.fixture
def forecast(world, window_frames):
    world.put(*window_frames)
    return world.service.forecast_stored()


def place(forecast, row, col):
    lon_HW, lat_HW = forecast.grid.lon_lat_HW()
    return float(lat_HW[row, col]), float(lon_HW[row, col])


def test_a_wet_place(forecast):
    point = point_series(forecast, *place(forecast, 20, 24))
    assert (point.coverage, point.outlook) == ("ok", "rain")
    assert point.rate_mmh == tuple(float(rate) for rate in forecast.rate_mmh_THW[:, 20, 24])
    assert point.next_rain_start == forecast.valid_times[0]


def test_a_dry_place(forecast):
    point = point_series(forecast, *place(forecast, 39, 39))
    assert (point.coverage, point.outlook, point.rate_mmh) == ("ok", "dry", (0.0,) * 5)
    assert point.next_rain_start is None


def test_a_place_that_no_radar_sees(forecast):
    point = point_series(forecast, *place(forecast, 1, 1))
    assert (point.coverage, point.outlook, point.rate_mmh) == ("no coverage", "unknown", (None,) * 5)


def test_a_place_off_the_grid(forecast):
    point = point_series(forecast, 40.0, -74.0)
    assert (point.coverage, point.outlook, point.rate_mmh) == ("no coverage", "unknown", (None,) * 5)


def test_a_place_not_on_earth(forecast):
    with pytest.raises(InputError, match="lat 91"):
        point_series(forecast, 91.0, 10.0)


def test_a_place_whose_radar_fails_is_unavailable_for_as_long_as_it_does(world, rain):
    world.put(*(rain(minutes, gap=False) for minutes in range(0, 121, 30)), *(rain(m) for m in range(150, 301, 30)))
    start = rain(0).valid_time
    for minutes in (120, 150, 300):
        forecast = world.service.forecast_stored(start + timedelta(minutes=minutes))
        point = point_series(forecast, *place(forecast, 1, 1))
        assert point.coverage == ("ok" if minutes == 120 else "temporarily unavailable")
        assert point.outlook == ("unknown" if minutes > 120 else "dry")
        assert np.isnan(forecast.rate_mmh_THW[0, 1, 1]) == (minutes > 120)
