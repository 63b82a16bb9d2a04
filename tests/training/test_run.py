"""The trainer's command: a run folder, resuming to the same weights, and errors that name what was expected."""

import csv
import json
import subprocess
import sys

import pytest
import torch
import yaml
from typer.testing import CliRunner

from core.errors import ConfigError
from models.checkpoint import load_model, read_card
from training import config, evaluate, run
from training.config import PRESETS, resolve
from training.datasets import DATASETS
from training.trainer import build
from training.trainer.module import NowcastModule
from verification.scores import value_of

SMALL = ["--batch-size", "2", "--set", "hidden_channels=2", "--set", "num_layers=3"]


def _run(*arguments):
    return CliRunner().invoke(run.app, [str(a) for a in arguments])


def _germany(event, out, *more):
    return _run(
        *("--dataset", "germany", "--data", event, "--out", out, *SMALL),
        *("--set", "height=16", "--set", "width=16", "--set", "validate_every=2", *more),
    )


def test_three_steps_leave_a_whole_run_folder(event, tmp_path):
    result = _germany(event, tmp_path / "run", "--max-steps", 3, "--set", "skip=none")
    assert result.exit_code == 0, result.output
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {"last.ckpt", "checkpoint", "metrics.csv", "config.yaml"}
    card = read_card(tmp_path / "run" / "checkpoint")
    assert card["training"]["steps"] == 3
    assert card["architecture"]["options"]["skip"] == "none"
    assert card["training"]["data"]["files"][0]["file"] == "event.nc"
    assert card["cadence_minutes"] == 30
    names = {row["name"] for row in csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines())}
    assert {"validation/loss", "validation/csi_0.5"} <= names
    assert load_model(tmp_path / "run" / "checkpoint")(torch.rand(1, 5, 1, 9, 9), lead_steps=2).shape[1] == 2
    again = _germany(event, tmp_path / "run", "--max-steps", 3)
    assert again.exit_code == 2
    assert "is not empty" in again.output


def test_a_resumed_run_ends_in_the_same_weights(event, tmp_path):
    assert _germany(event, tmp_path / "whole", "--max-steps", 6).exit_code == 0
    # the same run, stopped after its first checkpoint: its last.ckpt is what a killed process leaves
    config = resolve("germany", file=tmp_path / "whole" / "config.yaml", sets=[])
    kill_at = 4

    class KilledError(Exception):
        pass

    def killed(self, *_):
        if self.global_step >= kill_at:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NowcastModule, "on_train_batch_start", killed)
        with pytest.raises(KilledError):
            run.train(config, tmp_path / "parts")
    assert torch.load(tmp_path / "parts" / "last.ckpt", weights_only=False)["global_step"] == kill_at
    assert _run("--dataset", "germany", "--resume", tmp_path / "parts", "--data", event).exit_code == 0
    whole, parts = (load_model(tmp_path / name / "checkpoint").state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_moving_mnist_through_the_same_trainer(tmp_path):
    result = _run(
        *("--dataset", "moving_mnist", "--out", tmp_path / "run", "--max-steps", 2, "--model", "predrnn", *SMALL),
        *("--set", "size=32", "--set", "invented_digits=20", "--set", "input_steps=2", "--set", "lead_steps=2"),
        *("--set", "train_clips=8", "--set", "test_clips=2"),
    )
    assert result.exit_code == 0, result.output
    assert read_card(tmp_path / "run" / "checkpoint")["architecture"]["name"] == "predrnn"


def test_frames_of_two_channels_make_a_model_of_two(tmp_path):
    (tmp_path / "data").mkdir()
    options = {**DATASETS.get("taxibj").miniature(tmp_path / "data"), "channels": 2, "input_steps": 3, "lead_steps": 2}
    sets = [part for key, value in options.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    result = _run(
        *(
            "--dataset",
            "taxibj",
            "--data",
            tmp_path / "data",
            "--out",
            tmp_path / "run",
            "--max-steps",
            1,
            *SMALL,
            *sets,
        )
    )
    assert result.exit_code == 0, result.output
    assert load_model(tmp_path / "run" / "checkpoint")(torch.rand(1, 3, 2, 9, 9), lead_steps=2).shape[2] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "germany", "--data", "nowhere"], "no data at nowhere"),
        (["--dataset", "germani"], "did you mean germany"),
        (["--dataset", "moving_mnist", "--set", "hidden_chanels=3"], "did you mean hidden_channels"),
        (["--dataset", "moving_mnist", "--set", "hidden_channels=many"], "hidden_channels"),
        (["--dataset", "moving_mnist", "--set", "size=3"], "size"),
        (["--dataset", "moving_mnist", "--set", "nothing"], "expected KEY=VALUE"),
        (["--dataset", "moving_mnist", "--model", "ms-convlst"], "did you mean ms-convlstm"),
        (["--dataset", "moving_mnist", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--dataset", "moving_mnist", "--resume", "nowhere"], "nothing to resume|cannot be read"),
    ],
)
def test_what_the_user_did_wrong_is_one_clear_line(arguments, message, tmp_path, monkeypatch):
    import re

    monkeypatch.chdir(tmp_path)
    result = _run(*arguments, "--max-steps", "1")
    assert result.exit_code == 2
    assert re.search(message, result.output)
    assert "Traceback" not in result.output
    assert not list(tmp_path.rglob("model.safetensors"))


def test_preset_file_and_command_line_come_in_that_order(tmp_path):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"learning_rate": 0.01, "dataset_options": {"height": 60}}))
    config = resolve("germany", file=tmp_path / "own.yaml", sets=["height=31", "skip=full"], epochs=None)
    assert config.epochs == 16
    assert config.learning_rate == 0.01
    assert config.dataset_options["height"] == 31
    assert config.dataset_options["width"] == 124
    assert config.model_options == {"skip": "full"}
    with pytest.raises(ConfigError, match="--set"):
        resolve("germany", file=None, sets=["x"])


@pytest.mark.parametrize(("kind", "expected"), [(torch.bfloat16, "bf16-mixed"), (torch.float32, "32-true")])
def test_precision_auto_is_what_forecasts_choose_and_is_recorded_resolved(kind, expected, event, tmp_path, monkeypatch):
    other = {"bf16-mixed": torch.float32, "32-true": torch.bfloat16}[expected]
    monkeypatch.setattr(config, "number_type", lambda device: kind)
    result = _germany(event, tmp_path / "run", "--max-steps", 2, "--precision", "auto")
    assert result.exit_code == 0, result.output
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["precision"] == expected
    assert read_card(tmp_path / "run" / "checkpoint")["training"]["config"]["precision"] == expected
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["run"]["config"]["precision"] == expected
    monkeypatch.setattr(config, "number_type", lambda device: other)  # it goes on on another machine
    for more in ([], ["--precision", "auto"], ["--set", "precision=auto"]):
        result = _run("--resume", tmp_path / "run", "--max-steps", 3, *more)
        assert result.exit_code == 0, result.output
        assert read_card(tmp_path / "run" / "checkpoint")["training"]["config"]["precision"] == expected
    result = _run("--resume", tmp_path / "run", "--precision", "16-mixed")
    assert result.exit_code == 2
    assert f"precision '{expected}', not '16-mixed'" in result.output


def test_the_preset_of_the_default_takes_the_machine_s_precision():
    preset = PRESETS / "guided.yaml"
    assert yaml.safe_load(preset.read_text())["precision"] == "auto"
    assert resolve("germany", file=preset, sets=[]).precision == config.precision_here()
    assert resolve("germany", file=preset, sets=[], precision="32-true").precision == "32-true"


def test_evaluate_prints_the_table_and_its_counts(event, tmp_path):
    assert _germany(event, tmp_path / "run", "--max-steps", 1).exit_code == 0
    result = CliRunner().invoke(
        evaluate.app,
        [
            *("--checkpoint", str(tmp_path / "run" / "checkpoint"), "--data", str(event), "--set", "height=16"),
            *("--set", "width=16", "--json", str(tmp_path / "table.json")),
        ],
    )
    assert result.exit_code == 0, result.output
    assert "extrapolation" in result.output
    table = json.loads((tmp_path / "table.json").read_text())
    assert table["windows"] == 31
    by_cell: dict[tuple[int, float], set[int]] = {}
    for row in table["scores"]:
        total = row["hits"] + row["misses"] + row["false_alarms"] + row["correct_negatives"]
        assert total == 31 * 16 * 16
        by_cell.setdefault((row["lead_minutes"], row["threshold_mmh"]), set()).add(row["hits"] + row["misses"])
    assert all(len(observed) == 1 for observed in by_cell.values())


@pytest.mark.parametrize(
    ("model", "threshold", "csi"),
    [
        ("persistence", 0.5, 0.264),
        ("persistence", 2.0, 0.097),
        ("persistence", 5.0, 0.030),
        ("extrapolation", 0.5, 0.309),
        ("extrapolation", 2.0, 0.148),
    ],
)
def test_the_baselines_known_skill(unseen_table, model, threshold, csi):
    assert value_of("csi", evaluate.counts_over_leads(unseen_table, model, threshold)) == pytest.approx(csi, abs=0.002)


def test_the_guided_model_beats_both_baselines_on_weather_it_never_saw(unseen_table):
    default, persistence, extrapolation = (
        value_of("csi", evaluate.counts_over_leads(unseen_table, name, 0.5)) or 0.0
        for name in ("guided", "persistence", "extrapolation")
    )
    assert default >= 0.35
    assert default > persistence
    assert default > extrapolation


@pytest.fixture(scope="module")
def unseen_table(shared_data):
    from models import load_forecaster
    from training.datasets import build_dataset

    event = shared_data / "events" / "opera_germany_20180824.nc"
    windows = build_dataset("germany", event, "test", {}, input_steps=5, lead_steps=5, seed=0)
    assert len(windows) == 6
    return evaluate.evaluate([load_forecaster(n) for n in ("guided", "persistence", "extrapolation")], windows)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own compiler, when it is imported
def test_recompute_and_compile_reach_the_model(event):
    def module(*sets):
        config = resolve("germany", file=None, sets=["hidden_channels=2", *sets], data=event)
        return build.build_module(config, build.build_datasets(config)[0], total_steps=1)

    assert module().model.recompute is False
    assert module("recompute=true").model.recompute is True
    assert module().model.stack._compiled_call_impl is None
    assert module("compile=true").model.stack._compiled_call_impl is not None


@pytest.mark.long
@pytest.mark.parametrize("options", [["--devices", "2"], ["--recompute"], ["--compile"]])
def test_other_ways_of_running_end_in_the_same_weights(event, tmp_path, options):
    command = [sys.executable, "-m", "training.run", "--dataset", "germany", "--data", str(event), *SMALL]
    command += ["--max-steps", "3", "--set", "height=16", "--set", "width=16"]
    for name, more in (("plain", []), ("other", options)):
        done = subprocess.run([*command, "--out", str(tmp_path / name), *more], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    plain, other = (load_model(tmp_path / name / "checkpoint").state_dict() for name in ("plain", "other"))
    for name, value in plain.items():
        torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-6)
