"""A day on which everything goes wrong, in data time: the store, the quarantine and the status at each of its steps."""

import os
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from core.times import iso
from ingest.sources.directory import DirectorySource
from ingest.store.live import Store
from ingest.worker.loop import IngestWorker
from tests.ingest.small_scans import T0, minutes, rate_of, small_file

STEPS = 288
RADAR_DOWN = range(100, 112)
OUTAGE = range(200, 204)
"""Steps of 5 minutes: an hour without one radar, 20 minutes in which the source does not answer."""


class Day:
    """What is delivered at which step, and what must be there after it."""

    def __init__(self) -> None:
        random_ = random.Random(6)
        kinds = random_.sample(range(2, STEPS - 6), 64)
        self.missing = {step for step in kinds[:14] if step not in OUTAGE}
        self.late = {step: random_.randint(1, 6) for step in kinds[14:43]}
        self.twice = set(kinds[43:58])
        self.corrupt = set(kinds[58:64])
        self.random = random_

    def deliveries(self) -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
        due: dict[int, list[tuple[str, bytes]]] = {step: [] for step in range(STEPS + 8)}
        for step in range(STEPS):
            name, content = small_file(step, missing=("ess",) if step in RADAR_DOWN else ())
            if step in self.missing:
                continue
            if step in self.corrupt:
                content = mutated(content, self.random)
            due[step + self.late.get(step, 0)].append((name, content))
            if step in self.twice:
                due[step + self.random.randint(0, 3)].append((f"again-{name}", content))
        return iter(due.items())

    @property
    def good(self) -> set[int]:
        return set(range(STEPS)) - self.missing - self.corrupt


def mutated(content: bytes, random_: random.Random) -> bytes:
    """A file cut somewhere: no reader can take it for a whole one."""
    return content[: random_.randrange(len(content) - 200)]


class Clock:
    """Data time for everybody; two minutes after each step, as the DWD's files come."""

    def __init__(self) -> None:
        self.now = T0

    def __call__(self):
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()


@pytest.fixture(scope="module", autouse=True)
def no_syncing():
    """Whole files after a power cut are not what these tests are about, and thousands of syncs take their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        yield


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """The whole day, replayed once: the store and its status after each step."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("in")
    away = folder.with_name("away")
    clock, plan = Clock(), Day()
    store = Store(home, clock=clock)
    source = DirectorySource(folder, grace_s=240, clock=clock.seconds)
    worker = IngestWorker(source, store, list, threading.Event(), clock=clock, name="share")
    source.ticks = lambda _stop: iter([None])  # type: ignore[method-assign, assignment]
    statuses, bad, seen = {}, {}, {}
    for step, files in plan.deliveries():
        clock.now = T0 + minutes(5 * step + 2)
        if step == OUTAGE.start:
            folder.rename(away)
        if step == OUTAGE.stop:
            away.rename(folder)
        for name, content in files:
            path = (folder if folder.exists() else away) / name
            path.write_bytes(content)
            if not name.startswith("again-") and step_of(name) in plan.corrupt:
                bad[name] = content
        worker.run()
        statuses[step] = store.ingest_status()
        seen[step] = {scan.valid_time for scan in store.scans()}
    return store, plan, statuses, seen, bad


def step_of(name: str) -> int:
    """The step of a file by the time in its name."""
    time = datetime.strptime(name.split("-")[2], "%y%m%d%H%M").replace(tzinfo=UTC)
    return round((time - T0) / minutes(5))


def test_the_store_holds_exactly_the_right_frames_each_once(day):
    store, plan, *_ = day
    scans = store.scans()
    assert [scan.valid_time for scan in scans] == [T0 + minutes(5 * step) for step in sorted(plan.good)]
    assert sum(1 for _ in (store.home / "scans").rglob("*.nc")) == len(plan.good)
    for step, scan in list(zip(sorted(plan.good), scans, strict=True))[::7]:
        _, content = small_file(step, missing=("ess",) if step in RADAR_DOWN else ())
        np.testing.assert_array_equal(store.load(scan).rate_mmh_HW, rate_of(content))


def test_the_quarantine_holds_exactly_the_bad_files(day):
    store, plan, _, _, bad = day
    assert len(bad) == len(plan.corrupt) == 6
    kept = [path for path in (store.home / "quarantine").iterdir() if not path.name.endswith(".reason.txt")]
    assert {path.name.split("_", 1)[1]: path.read_bytes() for path in kept} == bad
    for path in kept:
        assert "expected" in path.with_name(f"{path.name}.reason.txt").read_text()


def test_the_counters_are_those_of_the_day(day):
    _, plan, statuses, *_ = day
    status = statuses[max(statuses)]
    duplicates = len(plan.twice & plan.good)
    assert status.counts["stored"] == len(plan.good)
    assert status.counts["duplicates"] == duplicates
    assert sum(status.rejected.values()) == len(plan.corrupt)
    assert "replaced" not in status.counts
    assert status.counts["late"] >= len(set(plan.late) & plan.good) - 5  # some come before the next one after all


def test_the_status_is_right_at_every_step(day):
    _, _, statuses, seen, _ = day
    for step, status in statuses.items():
        if not seen[step]:
            continue
        (product,) = status.products
        newest = max(seen[step])
        assert (product.product, product.newest) == ("RY", newest)
        assert product.age_s == (T0 + minutes(5 * step + 2) - newest).total_seconds()
        assert status.counts["stored"] == len(seen[step])
        since = [time for time in seen[step] if newest - time <= timedelta(minutes=150)]
        wanted = {min(since) + minutes(5 * n) for n in range(int((newest - min(since)) / minutes(5)))}
        if product.cadence_minutes == 5:
            assert set(product.gaps) == wanted - seen[step], step
        overdue = T0 + minutes(5 * step + 2) > newest + minutes(15)
        assert (product.overdue_since is not None) == (overdue and product.cadence_minutes is not None)
        down = round((newest - T0) / minutes(5)) in RADAR_DOWN
        assert product.missing_radars == (("ess",) if down else ())
        assert (product.frozen, product.implausible, product.all_dry) == (False, None, False)


def test_the_outage_is_reported_while_it_lasts_and_not_after(day):
    _, _, statuses, *_ = day
    for step, status in statuses.items():
        source = status.worker["sources"]["share"]
        assert source["last_look_at"] == iso(T0 + minutes(5 * step + 2))
        if step in OUTAGE:
            assert source["outage_since"] == iso(T0 + minutes(5 * OUTAGE.start + 2))
            assert source["last_success_at"] == iso(T0 + minutes(5 * OUTAGE.start - 3))
            assert any("share has not responded since" in text for text in status.warnings)
        else:
            assert (source["outage_since"], source["error"]) == (None, None)
            assert source["last_success_at"] == source["last_look_at"]
    assert statuses[OUTAGE.stop - 1].products[0].overdue_since is not None


def mutants(content: bytes, count: int) -> Iterator[bytes]:
    """Files with flipped, overwritten, doubled or lost bytes, or cut; the header is hit as often as the rest."""
    random_ = random.Random(1000)
    for _ in range(count):
        mutant = bytearray(content)
        at = random_.randrange(random_.choice((200, len(content))))
        size = random_.choice((1, 1, 4, 50, 500))
        kind = random_.randrange(5)
        if kind == 0:
            mutant[at] ^= 1 << random_.randrange(8)
        elif kind == 1:
            mutant[at : at + size] = random_.randbytes(size)
        elif kind == 2:
            mutant[at:at] = mutant[at : at + size]
        elif kind == 3:
            del mutant[at : at + size]
        else:
            del mutant[at:]
        yield bytes(mutant)


def test_a_thousand_mutated_files_never_stop_the_worker(tmp_path, shared_data):
    """Four formats, each mutated 250 times; what is refused is in the quarantine, what is not is a sound frame."""
    folder = tmp_path / "in"
    folder.mkdir()
    radolan = shared_data / "radolan"
    seeds = {
        "odim.hdf5": small_file(0)[1],
        "ry.gz": (radolan / "sequence_ry_20200101/raa01-ry_10000-2001011500-dwd---bin.gz").read_bytes(),
        "cf.nc": (Path(__file__).parents[1] / "golden/cf-netcdf.nc").read_bytes(),
        "ascii.tar.gz": (Path(__file__).parents[1] / "golden/radolan-ascii.tar.gz").read_bytes(),
    }
    for name, content in seeds.items():
        for number, mutant in enumerate(mutants(content, 250)):
            (folder / f"{number:03d}-{name}").write_bytes(mutant)
    store = Store(tmp_path / "home")
    worker = IngestWorker(DirectorySource(folder, grace_s=0), store, list, threading.Event())
    worker.run_once()
    counts = store.ingest_status().counts
    rejected = sum(n for what, n in counts.items() if what.startswith("rejected:"))
    assert rejected + counts.get("files", 0) == 1000
    assert rejected > 800
    assert worker.totals.rejected == rejected
    assert sum(1 for path in (store.home / "quarantine").iterdir()) == 2 * rejected
    for scan in store.scans():
        rate_mmh_HW = store.load(scan).rate_mmh_HW
        assert not (rate_mmh_HW < 0).any()
        assert not np.isinf(rate_mmh_HW).any()
    assert len(list(folder.iterdir())) == 1000
