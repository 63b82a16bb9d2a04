"""A run that is stopped, killed or broken off at any moment goes on to the very same weights and logs."""

import contextlib
import csv
import functools
import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from core.errors import UnavailableError
from models.checkpoint import load_model, read_card
from training import run
from training.config import resolve
from training.trainer import build
from training.trainer.keeper import AtomicCheckpointIO, Keeper
from training.trainer.module import NowcastModule

STEPS = 9
KEYS = [
    *("model=ms-convlstm", "hidden_channels=2", "num_layers=2", "input_steps=2", "lead_steps=2", "batch_size=2"),
    *(
        "validation_fraction=0.35",
        "crop=12",
        "samples=16",
        "height=16",
        "width=16",
        "cadences=[30, 60]",
        "ema_decay=0.9",
        "warmup_steps=3",
    ),
    *("learning_rate_schedule=cosine", "learning_rate=0.01", "validate_every=3", "checkpoint_every=2", "log_every=1"),
    *("validation_clips=3", f"max_steps={STEPS}", "gradient_clip=5", "balance=0.5"),
]
SETS = [part for key in KEYS for part in ("--set", key)]
DROPOUT = ["model=earthformer", "hidden_channels=8", "num_layers=6", "depth=1", "position_size=12", "max_steps=3"]
TIMED = ("train/seconds", "train/samples_per_s", "train/wait_share", "train/peak_memory_mib")


def _config(event, *more):
    return resolve("germany", file=None, sets=[*KEYS, *more], data=event)


@pytest.fixture(scope="module")
def whole(event, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run.train(_config(event), folder)
    return folder


def _weights(folder):
    return {name: value.clone() for name, value in load_model(folder / "checkpoint").state_dict().items()}


def _rows(folder):
    rows = csv.DictReader((folder / "metrics.csv").read_text().splitlines())
    return [(row["step"], row["name"], row["value"]) for row in rows if row["name"] not in TIMED]


def _assert_same(folder, whole):
    weights, expected = _weights(folder), _weights(whole)
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    last, last_expected = (torch.load(f / "last.ckpt", weights_only=True) for f in (folder, whole))
    for key in ("state_dict", "current_model_state", "averaging_state"):
        assert all(torch.equal(last[key][name], value) for name, value in last_expected[key].items()), key
    assert last["lr_schedulers"] == last_expected["lr_schedulers"]
    assert _rows(folder) == _rows(whole)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [v["train/loss"] for v in lines if "train/loss" in v] == [
        float(v) for _, n, v in _rows(whole) if n == "train/loss"
    ]
    assert read_card(folder / "checkpoint")["validation"] == read_card(whole / "checkpoint")["validation"]


def test_the_whole_run_logs_each_step_once_and_validates_at_its_end(whole):
    steps = {name: [int(s) for s, n, _ in _rows(whole) if n == name] for name in ("train/loss", "validation/loss")}
    assert steps == {"train/loss": list(range(1, STEPS + 1)), "validation/loss": [3, 6, 9]}
    names = {row["name"] for row in csv.DictReader((whole / "metrics.csv").read_text().splitlines())}
    assert set(TIMED) <= names
    averaged = torch.load(whole / "last.ckpt", weights_only=True)
    assert any(not torch.equal(v, averaged["current_model_state"][n]) for n, v in averaged["state_dict"].items())
    assert all(torch.equal(value, averaged["state_dict"][f"model.{n}"]) for n, value in _weights(whole).items())
    assert {"config", "data", "revisions", "machines"} <= set(averaged["run"])
    assert averaged["run"]["data"]["train"]["files"][0]["sha256"]


class BrokenOffError(Exception):
    pass


def _break_at(patch, target, name, count):
    """Let the count-th call of a method raise, before it does anything."""
    original, calls = getattr(target, name), iter(range(1, 10_000))

    @functools.wraps(original)
    def broken(*arguments, **keywords):
        if next(calls) == count:
            raise BrokenOffError
        return original(*arguments, **keywords)

    patch.setattr(target, name, broken)


@pytest.mark.parametrize(
    ("target", "name", "count"),
    [
        (NowcastModule, "training_step", 1),
        (NowcastModule, "training_step", 4),
        (NowcastModule, "training_step", STEPS),
        (NowcastModule, "validation_step", 2),
        (NowcastModule, "validation_step", 5),
        (Keeper, "on_validation_end", 1),
        (AtomicCheckpointIO, "save_checkpoint", 3),
        (Keeper, "on_train_epoch_end", 1),
    ],
)
def test_a_run_broken_off_anywhere_goes_on_as_if_it_had_not(event, whole, tmp_path, target, name, count):
    folder = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        _break_at(patch, target, name, count)
        with pytest.raises(BrokenOffError):
            run.train(_config(event), folder)
    assert not (folder / "checkpoint").exists()
    result = CliRunner().invoke(run.app, ["--resume", str(folder)])
    assert result.exit_code == 0, result.output
    _assert_same(folder, whole)


def test_dropout_is_drawn_by_step(event, tmp_path):
    config = _config(event, *DROPOUT)
    assert any(
        isinstance(m, torch.nn.Dropout) and m.p > 0
        for m in build.build_module(config, build.build_datasets(config)[0], STEPS).modules()
    )
    run.train(config, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        _break_at(patch, NowcastModule, "training_step", 3)
        with pytest.raises(BrokenOffError):
            run.train(config, tmp_path / "parts")
    run.train(config, tmp_path / "parts", resume=tmp_path / "parts" / "last.ckpt")
    _assert_same(tmp_path / "parts", tmp_path / "whole")


KILLED = """
import functools, os, random, signal, threading
from training.trainer.module import NowcastModule
from training.run import app

def die():
    os.kill(os.getpid(), signal.SIGKILL)

original = NowcastModule.training_step

@functools.wraps(original)
def step(self, *arguments):
    if self.global_step == {step}:
        threading.Timer(random.Random({step}).uniform(0, 0.03), die).start()
    if self.global_step == {step} + 2:
        die()
    return original(self, *arguments)

NowcastModule.training_step = step
app({arguments!r})
"""
"""A run that kills itself at some moment within two steps."""


def test_killed_processes_leave_what_goes_on_to_the_same_weights(event, whole, tmp_path, start_process):
    folder = tmp_path / "run"
    arguments = ["--dataset", "germany", "--data", str(event), "--out", str(folder), *SETS]
    for step in (1, 4, 6):
        process = start_process(KILLED.format(step=step, arguments=arguments))
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (folder / "checkpoint").exists()
        arguments = ["--resume", str(folder)]
    result = CliRunner().invoke(run.app, ["--dataset", "germany", "--resume", str(folder / "last.ckpt")])
    assert result.exit_code == 0, result.output
    _assert_same(folder, whole)
    assert not list(folder.glob(".*.part"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_the_step_and_one_line_explains_how_to_continue(event, whole, tmp_path, number):
    folder, original = tmp_path / "run", NowcastModule.training_step
    handler = signal.getsignal(number)

    @functools.wraps(original)
    def signalled(self, *arguments):
        if self.global_step == 4:
            os.kill(os.getpid(), number)
        return original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NowcastModule, "training_step", signalled)
        result = CliRunner().invoke(
            run.app, ["--dataset", "germany", "--data", str(event), "--out", str(folder), *SETS]
        )
    assert result.exit_code == run.STOPPED == 75
    assert result.stderr == f"stopped after step 5 of {STEPS}; --resume {folder} continues\n"
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 5
    assert not (folder / "checkpoint").exists()
    assert signal.getsignal(number) == handler
    assert CliRunner().invoke(run.app, ["--resume", str(folder)]).exit_code == 0
    _assert_same(folder, whole)


def test_a_signal_does_not_wait_for_a_validation_to_end(event, whole, tmp_path):
    folder, original = tmp_path / "run", NowcastModule.validation_step
    calls = []

    @functools.wraps(original)
    def signalled(self, *arguments):
        calls.append(self.global_step)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NowcastModule, "validation_step", signalled)
        with pytest.raises(UnavailableError, match="stopped after step 6 of 9"):
            run.train(_config(event), folder)
    assert calls == [3, 3, 6]
    assert CliRunner().invoke(run.app, ["--resume", str(folder)]).exit_code == 0
    _assert_same(folder, whole)


@pytest.mark.long
def test_sigterm_from_outside(event, whole, tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "training.run", "--dataset", "germany", "--data", str(event), "--out", str(folder)]
    with subprocess.Popen([*command, *SETS], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (folder / "metrics.csv").is_file():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
        process.terminate()
        message = process.communicate()[1]
    assert process.returncode == run.STOPPED, message
    errors = [line for line in message.splitlines() if not line.startswith(("INFO", "WARNING"))]
    assert len(errors) == 1, message
    step = torch.load(folder / "last.ckpt", weights_only=True)["global_step"]
    assert f"stopped after step {step} of {STEPS}; --resume {folder} continues" in errors[0]
    assert CliRunner().invoke(run.app, ["--resume", str(folder)]).exit_code == 0
    _assert_same(folder, whole)


def test_a_finished_run_can_be_made_longer_but_not_run_twice(event, tmp_path):
    run.train(_config(event, "max_steps=4"), tmp_path / "run")
    weights = _weights(tmp_path / "run")
    result = CliRunner().invoke(run.app, ["--resume", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert all(torch.equal(value, weights[name]) for name, value in _weights(tmp_path / "run").items())
    result = CliRunner().invoke(run.app, ["--resume", str(tmp_path / "run"), "--max-steps", "6"])
    assert result.exit_code == 0, result.output
    assert read_card(tmp_path / "run" / "checkpoint")["training"]["steps"] == 6
    assert [int(s) for s, n, _ in _rows(tmp_path / "run") if n == "train/loss"] == [1, 2, 3, 4, 5, 6]
    result = CliRunner().invoke(run.app, ["--resume", str(tmp_path / "run"), "--max-steps", "5"])
    assert result.exit_code == 2
    assert "is of step 6" in result.output


def test_early_stopping_ends_a_run_for_good(event, tmp_path):
    config = _config(
        event, "early_stopping=1", "learning_rate=0.000001", "max_steps=60", "validate_every=1", "ema_decay=0"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NowcastModule, "_over_processes", lambda self, sums: torch.tensor([float(self.global_step), 1.0]))
        run.train(config, tmp_path / "run")
    steps = read_card(tmp_path / "run" / "checkpoint")["training"]["steps"]
    assert steps == 2
    assert CliRunner().invoke(run.app, ["--resume", str(tmp_path / "run")]).exit_code == 0
    assert read_card(tmp_path / "run" / "checkpoint")["training"]["steps"] == steps
