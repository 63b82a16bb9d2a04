"""An exported network computes what its module does, and weights are found by folder, name or repository."""

import sys
import types
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from core.errors import InputError, UnavailableError
from models import build_model, from_pretrained
from models import export as exporting
from models.checkpoint import SHIPPED, load_model, save_model

CARD = {
    "transform": {"name": "identity"},
    "input_steps": 2,
    "lead_steps": 2,
    "cadence_minutes": 30,
    "pixel_m": 7258.0,
    "version": "1",
    "grid": {"height": 9, "width": 12},
}


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(1)
    options = {"hidden_channels": 2, "num_layers": 3}
    model = build_model("ms-convlstm", **options)
    save_model(tmp_path / "c", model, {**CARD, "architecture": {"name": "ms-convlstm", "options": options}})
    return tmp_path / "c"


def test_a_program_of_torch_export_gives_the_module_s_forecast(checkpoint, tmp_path):
    result = CliRunner().invoke(exporting.app, ["--checkpoint", str(checkpoint), "--out", str(tmp_path / "m.pt2")])
    assert result.exit_code == 0, result.output
    assert "largest difference from the module" in result.output
    frames = torch.rand(1, 2, 1, 9, 12)
    with torch.no_grad():
        given = torch.export.load(tmp_path / "m.pt2").module()(frames)
        torch.testing.assert_close(given, load_model(checkpoint)(frames, lead_steps=2), rtol=1e-4, atol=1e-5)


def test_a_program_that_computes_something_else_is_not_written(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_as_program", lambda model, frames: (b"x", model(frames) + 1e-3))
    with pytest.raises(Exception, match=r"m\.pt2: expected the module's forecast within 0\.0001, got 0\.001 off"):
        exporting.export(checkpoint, tmp_path / "m.pt2")
    assert not (tmp_path / "m.pt2").exists()


def test_onnx_names_what_is_missing(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"needs onnx, onnxscript and onnxruntime, got no onnx"):
        exporting.export(checkpoint, tmp_path / "m.onnx")


@pytest.mark.long
def test_onnx_is_checked_by_its_runtime(checkpoint, tmp_path):
    assert exporting.export(checkpoint, tmp_path / "m.onnx") < 1e-4
    assert (tmp_path / "m.onnx").stat().st_size > 1000


def test_wrong_endings_and_missing_sizes_are_refused(checkpoint, tmp_path):
    with pytest.raises(InputError, match=r"expected a name that ends in \.pt2 or \.onnx, got m\.pt"):
        exporting.export(checkpoint, tmp_path / "m.pt")
    save_model(tmp_path / "no_grid", load_model(checkpoint), {**_card(checkpoint), "grid": {"height": None}})
    with pytest.raises(InputError, match="size: expected rows and columns"):
        exporting.export(tmp_path / "no_grid", tmp_path / "m.pt2")
    with pytest.raises(InputError, match=r"maps frames to frames, got .*default \(PointwiseModel\)"):
        exporting.export(SHIPPED / "default", tmp_path / "m.pt2", size=(16, 16))


def _card(checkpoint) -> dict[str, Any]:
    from models.checkpoint import read_card

    return read_card(checkpoint)


def test_weights_by_folder_run_folder_and_shipped_name(checkpoint, tmp_path):
    expected = load_model(checkpoint).state_dict()
    checkpoint.rename(tmp_path / "checkpoint")
    for source in (tmp_path / "checkpoint", str(tmp_path)):
        found = from_pretrained(source).state_dict()
        assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert sum(p.numel() for p in from_pretrained("default").parameters()) > 0
    with pytest.raises(InputError, match=r"expected a folder with model\.json and model\.safetensors, one of"):
        from_pretrained(tmp_path / "none")
    with pytest.raises(InputError, match="revision: expected none"):
        from_pretrained(tmp_path / "checkpoint", revision="main")


def test_a_repository_is_fetched_by_the_hub_s_client(checkpoint, monkeypatch):
    asked = []

    def snapshot_download(repository, **how):
        asked.append((repository, how["revision"], how["allow_patterns"]))
        if repository == "nobody/nothing":
            raise OSError("404")
        return str(checkpoint)

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=snapshot_download))
    from_pretrained("somebody/rain", revision="v1")
    assert asked == [("somebody/rain", "v1", ["model.json", "model.safetensors"])]
    with pytest.raises(UnavailableError, match="nobody/nothing: not fetched: 404"):
        from_pretrained("nobody/nothing")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="the package huggingface_hub"):
        from_pretrained("somebody/rain")
