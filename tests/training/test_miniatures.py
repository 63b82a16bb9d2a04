"""The trainer's command on the miniature of every data set: three steps of its preset leave a checkpoint that loads."""

import json

import pytest
import torch
from typer.testing import CliRunner

from models.checkpoint import load_model, read_card
from training import run
from training.config import resolve
from training.datasets import DATASETS

SMALL = {"hidden_channels": 2, "num_layers": 2}


def _train(name, folder, out, *more):
    options = {**SMALL, **DATASETS.get(name).miniature(folder)}
    sets = [part for key, value in options.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    arguments = ["--dataset", name, "--data", str(folder), "--out", str(out), "--max-steps", "3", "--batch-size", "2"]
    return CliRunner().invoke(run.app, [*arguments, *sets, *more])


@pytest.mark.parametrize("name", DATASETS.names())
def test_three_steps_on_the_miniature(name, tmp_path):
    (tmp_path / "data").mkdir()
    result = _train(name, tmp_path / "data", tmp_path / "run")
    assert result.exit_code == 0, result.output
    card = read_card(tmp_path / "run" / "checkpoint")
    assert card["training"]["steps"] == 3
    assert card["training"]["data"]
    forecast = load_model(tmp_path / "run" / "checkpoint")(torch.rand(1, 3, 1, 12, 12), lead_steps=2)
    assert forecast.shape == (1, 2, 1, 12, 12)


@pytest.mark.parametrize("name", [name for name, kind in DATASETS.items() if kind.needs_data])
def test_a_user_without_data_gets_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # there is no ./data here
    result = CliRunner().invoke(run.app, ["--dataset", name, "--out", str(tmp_path / "run"), "--max-steps", "3"])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.output.startswith("error: no ")
    assert "expected" in result.output
    assert "--data " in result.output
    assert "None" not in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "steps", "epochs", "transform"),
    [
        ("moving_mnist", 10, 20, "identity"),
        ("taxibj", 4, 20, "identity"),
        ("kth", 10, 20, "identity"),
        ("germany", 5, 16, "reflectivity"),
    ],
)
def test_the_preset_is_the_paper_s_setting(name, steps, epochs, transform):
    config = resolve(name, file=None, sets=[])
    assert (config.input_steps, config.lead_steps, config.epochs) == (steps, steps, epochs)
    assert (config.batch_size, config.learning_rate, config.hidden_channels) == (4, 3e-4, 64)
    assert config.transform["name"] == transform
    assert (config.early_stopping, config.gradient_clip, config.ema_decay) == (0, 0, 0)
    assert (config.precision, config.recompute, config.compile) == ("32-true", False, False)
    assert (config.loss, config.learning_rate_schedule, config.num_layers) == ("l1+l2", "constant", 6)
    DATASETS.get(name).options_class.model_validate(config.dataset_options)


def test_both_flows_of_taxibj_train(tmp_path):
    (tmp_path / "data").mkdir()
    result = _train("taxibj", tmp_path / "data", tmp_path / "run", "--set", "channels=2")
    assert result.exit_code == 0, result.output
    forecast = load_model(tmp_path / "run" / "checkpoint")(torch.rand(1, 3, 2, 8, 8), lead_steps=2)
    assert forecast.shape == (1, 2, 2, 8, 8)
