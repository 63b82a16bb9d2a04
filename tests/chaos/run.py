"""A day of German rain through the whole service while faults are injected, then what must hold.

`python -m tests.chaos.run DATA [--seed 24 --minutes 40 --faults 300 --scans 288 --postgresql --json FILE]`

DATA is the folder with `dwd_ry_20180711_00.nc` and `dwd_ry_20180711_12.nc` (radar of Deutscher Wetterdienst, RY). The
crop of 200 x 200 cells of `tests.end_to_end.twelve_hours` is played with times of today into `python -m service.run
--source`, whose live store is a file system of its own where this process may mount one (a full disk is a fault). The
kinds of faults are drawn in rounds, so that each is injected as often as the others. The report is printed as JSON; the
exit status is 1 where something does not hold.
"""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final

import typer
from redis.exceptions import RedisError

from core.errors import NowcastError
from core.settings import Settings
from service.forecasts.nowcast import NowcastService
from service.forecasts.records import read_rate
from tests.chaos import invariants, of_clients, of_files, of_machines, of_processes, of_sources
from tests.chaos.machine import Database, database, slow_disk
from tests.chaos.scene import FAULTS, Scene
from tests.chaos.watch import Sample, Watch
from tests.end_to_end.clock import Clock, clock_library
from tests.end_to_end.stack import end, running_stack
from tests.end_to_end.twelve_hours import write_scans
from verification.baselines import BASELINES

KINDS: Final = (of_processes, of_files, of_sources, of_clients, of_machines)
"""The modules that enter kinds of faults."""

HISTORY: Final = 25
"""Scans that are there at the start: a window of two hours."""

LEAD_MINUTES: Final = 30
DISK_BYTES: Final = 2**30
PATIENCE_S: Final = 15.0
"""The radar waits no longer for the forecast of its last scan: a real one does not wait at all."""

OVERLAP: Final = 0.75
"""Probability that the next fault does not wait for the repair of this one."""

HARMLESS: Final = (OSError, KeyError, StopIteration, RedisError, subprocess.CalledProcessError)
SETTINGS: Final = {
    "GRID_M": "1000",
    "MEMBERS": "0",
    "LEAD_MINUTES": str(LEAD_MINUTES),
    "STALE_AFTER_S": "172800",
    "REFUSE_AFTER_S": "172800",
    "CYCLE_S": "1",
    "HEARTBEAT_S": "5",
    "TASK_LIMIT_S": "120",
    "MIN_FREE_BYTES": str(16 * 2**20),
}


@dataclass
class Injected:
    """One fault: its kind, what was done, when, and how long the repair took (None: the next fault did not wait)."""

    kind: str
    words: str
    began_s: float
    ended_s: float
    repair_s: float | None = None


@dataclass
class Chaos:
    """Injects faults into a scene one after the other."""

    scene: Scene
    most: int
    ends_s: float
    pause_s: float
    kinds: Sequence[str]
    overlap: float = OVERLAP
    done: list[Injected] = field(default_factory=list)
    harness: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        chance, left = self.scene.chance, list[str]()
        while len(self.done) < self.most and time.monotonic() < self.ends_s:
            if not left:
                left = chance.sample(self.kinds, len(self.kinds))
            self._inject(left.pop())
            if chance.random() >= self.overlap or len(self.done) == self.most:
                self.done[-1].repair_s = round(self.scene.await_well(), 1)
                self.done[-1].ended_s = time.monotonic()
                time.sleep(chance.uniform(0, 2 * self.pause_s))

    def _inject(self, kind: str) -> None:
        began = time.monotonic()
        try:
            words = FAULTS[kind](self.scene)
        except HARMLESS as err:  # the file or process has just gone
            words = ""
            self.harness[f"{kind}: {type(err).__name__}"] += 1
        self.done.append(Injected(kind, words, began, time.monotonic()))
        print(f"fault {len(self.done)}: {kind}: {words or 'nothing to harm'}", flush=True)

    def spans(self) -> list[tuple[float, float]]:
        """From each fault to the repair of it, or of the one after it."""
        spans, began = [], None
        for one in self.done:
            began = one.began_s if began is None else began
            if one.repair_s is not None:
                spans.append((began, one.ended_s))
                began = None
        return spans


def play(scene: Scene, stop: threading.Event) -> None:
    """Write a scan as soon as the forecast of the one before is there, or after `PATIENCE_S`."""
    while scene.played < len(scene.scans) and not stop.is_set():
        before, ends = scene.newest(), time.monotonic() + PATIENCE_S
        with suppress(OSError):  # the inbox is away
            if scene.inbox.is_dir():
                scene.play()
        while scene.newest() == before and time.monotonic() < ends and not stop.wait(1.0):
            pass


@contextmanager
def disk(folder: Path) -> Iterator[bool]:
    """A file system of its own at a folder, where this process may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def day(data: Path, folder: Path, count: int) -> tuple[list[Path], Any]:
    """The files of a day that ends now, at most `count` of them, and their grid."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    last = now - timedelta(minutes=now.minute % 5)
    first = datetime(2018, 7, 11, 0, 0, tzinfo=UTC)
    grid = write_scans(data, folder, count / 12 - 2.5, last - timedelta(minutes=5 * (count - 1)) - first)
    return sorted(folder.iterdir()), grid


def kinds_with(server: Database | None) -> list[str]:
    """The kinds of faults that harm a catalogue in a file, or those of its server."""
    return sorted(FAULTS.keys() - set(of_machines.OF_SQLITE if server else of_machines.OF_DATABASE))


@contextmanager
def started(home: Path, data: Path, count: int, seed: int, server: Database | None = None) -> Iterator[Scene]:
    """The system on the first scans, with its first forecasts."""
    scans, grid = day(data, home / "day", count)
    library = clock_library(home)
    clock, slow = Clock(home, library) if library else None, slow_disk(home)
    (home / "inbox").mkdir()
    environment = {f"NOWCAST_{name}": value for name, value in SETTINGS.items()}
    preloaded = [one.environment for one in (clock, slow) if one]
    environment |= {name: value for one in preloaded for name, value in one.items()}
    environment |= {"LD_PRELOAD": ":".join(one["LD_PRELOAD"] for one in preloaded)} if preloaded else {}
    environment |= {"NOWCAST_DATABASE_URL": server.url} if server else {}
    with disk(home / "var") as is_mounted:
        arguments = ("--source", str(home / "inbox"))
        with running_stack(home, *arguments, environment=environment) as stack:
            chance = random.Random(seed)
            scene = Scene(stack, home / "var", home / "inbox", chance, scans, grid, clock, is_mounted, slow, server)
            scene.play(HISTORY)
            scene.await_well()
            yield scene


def await_all(scene: Scene, within_s: float) -> float:
    """Wait until every scan has its forecast, baselines and scores; how long it took."""
    began = time.monotonic()
    if scene.clock:
        scene.clock.step_to(0)
    scene.play(len(scene.scans))
    service = NowcastService.from_settings(chaos_settings(scene.home, scene.database))
    read_all(service)

    def is_done() -> bool:
        try:
            made = {time for time, name in invariants.current(service) if name not in BASELINES}
            lacks = [one for one in service.schedule.queued() if one.reference_time > min(made)]
            return (
                len(service.store.scans()) >= len(scene.scans)
                and not lacks
                and not service.baselines.missing(service.verified_since())
                and is_scored(service)
            )
        except (NowcastError, OSError, ValueError) as err:  # a repair that is going on
            print(f"not yet: {type(err).__name__}: {err}", flush=True)
            return False

    while not is_done():
        if time.monotonic() - began > within_s:
            scene.unrepaired.append(f"not every forecast and score is there after {within_s:.0f} s")
            break
        time.sleep(5)
    return time.monotonic() - began


def is_scored(service: NowcastService) -> bool:
    """Whether every lead whose scan is stored has its scores."""
    newest = service.store.latest()
    if newest is None:
        return False
    scored = {key[:1] + key[2:4] for key in invariants.scores_of(service)}
    return all(
        (one.model, one.reference_time, minutes) in scored
        for one in invariants.current(service).values()
        for minutes in one.lead_minutes
        if one.reference_time + timedelta(minutes=minutes) <= newest.valid_time
    )


def chaos_settings(home: Path, server: Database | None = None) -> Settings:
    """The settings of the service under test."""
    values: dict[str, Any] = {name.lower(): value for name, value in SETTINGS.items()}
    values |= {"database_url": server.url} if server else {}
    return Settings(home=home, **values)


def run(
    data: Path,
    home: Path,
    *,
    seed: int,
    minutes: float,
    faults: int,
    scans: int,
    kinds: Sequence[str] = (),
    settle_s: float = 1200,
    overlap: float = OVERLAP,
    server: Database | None = None,
) -> dict[str, Any]:
    """Play, harm, wait, compare; return the report."""
    if unknown := set(kinds) - FAULTS.keys():
        raise ValueError(f"expected kinds of {sorted(FAULTS)}, got {sorted(unknown)}")
    kinds = kinds or kinds_with(server)
    with started(home, data, scans, seed, server) as scene:
        watch, stop = Watch(scene), threading.Event()
        ends_s = time.monotonic() + minutes * 60
        chaos = Chaos(scene, faults, ends_s, 0.3 if minutes > 5 else 0.05, kinds, overlap)
        radar = threading.Thread(target=play, args=(scene, stop), daemon=True)
        watch.start()
        radar.start()
        try:
            chaos.run()
            radar.join(max(0.0, ends_s - time.monotonic()))
        finally:
            stop.set()
            radar.join()
        scene.scans = scene.scans[: scene.played]  # what was not played is not played any more
        settled_s = await_all(scene, settle_s)
        scene.await_well()
        watch.stop()
        end(scene.stack.process)
        log = scene.stack.log()
        kept = home / "kept"
        shutil.copytree(scene.home, kept)  # the file system of the store goes with the service
    scene.home = kept
    report = _figures(chaos, watch, scene, log) | {"settled_s": round(settled_s), "seed": seed}
    (home / "figures.json").write_text(json.dumps(report | {"lost": sorted(scene.lost)}, indent=2))
    return report | check(scene, home, log)


def check(scene: Scene, home: Path, log: str) -> dict[str, Any]:
    """What holds and what does not."""
    settings = chaos_settings(scene.home)
    problems: list[str] = []
    found: dict[str, Any] = {}
    try:
        found |= invariants.check_scans(scene.home, scene.scans)
    except AssertionError as err:
        problems.append(str(err))
    service = NowcastService.from_settings(chaos_settings(scene.home, scene.database))
    clean = invariants.clean_service(home / "clean", scene.scans, settings)
    forecasts, different, times = invariants.compare_forecasts(service, clean)
    scores, other = invariants.compare_scores(service, clean, times)
    problems += different + other
    ends = invariants.ends_of(log)
    twice = invariants.made_twice(log, scene.lost, ends.get("worker", 0))
    if twice["twice"] > twice["restarts"]:
        problems.append(f"{twice['twice']} forecasts made twice, the worker ended {twice['restarts']} times")
    left = invariants.temporary_files(scene.home)
    problems += [f"not repaired: {words}" for words in scene.unrepaired]
    problems += [f"temporary file {path}" for path in left]
    problems += [f"{kind}, {number} times" for kind, number in scene.refused.items()]
    found |= {"forecasts": forecasts, "scores": scores, "made_twice": twice, "tracebacks": invariants.tracebacks(log)}
    return found | {"problems_count": len(problems), "problems": problems[:60], "ends": ends}


def _figures(chaos: Chaos, watch: Watch, scene: Scene, log: str) -> dict[str, Any]:
    took = [one.repair_s for one in chaos.done if one.repair_s is not None]
    by_kind: dict[str, list[float]] = defaultdict(list)
    for one in chaos.done:
        by_kind[one.kind] += [one.repair_s] if one.repair_s is not None else []
    quiet = watch.outside(chaos.spans())
    harmed = Counter(one.kind for one in chaos.done if one.words)
    return {
        "faults": harmed.total(),
        "nothing_to_harm": len(chaos.done) - harmed.total(),
        "kinds": len(harmed),
        "by_kind": dict(sorted(harmed.items())),
        "played": scene.played,
        "repair_s": {"median": round(median(took), 1), "most": max(took)} if took else {},
        "slowest": {kind: max(some) for kind, some in sorted(by_kind.items()) if some and max(some) > 30},
        "quiet_samples": len(quiet),
        "unready_while_quiet": dict(Counter(reason_of(one) for one in quiet if one.readyz != 200)),
        "watch": watch.figures(),
        "harness": dict(chaos.harness),
    }


def reason_of(sample: Sample) -> str:
    """Why /readyz refused, without the numbers."""
    found = re.search(r'"detail":"([^"]*)', sample.words)
    return re.sub(r"\d+", "N", found[1]) if found else str(sample.readyz)


def read_all(service: NowcastService) -> None:
    """Read every scan and forecast, as nothing else reads old ones: a damaged one is set aside and made again."""
    for scan in service.store.scans():
        with suppress(NowcastError):
            service.store.load(scan)
    for forecast in invariants.current(service).values():
        with suppress(NowcastError, OSError), service.healing.noticing():
            read_rate(forecast.path)


def main(
    data: Path,
    seed: int = 24,
    minutes: float = 40.0,
    faults: int = 300,
    scans: int = 288,
    json_file: Annotated[Path | None, typer.Option("--json", help="file of the report")] = None,
    home: Annotated[Path | None, typer.Option(help="empty folder in which all that was written stays")] = None,
    settle_minutes: Annotated[float, typer.Option(help="longest wait for the last forecasts and scores")] = 20.0,
    overlap: Annotated[float, typer.Option(help="share of faults that wait for no repair")] = OVERLAP,
    kind: Annotated[list[str] | None, typer.Option(help="of these kinds alone")] = None,
    postgresql: Annotated[bool, typer.Option(help="the catalogue in a PostgreSQL server, which is harmed too")] = False,
) -> None:
    """Play the day, print the report."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the service is stopped by its context
    with tempfile.TemporaryDirectory() as folder, database(postgresql) as server:
        place = home or Path(folder)
        report = run(
            data,
            place,
            seed=seed,
            minutes=minutes,
            faults=faults,
            scans=scans,
            kinds=kind or (),
            settle_s=60 * settle_minutes,
            overlap=overlap,
            server=server,
        )
    text = json.dumps(report, indent=2)
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(text + "\n")
    print(text)
    raise typer.Exit(int(bool(report["problems_count"] or report["unready_while_quiet"])))


if __name__ == "__main__":
    typer.run(main)
