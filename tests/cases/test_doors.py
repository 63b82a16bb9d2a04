"""The same good file through every door: one outcome."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core import cf
from tests.cases.doors import DOORS
from tests.service.api_support import GRID

TIMES = [datetime(2026, 6, 1, 10, tzinfo=UTC) + timedelta(minutes=30 * number) for number in range(6)]


def cf_file(folder, *, rate=3.0):
    """Six fields with a wet square and a corner that is not observed."""
    rate_mmh_THW = np.zeros((6, *GRID.shape), np.float32)
    rate_mmh_THW[:, 20:30, 20:30] = rate
    rate_mmh_THW[:, :5, :5] = np.nan
    path = folder / "fields.nc"
    cf.write_dataset(cf.rate_dataset(rate_mmh_THW, TIMES, GRID, attributes={"product": "RY"}), path)
    return path


@pytest.mark.parametrize("name", DOORS)
def test_a_good_file_has_the_same_fields_through_every_door(door, tmp_path, name):
    outcome = door(name)(cf_file(tmp_path))
    assert outcome.refusal is None
    assert [frame.time for frame in outcome.frames] == TIMES
    for frame in outcome.frames:
        assert frame.max_mmh == pytest.approx(3.0)
        assert frame.mask_HW.sum() == frame.mask_HW.size - 25
        assert not frame.mask_HW[:5, :5].any()
        if frame.north_west is not None:
            assert frame.north_west == pytest.approx(GRID.corners_lon_lat()[0], abs=1e-4)


@pytest.mark.parametrize("name", DOORS)
def test_a_file_that_is_not_radar_is_refused_by_every_door(door, name):
    outcome = door(name)({"picture.nc": b"\x89PNG not radar at all"})
    assert not outcome.frames
    assert outcome.refusal
