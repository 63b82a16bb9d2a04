"""Processes that share a batch train as one process does with the whole of it (gloo on the CPU)."""

import csv
import json
import shutil
import socket
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from core.errors import ConfigError
from models.checkpoint import load_model
from training import evaluate, run
from training.config import resolve
from training.evaluation import shared_work

KEYS = [
    *("model=predrnn", "hidden_channels=2", "num_layers=2", "input_steps=2", "lead_steps=3", "batch_size=4"),
    *("height=12", "width=12", "validate_every=3", "log_every=1", "validation_clips=5", "learning_rate=0.01"),
    *("validation_fraction=0.4", "max_steps=3", "seed=7"),
]
SETS = [part for key in KEYS for part in ("--set", key)]


@pytest.fixture(scope="module")
def alone(event, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "alone"
    run.train(resolve("germany", file=None, sets=KEYS, data=event), folder)
    return folder


def _assert_as_one(folder, alone, rel=1e-5, atol=1e-6):
    found, expected = (
        {
            (row["step"], row["name"]): float(row["value"])
            for row in csv.DictReader((f / "metrics.csv").read_text().splitlines())
            if row["name"] == "train/loss" or row["name"].startswith("validation/")
        }
        for f in (folder, alone)
    )
    assert {step for step, name in expected if name == "train/loss"} == {"1", "2", "3"}
    assert ("3", "validation/csi_0.5") in expected
    assert found.keys() == expected.keys()
    assert found == {key: pytest.approx(value, rel=rel) for key, value in expected.items()}
    weights, weights_expected = (load_model(f / "checkpoint").state_dict() for f in (folder, alone))
    for name, value in weights_expected.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=atol)


def _arguments(event, folder, *more):
    return ["--dataset", "germany", "--data", str(event), "--out", str(folder), *SETS, *more]


PROGRAM = """
import functools, os, signal
os.environ.update({variables!r})
from training.trainer.module import NowcastModule
from training.run import app

original = NowcastModule.training_step

@functools.wraps(original)
def step(self, *arguments):
    if {signalled} and self.global_step == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return original(self, *arguments)

NowcastModule.training_step = step
app({arguments!r})
"""


def _both(start_process, arguments, *, signalled=None, program=PROGRAM):
    """Exit codes of two processes with the variables that torchrun sets; one of them may be sent SIGTERM in step 2."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    shared |= {"TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0"}
    started = []
    for rank in (0, 1):
        variables = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        text = program.format(variables=variables, arguments=arguments, signalled=rank == signalled)
        started.append(start_process(text))
    for process in started:
        process.join()
    return [process.exitcode for process in started]


def test_two_processes_of_a_launcher_train_as_one_and_go_on_after_a_signal(event, alone, tmp_path, start_process):
    folder = tmp_path / "two"
    assert _both(start_process, _arguments(event, folder), signalled=1) == [run.STOPPED, run.STOPPED]
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 2
    assert _both(start_process, ["--resume", str(folder)]) == [0, 0]
    _assert_as_one(folder, alone)


HOLDING = (
    PROGRAM.replace(
        "    return original",
        """    held = sum(part.to_local().numel() for part in self.parameters())
    with open(arguments[5] + "-held-" + os.environ["RANK"], "w") as file:
        file.write(str(held))
    return original""",
    )
    .replace("*arguments", "*given")
    .replace("app({arguments!r})", "arguments = {arguments!r}\napp(arguments)")
)


def test_two_processes_that_share_one_copy_of_the_model_train_as_one_with_all_of_it(
    event, alone, tmp_path, start_process, caplog
):
    folder, later = tmp_path / "two", tmp_path / "one"
    arguments = _arguments(event, folder, "--fsdp")
    assert _both(start_process, arguments, signalled=1, program=HOLDING) == [run.STOPPED, run.STOPPED]
    whole = sum(value.numel() for value in load_model(alone / "checkpoint").state_dict().values())
    held = [int((tmp_path / f"two-held-{rank}").read_text()) for rank in (0, 1)]
    assert sum(held) == whole
    assert max(held) < 0.6 * whole
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert {type(value) for value in saved["state_dict"].values()} == {torch.Tensor}
    shutil.copytree(folder, later)
    assert _both(start_process, ["--resume", str(folder)]) == [0, 0]
    _assert_as_one(folder, alone)
    config = resolve("germany", file=later / "config.yaml", sets=["devices=1"], goes_on=True)
    assert "fsdp: no effect on one process" in caplog.text
    run.train(config, later, resume=later / "last.ckpt")
    _assert_as_one(later, alone)


@pytest.mark.long
def test_processes_with_unequal_shares_of_the_validation_share_a_model_without_recurrence(
    event, tmp_path, start_process
):
    """Its own method calls `forward`, so that FSDP sees two passes in one; of five clips one process has three.

    A step of Adam is 0.01 whatever the size of a gradient, so rounding of small ones moves weights by up to 2e-6; and a
    rate is exponential in what the model computes. A lost clip or a wrong mean would differ in the second digit.
    """
    more = ["model=simvp", "hidden_channels=4", "translator_channels=8", "num_layers=4", "lead_steps=2"]
    more += ["height=16", "width=16", "accumulate=2", "gradient_clip=1.0", "recompute=true"]
    run.train(resolve("germany", file=None, sets=[*KEYS, *more], data=event), tmp_path / "one")
    sets = [part for key in more for part in ("--set", key)]
    assert _both(start_process, _arguments(event, tmp_path / "two", "--fsdp", *sets)) == [0, 0]
    _assert_as_one(tmp_path / "two", tmp_path / "one", rel=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["fsdp=true"], "fsdp: no effect on one process"),
        (["fsdp=true", "devices=2", "compile=true"], "fsdp: expected compile=false, got true"),
        (["fsdp=true", "devices=2", "ema_decay=0.9"], "fsdp: expected ema_decay=0, got 0.9"),
        (["fsdp=true", "devices=2", "precision=16-mixed"], "fsdp: expected precision 32-true or bf16-mixed, got 16"),
    ],
)
def test_a_model_that_cannot_be_shared_is_refused(keys, message, event, tmp_path):
    sets = [part for key in keys for part in ("--set", key)]
    result = CliRunner().invoke(run.app, _arguments(event, tmp_path / "run", *sets))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


EVALUATION = """
import os
os.environ.update({variables!r})
from training.evaluate import app
app({arguments!r})
"""


def test_two_processes_share_the_test_clips_and_add_up_their_totals(event, alone, tmp_path, start_process):
    arguments = ["--checkpoint", str(alone / "checkpoint"), "--dataset", "germany", "--data", str(event)]
    arguments += ["--protocol", "paper", "--clips", "7", "--json"]
    done = CliRunner().invoke(evaluate.app, [*arguments, str(tmp_path / "one.json")])
    assert done.exit_code == 0, done.output
    assert _both(start_process, [*arguments, str(tmp_path / "two.json")], program=EVALUATION) == [0, 0]
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert two["windows"] == one["windows"] == 7
    counts = ("hits", "misses", "false_alarms", "correct_negatives")
    assert [[row[key] for key in counts] for row in two["scores"]] == [
        [row[k] for k in counts] for row in one["scores"]
    ]
    for part in ("overall", "paper"):
        for model, scores in one[part].items():
            known = {name: value for name, value in scores.items() if value is not None}
            assert {name: v for name, v in two[part][model].items() if v is not None} == pytest.approx(known, rel=1e-6)


def test_each_process_has_its_own_clips(monkeypatch):
    monkeypatch.setattr(shared_work, "process_count", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(shared_work, "process_rank", lambda rank=rank: rank)
        shares.append(shared_work.own_share([5, 6, 7, 9]))
    assert shares == [[5, 9], [6], [7]]


def test_a_batch_that_cannot_be_shared_is_refused(event, tmp_path):
    result = CliRunner().invoke(run.app, _arguments(event, tmp_path / "run", "--devices", "3"))
    assert result.exit_code == 2
    assert "expected a multiple of 3 devices, got 4" in result.stderr
    assert not (tmp_path / "run").exists()


def test_the_launcher_decides_how_many_processes_there_are(event, monkeypatch):
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert resolve("germany", file=None, sets=[]).devices == 2
    with pytest.raises(ConfigError, match="the launcher started 2 processes"):
        resolve("germany", file=None, sets=[], devices=3)


@pytest.mark.long
@pytest.mark.parametrize(
    "launcher",
    [
        ["-m", "training.run", "--devices", "2"],
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "training.run"],
    ],
    ids=["devices", "torchrun"],
)
def test_both_launchers_end_where_one_process_does(event, alone, tmp_path, launcher):
    command = [sys.executable, *launcher, *_arguments(event, tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    _assert_as_one(tmp_path / "two", alone)
