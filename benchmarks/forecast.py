"""One forecast: every multi-scale model and two flat ones against the textbook, and the multi-scale one at 1 km."""

from functools import partial

import torch
from torch import nn

from benchmarks.fresh import in_fresh_process, peak_resident_bytes, resident_bytes
from benchmarks.goals import goals_on
from benchmarks.limits import measure_limits
from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.setting import BenchmarkSetting
from benchmarks.sides import convolution_type, forecast_macs, our_forecaster, rain_mmh, textbook_forecaster
from benchmarks.timing import compare, geometric_mean, seconds
from models import build_model
from tests.reference import build_textbook

FIRST = "ms-convlstm"


@BENCHMARKS.register("forecast")
def forecast(setting: BenchmarkSetting) -> Section:
    """Time forecasts of 5 fields from 5, 124 x 124, one sample, 64 channels, six layers, from mm/h to mm/h."""
    rows = [_row(name, setting) for name in (*setting.multiscale, *setting.flat_cells)]
    mean = geometric_mean(float(row["times faster"] or 0) for row in rows[: len(setting.multiscale)])
    goals = _goals({str(row["model"]): row for row in rows}, mean, setting)
    text = (
        f"One forecast of {setting.size()}, batch 1, {setting.hidden_channels} channels, six layers, untrained "
        "weights. Ours is `Forecaster.from_model(build_model(name)).forecast(rate)` as a user gets it; the textbook "
        "is `tests.reference`, float32, eager and contiguous, with the same transform around it. Both sides in "
        "turns; medians. The share of the peak is twice the multiply-accumulates that each side does over its "
        "seconds, over the machine's peak in the type that its convolutions run in."
    )
    return Section(f"Forecast at {setting.height}x{setting.width}", text, [*rows, _mean_row(mean)], goals)


def _goals(rows: dict[str, Row], mean: float, setting: BenchmarkSetting) -> list[Goal]:
    goal, goals = goals_on(setting.device), []
    if FIRST in rows:
        faster, time_s = (float(rows[FIRST][column] or 0) for column in ("times faster", "ours, s"))
        goals.append(Goal(f"forecast, {FIRST}", goal.forecast[0], faster, "times faster", True))
        if goal.forecast_s is not None:
            goals.append(Goal(f"forecast, {FIRST}", goal.forecast_s, time_s, "s", False))
    if setting.complete:
        goals.append(Goal("forecast, geometric mean of the ms- models", goal.forecast[1], mean, "times faster", True))
    return goals


def _row(name: str, setting: BenchmarkSetting) -> Row:
    rate_mmh_THW = rain_mmh(setting.height, setting.width, setting.input_steps)
    forecasters = our_forecaster(name, setting), textbook_forecaster(name, setting)
    ours, theirs = (partial(each.forecast, rate_mmh_THW, setting.lead_steps) for each in forecasters)
    result = compare(name, ("ours", ours), ("textbook", theirs), runs=setting.runs)
    used = convolution_type(ours)
    sides = (build_model, result.ours_s, used), (build_textbook, result.theirs_s, torch.float32)
    shares = [
        _share(build(name, hidden_channels=setting.hidden_channels), time_s, dtype, setting)
        for build, time_s, dtype in sides
    ]
    return {
        "model": name,
        "textbook, s": result.theirs_s,
        "ours, s": result.ours_s,
        "times faster": result.ratio,
        "ours, % of its peak": 100 * shares[0],
        "textbook, % of its peak": 100 * shares[1],
        "ours, type": str(used).removeprefix("torch."),
        "pairs": result.runs,
    }


def _share(model: nn.Module, time_s: float, dtype: torch.dtype, setting: BenchmarkSetting) -> float:
    """Return the share of the machine's peak in that type; counting removes the model's numbers."""
    macs = forecast_macs(model, (1, *setting.shape[1:]), setting.lead_steps)
    return measure_limits(setting.device, setting.scale).fraction(macs, time_s, dtype)


def _mean_row(mean: float) -> Row:
    return {"model": "geometric mean of the ms- models", "times faster": mean}


@BENCHMARKS.register("forecast-1km")
def forecast_1km(setting: BenchmarkSetting) -> Section:
    """Measure MS-ConvLSTM on the whole composite at 1 km, in a process of its own."""
    height, width = setting.large
    time_s, level_bytes, peak_bytes = in_fresh_process(large_forecast, setting)
    rows: list[Row] = [
        {
            "model": FIRST,
            "cells": f"{height}x{width}",
            "seconds": time_s,
            "before it, GB": level_bytes / 1e9,
            "peak, GB": peak_bytes / 1e9,
        }
    ]
    goal, work = goals_on(setting.device), f"forecast at {height}x{width}, {FIRST}"
    goals = [
        Goal(work, goal.large_s, time_s, "s", False),
        Goal(f"{work}, memory of the process", goal.large_gb, peak_bytes / 1e9, "GB", False),
    ]
    text = (
        f"One forecast of {height}x{width}, {setting.input_steps} in and {setting.lead_steps} out, "
        f"{setting.hidden_channels} channels: the first of a fresh process, nothing warmed up. The peak is the "
        "resident set of the whole process, Python and PyTorch in it."
    )
    return Section("Forecast at 1 km", text, rows, goals)


def large_forecast(setting: BenchmarkSetting) -> tuple[float, int, int]:
    """Return seconds, and resident bytes of the process before and at the peak."""
    forecaster = our_forecaster(FIRST, setting)
    rate_mmh_THW = rain_mmh(*setting.large, setting.input_steps)
    before = resident_bytes(setting.device)
    with peak_resident_bytes(setting.device) as peak:
        time_s = seconds(partial(forecaster.forecast, rate_mmh_THW, setting.lead_steps))
    return time_s, before, peak()
