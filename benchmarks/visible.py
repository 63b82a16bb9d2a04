"""From a scan that is stored to all of its forecast visible: the model's, its file, and both baselines."""

import tempfile
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.fresh import in_fresh_process, peak_resident_bytes
from benchmarks.goals import goals_on
from benchmarks.native import HOURS, window_mmh
from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.points import recent_weather
from benchmarks.setting import BenchmarkSetting
from benchmarks.timing import seconds
from core.settings import Settings
from service.forecasts.member_maker import make_members
from service.forecasts.nowcast import NowcastService

LARGEST: Final = (1900, 2200)
TEXT: Final = (
    "Two hours of invented RADOLAN scans of 900 x 900 cells every 5 minutes and the forecast before the newest one are "
    "there, as in a worker that runs. The newest scan is stored; the time counts until the model's forecast is in the "
    "catalogue, with its file, and until persistence and extrapolation of the same window are, too. Sizes are those of "
    "the files on disk: the model's, both baselines', and the window's."
)
MEMORY: Final = (
    "The same in a fresh process for each grid, whose weather repeats beyond 900 x 900 cells: the peak of the process, "
    "with everything that it imports, while it makes and writes the forecast, then both baselines, then the members."
)


@BENCHMARKS.register("visible")
def visible(setting: BenchmarkSetting) -> Section:
    """Measure the second forecast of a fresh process on a live store of its own."""
    with tempfile.TemporaryDirectory() as name:
        row = in_fresh_process(newest_scan, Path(name), setting)
    goal = goals_on(setting.device)
    goals = [
        Goal(
            "from a stored scan to all of its forecast, with baselines", goal.visible_s, _of(row, "all, s"), "s", False
        ),
        Goal("the process that makes it, memory", goal.large_gb, _of(row, "peak, GB"), "GB", False),
        Goal("file of a forecast of Germany", goal.file_mb, _of(row, "file, MB"), "MB", False),
    ]
    return Section("From a scan to its forecast", TEXT, [row], goals if setting.scale == 1 else ())


def _of(row: Row, column: str) -> float:
    return float(row[column] or 0)


def newest_scan(home: Path, setting: BenchmarkSetting) -> Row:
    """Measure one live store; the process is a fresh one."""
    service = NowcastService.from_settings(Settings(home=home, device=setting.device))
    *earlier, newest = recent_weather(HOURS + 1 / 12)
    for frame in earlier:
        service.store.put(frame)
    service.forecast_stored()
    with peak_resident_bytes() as peak:
        stored_s = seconds(partial(service.store.put, newest))
        model_s = seconds(partial(service.forecast_stored, with_baselines=False))
        rest_s = seconds(service.forecast_stored)
        peak_bytes = peak()
    forecast = service.forecast_stored()
    rows = service.catalogue.select(origin="scans", limit=10)
    others = [one.path for one in rows if one.reference_time == forecast.reference_time and one.id != forecast.id]
    return {
        "leads": len(forecast.lead_minutes),
        "scan stored, s": stored_s,
        "forecast, s": stored_s + model_s,
        "all, s": stored_s + model_s + rest_s,
        "peak, GB": peak_bytes / 1e9,
        "file, MB": forecast.path.stat().st_size / 1e6,
        "baselines, MB": sum(path.stat().st_size for path in others) / 1e6,
        "window, MB": forecast.inputs_path.stat().st_size / 1e6,
    }


@BENCHMARKS.register("service-memory")
def service_memory(setting: BenchmarkSetting) -> Section:
    """Measure the memory of the process that makes forecasts of each grid."""
    rows: list[Row] = []
    for shape in (*setting.native.grids, *((LARGEST,) if setting.scale == 1 else ())):
        with tempfile.TemporaryDirectory() as name:
            rows.append(in_fresh_process(one_grid, Path(name), shape, setting))
    most_gb = goals_on(setting.device).large_gb
    goals = [
        Goal(f"{what} in the service, {row['cells']}, memory", most_gb, _of(row, f"{what}, peak GB"), "GB", False)
        for row in rows
        for what in ("forecast", "baselines", "members")
    ]
    return Section("Memory of a forecast in the service", MEMORY, rows, goals if setting.scale == 1 else ())


def one_grid(home: Path, shape: tuple[int, int], setting: BenchmarkSetting) -> Row:
    """Measure one live store with scans of a grid; the process is a fresh one."""
    service = NowcastService.from_settings(Settings(home=home, device=setting.device))
    fill_grid(service, shape)
    row: Row = {"cells": f"{shape[0]}x{shape[1]}"}
    with peak_resident_bytes() as peak:
        row["forecast, s"] = seconds(partial(service.forecast_stored, with_baselines=False))
        row["forecast, peak GB"] = peak() / 1e9
    with peak_resident_bytes() as peak:
        row["baselines, s"] = seconds(service.forecast_stored)
        row["baselines, peak GB"] = peak() / 1e9
    forecast = service.forecast_stored()
    with peak_resident_bytes() as peak:
        row["members, s"] = seconds(partial(make_members, forecast, setting.native.members))
        row["members, peak GB"] = peak() / 1e9
    return {**row, "file, MB": forecast.path.stat().st_size / 1e6}


def fill_grid(service: NowcastService, shape: tuple[int, int]) -> None:
    """Store two hours of scans of a grid; a function of its own, so that nothing of them stays in memory."""
    first = next(iter(recent_weather(HOURS)))
    grid = replace(first.grid, height=shape[0], width=shape[1])
    for index, rate_mmh_HW in enumerate(window_mmh(shape)):
        time = first.valid_time + index * timedelta(minutes=5)
        service.store.put(replace(first, valid_time=time, grid=grid, rate_mmh_HW=rate_mmh_HW))
