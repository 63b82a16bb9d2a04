"""Depths by hand; what is missing is unknown and not dry."""

import numpy as np
import pytest
import xarray as xr

from service.forecasts.fields import FIELDS, Fields
from service.forecasts.packing import Packed
from service.queries.amounts import AMOUNT, RULE, intervals_mm, totals_by_lead, totals_mm
from service.queries.cells import Block
from service.queries.quantities import quantities_file
from service.queries.regions import cut

NAN = float("nan")


def fields(analysis, rates):
    rate_mmh_THW = np.array(rates, np.float32).reshape(-1, 1, 1)
    first = None if analysis is None else np.array([[analysis]], np.float32)
    return Fields(Packed(rate_mmh_THW), first, np.ones((1, 1), np.bool_))


@pytest.mark.parametrize(
    ("analysis", "rates", "expected", "totals"),
    [
        (4.0, [2.0, 2.0, 0.0], [1.5, 1.0, 0.5], [1.5, 2.5, 3.0]),
        (0.0, [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        (4.0, [2.0, NAN, 0.0], [1.5, NAN, NAN], [1.5, NAN, NAN]),
        (NAN, [2.0, 2.0, 2.0], [NAN, 1.0, 1.0], [NAN, NAN, NAN]),
        (None, [2.0, 2.0, 2.0], [NAN, 1.0, 1.0], [NAN, NAN, NAN]),
    ],
)
def test_the_trapezoid_rule_by_hand(analysis, rates, expected, totals):
    found = intervals_mm(fields(analysis, rates), (30, 60, 90), (0, 0))
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(totals_mm(found), totals)
    by_lead = [float(total_HW[0, 0]) for total_HW in totals_by_lead(fields(analysis, rates), (30, 60, 90))]
    np.testing.assert_allclose(by_lead, totals)


def test_leads_of_unequal_spacing():
    np.testing.assert_allclose(intervals_mm(fields(6.0, [6.0, 6.0]), (10, 70), (0, 0)), [1.0, 6.0])


def test_the_amounts_are_cf(world, window_frames, tmp_path):
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    held = FIELDS.read(forecast)
    whole = cut(forecast, Block(0, forecast.grid.height, 0, forecast.grid.width))
    path = tmp_path / "amount.nc"
    path.write_bytes(quantities_file(forecast, whole, [AMOUNT]))
    with xr.open_dataset(path, decode_cf=False) as raw:
        amount = raw["rainfall_amount"]
        assert amount.attrs["standard_name"] == "lwe_thickness_of_precipitation_amount"
        assert (amount.attrs["units"], amount.attrs["cell_methods"]) == ("mm", "time: sum")
        assert amount.attrs["comment"] == RULE
        assert raw["time"].attrs["bounds"] == "time_bnds"
        seconds = raw["time_bnds"].values - forecast.reference_time.timestamp()
        np.testing.assert_array_equal(seconds, [[0, 1800 * n] for n in range(1, 6)])
    with xr.open_dataset(path) as dataset:
        assert held.analysis_mmh_HW is not None
        by_hand = (held.analysis_mmh_HW[20, 24] + held.rate_mmh_THW[0, 20, 24]) / 4
        assert float(dataset.rainfall_amount[0, 20, 24]) == pytest.approx(float(by_hand))
        assert np.isnan(dataset.rainfall_amount.values[:, 0, 0]).all()
