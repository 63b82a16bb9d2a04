"""Twenty faults of files and sources against ingest, schedule and scores in one process: nothing is lost or differs."""

import random
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.cf import rate_dataset, write_dataset
from core.errors import ConflictError, NowcastError
from ingest.sources.directory import DirectorySource
from ingest.store import healing
from ingest.store.live import Store
from ingest.worker.loop import IngestWorker
from service.forecasts import replacement
from service.forecasts.nowcast import NowcastService
from tests.chaos import invariants, of_files, of_sources
from tests.chaos.run import read_all
from tests.chaos.scene import FAULTS, Scene
from tests.service.api_support import GRID, REFERENCE, STEP, rain_THW, service_at, window_times

FAULTS_COUNT = 20
SCANS = 8
AT_START = 5
CYCLES = 3
"""The first one finds the damage, the second one repairs it, the third one has nothing to do."""

SLOW = ("a lock", "a scan of tomorrow", "a scan of another grid", "garbage as metrics")
"""Faults that wait for seconds, or need files that only a radar of the real size has."""


@dataclass
class Process:
    """Ingest and worker of a service without their loops: `cycle` is one turn of each."""

    home: Path
    inbox: Path
    now: datetime
    made: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.service = self._service(self.home)
        store = Store(self.home, synced=False)
        source = DirectorySource(self.inbox, grace_s=0.0)
        self.ingest = IngestWorker(source, store, list, threading.Event(), min_free_bytes=0)

    def _service(self, home: Path) -> NowcastService:
        return service_at(home, clock=lambda: self.now, refuse_after_s=10**6, stale_after_s=10**6)

    def cycle(self, *, scored: bool = True) -> bool:
        """Look, forecast, make again, score; whether all went well."""
        is_well, self.now = True, self.now + timedelta(seconds=1)
        for work in (self.ingest.look, self._forecast, self._baselines, *([self._score] if scored else [])):
            try:
                work()
            except NowcastError:
                is_well = False  # the queue calls it again
        return is_well

    def look(self) -> None:
        """Ingest alone, as often as a fault waits."""
        with suppress(NowcastError):
            self.ingest.look()

    def _forecast(self) -> None:
        for one in self.service.schedule.queued():
            with suppress(ConflictError), self.service.healing.noticing():  # one scan alone makes no window
                made = self.service.forecast_stored(one.reference_time, scheduled=True, with_baselines=False)
                self.made.append(made.id)

    def _baselines(self) -> None:
        self.service.baselines.make_again()
        for one in self.service.baselines.missing(self.service.verified_since()):
            self.service.baselines.compute(one)

    def _score(self) -> None:
        while self.service.verify_observed():
            pass

    def clean(self, home: Path, scans: list[Path]) -> NowcastService:
        """The same work without any fault on the same scans."""
        (home / "inbox").mkdir(parents=True)
        other = Process(home / "var", home / "inbox", self.now)
        Scene(cast("Any", None), home, other.inbox, random.Random(0), scans, GRID).play(len(scans))
        assert other.cycle()
        return other.service


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    (tmp_path / "day").mkdir()
    (tmp_path / "inbox").mkdir()
    rate_mmh_THW = rain_THW(window_times(count=SCANS))
    for time, rate_mmh_HW in zip(window_times(count=SCANS), rate_mmh_THW, strict=True):
        dataset = rate_dataset(rate_mmh_HW[None], [time], GRID, attributes={"product": "RY"})
        write_dataset(dataset, tmp_path / "day" / f"{time:%Y%m%d%H%M}.nc")
    scans = sorted((tmp_path / "day").iterdir())
    return Scene(cast("Any", None), tmp_path / "var", tmp_path / "inbox", random.Random(24), scans, GRID)


def test_twenty_faults_in_one_process_lose_nothing(scene, tmp_path, monkeypatch):
    process = Process(scene.home, scene.inbox, REFERENCE + STEP / 10)
    monkeypatch.setattr(healing, "AGAIN_AFTER", timedelta(0))  # two faults may harm one scan within seconds
    monkeypatch.setattr(replacement, "MOST_REPLACED", 99)  # few scans, each of which is harmed more than once
    waits = SimpleNamespace(sleep=lambda _: process.look())  # ingest looks while a file is half there
    monkeypatch.setattr(of_sources, "time", waits)
    scene.play(AT_START)
    process.cycle()
    kinds = [name for name in FAULTS if not name.startswith(SLOW) and _is_here(name)]
    done = []
    for number in range(FAULTS_COUNT):
        kind = kinds[number % len(kinds)]
        done.append((kind, FAULTS[kind](scene)))
        is_repaired = any(process.cycle(scored=number % 4 == 0) for _ in range(CYCLES))
        assert is_repaired, f"not repaired: {done[-1]}"
        scene.play(number % 3 == 0)
    scene.play(SCANS - scene.played)
    process.cycle()
    read_all(process.service)
    assert [process.cycle() for _ in range(CYCLES)][-1]
    assert sum(bool(words) for _, words in done) >= FAULTS_COUNT - 4, done
    assert invariants.check_scans(scene.home, scene.scans) == {"scans": SCANS}
    clean = process.clean(tmp_path / "clean", list(scene.scans))
    counts, different, times = invariants.compare_forecasts(process.service, clean)
    assert different == []
    assert counts["equal"] == 3 * (SCANS - 1)
    scores, other = invariants.compare_scores(process.service, clean, times)
    assert other == []
    assert scores["sums"] > 100
    assert invariants.temporary_files(scene.home) == []


def _is_here(name: str) -> bool:
    """Whether a kind of fault needs files alone, no processes."""
    inject = FAULTS[name]
    return getattr(inject, "func", inject).__module__ in (of_files.__name__, of_sources.__name__)
