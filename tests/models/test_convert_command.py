"""Reference files in, our checkpoint out; what is no such file is refused in one line."""

import os
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core.errors import ConfigError
from models import load_forecaster
from models.checkpoint import load_model, read_card
from models.convert import convert
from models.convert.command import app
from training.config import resolve
from training.datasets import DATASETS
from training.evaluate import scored_set


def _reference(layers=3, channels=2, kernel=3):
    torch.manual_seed(5)
    shapes = {"embed.conv_embed": (channels, 1, 1, 1), "fc.conv_fc": (1, channels, 1, 1)}
    for layer in range(layers):
        for name in ("_conv_x2h", "_conv_h2h"):
            shapes[f"rnns.lstm.{layer}.{name}"] = (4 * channels, channels, kernel, kernel)
    weights = {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    return {**weights, **{f"{name}.bias": torch.randn(shape[0]) for name, shape in shapes.items()}}


def _run(source, out, model="ms-convlstm", *more, dataset="germany"):
    return CliRunner().invoke(app, [str(source), "--model", model, "--dataset", dataset, "--out", str(out), *more])


def _refused(source, out, message, model="ms-convlstm"):
    result = _run(source, out, model)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert result.output.startswith("error: ")
    assert result.output.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("nested", [False, True])
def test_a_state_dict_becomes_a_checkpoint(tmp_path, prefix, nested):
    reference = _reference()
    content: Any = {prefix + name: value for name, value in reference.items()}
    torch.save({"state_dict": content} if nested else content, tmp_path / "reference.pth")
    result = _run(tmp_path / "reference.pth", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "ms-convlstm with 3 layers of 2 channels" in result.output
    own = load_model(tmp_path / "out").state_dict()
    assert torch.equal(own["embed.weight"], reference["embed.conv_embed.weight"])
    assert torch.equal(own["stack.cells.2.gates.parts.1.bias"], reference["rnns.lstm.2._conv_h2h.bias"])
    card = read_card(tmp_path / "out")
    assert (card["input_steps"], card["cadence_minutes"], card["pixel_m"]) == (5, 30, 900_000 / 124)
    assert card["transform"]["name"] == "reflectivity"
    assert card["origin"]["file"] == "reference.pth"
    assert "owner" in card["licence"]
    forecast = load_forecaster(str(tmp_path / "out")).forecast(np.zeros((5, 12, 9), np.float32), lead_steps=2)
    assert forecast.rate_mmh_LHW.shape == (2, 12, 9)


@pytest.mark.parametrize(
    ("name", "model", "options"),
    [
        ("ms-predrnn", "ms-predrnn", ()),
        ("predrnnpp", "predrnn++", ()),
        ("ms-mim", "ms-mim", ()),
        ("ms-convlstm-fc", "ms-convlstm", ("--set", "skip=full")),
    ],
)
def test_a_golden_file_becomes_a_checkpoint_with_the_same_predictions(golden, tmp_path, name, model, options):
    result = _run(golden / f"{name}.npz", tmp_path / "out", model, *options)
    assert result.exit_code == 0, result.output
    file, module = np.load(golden / f"{name}.npz"), load_model(tmp_path / "out")
    with torch.no_grad():
        forecast = module(torch.from_numpy(file["frames"][:, :3]), lead_steps=3)
    np.testing.assert_allclose(forecast.numpy(), file["predictions"][:, -3:], atol=1e-5)


@pytest.mark.parametrize(
    ("dataset", "steps", "minutes", "pixel_m", "transform"),
    [
        ("moving_mnist", 10, 0, 0.0, "identity"),
        ("kth", 10, 0, 0.0, "identity"),
        ("taxibj", 4, 30, 0.0, "identity"),
        ("germany", 5, 30, 900_000 / 124, "reflectivity"),
    ],
)
def test_the_card_follows_the_data_set_as_its_preset_and_frames_do(
    tmp_path, dataset, steps, minutes, pixel_m, transform
):
    torch.save(_reference(), tmp_path / "reference.pth")
    result = _run(tmp_path / "reference.pth", tmp_path / "out", dataset=dataset)
    assert result.exit_code == 0, result.output
    card = read_card(tmp_path / "out")
    assert (card["input_steps"], card["lead_steps"], card["cadence_minutes"]) == (steps, steps, minutes)
    assert (card["pixel_m"], card["transform"]["name"]) == (pixel_m, transform)
    config = resolve(dataset, file=None, sets=[])
    assert (config.input_steps, config.lead_steps, config.transform["name"]) == (steps, steps, transform)
    trained = card["training"]["config"]
    assert trained["dataset"] == dataset
    own = DATASETS.get(dataset).options_class.model_validate(trained["dataset_options"])
    preset = DATASETS.get(dataset).options_class.model_validate(config.dataset_options)
    for key in ("size", "height", "width", "channels", "cadence_minutes"):
        assert getattr(own, key, None) == getattr(preset, key, None)


def test_a_data_set_must_be_stated_and_known(tmp_path):
    torch.save(_reference(), tmp_path / "reference.pth")
    arguments = [str(tmp_path / "reference.pth"), "--model", "convlstm", "--out", str(tmp_path / "out")]
    assert "Missing option '--dataset'" in CliRunner().invoke(app, arguments).output
    result = _run(tmp_path / "reference.pth", tmp_path / "out", dataset="hko7")
    assert result.exit_code == 2
    assert "dataset: expected one of moving_mnist, kth, taxibj, germany" in result.output


def test_another_data_set_than_the_card_s_needs_transfer(tmp_path):
    torch.save(_reference(), tmp_path / "reference.pth")
    assert _run(tmp_path / "reference.pth", tmp_path / "out", dataset="kth").exit_code == 0
    with pytest.raises(ConfigError, match="expected kth, on which out was trained, got moving_mnist; --transfer"):
        scored_set(load_forecaster(tmp_path / "out"), "moving_mnist", None, {})
    scored = scored_set(load_forecaster(tmp_path / "out"), "moving_mnist", None, {"test_clips": 3}, transfer=True)
    assert len(scored) == 3


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("trajgru", ["--warp", "reference"], "predictions"),
        ("trajgru", ["--warp", "exact"], "predictions_exact_warp"),
        ("ms-trajgru", ["--warp", "reference"], "predictions"),
        ("ms-trajgru", ["--warp", "exact"], "predictions_exact_warp"),
        *(
            (name, ["--warp", warp, "--layout", layout], f"predictions{exact}{right}")
            for name in ("motionrnn", "ms-motionrnn")
            for warp, exact in (("reference", ""), ("exact", "_exact_warp"))
            for layout, right in (("reference", ""), ("exact", "_right_layout"))
        ),
    ],
)
def test_released_and_mended_behaviour_reproduce_the_reference(golden, tmp_path, name, options, key):
    result = _run(golden / f"{name}.npz", tmp_path / "out", name, *options)
    assert result.exit_code == 0, result.output
    file, module = np.load(golden / f"{name}.npz"), load_model(tmp_path / "out")
    for batch in ("", "_batch2"):
        with torch.no_grad():
            predictions = module.predict_all(torch.from_numpy(file[f"frames{batch}"][:, :3]), 3)  # type: ignore[operator]
        np.testing.assert_allclose(predictions.numpy(), file[key + batch], atol=2e-5)


def test_a_checkpoint_does_not_state_its_warp_so_it_must_be_given(golden, tmp_path):
    for name, given, missing in (("trajgru", (), "warp"), ("ms-motionrnn", ("--warp", "exact"), "layout")):
        result = _run(golden / f"{name}.npz", tmp_path / "out", name, *given)
        assert result.exit_code == 2
        assert f"--{missing}: expected reference or exact for {name}. The released" in result.output
    for name, option in (("convlstm", "warp"), ("trajgru", "layout")):
        needed = ["--warp", "exact"] if name == "trajgru" else []
        result = _run(golden / f"{name}.npz", tmp_path / "out", name, *needed, f"--{option}", "exact")
        assert result.exit_code == 2
        assert f"--{option}: no meaning for {name}" in result.output
    result = _run(golden / "trajgru.npz", tmp_path / "out", "trajgru", "--warp", "mended")
    assert "warp: expected exact or reference, got 'mended'" in result.output


def test_the_first_public_trajgru_has_its_gates_in_our_order():
    ours = torch.arange(6.0)
    names = {"i2h": "input_gates", "ret": "state_gates", "flows_conv": "flows", "h2f_conv1": "flow_features.parts.1"}
    reference = {f"rnns.lstm.0.{name}.bias": ours.clone() for name in (*names, "i2f_conv1")}
    converted = convert(reference)
    assert converted["stack.cells.0.input_gates.bias"].tolist() == [2, 3, 0, 1, 4, 5]
    assert converted["stack.cells.0.state_gates.bias"].tolist() == [2, 3, 0, 1, 4, 5]
    assert converted["stack.cells.0.flows.bias"].tolist() == ours.tolist()


def test_names_that_are_missing_or_left_over_are_named(tmp_path):
    reference = _reference()
    del reference["fc.conv_fc.bias"]
    torch.save(reference, tmp_path / "missing.pth")
    _refused(tmp_path / "missing.pth", tmp_path / "out", "missing: ['head.bias']")
    torch.save({**_reference(), "optimiser.step": torch.zeros(1)}, tmp_path / "extra.pth")
    _refused(tmp_path / "extra.pth", tmp_path / "out", "optimiser.step")
    torch.save(_reference(kernel=5), tmp_path / "kernel.pth")
    _refused(tmp_path / "kernel.pth", tmp_path / "out", "expected (8, 2, 3, 3), got (8, 2, 5, 5)")
    assert _run(tmp_path / "kernel.pth", tmp_path / "five", "convlstm", "--set", "kernel_size=5").exit_code == 0


class _Command:
    def __reduce__(self):
        return (os.mkdir, ("was-run",))


def test_a_pickle_that_runs_something_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for zipped in (True, False):
        torch.save({**_reference(), "x": _Command()}, "evil.pth", _use_new_zipfile_serialization=zipped)
        _refused("evil.pth", tmp_path / "out", "mkdir")
        assert not (tmp_path / "was-run").exists()
    np.savez(tmp_path / "evil.npz", **{"param/x": np.array([_Command()], dtype=object)}, allow_pickle=True)
    _refused("evil.npz", tmp_path / "out", "allow_pickle=False")


@pytest.mark.parametrize("kind", ["pth", "npz"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9, 0.999])
def test_a_cut_file_is_one_clear_line(tmp_path, kind, share):
    whole = tmp_path / f"whole.{kind}"
    if kind == "pth":
        torch.save(_reference(), whole)
    else:
        np.savez(whole, **{f"param/{name}": value.numpy() for name, value in _reference().items()})
    content = whole.read_bytes()
    (tmp_path / "cut").write_bytes(content[: int(len(content) * share)])
    _refused(tmp_path / "cut", tmp_path / "out", "expected a state dict of torch.save or an npz")


def test_what_holds_no_parameters_is_refused(tmp_path):
    _refused(tmp_path / "nowhere.pth", tmp_path / "out", "not readable")
    torch.save([1, 2], tmp_path / "list.pth")
    _refused(tmp_path / "list.pth", tmp_path / "out", "holds no parameters")
    np.savez(tmp_path / "arrays.npz", frames=np.zeros(3))
    _refused(tmp_path / "arrays.npz", tmp_path / "out", "param/NAME")
    torch.save({**_reference(), "epoch": 3}, tmp_path / "epoch.pth")
    _refused(tmp_path / "epoch.pth", tmp_path / "out", "'epoch' is not a tensor")
    torch.save({**_reference(), "fc.conv_fc.bias": torch.tensor([torch.nan])}, tmp_path / "nan.pth")
    _refused(tmp_path / "nan.pth", tmp_path / "out", "finite")
    torch.save({"encoder.weight": torch.zeros(1)}, tmp_path / "other.pth")
    _refused(tmp_path / "other.pth", tmp_path / "out", "not a model of the reference")


def test_wrong_models_and_taken_folders_are_refused(tmp_path):
    torch.save(_reference(), tmp_path / "reference.pth")
    _refused(tmp_path / "reference.pth", tmp_path / "out", "did you mean", model="ms-convltsm")
    _refused(tmp_path / "reference.pth", tmp_path / "out", "missing", model="predrnn")
    for name in ("mau", "ms-swinlstm", "e3d-lstm", "convgru", "phydnet"):
        _refused(tmp_path / "reference.pth", tmp_path / "out", "(the reference has no other)", model=name)
    assert "mau" not in _run(tmp_path / "reference.pth", tmp_path / "out", "phydnet").output
    assert _run(tmp_path / "reference.pth", tmp_path / "out").exit_code == 0
    again = _run(tmp_path / "reference.pth", tmp_path / "out")
    assert again.exit_code == 2
    assert "expected a folder without a checkpoint" in again.output
