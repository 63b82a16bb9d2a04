"""Predictors along the motion, the guided model, and its forecaster."""

import numpy as np
import pytest
import torch

from core.errors import InputError
from models import load_forecaster
from models.checkpoint import save_model
from models.guided.adaptation import ADAPTATION, Adaptation
from models.guided.advection import displacements_LCHW, motion_CHW, warped
from models.guided.fields import MATCHING, ProbabilityMatching
from models.guided.forecaster import GuidedForecaster
from models.guided.network import RATES_MMH, build_guided
from models.guided.statistics import NAMES, predictors_LFHW


def _moving_blob(steps=5, rows=64, cols=64, speed=3, rate=8.0):
    y, x = np.mgrid[:rows, :cols]
    return np.stack([rate * np.exp(-((x - 12 - speed * t) ** 2 + (y - 30) ** 2) / 40.0) for t in range(steps)]).astype(
        np.float32
    )


def _model(**options):
    torch.manual_seed(0)
    model = build_guided("ms-convlstm", hidden_channels=4, **options)
    with torch.no_grad():
        model.weight_LFK[:, NAMES.index("carried_1")] = 1.0
        model.bias_LK[:] = torch.linspace(-4.5, -7.5, len(RATES_MMH))
        model.head.weight.normal_(std=0.05)
    return model


@pytest.fixture(scope="module", params=[None, Adaptation()], ids=["as trained", "adapted"])
def forecaster(request):
    return GuidedForecaster(_model(), "guided", "1", device="cpu", precision="float32", adaptation=request.param)


def test_motion_of_a_blob():
    motion = motion_CHW(_moving_blob())
    assert motion[0, 25:35, 20:30].mean() == pytest.approx(3.0, abs=0.3)
    assert abs(motion[1, 25:35, 20:30].mean()) < 0.3


def test_fields_are_advected_as_by_extrapolation():
    fields = _moving_blob()
    back = displacements_LCHW(motion_CHW(fields), 3)
    for step, expected in enumerate(_moving_blob(8)[5:]):
        moved = warped(fields[-1], back[step])
        assert np.nanmax(np.abs(moved - expected)) < 1.5


def test_what_comes_from_outside_is_not_observed():
    fields = _moving_blob(speed=4)
    moved = warped(fields[-1], displacements_LCHW(np.stack([np.full((64, 64), 4.0), np.zeros((64, 64))]), 2)[1])
    assert np.isnan(moved[:, :8]).all()
    assert np.isfinite(moved[:, 8:]).all()


@pytest.mark.parametrize("spoil", ["nothing", "holes", "missing fields", "all dry", "one field"])
def test_predictors_are_finite_for_any_input(spoil):
    fields = _moving_blob()
    if spoil == "holes":
        fields[:, :20] = np.nan
        fields[2, 30:40] = np.nan
    elif spoil == "missing fields":
        fields[[0, 1, 3]] = np.nan
    elif spoil == "all dry":
        fields[:] = 0
    elif spoil == "one field":
        fields = fields[-1:]
    found = predictors_LFHW(fields, 3, 30.0)
    assert found.shape == (3, len(NAMES), 64, 64)
    assert np.isfinite(found).all()


def test_a_forgetful_field_fades_and_a_steady_one_stays():
    steady = _moving_blob()
    random = np.random.default_rng(0)
    restless = random.permuted(steady.reshape(5, -1), axis=1).reshape(steady.shape)
    kept, faded = (predictors_LFHW(fields, 5, 30.0)[-1] for fields in (steady, restless))
    damped, carried = NAMES.index("damped"), NAMES.index("carried_0")
    assert np.ptp(kept[damped]) > 0.7 * np.ptp(kept[carried])
    assert np.ptp(faded[damped]) < 0.3 * np.ptp(faded[carried])


def test_forecast_and_probabilities(forecaster):
    fields = _moving_blob()
    fields[-1, :5] = np.nan
    found = forecaster.forecast(fields, 4)
    rate, chance = found.rate_mmh_LHW, found.exceedance_probability_KLHW
    assert found.thresholds_mmh == RATES_MMH
    assert chance.shape == (len(RATES_MMH), 4, 64, 64)
    assert chance.dtype == rate.dtype == np.float32
    assert np.isnan(chance[:, :, :5]).all()
    seen = chance[:, :, 5:]
    assert (seen >= 0).all()
    assert (seen <= 1).all()
    assert (np.diff(seen, axis=0) <= 0).all()


def test_a_batch_equals_single_forecasts(forecaster):
    fields = np.stack([_moving_blob(), _moving_blob(speed=-1), _moving_blob(rate=2.0)])
    together = forecaster.forecast_batch(fields, 2)
    alone = [forecaster.forecast(each, 2) for each in fields]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.rate_mmh_LHW, other.rate_mmh_LHW, rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(one.known_LHW, other.known_LHW)


def test_rates_and_probabilities_of_a_batch_equal_single_forecasts(forecaster, monkeypatch):
    fields = np.stack([_moving_blob(), _moving_blob(speed=-1), _moving_blob(rate=2.0)])
    fields[1, -1, :5] = np.nan
    alone = [forecaster.forecast(each, 2) for each in fields]
    calls = []
    run = forecaster.model.parts

    def counted(known):
        calls.append(len(known))
        return run(known)

    monkeypatch.setattr(forecaster.model, "parts", counted)
    together = forecaster.forecast_batch(fields, 2)
    hindcasts = 3 * [1] * forecaster.adaptation.origins if forecaster.adaptation else []
    assert calls == [3, *hindcasts], "one run of the model makes rates and probabilities of all"
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.rate_mmh_LHW, other.rate_mmh_LHW, rtol=1e-3, atol=1e-3)
        chance, chance_alone = one.exceedance_probability_KLHW, other.exceedance_probability_KLHW
        np.testing.assert_allclose(chance, chance_alone, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(np.isnan(chance), np.isnan(chance_alone))


def test_a_forecaster_without_probabilities_returns_none():
    persistence = load_forecaster("persistence")
    fields = _moving_blob()
    alone = persistence.forecast(fields, 3)
    together = persistence.forecast_batch(np.stack([fields, fields]), 3)
    assert [one.exceedance_probability_KLHW for one in (alone, *together)] == [None] * 3
    assert (alone.thresholds_mmh, persistence.thresholds_mmh) == ((), ())
    np.testing.assert_array_equal(together[1].rate_mmh_LHW, alone.rate_mmh_LHW)


@pytest.mark.parametrize("patch", [1, 2])
def test_patches_correct_each_cell_at_any_size(patch):
    model = build_guided("ms-convlstm", hidden_channels=4, patch=patch)
    assert model(torch.randn(1, 2, len(NAMES), 19, 23)).shape == (1, 2, len(RATES_MMH), 19, 23)


@pytest.mark.parametrize("size", [(31, 45), (124, 124), (9, 17), (200, 150)])
def test_any_size(forecaster, size):
    found = forecaster.forecast(_moving_blob(rows=size[0], cols=size[1]), 2)
    assert found.rate_mmh_LHW.shape == found.known_LHW.shape == (2, *size)
    assert np.isfinite(found.exceedance_probability_KLHW).all()


@pytest.mark.parametrize(("cadence", "leads"), [(5, 12), (10, 6), (15, 4), (30, 7)])
def test_other_cadences_follow_their_observed_motion(forecaster, cadence, leads):
    """The policy: leads are multiples of the input's cadence, and motion is measured in its steps."""
    speed = 4 * cadence / 30
    rate = forecaster.forecast(_moving_blob(speed=speed), leads, cadence_minutes=cadence).rate_mmh_LHW
    for step in (0, leads - 1):
        col = 12 + speed * (5 + step)
        if col < 56 and rate[step].max() > 0:
            assert abs(int(np.unravel_index(rate[step].argmax(), rate[step].shape)[1]) - col) <= 4
    assert rate[0].max() > 0.5


def test_all_dry_stays_dry(forecaster):
    assert forecaster.forecast(np.zeros((5, 64, 64), np.float32), 5).rate_mmh_LHW.max() == 0


def test_bad_input_is_refused(forecaster):
    with pytest.raises(InputError, match="expected rates"):
        forecaster.forecast(np.full((5, 8, 8), -1.0, np.float32))
    with pytest.raises(InputError, match="predictors: expected shape"):
        forecaster.model(torch.zeros(1, 2, 3, 8, 8))
    with pytest.raises(InputError, match="options"):
        build_guided("ms-convlstm", nonsense=1)


def test_it_begins_as_the_statistical_part_alone():
    torch.manual_seed(0)
    model = build_guided("ms-predrnn", hidden_channels=4)
    _, prior, correction = model.parts(torch.randn(2, 3, len(NAMES), 16, 16))
    assert correction.abs().max() == 0
    assert prior.shape == correction.shape == (2, 3, len(RATES_MMH), 16, 16)


def test_bfloat16_is_close_to_float32(forecaster):
    how = {"adaptation": forecaster.adaptation, "precision": "bfloat16"}
    fast = GuidedForecaster(_model(), "guided", "1", device="cpu", **how)
    slow_chance, fast_chance = (
        one.forecast(_moving_blob(), 3).exceedance_probability_KLHW for one in (forecaster, fast)
    )
    assert slow_chance is not None
    assert fast_chance is not None
    np.testing.assert_allclose(fast_chance, slow_chance, atol=0.02)


def test_a_checkpoint_gives_the_same_forecast(tmp_path, forecaster):
    card = {
        "kind": "exceedance",
        "architecture": {"name": "ms-convlstm", "options": {"hidden_channels": 4}},
        "transform": {"name": "log"},
        "input_steps": 5,
        "cadence_minutes": 30,
        "pixel_m": 7258.0,
        "version": "1",
        "rebuild": MATCHING.to_dict(ProbabilityMatching()),
        **({"adaptation": ADAPTATION.to_dict(forecaster.adaptation)} if forecaster.adaptation else {}),
    }
    save_model(tmp_path / "guided" / "checkpoint", _model(), card)
    loaded = load_forecaster(tmp_path / "guided" / "checkpoint", device="cpu", precision="float32")
    assert loaded.name == "guided"
    one, other = (each.forecast(_moving_blob(), 3).rate_mmh_LHW for each in (loaded, forecaster))
    np.testing.assert_allclose(one, other, rtol=1e-3)


def test_a_share_of_the_correction_counts():
    predictors = torch.randn(1, 2, len(NAMES), 16, 16)
    whole, half, none = (_model(correction=share)(predictors) for share in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half, (whole + none) / 2)
    torch.testing.assert_close(none, _model().parts(predictors).prior_BLKHW)
