"""Waiting for data in training: the share of a training loop's time that is spent on getting the next batch."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.goals import goals_on
from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.setting import BenchmarkSetting
from benchmarks.sides import Training
from benchmarks.timing import finish
from core.errors import NowcastError
from models import build_model
from training.config import PRESETS, RunConfig, resolve
from training.datasets import build_dataset
from training.trainer.loader import train_loader


@dataclass(frozen=True)
class LoadingRun:
    """A training run as a user starts it."""

    name: str
    dataset: str
    file: Path | None = None


RUNS = (
    LoadingRun("moving_mnist", "moving_mnist"),
    LoadingRun("germany", "germany"),
    LoadingRun("the shipped default", "germany", PRESETS / "default.yaml"),
)


@BENCHMARKS.register("loading")
def loading(setting: BenchmarkSetting) -> Section:
    """Measure Moving MNIST, Germany, and the shipped default's random squares, with and without a worker process."""
    rows: list[Row] = []
    skipped: list[str] = []
    for run in RUNS:
        if run.dataset == "germany" and setting.data is None:
            skipped.append(f"{run.name}: no radar files; `--data FOLDER` with event files adds it")
            continue
        try:
            rows += [_row(run, workers, setting) for workers in (0, 1)]
        except NowcastError as err:
            skipped.append(f"{run.name}: {err}")
    worst = {run: min(float(row["waiting, %"] or 0) for row in rows if row["run"] == run) for run in _names(rows)}
    goals = [
        Goal(f"training waits for data, {run}", goals_on(setting.device).idle, share, "%", False)
        for run, share in worst.items()
    ]
    text = (
        f"{setting.steps} training steps with the data set's preset and `--precision bf16-mixed`; waiting is the time "
        "until the loader gives the next batch, working that of the step. The first batch, with which workers start, "
        "does not count. With 0 workers the batch is made by the training process itself; the goal holds the better "
        "of both."
    )
    return Section("Reading data for training", text, rows, goals, skipped)


def _names(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(str(row["run"]) for row in rows))


def _row(run: LoadingRun, workers: int, setting: BenchmarkSetting) -> Row:
    config = _config(run, workers, setting)
    waiting_s, working_s = measure(config, setting)
    return {
        "run": run.name,
        "model": f"{config.model}, {config.hidden_channels} channels",
        "batch": config.batch_size,
        "workers": workers,
        "waiting, s per step": waiting_s / setting.steps,
        "working, s per step": working_s / setting.steps,
        "waiting, %": 100 * waiting_s / (waiting_s + working_s),
    }


def _config(run: LoadingRun, workers: int, setting: BenchmarkSetting) -> RunConfig:
    sets = [f"workers={workers}"]
    if setting.hidden_channels < BenchmarkSetting.hidden_channels:
        sets.append(f"hidden_channels={setting.hidden_channels}")
    data = setting.data if run.dataset == "germany" else None
    return resolve(run.dataset, file=run.file, sets=sets, data=data, precision="bf16-mixed")


def measure(config: RunConfig, setting: BenchmarkSetting) -> tuple[float, float]:
    """Return the seconds of waiting and of working, over `setting.steps` steps after the first."""
    steps: dict[str, Any] = {"input_steps": config.input_steps, "lead_steps": config.lead_steps, "seed": config.seed}
    dataset = build_dataset(config.dataset, config.data, "train", config.dataset_options, **steps)
    batches = iter(train_loader(dataset, config, total_steps=setting.steps + 1, first_step=0))
    waiting_s = working_s = 0.0
    training: Training | None = None
    for step in range(setting.steps + 1):
        start = time.perf_counter()
        batch = next(batches)
        ready = time.perf_counter()
        frames_BTCHW = config.build_transform().encode(torch.cat([batch.past_TCHW, batch.future_TCHW], dim=1))
        training = training or Training(
            _model(config), frames_BTCHW, config.input_steps, device=setting.device, mixed=True
        )
        training.frames_BTCHW = frames_BTCHW.to(setting.device)
        training.step()
        finish()
        if step:
            waiting_s += ready - start
            working_s += time.perf_counter() - ready
    return waiting_s, working_s


def _model(config: RunConfig) -> nn.Module:
    size: dict[str, Any] = {"hidden_channels": config.hidden_channels, "num_layers": config.num_layers}
    return build_model(config.model, **size, kernel_size=config.kernel_size, **config.model_options)
