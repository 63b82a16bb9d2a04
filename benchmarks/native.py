"""The forecast on the radar's own cells: time and memory, and next to pysteps on the same window."""

import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import numpy as np

from benchmarks.fresh import in_fresh_process, peak_resident_bytes
from benchmarks.goals import goals_on
from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.setting import BenchmarkSetting
from benchmarks.timing import Side, compare, seconds
from core.arrays import Float32Field
from ingest.synthetic import weather
from models import load_forecaster
from models.ensembles import StepsEnsemble

HOURS: Final = 2.0
SCALE: Final[dict[str, Any]] = {"cadence_minutes": 5, "pixel_m": 1000.0}
TEXT: Final = (
    "Two hours of invented weather every 5 minutes on cells of 1 km; the leads of the next 150 minutes with exceedance "
    "probabilities. Each grid has a process of its own: the first forecast, with what it imports. `processors, s` is "
    "the time of all processors together, which other work on the machine does not lengthen. `lead by lead` is "
    "`Forecaster.leads`, of which nothing is kept. The time of the members is that of a forecast with them, less that "
    "of the first one."
)
AGAINST: Final = (
    "The same window, both sides in turns: extrapolation by pysteps against ours with probabilities at all {leads} "
    "leads; STEPS by pysteps against ours, both with {members} members and the first {some} leads (all of them take "
    "STEPS a quarter of an hour of one processor). What a forecast costs before its first lead counts in full."
)


@dataclass(frozen=True)
class FirstForecast:
    """Figures of one process: seconds, and the process's bytes at the peak."""

    forecast_s: float
    processors_s: float
    peak_bytes: int
    by_lead_s: float
    by_lead_bytes: int
    with_members_s: float


def window_mmh(shape: tuple[int, int]) -> Float32Field:
    """Return two hours of invented weather, (T, H, W), repeated beyond its 900 x 900 cells."""
    fields = [frame.rate_mmh_HW for frame in weather(datetime(2024, 6, 1, 12, tzinfo=UTC), HOURS, seed=1)]
    more = [(0, max(size - own, 0)) for size, own in zip(shape, fields[0].shape, strict=True)]
    return np.stack([np.pad(field_HW, more, mode="wrap")[: shape[0], : shape[1]] for field_HW in fields])


@BENCHMARKS.register("native")
def native(setting: BenchmarkSetting) -> Section:
    """Measure the forecast of each grid, lead by lead, and with members."""
    rows: list[Row] = []
    goals: list[Goal] = []
    goal = goals_on(setting.device)
    for shape, most_s in zip(setting.native.grids, goal.native_s, strict=True):
        found = in_fresh_process(first_forecast, shape, setting)
        grid, members_s = f"{shape[0]}x{shape[1]}", max(found.with_members_s - found.forecast_s, 0.0)
        rows.append(_row(grid, found, members_s, setting))
        goals += [
            Goal(f"native forecast, {grid}", most_s, found.forecast_s, "s", False),
            Goal(f"native forecast, {grid}, memory of the process", goal.large_gb, found.peak_bytes / 1e9, "GB", False),
            Goal(f"its {setting.native.members} members, {grid}", goal.members_s, members_s, "s", False),
        ]
    return Section("Forecast on the radar's own cells", TEXT, rows, goals if setting.scale == 1 else ())


def _row(grid: str, found: FirstForecast, members_s: float, setting: BenchmarkSetting) -> Row:
    return {
        "cells": grid,
        "leads": setting.native.leads,
        "forecast, s": found.forecast_s,
        "processors, s": found.processors_s,
        "peak, GB": found.peak_bytes / 1e9,
        "lead by lead, s": found.by_lead_s,
        "lead by lead, peak, GB": found.by_lead_bytes / 1e9,
        f"{setting.native.members} members, s": members_s,
    }


def first_forecast(shape: tuple[int, int], setting: BenchmarkSetting) -> FirstForecast:
    """Measure one grid; the process is a fresh one."""
    forecaster, rate_mmh_THW = load_forecaster("default", setting.device), window_mmh(shape)
    leads = setting.native.leads
    forecast = partial(forecaster.forecast, rate_mmh_THW, leads, **SCALE)
    before_s = time.process_time()
    with peak_resident_bytes() as peak:
        forecast_s, peak_bytes = seconds(forecast), peak()
    processors_s = time.process_time() - before_s
    with peak_resident_bytes() as peak:
        by_lead_s = seconds(lambda: deque(forecaster.leads(rate_mmh_THW, leads, **SCALE), maxlen=0))
        by_lead_bytes = peak()
    with_members_s = seconds(partial(forecast, members=setting.native.members))
    return FirstForecast(forecast_s, processors_s, peak_bytes, by_lead_s, by_lead_bytes, with_members_s)


@BENCHMARKS.register("native-peers")
def native_peers(setting: BenchmarkSetting) -> Section:
    """Time the first grid's forecast against extrapolation, and its members against STEPS."""
    sizes, shape = setting.native, setting.native.grids[0]
    ours, rate_mmh_THW = load_forecaster("default", setting.device), window_mmh(shape)
    steps = StepsEnsemble(sizes.members)
    works: list[tuple[str, int, Side, Side]] = [
        (
            "probabilities",
            sizes.leads,
            ("ours", partial(ours.forecast, rate_mmh_THW, sizes.leads, **SCALE)),
            ("extrapolation", partial(load_forecaster("extrapolation").forecast, rate_mmh_THW, sizes.leads, **SCALE)),
        ),
        (
            f"{sizes.members} members",
            sizes.steps_leads,
            ("ours", partial(ours.forecast, rate_mmh_THW, sizes.steps_leads, members=sizes.members, **SCALE)),
            ("STEPS", partial(steps.forecast, rate_mmh_THW, sizes.steps_leads, members=sizes.members, **SCALE)),
        ),
    ]
    rows: list[Row] = []
    for what, leads, own, other in works:
        result = compare(what, own, other, runs=setting.runs)
        times = {"ours, s": result.ours_s, "theirs, s": result.theirs_s, "times faster": result.ratio}
        rows.append({"ours": what, "pysteps": result.theirs, "leads": leads, **times, "pairs": result.runs})
    text = AGAINST.format(leads=sizes.leads, members=sizes.members, some=sizes.steps_leads)
    faster = float(rows[1]["times faster"] or 0)
    goal = Goal(f"{sizes.members} members against STEPS", goals_on(setting.device).steps, faster, "times faster", True)
    return Section(
        "Forecast on the radar's own cells, against pysteps", text, rows, [goal] if setting.scale == 1 else ()
    )
