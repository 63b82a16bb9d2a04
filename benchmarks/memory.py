"""Memory of a training step: saved activations of every multi-scale model, and the real peak of the largest."""

import statistics
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from benchmarks.fresh import in_fresh_process, peak_resident_bytes, resident_bytes
from benchmarks.goals import goals_on
from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.setting import BenchmarkSetting
from benchmarks.sides import our_training, textbook_training
from models import build_model
from models.build import MULTISCALE
from models.cost import measure_memory, measuring_on
from tests.reference import build_textbook

SHARES = ("share, %", "with recompute, share, %")
WARM = 32
"""Edge of the frames for warming up the peak's process, so that Adam's moments and the kernels are allocated."""


@BENCHMARKS.register("saved-activations")
def saved_activations(setting: BenchmarkSetting) -> Section:
    """Count saved activations on shapes, without numbers and without time."""
    rows = [_saved_row(name, setting) for name in setting.multiscale]
    means: dict[str, float] = {key: statistics.mean(float(row[key] or 0) for row in rows) for key in SHARES}
    aims = goals_on(setting.device)
    goals = [
        Goal(
            f"saved activations, {_how(key)}, mean of the ms- models",
            target,
            means[key],
            "% of the textbook's",
            False,
        )
        for key, target in zip(SHARES, (aims.saved, aims.saved_recomputed), strict=True)
        if setting.complete
    ]
    text = (
        f"What one training forward of {setting.size()}, batch {setting.batch}, keeps for its gradient, without the "
        "parameters and copies of them; counted on shapes, without numbers (`models.cost.measure.measure_memory`). "
        "The textbook is float32; ours is what `training.run --precision bf16-mixed` keeps, and also float32. "
        "With `--recompute` the backward pass makes one time step's activations again at a time: they come on top. "
        "The share is that of the textbook; the mean is the arithmetic one of the shares."
    )
    return Section("Saved activations", text, [*rows, {"model": "mean", **means}], goals)


def _saved_row(name: str, setting: BenchmarkSetting) -> Row:
    textbook = textbook_saved_bytes(name, setting)
    plain = saved_bytes(_ours(name, setting), setting, mixed=False)
    mixed = saved_bytes(_ours(name, setting), setting, mixed=True)
    again = saved_bytes(_ours(name, setting, recompute=True), setting, mixed=True)
    return {
        "model": name,
        "textbook, MB": textbook / 1e6,
        "ours in float32, MB": plain / 1e6,
        "ours, MB": mixed / 1e6,
        "share, %": 100 * mixed / textbook,
        "with recompute, MB": again / 1e6,
        "with recompute, share, %": 100 * again / textbook,
    }


@lru_cache
def textbook_saved_bytes(name: str, setting: BenchmarkSetting) -> int:
    """Return what the textbook saves, cached: PrecipLSTM's windows take a minute to count, and two tables use it."""
    return saved_bytes(build_textbook(name, hidden_channels=setting.hidden_channels), setting, mixed=False)


def saved_bytes(model: nn.Module, setting: BenchmarkSetting, *, mixed: bool) -> int:
    """Return the bytes saved by one forward pass, on shapes; the model loses its numbers.

    Args:
        model: ours or the textbook's.
        setting: sizes.
        mixed: under autocast to bfloat16 and channels last, as `training.run --precision bf16-mixed`.
    """
    precision: AbstractContextManager[Any] = nullcontext()
    if mixed:
        model, precision = model.to(memory_format=torch.channels_last), torch.autocast("cpu", torch.bfloat16)  # type: ignore[call-overload]
    with measuring_on("shapes", model), precision:
        return measure_memory(model, torch.zeros(setting.shape), setting.lead_steps).activation_bytes


def _how(column: str) -> str:
    return "with --recompute" if column.startswith("with recompute") else "no recomputation"


def _ours(name: str, setting: BenchmarkSetting, *, recompute: bool = False) -> nn.Module:
    model: Any = build_model(name, hidden_channels=setting.hidden_channels)
    model.recompute = recompute
    built: nn.Module = model
    return built


@BENCHMARKS.register("peak-memory")
def peak_memory(setting: BenchmarkSetting) -> Section:
    """Measure one training step of the largest model, each side in a process of its own."""
    name = MULTISCALE + setting.largest
    peaks = {side: in_fresh_process(step_peak, side, name, setting) for side in SIDES}
    shares = {side: 100 * peak / peaks["textbook"] for side, peak in peaks.items()}
    rows: list[Row] = [
        {"model": name, "side": side, "peak above the level before, MB": peak / 1e6, "share, %": shares[side]}
        for side, peak in peaks.items()
    ]
    goals = [
        Goal(
            f"peak memory of a training step, {name}, {side}",
            goals_on(setting.device).peak,
            shares[side],
            "% of the textbook's",
            False,
        )
        for side in SIDES[1:]
    ]
    text = (
        f"One training step of {setting.size()}, batch {setting.batch}, each in a fresh process: the resident set's "
        "peak during the step (a GPU's allocator's there) above what was held before it, after a step on "
        f"{WARM}x{WARM}, so that weights, Adam's moments and the libraries' own memory are in the level before."
    )
    return Section("Peak memory of one training step", text, rows, goals)


SIDES = ("textbook", "ours", "ours with --recompute")


def step_peak(side: str, name: str, setting: BenchmarkSetting) -> int:
    """Return the peak in bytes above the level before."""
    training = textbook_training(name, setting) if side == "textbook" else None
    training = training or our_training(name, setting, recompute=side == SIDES[2])
    frames_BTCHW = training.frames_BTCHW
    training.frames_BTCHW = frames_BTCHW[..., :WARM, :WARM].contiguous()
    training.step()
    training.optimiser.zero_grad()
    training.frames_BTCHW = frames_BTCHW
    before = resident_bytes(setting.device)
    with peak_resident_bytes(setting.device) as peak:
        training.step()
    return peak() - before
