"""Forecasts lead by lead: the same fields as the whole forecast, one lead at a time."""

import numpy as np
import pytest
import torch
from pysteps.extrapolation.semilagrangian import extrapolate

from core.errors import ForecastError, InputError
from models.baselines import PART_LEADS, carried, carried_parts
from models.forecaster import Forecaster
from models.guided.native import NativeForecaster
from models.guided.pointwise import PointwiseModel
from models.leads import collected
from models.load import load_forecaster


def _blob(frames=4, rows=48, cols=56):
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    field = np.stack([8 * np.exp(-((x - 12 - 2 * t) ** 2 + (y - 20) ** 2) / 60) for t in range(frames)])
    field = np.where(field < 0.1, 0, field).astype(np.float32)
    field[:, :, -5:] = np.nan
    return field


@pytest.mark.parametrize("name", ["persistence", "extrapolation", "default"])
def test_leads_are_those_of_the_whole_forecast(name):
    forecaster = load_forecaster(name, device="cpu")
    whole = forecaster.forecast(_blob(), 4, cadence_minutes=10, pixel_m=2000.0)
    leads = list(forecaster.leads(_blob(), 4, cadence_minutes=10, pixel_m=2000.0))
    assert [lead.step for lead in leads] == [1, 2, 3, 4]
    for index, lead in enumerate(leads):
        np.testing.assert_array_equal(lead.rate_mmh_HW, whole.rate_mmh_LHW[index])
        np.testing.assert_array_equal(lead.known_HW, whole.known_LHW[index])
        if whole.exceedance_probability_KLHW is None:
            assert lead.exceedance_probability_KHW is None
        else:
            np.testing.assert_array_equal(lead.exceedance_probability_KHW, whole.exceedance_probability_KLHW[:, index])


def test_extrapolation_in_parts_is_one_call_of_pysteps():
    rate, steps = _blob()[-1], 2 * PART_LEADS + 1
    y, x = np.mgrid[:48, :56]
    motion = np.stack([2 + np.sin(y / 9), np.cos(x / 7)])
    observed = np.isfinite(rate)
    (moved, mask) = (
        extrapolate(field, motion, steps, outval=0.0) for field in (np.where(observed, rate, 0.0), 1.0 * observed)
    )
    parts = list(carried_parts(rate, motion, steps))
    assert [len(part.rate_mmh_LHW) for part in parts] == [PART_LEADS, PART_LEADS, 1]
    whole = carried(rate, motion, steps)
    np.testing.assert_array_equal(whole.rate_mmh_LHW, moved.astype(np.float32))
    np.testing.assert_array_equal(whole.known_LHW, mask >= 0.5)
    np.testing.assert_array_equal(np.concatenate([part.rate_mmh_LHW for part in parts]), whole.rate_mmh_LHW)


@pytest.mark.parametrize(("name", "most"), [("persistence", 1), ("extrapolation", PART_LEADS)])
def test_a_baseline_computes_a_part_when_it_is_taken(monkeypatch, name, most):
    computed, finish = [], Forecaster._finished

    def counted(self, result, newest):
        computed.append(len(result.rate_mmh_LHW))
        return finish(self, result, newest)

    monkeypatch.setattr(Forecaster, "_finished", counted)
    leads = load_forecaster(name).leads(_blob(), 10, cadence_minutes=10, pixel_m=2000.0)
    next(leads)
    assert computed == [most]
    assert [lead.step for lead in leads] == list(range(2, 11))
    assert sum(computed) == 10


@pytest.mark.parametrize("name", ["persistence", "default"])
def test_leads_collect_to_the_whole_forecast(name):
    forecaster = load_forecaster(name, device="cpu")
    whole = forecaster.forecast(_blob(), 3, cadence_minutes=10, pixel_m=2000.0)
    again = collected(forecaster.leads(_blob(), 3, cadence_minutes=10, pixel_m=2000.0), 3, forecaster.thresholds_mmh)
    assert again.thresholds_mmh == whole.thresholds_mmh
    for name in ("rate_mmh_LHW", "known_LHW", "exceedance_probability_KLHW"):
        np.testing.assert_equal(getattr(again, name), getattr(whole, name))


def test_a_lead_is_computed_when_it_is_requested(monkeypatch):
    steps, compute = [], NativeForecaster._lead

    def counted(self, *inputs):
        lead = compute(self, *inputs)
        steps.append(lead.step)
        return lead

    monkeypatch.setattr(NativeForecaster, "_lead", counted)
    leads = load_forecaster("default", device="cpu").leads(_blob(), 5, cadence_minutes=10, pixel_m=2000.0)
    first = next(leads)
    assert steps == [1]
    kept = first.rate_mmh_HW.copy()
    next(leads)
    assert steps == [1, 2]
    np.testing.assert_array_equal(first.rate_mmh_HW, kept, "a later lead leaves an earlier one as it is")


@pytest.mark.parametrize("wrong", [{"lead_steps": 0}, {"cadence_minutes": -5}, {"pixel_m": 0}])
def test_a_wrong_number_is_an_error_before_the_first_lead(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        load_forecaster("default", device="cpu").leads(_blob(), **wrong)


def test_a_lead_that_is_not_finite_is_an_error_there():
    model = PointwiseModel()
    with torch.no_grad():
        model.bias_TPU.fill_(torch.nan)
    leads = NativeForecaster(model, "broken", "1", device="cpu").leads(_blob(), 3, cadence_minutes=5, pixel_m=2000.0)
    with pytest.raises(ForecastError, match="broken 1: expected rain rates, got values that are not finite"):
        next(leads)
