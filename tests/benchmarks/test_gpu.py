"""The check of a GPU, at tiny sizes on the CPU."""

import json
import time

import pytest
import torch
from typer.testing import CliRunner

from benchmarks import gpu

PARTS = ["same_float32", "native_forecast", "network_forecast", "network_graph", "large_field", "training_steps"]


@pytest.fixture(autouse=True)
def two_models(monkeypatch):
    monkeypatch.setattr(gpu, "recurrent_models", lambda: ["convlstm", "ms-trajgru"])


def _run(*arguments):
    return CliRunner().invoke(gpu.app, list(arguments))


def test_without_a_gpu_the_check_ends_with_a_reason(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = _run()
    assert result.exit_code == 2
    assert result.output.startswith("no GPU: nothing was checked")


def test_every_part_runs_and_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "training_steps", lambda check: {})
    monkeypatch.setattr(gpu, "PARTS", (*gpu.PARTS[:-1], gpu.training_steps))
    result = _run("--cpu", "--json", str(tmp_path / "figures.json"))
    assert result.exit_code == 0, result.output
    parts = json.loads((tmp_path / "figures.json").read_text())["parts"]
    assert list(parts)[:-1] == PARTS[:-1]
    assert parts["same_float32"]["ms-trajgru"] <= 1e-6
    assert parts["native_forecast"]["largest difference of a probability"] == 0
    assert all(parts[name]["s"] > 0 for name in ("native_forecast", "network_forecast", "large_field"))


def test_a_difference_and_a_failure_end_with_1_and_the_rest_goes_on(monkeypatch, tmp_path):
    def lost(check):
        raise RuntimeError("device lost")

    monkeypatch.setattr(gpu, "ROUNDING", -1.0)
    monkeypatch.setattr(gpu, "PARTS", (lost, gpu.same_float32))
    result = _run("--cpu", "--json", str(tmp_path / "figures.json"))
    assert result.exit_code == 1
    parts = json.loads((tmp_path / "figures.json").read_text())["parts"]
    assert parts["lost"]["failed"] == "RuntimeError: device lost"
    assert parts["same_float32"]["convlstm"].startswith("WRONG")


def test_what_does_not_fit_into_the_time_is_named(monkeypatch):
    seconds = iter(range(0, 10_000, 500))
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(gpu, "PARTS", (gpu.same_float32,))
    assert "the time was used up" in _run("--cpu", "--limit-s", "420").output
