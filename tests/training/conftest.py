"""What several tests of the trainer use: a small radar event, and processes that start fast."""

import multiprocessing
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core import cf
from core.grid import RADOLAN_900


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
def start_process():
    """Start a Python program in a process of its own, forked from a server that has imported the trainer already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.run"])

    def start(program: str):
        process = context.Process(target=exec, args=(program, {}))
        process.start()
        return process

    return start
