"""Hindcasts within the window correct the model where it errs on this very weather, and change nothing else."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from core.errors import InputError
from models.guided.adaptation import ADAPTATION, LOGIT_UNIT, Adaptation, HindcastSamples
from models.guided.forecaster import GuidedForecaster
from models.guided.network import RATES_MMH, build_guided
from models.guided.statistics import NAMES


def _showers(steps=10, size=72, speed=2, seed=3):
    """Showers that drift east and keep their shape."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    places = random.uniform([-25, 0], [size, size], (14, 2))
    fields = [
        sum(9 * np.exp(-((x - col - speed * t) ** 2 + (y - row) ** 2) / 20.0) for col, row in places)
        for t in range(steps)
    ]
    return np.stack(fields).astype(np.float32)


def _forecaster(bias=0.0, correction=0.0, adaptation=None):
    """A model that follows what is carried along; its odds are off by `bias`, its network adds a constant."""
    torch.manual_seed(0)
    model = build_guided("ms-convlstm", hidden_channels=4)
    with torch.no_grad():
        model.weight_LFK[:, NAMES.index("carried_0")] = 3.0
        model.bias_LK[:] = -3.0 * torch.log1p(torch.tensor(RATES_MMH) / 0.1) + bias
        torch.nn.init.constant_(model.head.get_parameter("bias"), correction)
    return GuidedForecaster(model, "guided", "1", device="cpu", precision="float32", adaptation=adaptation)


def _brier(forecaster, fields, mmh):
    chance = forecaster.forecast(fields[:5], 5).exceedance_probability_KLHW[RATES_MMH.index(mmh)]
    return float(np.square(chance - (fields[5:] >= mmh)).mean())


@pytest.mark.parametrize(("bias", "correction"), [(2.5, 0.0), (-2.5, 0.0), (0.0, 2.5)])
def test_it_mends_a_model_that_errs_on_this_weather(bias, correction):
    fields = _showers()
    for mmh in (0.5, 2.0):
        plain, adapted = (_brier(_forecaster(bias, correction, how), fields, mmh) for how in (None, Adaptation()))
        assert adapted < 0.85 * plain, (mmh, plain, adapted)


def test_it_leaves_a_model_that_is_right_about_as_it_is():
    fields = _showers()
    plain, adapted = (_brier(_forecaster(adaptation=how), fields, 2.0) for how in (None, Adaptation()))
    assert adapted < 1.1 * plain


@pytest.mark.parametrize("spoil", ["two fields", "no field that was forecast", "not observed", "one cell", "as it is"])
def test_where_there_is_nothing_to_learn_from_nothing_changes(spoil):
    fields = _showers()[:5]
    if spoil == "two fields":
        fields = fields[-2:]
    elif spoil == "no field that was forecast":
        fields[[0, 1, 2]] = np.nan
    elif spoil == "not observed":
        fields[1:, :, :36] = np.nan
        fields[0, :, 36:] = np.nan
    elif spoil == "one cell":
        fields[:4] = np.nan
        fields[:4, 30, 30] = 1.0
    plain, adapted = (
        _forecaster(1.5, adaptation=how).forecast(fields, 3).exceedance_probability_KLHW for how in (None, Adaptation())
    )
    np.testing.assert_array_equal(np.isnan(plain), np.isnan(adapted))
    seen = np.isfinite(plain)
    assert np.isfinite(adapted[seen]).all()
    if spoil in ("two fields", "no field that was forecast", "one cell"):
        np.testing.assert_array_equal(adapted, plain)
    elif spoil == "as it is":
        assert np.abs(adapted[seen] - plain[seen]).max() > 0.05


def test_weights_are_those_of_a_ridge_logistic_regression():
    random = np.random.default_rng(5)
    scaled, prior, correction = (random.normal(size=size).astype(np.float32) for size in ((400, 3), (400, 1), (400, 1)))
    rate = (random.random(400) < 1 / (1 + np.exp(-(scaled[:, 0] - 0.5)))).astype(np.float32)
    how = Adaptation(trusted_cells=100, cells_per_trusted=1, ridge=2.0, line_ridge=0.5, iterations=12)
    found = how.learnt([HindcastSamples(scaled, prior, correction, rate, 1)], [1.0])
    design = np.concatenate([scaled, prior / LOGIT_UNIT, correction, np.ones((400, 1))], axis=1)
    penalty = np.array([2.0, 2.0, 2.0, 0.5, 0.5, 0.5])

    def loss(weights):
        logit = (prior + correction)[:, 0] + design @ weights
        return 100 * np.mean(np.logaddexp(0, logit) - rate * logit) + 0.5 * (penalty * weights**2).sum()

    assert found is not None
    np.testing.assert_allclose(found[:, 0], minimize(loss, np.zeros(6)).x, atol=2e-3)


def test_what_is_added_fades_with_the_lead():
    scaled, prior, correction = (np.ones((3, n, 1, 1), np.float32) for n in (2, 1, 1))
    weights = np.array([[0.5], [0.25], [3.0], [1.0], [0.25]], np.float32)
    added = Adaptation(fading=0.5).added_LKHW(scaled, prior, correction, weights)
    np.testing.assert_allclose(added[:, 0, 0, 0], [3.0, 1.5, 0.75])


def test_large_fields_are_learnt_from_in_part_and_small_ones_whole():
    assert Adaptation().step((20, 20)) == 1
    assert Adaptation().step((124, 124)) == 4
    assert Adaptation().step((1200, 1100)) == 36


def test_the_card_keeps_it():
    how = Adaptation(ridge=7.0)
    assert ADAPTATION.from_dict(ADAPTATION.to_dict(how)) == how
    with pytest.raises(InputError, match=r"Adaptation: nonsense"):
        ADAPTATION.from_dict({"nonsense": 1})
