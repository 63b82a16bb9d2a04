"""CF files of people elsewhere through every door: the right place, time and value, or a refusal by name."""

import numpy as np
import pytest

from tests.cases.doors import DOORS

RAIN_MMH = 8.0
PLACES = {
    "01-imerg-time-lon-lat/x.nc": (5.0, 55.0),
    "01-imerg-time-lon-lat/projected_time_x_y.nc": (5.6013, 53.5705),
    "02-xy-unit-kilometre/x_in_1000m.nc": (5.6013, 53.5705),
    "02-xy-unit-kilometre/x_in_kilometre.nc": (5.6013, 53.5705),
    "06-lon-0-360/x.nc": (-105.0, 45.0),
    "08-default-fill-value/fill_default_9.97e36.nc": (5.0, 55.0),
    "08-default-fill-value/large_1e20_no_attr.nc": (5.0, 55.0),
    "10-training-minus-9999/tr_minus9999.nc": (5.0, 55.0),
    "10-training-minus-9999/tr_valid_range.nc": (5.0, 55.0),
    "11-float-day-times/days_0001.nc": (5.0, 55.0),
    "11-float-day-times/days_1970_5min.nc": (5.0, 55.0),
    "11-float-day-times/float32_days.nc": (5.0, 55.0),
    "29-cf-extended-grid-mapping/x.nc": (5.6013, 53.5705),
    "30-units-spellings/units_mm.h-1.nc": (5.0, 55.0),
    "30-units-spellings/units_mm_hour-1.nc": (5.0, 55.0),
    "30-units-spellings/units_mm_hour.nc": (5.0, 55.0),
}
REFUSED = {
    "04-xy-unit-degrees-radian/x_degrees_in_ps.nc": "unit of the coordinate x",
    "04-xy-unit-degrees-radian/x_radian_geos.nc": "expected corners on Earth",
    "32-two-variables-one-name/x.nc": "quality and rr",
}


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("file", PLACES)
def test_the_rain_is_at_its_place_and_time(cases, door, name, file):
    outcome = door(name)(cases / file)
    if name == "upload" and file.endswith("days_1970_5min.nc"):  # 45 minutes are no window of five half hours
        assert "expected frames spaced 30 minutes apart" in str(outcome.refusal)
        return
    assert outcome.refusal is None, outcome.refusal
    assert len(outcome.frames) >= 5
    assert all(frame.time.second == 0 and frame.time.minute % 5 == 0 for frame in outcome.frames)
    for number, frame in enumerate(outcome.frames):
        assert frame.max_mmh == pytest.approx(RAIN_MMH)
        assert frame.mask_HW.mean() == pytest.approx(0.875)
        row, col = np.unravel_index(np.nanargmax(frame.rate_mmh_HW), frame.rate_mmh_HW.shape)
        assert frame.rate_mmh_HW.shape == (60, 80)
        assert row < 30
        assert col < 40 or number >= 15  # the shower of the longest file crosses the middle then
        if frame.north_west is not None:
            assert frame.north_west == pytest.approx(PLACES[file], abs=2e-3)


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("file", REFUSED)
def test_what_is_unknown_is_refused_by_name(cases, door, name, file):
    outcome = door(name)(cases / file)
    assert not outcome.frames
    assert outcome.refusal is not None
    if name in ("upload", "folder", "predict"):
        assert REFUSED[file] in outcome.refusal


@pytest.mark.parametrize("name", DOORS)
def test_a_forecast_is_not_an_observation(cases, door, name):
    outcome = door(name)(cases / "12-forecast-reference-not-a-coordinate/x.nc")
    assert not [frame for frame in outcome.frames if frame.lead_minutes == 0]
