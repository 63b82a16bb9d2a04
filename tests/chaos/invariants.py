"""What must hold after any number of faults, against a clean run on the same scans."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import select

from core.errors import NowcastError
from core.settings import Settings
from ingest.readers import read_frames
from ingest.store.database import reading
from ingest.store.live import Store
from ingest.store.retention import Keep
from ingest.store.scanfile import frame_sha256
from service.forecasts.nowcast import NowcastService
from service.forecasts.records import StoredForecast, read_rate
from service.forecasts.retention import sweep_forecasts
from service.forecasts.tables import ScoredLeadRow, ScoreSumsRow
from service.queries.rain_times import record_rain_times

MADE: Final = re.compile(r"forecast made by (\S+) from scans.*?forecast_id=(\S+)")
MODELS: Final = ("default", "persistence", "extrapolation")
LONGEST_S: Final = 3600.0
AFTER_PARTS: Final = timedelta(hours=2)
VALUES: Final = ("value_0", "value_1", "value_2", "value_3")
Key = tuple[Any, ...]


def clean_service(home: Path, scans: Sequence[Path], settings: Settings) -> NowcastService:
    """A service without any fault on the same scans: every forecast with its baselines, every score."""
    service = NowcastService.from_settings(settings.model_copy(update={"home": home}))
    times = []
    for path in scans:
        frames = read_frames(path)
        service.store.put_file(frames, None, path.name)
        times += [frame.valid_time for frame in frames]
    for time in times:
        try:
            service.forecast_stored(time, scheduled=True)
        except NowcastError:
            continue  # of the first scan alone there is no forecast
    while service.verify_observed() or record_rain_times(service, LONGEST_S):
        pass
    return service


def current(service: NowcastService) -> dict[tuple[datetime, str], StoredForecast]:
    """The forecasts from scans that count, by reference time and name of the model."""
    found = service.catalogue.select(origin="scans", replaced=False, limit=100_000)
    return {(one.reference_time, one.model): one for one in found}


def scores_of(service: NowcastService) -> dict[Key, tuple[int, ...]]:
    """All stored sums by what they are of."""
    lead, sums = ScoredLeadRow, ScoreSumsRow
    key = (lead.model, lead.version, lead.reference_time, lead.lead_minutes, sums.family, sums.mask)
    bins = (sums.threshold_mmh, sums.window_km, sums.bin)
    query = select(*key, *bins, *(getattr(sums, name) for name in VALUES)).join_from(lead, sums)
    with reading(service.catalogue.engine) as connection:
        return {tuple(row[: len(key) + 3]): tuple(row[len(key) + 3 :]) for row in connection.execute(query)}


def check_scans(home: Path, scans: Sequence[Path]) -> dict[str, int]:
    """Every scan is stored once with the content of its file, and nothing else is.

    Raises:
        AssertionError: one is missing, changed, or too many.
    """
    store = Store(home, ahead=timedelta(seconds=300))
    expected = {}
    for path in scans:
        for frame in read_frames(path):
            expected[frame.product, frame.valid_time] = frame_sha256(frame)
    found = [(scan.product, scan.valid_time) for scan in store.scans()]
    assert len(found) == len(set(found))
    missing, strange = expected.keys() - set(found), set(found) - expected.keys()
    assert not missing, f"scans are missing: {sorted(missing)}"
    assert not strange, f"scans of no file: {sorted(strange)}"
    changed = [
        scan for scan in store.scans() if frame_sha256(store.load(scan)) != expected[scan.product, scan.valid_time]
    ]
    assert not changed, f"scans with another content: {changed}"
    return {"scans": len(found)}


def compare_forecasts(
    service: NowcastService, clean: NowcastService
) -> tuple[dict[str, int], list[str], set[datetime]]:
    """Counts of forecasts that are equal to the clean run's; what differs in words, and the times of those."""
    found, expected = current(service), current(clean)
    different, times = [], set()
    counts = Counter[str](expected=len(expected))
    for key, right in expected.items():
        one = found.get(key)
        if one is None:
            different.append(f"no forecast of {key}")
        elif one.input_times != right.input_times:
            different.append(f"{key}: another window: {one.input_times.count(None)} scans are missing in it")
        elif one.method != right.method:
            different.append(f"{key}: made by {one.method}, {one.notes}")
        elif not np.array_equal(read_rate(one.path), read_rate(right.path), equal_nan=True):
            different.append(f"{key}: other values")
        else:
            counts["equal"] += 1
            continue
        times.add(key[0])
    strange = found.keys() - expected.keys()
    different += [f"a forecast of no scan: {key}" for key in strange]
    return dict(counts), different, times


def compare_scores(
    service: NowcastService, clean: NowcastService, leave_out: set[datetime]
) -> tuple[dict[str, int], list[str]]:
    """Counts of sums that are equal to the clean run's; those of other forecasts are left out."""
    found, expected = scores_of(service), scores_of(clean)
    again = {
        one.reference_time
        for one in service.catalogue.select(origin="scans", limit=100_000)
        if not _is_alone(service, one)
    }
    wanted = {key: sums for key, sums in expected.items() if key[2] not in leave_out | again}
    different = [f"{key}: {found.get(key)}, expected {sums}" for key, sums in wanted.items() if found.get(key) != sums]
    strange = [key for key in found.keys() - expected.keys() if key[2] not in leave_out | again]
    different += [f"sums of nothing: {key}" for key in strange]
    return {"sums": len(wanted), "left_out": len(expected) - len(wanted)}, different


def _is_alone(service: NowcastService, one: StoredForecast) -> bool:
    same = service.catalogue.select(
        origin="scans", model=one.model, start=one.reference_time, end=one.reference_time, limit=10
    )
    return len({other.id for other in same}) == 1


def made_twice(log: str, lost: set[str], restarts: int) -> dict[str, Any]:
    """How often a forecast was computed that was there already; one whose file a fault has lost is made again.

    A worker that is killed between the file and its row makes the forecast once more: `restarts` may do so.
    """
    made = Counter(match[2].rstrip("]") for match in MADE.finditer(log))
    twice = {name: count - 1 for name, count in made.items() if count > 1 and name not in lost}
    return {
        "computed": made.total(),
        "forecasts": len(made),
        "again_after_loss": sum(made[name] - 1 for name in lost if made[name] > 1),
        "twice": sum(twice.values()),
        "restarts": restarts,
    }


def temporary_files(home: Path) -> list[Path]:
    """Temporary files and folders of unfinished work that are left an hour after the end, when the sweeps have run."""
    settings = Settings(home=home)
    later = datetime.now(UTC) + AFTER_PARTS
    for path in home.rglob(".*.part"):
        os.utime(path, (0, 0))
    Store(home, clock=lambda: later, ahead=timedelta()).sweep(Keep.of(settings))
    sweep_forecasts(NowcastService.from_settings(settings), later)
    return sorted(path.relative_to(home) for path in home.rglob(".*.part"))


def ends_of(log: str) -> dict[str, int]:
    """How often each part ended and was started again."""
    found: Mapping[str, int] = Counter(re.findall(r"^\s*(\w+) \| ended unexpectedly", log, re.MULTILINE))
    return dict(found)


def tracebacks(log: str) -> dict[str, int]:
    """The last lines of tracebacks in the log, with their number: what no code has handled."""
    counts: dict[str, int] = defaultdict(int)
    for line in _last_lines(log):
        counts[line] += 1
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:20])


def _last_lines(log: str) -> Iterator[str]:
    is_inside: dict[str, bool] = defaultdict(bool)
    for line in log.splitlines():
        name, _, text = line.partition(" | ")
        if text.startswith("Traceback"):
            is_inside[name] = True
        elif is_inside[name] and text and not text.startswith(" "):
            is_inside[name] = False
            yield f"{name.strip()}: {text[:120]}"
