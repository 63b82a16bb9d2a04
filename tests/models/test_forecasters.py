"""Persistence, extrapolation and networks behind one call."""

import numpy as np
import pytest
import torch

from core.errors import ForecastError, InputError, UnknownNameError
from models import Forecaster, build_model, list_forecasters, load_forecaster
from models.checkpoint import CARD, WEIGHTS, save_model


def _moving_blob(steps=5, size=64, speed=3, rate=8.0):
    y, x = np.mgrid[:size, :size]
    return np.stack([rate * np.exp(-((x - 15 - speed * t) ** 2 + (y - 30) ** 2) / 40.0) for t in range(steps)]).astype(
        np.float32
    )


def _card(name, hidden_channels):
    return {
        "architecture": {"name": name, "options": {"hidden_channels": hidden_channels}},
        "transform": {"name": "log"},
        "input_steps": 5,
        "cadence_minutes": 30,
        "pixel_m": 1000.0,
        "version": "1",
    }


@pytest.fixture(scope="module", params=["persistence", "extrapolation", "network"])
def forecaster(request):
    if request.param == "network":
        torch.manual_seed(0)
        return Forecaster.from_model(build_model("ms-convlstm", hidden_channels=4, residual=True))
    return load_forecaster(request.param)


def test_missing_stays_missing_and_nothing_else_does(forecaster):
    rate = _moving_blob()
    rate[-1, :5] = np.nan
    rate[1, 20:30, 20:30] = np.nan
    before = rate.copy()
    result = forecaster.forecast(rate, 3).rate_mmh_LHW
    assert result.shape == (3, 64, 64)
    assert result.dtype == np.float32
    assert np.isnan(result[:, :5]).all()
    assert (result[:, 5:] >= 0).all()
    np.testing.assert_array_equal(rate, before)


def test_odd_sizes(forecaster):
    assert forecaster.forecast(np.ones((5, 31, 45), np.float32), 2).rate_mmh_LHW.shape == (2, 31, 45)


@pytest.mark.parametrize("name", ["persistence", "extrapolation", "default", "guided"])
def test_all_dry_stays_dry_but_for_drizzle_along_the_rim(name):
    result = load_forecaster(name).forecast(np.zeros((5, 124, 124), np.float32), 5).rate_mmh_LHW
    assert result[:, 20:-20, 20:-20].max() < 0.1
    assert result.max() < 0.5
    assert result.mean() < 0.02


@pytest.mark.parametrize("bad", [np.zeros((64, 64)), np.full((5, 8, 8), -1.0), np.full((5, 8, 8), np.inf)])
def test_bad_fields_are_refused(forecaster, bad):
    with pytest.raises(InputError, match="expected"):
        forecaster.forecast(bad.astype(np.float32))
    with pytest.raises(InputError, match="at least 1"):
        forecaster.forecast(_moving_blob(), 0)


@pytest.mark.parametrize("shape", [(5, 0, 0), (5, 0, 8), (0, 8, 8), (1, 5, 8, 8)])
def test_a_field_without_cells_or_with_another_number_of_axes_is_refused(forecaster, shape):
    with pytest.raises(InputError, match=r"rate_mmh_THW: expected \(time, rows, columns\) .* got shape"):
        forecaster.forecast(np.ones(shape, np.float32))


@pytest.mark.parametrize("kind", [str, complex, bool])
def test_an_array_of_anything_but_real_numbers_is_refused(forecaster, kind):
    with pytest.raises(InputError, match="rate_mmh_THW: expected rates in mm/h, got an array of"):
        forecaster.forecast(np.ones((5, 8, 8)).astype(kind))


@pytest.mark.parametrize("lead_steps", [0, -1, 2.5, "3", True])
def test_an_invalid_number_of_leads_is_refused(forecaster, lead_steps):
    with pytest.raises(InputError, match="lead_steps must be an integer of at least 1, got"):
        forecaster.forecast(_moving_blob(), lead_steps)


@pytest.mark.parametrize("name", ["cadence_minutes", "pixel_m"])
@pytest.mark.parametrize("value", [0, -5, float("nan"), float("inf")])
def test_a_spacing_that_is_not_positive_is_refused_and_not_replaced(forecaster, name, value):
    with pytest.raises(InputError, match=f"{name} must be a positive number, got"):
        forecaster.forecast(_moving_blob(), 2, **{name: value})


def test_lists_of_numbers_are_accepted_as_arrays_are(forecaster):
    rate = np.ones((5, 8, 8), np.float32)
    found = forecaster.forecast(rate.tolist(), 2).rate_mmh_LHW
    np.testing.assert_array_equal(found, forecaster.forecast(rate, 2).rate_mmh_LHW)


def test_the_guided_model_states_its_smallest_field_in_cells_of_the_input():
    guided = load_forecaster("guided", device="cpu")
    assert guided.forecast(np.ones((5, 7, 7), np.float32), 1).rate_mmh_LHW.shape == (1, 7, 7)
    with pytest.raises(InputError, match="expected at least 7 x 7 grid cells for guided, got 6 x 9"):
        guided.forecast(np.ones((5, 6, 9), np.float32), 1)


def test_an_empty_batch_has_no_results(forecaster):
    assert forecaster.forecast_batch(np.zeros((0, 5, 8, 8), np.float32)) == []


def test_persistence_is_the_last_field():
    rate = _moving_blob()
    result = load_forecaster("persistence").forecast(rate, 4)
    np.testing.assert_array_equal(result.rate_mmh_LHW, np.repeat(rate[-1:], 4, axis=0))


def test_extrapolation_moves_on_with_the_observed_motion():
    result = load_forecaster("extrapolation").forecast(_moving_blob(), 5).rate_mmh_LHW
    for step, field in enumerate(result, start=1):
        row, col = np.unravel_index(field.argmax(), field.shape)
        assert abs(row - 30) <= 1
        assert abs(col - (15 + 3 * (4 + step))) <= 2


def test_extrapolation_of_a_single_small_shower_warns_of_nothing():
    rate = np.zeros((5, 16, 16), np.float32)
    rate[:, 7:9, 7:9] = 5.0
    assert np.isfinite(load_forecaster("extrapolation").forecast(rate, 5).rate_mmh_LHW).all()


def test_inflow_is_not_known_to_extrapolation_and_to_the_guided_model():
    """Rain that moves 3 cells a step to the right: what enters from the left was never observed."""
    rate = _moving_blob()
    rate[:, 40:, 50:] = np.nan
    for name in ("extrapolation", "guided"):
        found = load_forecaster(name, device="cpu").forecast(rate, 3)
        for step, known in enumerate(found.known_LHW, start=1):
            assert not known[25:35, : 3 * step - 1].any(), name
            assert known[25:35, 3 * step + 2 :].all(), name
            assert not known[40:, 50:].any(), name
        inflow = found.rate_mmh_LHW[2, 25:35, :6]
        assert np.isfinite(inflow).all(), f"{name}: a value wherever the newest field is observed"


def test_a_hole_in_the_newest_field_is_carried_along():
    rate = _moving_blob()
    rate[-1, 28:32, 40:44] = np.nan
    known = load_forecaster("extrapolation").forecast(rate, 2).known_LHW
    assert not known[1, 28:32, 47:49].any()
    assert not known[1, 28:32, 40:44].any(), "no radar there now, so no value either"


@pytest.mark.parametrize("name", ["persistence", "network"])
def test_persistence_and_plain_networks_are_known_where_the_newest_field_is(name):
    rate = _moving_blob()
    rate[-1, :5] = np.nan
    network = Forecaster.from_model(build_model("ms-convlstm", hidden_channels=2), device="cpu")
    found = (network if name == "network" else load_forecaster(name)).forecast(rate, 2)
    np.testing.assert_array_equal(found.known_LHW, np.isfinite(found.rate_mmh_LHW))
    assert found.known_LHW[:, 5:].all()


def test_members_are_refused_by_a_model_that_makes_none(forecaster):
    with pytest.raises(InputError, match=r"members must be 0 for .*, which makes no ensemble members, got 20"):
        forecaster.forecast(_moving_blob(), 2, members=20)


def test_a_batch_gives_a_result_for_each_input(forecaster):
    rates = np.stack([_moving_blob(), _moving_blob(speed=1)])
    rates[1, -1, :5] = np.nan
    together = forecaster.forecast_batch(rates, 2)
    assert len(together) == 2
    for one, rate in zip(together, rates, strict=True):
        alone = forecaster.forecast(rate, 2)
        np.testing.assert_allclose(one.rate_mmh_LHW, alone.rate_mmh_LHW, atol=1e-4, rtol=1e-2)
        np.testing.assert_array_equal(one.known_LHW, alone.known_LHW)


def test_extrapolation_with_missing_fields():
    rate = _moving_blob()
    rate[1] = rate[3] = np.nan
    moved = load_forecaster("extrapolation").forecast(rate, 2).rate_mmh_LHW
    assert abs(int(np.unravel_index(moved[1].argmax(), moved[1].shape)[1]) - 33) <= 2
    rate[:-1] = np.nan
    with pytest.raises(
        ForecastError, match="expected observed cells in the newest of 5 fields and in one more, got them in fields 5"
    ):
        load_forecaster("extrapolation").forecast(rate, 2)


def test_values_that_are_not_finite_are_a_forecast_error():
    class Broken(torch.nn.Module):
        def forward(self, frames, lead_steps):
            return torch.full((1, lead_steps, 1, *frames.shape[-2:]), float("nan"))

    with pytest.raises(ForecastError, match="not finite"):
        Forecaster.from_model(Broken()).forecast(_moving_blob(), 2)


def test_names():
    assert {"persistence", "extrapolation", "default", "guided"} <= set(list_forecasters())
    with pytest.raises(UnknownNameError, match="did you mean persistence"):
        load_forecaster("persistance")


@pytest.mark.parametrize("name", ["default", "guided"])
def test_shipped_models_are_small_and_whole(name):
    forecaster = load_forecaster(name, device="cpu")
    from models.checkpoint import SHIPPED

    assert (SHIPPED / name / WEIGHTS).stat().st_size < 10_000_000
    training = forecaster.card["training"]
    sources = training["data"]["files"] if "data" in training else training["windows"]
    assert sources
    assert not any(source in str(sources) for source in ("opera", "bom", "au-2", "eu-2"))
    assert forecaster.forecast(_moving_blob(), 5).rate_mmh_LHW.shape == (5, 64, 64)


@pytest.mark.parametrize("spoil", ["weights", "card", "key", "architecture"])
def test_a_spoilt_checkpoint_is_refused(tmp_path, spoil):
    folder = tmp_path / "checkpoint"
    card = _card("convlstm", 2)
    save_model(folder, build_model("convlstm", hidden_channels=2), card)
    assert load_forecaster(folder).name == tmp_path.name
    if spoil == "weights":
        (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-4] + b"abcd")
    elif spoil == "card":
        (folder / CARD).write_text("{")
    elif spoil == "key":
        (folder / CARD).write_text('{"version": "1"}')
    else:
        save_model(folder, build_model("predrnn", hidden_channels=2), card)
    with pytest.raises(InputError):
        load_forecaster(folder)


def test_half_precision_checkpoint_is_close(tmp_path):
    torch.manual_seed(0)
    model = build_model("ms-convlstm", hidden_channels=4)
    card = _card("ms-convlstm", 4)
    save_model(tmp_path / "full", model, card)
    save_model(tmp_path / "half", model, card, half=True)
    full, half = (
        load_forecaster(tmp_path / name).forecast(_moving_blob(), 2).rate_mmh_LHW for name in ("full", "half")
    )
    np.testing.assert_allclose(half, full, atol=0.01)
    assert (tmp_path / "half" / WEIGHTS).stat().st_size < 0.6 * (tmp_path / "full" / WEIGHTS).stat().st_size
