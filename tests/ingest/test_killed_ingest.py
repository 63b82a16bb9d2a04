"""SIGKILL at random moments of an ingest: a restart ends in the data and metadata of a run that nobody disturbed."""

import json
import multiprocessing
import os
import random
import signal
import sqlite3
import threading
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from ingest.sources.directory import DirectorySource
from ingest.store.live import Store
from ingest.store.ready import ServedModel
from ingest.worker.loop import IngestWorker
from tests.ingest.small_scans import small_file
from tests.waiting import PATIENCE_S

FILES = 40
TIMES = ("received_at", "ingested_at", "at")
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["ingest.worker.loop", "tests.ingest.small_scans"])


def run(home: Path, folder: Path, started) -> None:
    """One look of an ingest worker, in a process of its own."""
    source = DirectorySource(folder, grace_s=0)
    served = [ServedModel("m", 20_000.0, 30, 5)]
    worker = IngestWorker(source, Store(home, synced=True), lambda: served, threading.Event())
    started.set()
    worker.run_once()


def run_once(home: Path, folder: Path, kill_after_s: float | None = None) -> int | None:
    """Let a worker run, to its end or for a while; its exit code."""
    started = CONTEXT.Event()
    process = CONTEXT.Process(target=run, args=(home, folder, started))
    process.start()
    started.wait(PATIENCE_S)
    process.join(kill_after_s)
    if process.is_alive():
        process.kill()
    process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Scans, some of them twice, a better and a worse version of some, and bad files; each of another age."""
    folder: Path = tmp_path_factory.mktemp("in")
    for step in range(FILES):
        name, content = small_file(step)
        put(folder / name, content, step)
        if step % 5 == 0:
            put(folder / f"again-{name}", content, step + 1)
        if step % 7 == 0:
            put(folder / f"final-{name}", small_file(step, seed=3)[1], step + 2)
        if step % 11 == 0:
            put(folder / f"partial-{name}", small_file(step, missing=("ess",))[1], step + 3)
        if step % 9 == 0:
            put(folder / f"cut-{name}", content[: 1000 + step], step)
    return folder


def put(path: Path, content: bytes, age: int) -> None:
    path.write_bytes(content)
    os.utime(path, (1e9 + age, 1e9 + age))


def contents(home: Path) -> dict[str, object]:
    """Everything that the store holds, but for the times of creation and receipt."""
    found: dict[str, object] = {}
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        if path.suffix == ".nc":
            with netCDF4.Dataset(path) as dataset:
                attributes = {key: dataset.getncattr(key) for key in dataset.ncattrs() if key not in TIMES}
                attributes["history"] = attributes["history"].partition(" ")[2]  # it begins with the time of storing
                found[name] = {key: np.asarray(value).tolist() for key, value in attributes.items()}
                found[f"{name}/rate"] = np.ma.filled(dataset["rainfall_rate"][:], -1).tobytes()
        elif path.name.endswith(".reason.txt"):
            found[name] = [line for line in path.read_text().splitlines() if not line.startswith("at: ")]
        elif path.is_file() and not path.name.startswith((".", "catalogue.", "ingest-status")):
            found[name] = path.read_bytes()
    return found | tables(home)


def tables(home: Path) -> dict[str, object]:
    """The rows of the catalogue, but for times; of the counters the ones that do not depend on the order of arrival."""
    found: dict[str, object] = {}
    with sqlite3.connect(home / "catalogue.sqlite") as connection:
        connection.row_factory = sqlite3.Row
        for table in ("scans", "files", "rejected_files", "ingest_counts"):
            rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
            rows = [{key: value for key, value in row.items() if key not in TIMES} for row in rows]
            if table == "ingest_counts":
                rows = [row for row in rows if row["what"] == "files" or row["what"].startswith("rejected:")]
            found[table] = sorted(json.dumps(row) for row in rows)
    connection.close()
    return found


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory) -> dict[str, object]:
    home = tmp_path_factory.mktemp("undisturbed")
    assert run_once(home, folder) == 0
    store = Store(home)
    assert len(store.scans()) == FILES
    assert len(list((home / "windows/m").glob("*.safetensors"))) == 1
    assert store.ingest_status().rejected == {"damaged": 5}
    return contents(home)


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.long)])
def test_killed_at_random_moments(folder, undisturbed, tmp_path, kills):
    random_ = random.Random(kills)
    killed = 0
    home = tmp_path / "home"
    while killed < kills:
        code = run_once(home, folder, random_.uniform(0, 1.5) * random_.random())
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
        if code == 0:
            assert contents(home) == undisturbed
            home = tmp_path / f"home{killed}"
    assert run_once(home, folder) == 0
    assert contents(home) == undisturbed
