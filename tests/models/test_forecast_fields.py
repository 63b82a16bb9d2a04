"""The result of a forecast: members on coarser cells, coverage, and what a forecaster leaves out."""

import numpy as np
import pytest

from core.cells import on_grid
from models.fields import ForecastAmounts, ForecastFields, all_missing
from models.forecaster import Forecaster


class Coarse(Forecaster):
    """Two members and amounts on cells of 2 x 2."""

    makes_members = True

    def __init__(self):
        super().__init__("coarse", "1", input_steps=1, cadence_minutes=5, pixel_m=1000.0)

    def _forecast_batch(self, rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m):
        size = tuple(-(-edge // 2) for edge in rate_mmh_BTHW.shape[2:])
        amounts = ForecastAmounts((60,), (1.0,), np.ones((1, 1, *size), np.float32), (0.5,), np.ones((1, 1, *size)))
        for each_THW in rate_mmh_BTHW:
            fields = ForecastFields.known_in_coverage(np.repeat(each_THW[-1:], lead_steps, axis=0), each_THW[-1])
            members_MLHW = np.arange(2, dtype=np.float32)[:, None, None, None] + np.ones((1, lead_steps, *size), "f4")
            yield ForecastFields(
                fields.rate_mmh_LHW,
                fields.known_LHW,
                members_MLHW=members_MLHW,
                probability_grid_factor=2,
                amounts=amounts,
            )


def test_members_are_missing_where_none_of_their_cells_is_observed():
    rate = np.ones((1, 5, 7), np.float32)
    rate[0, :, :3] = np.nan
    members = Coarse().forecast(rate, 2, members=2).members_MLHW
    assert members is not None
    assert members.shape == (2, 2, 3, 4)
    assert np.isnan(members[..., 0]).all()
    assert np.isfinite(members[..., 1:]).all(), "the second column has one observed cell"


def test_without_members_there_are_no_amounts():
    assert Coarse().forecast(np.ones((1, 4, 4), np.float32), 2, members=2).amounts is not None
    result = Coarse().forecast(np.ones((1, 4, 4), np.float32), 2)
    assert result.amounts is None
    assert result.members_MLHW is None
    with pytest.raises(ValueError, match="with members"):
        result.members_MHW(0)


def test_members_on_the_grid_have_the_shape_of_the_rate():
    result = Coarse().forecast(np.ones((1, 5, 7), np.float32), 2, members=2)
    assert result.members_MHW(1).shape == (2, 5, 7)
    coarse = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert on_grid(coarse, 2, (3, 5)).tolist() == [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]


def test_a_coarse_cell_is_missing_with_all_of_its_cells():
    missing = np.zeros((3, 5), bool)
    missing[:, 3:] = True
    missing[2, 0] = True
    assert all_missing(missing, 2).tolist() == [[False, False, True], [False, False, True]]
