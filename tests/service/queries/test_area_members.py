"""Polygons in ensemble members, by numbers worked out by hand."""

import numpy as np
import pytest

from models.fields import ForecastAmounts
from service.forecasts.fields import FIELDS
from service.forecasts.member_codes import RateCodes
from service.forecasts.member_file import MembersContent, members_dataset
from service.forecasts.members import members_path, read_members
from service.queries.area_members import area_ensemble
from service.queries.areas import AreaWeights
from service.queries.cells import Block
from tests.service.api_support import chance_of
from tests.service.conftest import Fading

RATES_MMH = (0.1, 1.0, 10.0)


@pytest.fixture
def forecast(open_world, window_frames):
    world = open_world(
        Fading(thresholds_mmh=RATES_MMH, chances=lambda rate: np.stack([chance_of(rate, mmh) for mmh in RATES_MMH]))
    )
    world.put(*window_frames)
    return world.service.forecast_stored(with_baselines=False)


def written(forecast, rate_mmh_MHW):
    """Write members that are the same at every lead, on cells of 2 x 2."""
    codes = RateCodes(RATES_MMH)
    codes_MLHW = codes.encoded(np.repeat(rate_mmh_MHW[:, None], len(forecast.lead_minutes), axis=1))
    shape = rate_mmh_MHW.shape[1:]
    amounts = ForecastAmounts(
        (60,), (1.0,), np.ones((1, 1, *shape), np.float32), (0.5,), np.ones((1, 1, *shape), np.float32)
    )
    content = MembersContent(codes_MLHW, codes.table, 2, amounts)
    members_dataset(forecast, content).to_netcdf(members_path(forecast))


def weights_of(rows, cols, km2_HW):
    return AreaWeights(Block(rows[0], rows[1], cols[0], cols[1]), np.asarray(km2_HW, np.float64), float(np.sum(km2_HW)))


def test_shares_and_depths_by_hand(forecast):
    """Four grid cells of 1, 2, 3 and 4 km2 in two cells of members, whose rates are 0 and 5, 20 and 5, 0 and 0."""
    rates = np.zeros((3, 20, 20), np.float32)
    rates[0, 10, 11], rates[1, 10, 10], rates[1, 10, 11] = 5, 20, 5
    written(forecast, rates)
    weights = weights_of((21, 22), (20, 24), [[1, 2, 3, 4]])
    found = area_ensemble(forecast, weights)
    assert found is not None
    assert found.members == 3
    np.testing.assert_allclose(found.share_MLK[:, 0], [[0.7, 0.7, 0.0], [1.0, 1.0, 0.3], [0.0, 0.0, 0.0]])
    assert [found.probability(2, 1, share) for share in (0.1, 0.7, 0.71, 1.0)] == pytest.approx(
        [2 / 3, 2 / 3, 1 / 3, 1 / 3]
    )
    assert found.probability(0, 2, 0.3) == pytest.approx(1 / 3)
    mean = found.total_mm_ML[:, -1] - found.total_mm_ML[:, -2]
    hours = (forecast.lead_minutes[-1] - forecast.lead_minutes[-2]) / 60
    np.testing.assert_allclose(mean / hours, [0.7 * 5, 0.3 * 20 + 0.7 * 5, 0], rtol=0.03, atol=1e-9)
    analysis = FIELDS.read(forecast).analysis_mmh_HW
    assert analysis is not None
    now = float((analysis[21, 20:24] * [1, 2, 3, 4]).sum() / 10)
    first = forecast.lead_minutes[0] / 60
    np.testing.assert_allclose(found.total_mm_ML[2, 0], now / 2 * first, rtol=1e-5)
    quantiles = found.total_mm(4)
    assert quantiles is not None
    assert list(quantiles) == sorted(quantiles)
    assert quantiles[1] == pytest.approx(np.median(found.total_mm_ML[:, 4]))


def test_cells_without_data_do_not_count(forecast):
    rates = np.full((2, 20, 20), 5.0, np.float32)
    rates[:, 10, 10] = np.nan
    rates[1, 10, 11] = 0
    written(forecast, rates)
    found = area_ensemble(forecast, weights_of((20, 22), (20, 24), np.ones((2, 4))))
    assert found is not None
    np.testing.assert_allclose(found.share_MLK[:, 0, 1], [1, 0])
    assert area_ensemble(forecast, weights_of((20, 22), (20, 22), np.ones((2, 2)))) is None


def test_without_members_or_outside_the_grid_there_is_none(forecast):
    weights = weights_of((20, 22), (20, 24), np.ones((2, 4)))
    assert area_ensemble(forecast, weights) is None
    written(forecast, np.ones((2, 20, 20), np.float32))
    assert area_ensemble(forecast, weights) is not None
    assert area_ensemble(forecast, AreaWeights(None, np.zeros((0, 0)), 3.0)) is None
    members = read_members(forecast)
    assert members is not None
    assert members.shape[0] == 2
