"""From a scan that is stored to all of its forecast visible: the model's, its file, and both baselines."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.fresh import in_fresh_process, peak_resident_bytes
from benchmarks.goals import goals_on
from benchmarks.native import HOURS
from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.points import recent_weather
from benchmarks.setting import BenchmarkSetting
from benchmarks.timing import seconds
from core.settings import Settings
from service.forecasts.nowcast import NowcastService

TEXT: Final = (
    "Two hours of invented RADOLAN scans of 900 x 900 cells every 5 minutes and the forecast before the newest one are "
    "there, as in a worker that runs. The newest scan is stored; the time counts until the model's forecast is in the "
    "catalogue, with its file, and until persistence and extrapolation of the same window are, too. Sizes are those of "
    "the files on disk: the model's, both baselines', and the window's."
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
