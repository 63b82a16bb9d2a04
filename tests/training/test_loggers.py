"""Loggers besides the run folder's own files, profiles of steps, and sweeps."""

import json
import sqlite3
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import ConfigError, UnknownNameError
from training import run, sweep
from training.config import resolve
from training.loggers import LOGGERS
from training.trainer.keeper import DivergedError, StoppedError

DIGITS = ["size=16", "digit_size=7", "invented_digits=20", "train_clips=8", "validation_clips=2", "test_clips=6"]
SMALL = [*DIGITS, "input_steps=3", "lead_steps=2", "hidden_channels=2", "num_layers=2", "batch_size=2"]


def _sets(*more):
    return [part for one in (*SMALL, *more) for part in ("--set", one)]


def _train(out, *more, steps=2):
    arguments = ["--dataset", "moving_mnist", "--model", "convlstm", "--out", str(out), "--max-steps", str(steps)]
    return CliRunner().invoke(run.app, [*arguments, *_sets(), *more])


def test_names_of_loggers_and_tensorboard_s_own_key_are_one_list():
    assert {"tensorboard", "wandb", "mlflow"} <= set(LOGGERS.names())
    config = resolve("kth", file=None, sets=["tensorboard=true", "loggers=[wandb,tensorboard]"])
    assert config.further_loggers == ("tensorboard", "wandb")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_or_an_unknown_logger_stops_the_run_before_it_begins(name, tmp_path, monkeypatch):
    monkeypatch.setattr("training.loggers.base.find_spec", lambda _: None)
    result = _train(tmp_path / "run", "--set", f"loggers=[{name}]")
    assert result.exit_code == 2
    assert f"the package {name} is not installed (pip install '.[{name}]')" in result.output
    assert not (tmp_path / "run").exists()
    with pytest.raises(UnknownNameError, match="did you mean wandb"):
        LOGGERS.get("wandbb")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # of the package itself
def test_wandb_offline_keeps_the_run_in_its_folder(tmp_path, monkeypatch):
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    result = _train(tmp_path / "run", "--set", "loggers=[wandb]", "--set", "validate_every=1", "--set", "log_every=1")
    assert result.exit_code == 0, result.output
    (kept,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    content = kept.read_bytes()
    assert b"train/loss" in content
    assert b"validation/loss" in content
    assert b"hidden_channels" in content
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/files/media/images/forecast*.png"))


@pytest.mark.filterwarnings("ignore")  # of the package itself
def test_mlflow_without_a_server_keeps_the_run_in_its_folder(tmp_path, monkeypatch):
    if find_spec("mlflow") is None:
        result = _train(tmp_path / "run", "--set", "loggers=[mlflow]")
        assert result.exit_code == 2
        assert "the package mlflow is not installed" in result.output
        return
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = _train(tmp_path / "run", "--set", "loggers=[mlflow]", "--set", "validate_every=1", "--set", "log_every=1")
    assert result.exit_code == 0, result.output
    with sqlite3.connect(tmp_path / "run" / "mlflow.db") as database:
        names = {name for (name,) in database.execute("select distinct key from metrics")}
        parameters = dict(database.execute("select key, value from params"))
    assert {"train/loss", "validation/loss"} <= names
    assert parameters["hidden_channels"] == "2"
    assert list((tmp_path / "run" / "mlflow").rglob("forecast_*.png"))


@pytest.mark.long
def test_a_profile_has_a_table_and_a_trace(tmp_path):
    result = _train(tmp_path / "run", "--profile", steps=9)
    assert result.exit_code == 0, result.output
    table = (tmp_path / "run" / "profile.txt").read_text()
    assert "aten::" in table
    assert "conv" in table
    trace = json.loads((tmp_path / "run" / "profile.json").read_text())
    assert sum(event["name"].startswith("ProfilerStep#") for event in trace["traceEvents"] if "name" in event) >= 3


def test_a_run_that_is_too_short_for_a_profile_warns(tmp_path, caplog):
    assert _train(tmp_path / "run", "--profile", steps=3).exit_code == 0
    assert "no profile: it needs 7 steps" in caplog.text
    assert not (tmp_path / "run" / "profile.txt").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("learning_rate=1e-5..1e-2:log", "FloatDistribution(high=0.01, log=True, low=1e-05, step=None)"),
        ("weight_decay=0..0.1", "FloatDistribution(high=0.1, log=False, low=0.0, step=None)"),
        ("hidden_channels=8..64", "IntDistribution(high=64, log=False, low=8, step=1)"),
        ("model=convlstm,ms-convlstm", "CategoricalDistribution(choices=('convlstm', 'ms-convlstm'))"),
        ("residual=true,false", "CategoricalDistribution(choices=(True, False))"),
    ],
)
def test_ranges_and_choices_of_a_sweep(text, shown):
    key, distribution = sweep.parse_range(text)
    assert key == text.partition("=")[0]
    assert str(distribution) == shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rate=1e-2..1e-5", "LOW below HIGH"),
        ("learning_rate=0.1", "expected KEY=LOW..HIGH"),
        ("loss=l1,l2", "leaves the loss comparable"),
        ("size=32,64", "leaves the loss comparable"),
    ],
)
def test_other_texts_are_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        sweep.parse_range(text)


@pytest.fixture
def trained(monkeypatch):
    """Trials without training: the loss is the distance of the rate from 0.003; the third trial is stopped once."""
    seen: list[tuple[str, float, bool]] = []

    def train(config, folder, *, resume, watch):
        seen.append((folder.name, config.learning_rate, resume is not None))
        folder.mkdir(exist_ok=True)
        if folder.name == "trial-0002" and resume is None:
            (folder / "last.ckpt").write_bytes(b"")
            raise StoppedError("stopped after step 1")
        (folder / "best.ckpt").write_text(str(abs(config.learning_rate - 0.003)))

    monkeypatch.setattr(sweep, "train", train)
    monkeypatch.setattr(sweep, "read_saved", lambda path: {"loss": path.read_text()})
    return seen


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_sweep_goes_on_where_it_stopped_and_writes_its_best_configuration(trained, tmp_path):
    space = dict([sweep.parse_range("learning_rate=1e-3..1e-2")])

    def configured(chosen):
        return resolve("kth", file=None, sets=[f"{key}={value}" for key, value in chosen.items()])

    with pytest.raises(StoppedError):
        sweep.sweep(configured, space, tmp_path / "sweep", trials=5)
    rows = sweep.sweep(configured, space, tmp_path / "sweep", trials=5)
    assert [(name, resumed) for name, _, resumed in trained] == [
        *[(f"trial-000{n}", False) for n in range(3)],
        ("trial-0002", True),
        *[(f"trial-000{n}", False) for n in (3, 4)],
    ]
    assert trained[2][1] == trained[3][1]
    assert [row["loss"] for row in rows] == sorted(abs(rate - 0.003) for _, rate, _ in [*trained[:2], *trained[3:]])
    best = resolve("kth", file=tmp_path / "sweep" / "best.yaml", sets=[])
    assert best.learning_rate == rows[0]["learning_rate"]
    assert len((tmp_path / "sweep" / "sweep.csv").read_text().splitlines()) == 6
    other = dict([sweep.parse_range("learning_rate=1e-4..1e-2")])
    with pytest.raises(ConfigError, match="take another --out"):
        sweep.sweep(configured, other, tmp_path / "sweep", trials=6)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_without_memory_or_with_a_loss_that_diverges_ends_no_sweep(monkeypatch, tmp_path, caplog):
    def train(config, folder, **_):
        if folder.name == "trial-0000":
            raise DivergedError("the loss is nan at step 3")
        if folder.name == "trial-0001":
            raise RuntimeError("CUDA: cannot allocate memory")
        folder.mkdir()
        (folder / "best.ckpt").write_text("1.5")

    monkeypatch.setattr(sweep, "train", train)
    monkeypatch.setattr(sweep, "read_saved", lambda path: {"loss": path.read_text()})
    space = dict([sweep.parse_range("learning_rate=1e-3..1e-2")])

    def configured(chosen, *more):
        return resolve("kth", file=None, sets=[*more, *(f"{key}={value}" for key, value in chosen.items())])

    with pytest.raises(ConfigError, match="expected a trial that is complete, got none of 2"):
        sweep.sweep(configured, space, tmp_path / "sweep", trials=2)
    assert "the loss is nan" in caplog.text
    rows = sweep.sweep(configured, space, tmp_path / "sweep", trials=3)
    assert [row["state"] for row in rows] == ["complete", "fail", "fail"]
    with pytest.raises(ConfigError, match="devices: expected 1 in a sweep, got 2"):
        sweep.sweep(lambda chosen: configured(chosen, "devices=2"), space, tmp_path / "other", trials=3)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_command_trains_its_trials(tmp_path):
    arguments = ["--dataset", "moving_mnist", "--model", "convlstm", "--out", str(tmp_path / "s"), "--trials", "6"]
    tries = ["--try", "learning_rate=1e-4..1e-1:log", "--try", "kernel_size=1,3"]
    result = CliRunner().invoke(
        sweep.app, [*arguments, *tries, *_sets("max_steps=6", "validate_every=1", "validation_clips=2")]
    )
    assert result.exit_code == 0, result.output
    assert len(list(Path(tmp_path / "s").glob("trial-*/config.yaml"))) == 6
    assert (tmp_path / "s" / "best.yaml").is_file()
    again = CliRunner().invoke(sweep.app, [*arguments, *tries, *_sets("max_steps=6", "validate_every=1")])
    assert again.exit_code == 0, again.output
