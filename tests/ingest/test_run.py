"""The ingest worker as its command runs it."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import ConfigError, UnavailableError
from core.settings import Settings
from ingest.run import app, choose_source, named_kind, stopped_by_signals
from ingest.sources.base import Arrival, Source
from ingest.sources.directory import DirectorySource
from ingest.sources.dwd import DwdSource
from ingest.sources.eumetnet import OrdSource
from ingest.store.intake import Outcome
from ingest.store.live import Store
from ingest.store.ready import ServedModel
from ingest.worker.loop import IngestWorker
from ingest.worker.served import served_models

ROOT = Path(__file__).resolve().parents[2]
CARD = {"pixel_m": 7258.0, "cadence_minutes": 30, "input_steps": 3, "name": "default"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("NOWCAST_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path, shared_data: Path) -> Path:
    """A folder with all 13 scans, a bad file, and a model that wants three of them."""
    folder = tmp_path / "in"
    folder.mkdir()
    for path in (shared_data / "radolan/sequence_ry_20200101").glob("*.gz"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad").write_bytes(b"no radar")
    os.utime(folder / "bad", (1e9, 1e9))
    (tmp_path / "weights/default").mkdir(parents=True)
    (tmp_path / "weights/default/model.json").write_text(json.dumps(CARD))
    (tmp_path / "weights/native").mkdir()
    (tmp_path / "weights/native/model.json").write_text(json.dumps({**CARD, "window_minutes": 120}))
    return folder


def test_once_takes_what_is_there_and_reports_it(home, folder, tmp_path):
    result = CliRunner().invoke(app, ["--source", str(folder), "--once", "--weights", str(tmp_path / "weights")])
    assert result.exit_code == 0, result.output
    store = Store(home)
    assert len(store.scans()) == 13
    ready = store.read_window("default", datetime(2020, 1, 1, 16, tzinfo=UTC))
    assert (ready.frames_BTCHW.shape, ready.status) == ((1, 3, 1, 124, 124), "ok")
    assert [path.name for path in (home / "windows").iterdir()] == ["default"], "none for a model of any scale"
    beat = json.loads((home / "ingest-status.json").read_text())
    assert (beat["stored"], beat["rejected"], beat["error"]) == (13, 1, None)
    assert beat["last_scan_time"] == "2020-01-01T16:00:00Z"
    assert beat["pid"] == os.getpid()
    assert len(list((home / "quarantine").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "/no/such/folder"], "ingest: source /no/such/folder: expected a folder, got nothing there\n"),
        (["--source", "x", "--dwd"], "ingest: expected one source, got --source x and --dwd\n"),
        (["--ord", "--dwd"], "ingest: expected one source, got --dwd and --ord\n"),
        (["--ord", "--source-kind", "dwd"], "ingest: expected one source, got --source-kind dwd and --ord\n"),
        (
            [],
            "ingest: no source given; expected --source DIR, --dwd or --ord "
            "(or NOWCAST_SOURCE, or NOWCAST_SOURCE_KIND=dwd or ord)\n",
        ),
    ],
)
def test_a_wrong_command_is_one_clear_line(home, arguments, message):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr == message


def test_a_misspelt_setting_stops_the_start(home, monkeypatch):
    monkeypatch.setenv("NOWCAST_HOMME", "x")
    result = CliRunner().invoke(app, ["--dwd", "--once"])
    assert result.exit_code == 2
    assert "NOWCAST_HOMME" in result.stderr


def test_once_with_nobody_there_fails(home, monkeypatch):
    monkeypatch.setenv("NOWCAST_DWD_URL", "http://127.0.0.1:9")
    result = CliRunner().invoke(app, ["--dwd", "--once"])
    assert result.exit_code == 1
    assert result.stderr.startswith("ingest: http://127.0.0.1:9: ConnectError")


def test_the_settings_name_the_source_where_the_command_does_not(tmp_path):
    store = Store(tmp_path / "home")

    def chosen(
        folder: Path | None = None, *, dwd: bool = False, from_ord: bool = False, kind: str | None = None, **given
    ) -> Source:
        settings = Settings(home=tmp_path, **given)
        kind = named_kind(folder, kind, dwd=dwd, from_ord=from_ord)
        return choose_source(settings, store, folder, kind=kind, once=False, poll_s=1, grace_s=1)

    assert isinstance(chosen(source=tmp_path), DirectorySource)
    assert isinstance(chosen(source_kind="dwd"), DwdSource)
    assert isinstance(chosen(tmp_path, source_kind="dwd"), DirectorySource)
    assert isinstance(chosen(dwd=True, source=tmp_path), DwdSource)
    assert isinstance(chosen(kind="dwd", source=tmp_path), DwdSource)
    assert isinstance(chosen(from_ord=True, source=tmp_path), OrdSource)
    assert isinstance(chosen(source_kind="ord"), OrdSource)
    assert isinstance(chosen(tmp_path, kind="replay"), DirectorySource)
    assert chosen(source_kind="replay", source=tmp_path).name == str(tmp_path)
    with pytest.raises(ConfigError, match="no source"):
        chosen()
    with pytest.raises(ConfigError, match="got --source-kind directory and --dwd"):
        chosen(dwd=True, kind="directory")


def test_an_unknown_kind_of_source_is_named(home, monkeypatch):
    monkeypatch.setenv("NOWCAST_SOURCE_KIND", "ftp")
    result = CliRunner().invoke(app, ["--once"])
    assert result.exit_code == 2
    assert result.stderr == "ingest: NOWCAST_SOURCE_KIND: expected one of directory, dwd, ord, replay (got 'ftp')\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_ask_to_stop_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    stop = threading.Event()
    with stopped_by_signals(stop):
        signal.raise_signal(number)
    assert stop.is_set()
    assert signal.getsignal(number) is before


def test_the_process_watches_and_ends_cleanly_on_a_signal(tmp_path, folder):
    """A real process on a real folder: what is there, what is dropped later, and the end."""
    environment = {**os.environ, "NOWCAST_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "ingest.run", "--source", str(folder), "--poll-s", "20"]
    waiting = folder.parent / "later.gz"
    next(folder.glob("*1530*")).rename(waiting)
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        assert sum(1 for _ in until(lines, 12)) == 12
        drop = threading.Timer(1.0, lambda: waiting.rename(folder / "late.gz"))
        drop.start()
        assert '"file": "late.gz"' in next(until(lines, 1))
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait() == 0, rest
        assert "ingest ended" in rest
        assert "Traceback" not in rest
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stderr.close()
    assert len(Store(tmp_path / "home").scans()) == 13


def until(lines: Iterator[str], count: int) -> Iterator[str]:
    """The next `count` lines that tell of an ingested file."""
    for line in lines:
        if " ingested " in line:
            yield line
            count -= 1
            if count == 0:
                return


def test_ingest_brings_no_torch():
    code = "import ingest.run, sys; print({'torch', 'fastapi', 'celery', 'models'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_served_models_are_read_from_their_cards(tmp_path, caplog):
    cards = {
        "b": json.dumps(CARD),
        "a": json.dumps({**CARD, "input_steps": 5}),
        "broken": "{",
        "negative": json.dumps({**CARD, "pixel_m": -1}),
        "other": json.dumps({"pixel_m": 1000}),
        "list": "[]",
    }
    for name, text in cards.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(text)
    (tmp_path / "empty").mkdir()
    assert served_models(tmp_path) == [ServedModel("a", 7258.0, 30, 5), ServedModel("b", 7258.0, 30, 3)]
    for name in ("broken", "negative", "other", "list"):
        assert f"no windows for {name}" in caplog.text
    assert served_models(tmp_path / "nowhere") == []


class Scripted:
    """A source that delivers given files, and fails where it is configured to."""

    name = "scripted"

    def __init__(self, *looks: object) -> None:
        self.looks = list(looks)
        self.settled: list[tuple[str, Outcome | None]] = []

    def look(self) -> Iterator[Arrival]:
        what = self.looks.pop(0)
        if isinstance(what, Exception):
            raise what
        yield from what  # type: ignore[misc]

    def settle(self, arrival: Arrival, outcome: Outcome | None) -> None:
        self.settled.append((arrival.path.name, outcome))

    def ticks(self, stop: threading.Event) -> Iterator[None]:
        while self.looks and not stop.is_set():
            yield None


def test_a_failing_source_and_a_failing_store_are_waited_out(tmp_path, folder, monkeypatch, caplog):
    store = Store(tmp_path / "home")
    (first, second, *_) = (Arrival(path, final=True) for path in sorted(folder.glob("*.gz")))
    source = Scripted([first], UnavailableError("server down"), [first, second])
    worker = IngestWorker(source, store, list, threading.Event())
    put = store.put_file
    failing = iter([True])

    def put_or_fail(*args, **kwargs):
        if next(failing, False):
            raise UnavailableError("disk full")
        return put(*args, **kwargs)

    monkeypatch.setattr(store, "put_file", put_or_fail)
    worker.run()
    assert [outcome and outcome.stored for _, outcome in source.settled] == [None, 1, 1]
    assert worker.totals.error is None
    assert "waiting: disk full" in caplog.text
    assert "waiting: server down" in caplog.text
    assert len(store.scans()) == 2


def test_stop_ends_after_the_file_in_hand(tmp_path, folder, caplog):
    caplog.set_level(logging.INFO)
    arrivals = [Arrival(path, final=True) for path in sorted(folder.glob("*.gz"))]
    stop = threading.Event()
    source = Scripted(arrivals)
    settle = source.settle
    source.settle = lambda *beat: (settle(*beat), stop.set())[0]  # type: ignore[method-assign, func-returns-value]
    IngestWorker(source, Store(tmp_path / "home"), list, stop).run()
    assert len(source.settled) == 1


def test_windows_follow_new_scans_only(tmp_path, folder):
    store = Store(tmp_path / "home")
    asked: list[int] = []

    def served() -> list[ServedModel]:
        asked.append(len(store.scans()))
        return [ServedModel("m", 7258.0, 30, 2)]

    arrivals = [Arrival(path, final=True) for path in sorted(folder.glob("*.gz"))]
    worker = IngestWorker(Scripted([], arrivals[:7], arrivals[:7], [arrivals[12]]), store, served, threading.Event())
    worker.run()
    assert asked == [0, 7, 8], "once at the start, in case the last run ended between a scan and its window"
    names = sorted(path.name for path in (store.home / "windows/m").iterdir())
    assert names == ["20200101T1530Z.safetensors", "20200101T1600Z.safetensors"]
