"""What several tests of the trainer use: a small radar event, a report, and processes that start fast."""

import multiprocessing
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core import cf
from core.grid import RADOLAN_900
from tests.training.small_runs import make_run, report_of


@pytest.fixture(scope="session")
def event(tmp_path_factory):
    """A file of 40 fields, half an hour apart: a shower that crosses 40 x 40 cells."""
    y, x = np.mgrid[:40, :40]
    rate = np.stack([6 * np.exp(-((x - 5 - k) ** 2 + (y - 20) ** 2) / 30.0) for k in range(40)]).astype(np.float32)
    times = [datetime(2021, 7, 1, tzinfo=UTC) + timedelta(minutes=30 * k) for k in range(40)]
    path = tmp_path_factory.mktemp("events") / "event.nc"
    cf.write_dataset(cf.rate_dataset(rate, times, RADOLAN_900.resized(40, 40)), path)
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A report of miniature runs: run folders, report folder, what was printed."""
    runs, out = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("report") / "page"
    make_run(runs / "flat-1", "convlstm", "seed=1")
    make_run(runs / "flat-2", "convlstm", "seed=2")
    make_run(runs / "ms-1", "ms-convlstm", "seed=1")
    make_run(runs / "ms-2", "ms-convlstm", "seed=2")
    make_run(runs / "ms-none", "ms-convlstm", "skip=none")
    make_run(runs / "ms-l1", "ms-convlstm", "loss=l1")
    make_run(runs / "rival", "simvp")
    make_run(runs / "residual", "ms-convlstm", "residual=true")
    make_run(runs / "cut", "predrnn", finished=False)
    result = report_of("--runs", runs, "--out", out, "--evaluate", "--clips", 3)
    assert result.exit_code == 0, result.output
    return runs, out, result.output


@pytest.fixture(scope="session")
def start_process():
    """Start a Python program in a process of its own, forked from a server that has imported the trainer already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.run"])

    def start(program: str):
        process = context.Process(target=exec, args=(program, {}))
        process.start()
        return process

    return start
