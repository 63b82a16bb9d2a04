import time

import pytest
import torch

from benchmarks import loading
from benchmarks.setting import BenchmarkSetting, quick
from benchmarks.sides import Training
from training.config import resolve
from training.datasets import Sample


@pytest.mark.parametrize(("wait_s", "share"), [(0.0, (0.0, 0.2)), (0.5, (0.8, 1.0))])
def test_what_the_loader_takes_counts_as_waiting(monkeypatch, wait_s, share):
    now = [0.0]

    class Slow:
        def __iter__(self):
            return self

        def __next__(self):
            now[0] += wait_s
            return Sample(torch.zeros(1, 2, 1, 16, 16), torch.zeros(1, 2, 1, 16, 16))

    def step(self):
        now[0] += 0.1

    monkeypatch.setattr(loading, "train_loader", lambda *a, **k: Slow())
    monkeypatch.setattr(Training, "step", step)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    config = resolve("moving_mnist", file=None, sets=["hidden_channels=4", "invented_digits=10", "input_steps=2"])
    waiting_s, working_s = loading.measure(config, quick(BenchmarkSetting()))
    assert share[0] <= waiting_s / (waiting_s + working_s) <= share[1]
    assert (waiting_s, working_s) == pytest.approx((2 * wait_s, 0.2))


def test_a_training_loop_on_radar_files(shared_data):
    config = resolve(
        *("germany",),
        file=None,
        sets=["hidden_channels=4", "height=24", "width=24", "batch_size=1"],
        data=shared_data / "events" / "opera_germany_20180824.nc",
    )
    waiting_s, working_s = loading.measure(config, quick(BenchmarkSetting()))
    assert waiting_s > 0
    assert working_s > 0
