"""Reference files in, our checkpoint out; what is no such file is refused in one line."""

import os
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models import load_forecaster
from models.checkpoint import load_model, read_card
from models.convert.command import app


def _reference(layers=3, channels=2, kernel=3):
    torch.manual_seed(5)
    shapes = {"embed.conv_embed": (channels, 1, 1, 1), "fc.conv_fc": (1, channels, 1, 1)}
    for layer in range(layers):
        for name in ("_conv_x2h", "_conv_h2h"):
            shapes[f"rnns.lstm.{layer}.{name}"] = (4 * channels, channels, kernel, kernel)
    weights = {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    return {**weights, **{f"{name}.bias": torch.randn(shape[0]) for name, shape in shapes.items()}}


def _run(source, out, model="ms-convlstm", *more):
    return CliRunner().invoke(app, [str(source), "--model", model, "--out", str(out), *more])


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
    assert _run(tmp_path / "reference.pth", tmp_path / "out").exit_code == 0
    again = _run(tmp_path / "reference.pth", tmp_path / "out")
    assert again.exit_code == 2
    assert "expected a folder without a checkpoint" in again.output
