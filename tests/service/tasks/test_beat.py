"""The schedule: two real beats send each task once, and a dead one is not missed."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import redis
from celery.signals import after_task_publish

from core.settings import Settings
from ingest.store.database import open_engine
from ingest.store.progress import last_progress
from service.process.broker import Broker
from service.tasks import beat, signals
from service.tasks.beat import CLAIMED_PART, OnceScheduler, SteadyEntry, steady_now
from service.tasks.queue import BEAT, CYCLE, FORECASTS, VERIFICATION, VERIFY
from tests.end_to_end.stack import ROOT, process_environment
from tests.service.queue_server import queue_server
from tests.waiting import wait_until

CYCLE_S = 0.5


@contextmanager
def running_beat(broker: Broker, home: Path, log_file: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    environment = {"NOWCAST_REDIS_URL": broker.url, "NOWCAST_HOME": str(home), "NOWCAST_CYCLE_S": str(CYCLE_S)}
    environment["NOWCAST_HEARTBEAT_S"] = "3600"
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "service.worker", "beat", "--loglevel", "WARNING"]
    with ExitStack() as files:
        log = files.enter_context(log_file.open("wb")) if log_file else None
        environment |= process_environment()
        with subprocess.Popen(command, env=environment, cwd=ROOT, stderr=log) as process:
            try:
                yield process
            finally:
                process.kill()


def sent_times(client: Any, queue: str, task: str) -> list[float]:
    """Return when the waiting messages of a task were sent, ascending."""
    messages = [json.loads(message) for message in client.lrange(queue, 0, -1)]
    own = (message["headers"] for message in messages if message["headers"]["task"] == task)
    return sorted(headers["nowcast"]["sent_at"] for headers in own)


@pytest.mark.stack
def test_two_beats_send_each_task_once_and_one_alone_continues(tmp_path: Path):
    with queue_server(tmp_path) as broker, redis.Redis.from_url(broker.url) as client, ExitStack() as beats:
        first, second = (beats.enter_context(running_beat(broker, tmp_path)) for _ in range(2))
        wait_until(lambda: client.llen(FORECASTS) >= 10 and client.llen(VERIFICATION) >= 2, "ten cycles")
        assert first.poll() is None
        assert second.poll() is None
        first.kill()
        before = client.llen(FORECASTS)
        wait_until(lambda: client.llen(FORECASTS) >= before + 4, "cycles of the other beat")
        for queue, task, interval_s in ((FORECASTS, CYCLE, CYCLE_S), (VERIFICATION, VERIFY, 6 * CYCLE_S)):
            times = sent_times(client, queue, task)
            assert len(times) <= 2 + (times[-1] - times[0]) / (CLAIMED_PART * interval_s), times
        assert client.llen(BEAT) <= 1  # one an hour


@pytest.mark.stack
def test_a_claim_that_the_servers_clock_does_not_end_is_ended_by_a_steady_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    now = [1000.0]
    monkeypatch.setattr(beat, "monotonic", lambda: now[0])
    with queue_server(tmp_path) as broker, redis.Redis.from_url(broker.url) as client:
        app = SimpleNamespace(backend=SimpleNamespace(client=client))
        first, second = _scheduler(app), _scheduler(app)
        entry = SteadyEntry(name="n", task="t", schedule=5.0, app=None)
        key = beat.KEY + "n"
        assert first._claim(entry)
        client.persist(key)  # its end is away, as after a step back of the server's wall clock
        assert not second._claim(entry)
        now[0] += 1
        assert not first._claim(entry)
        now[0] += 4
        assert first._claim(entry), "its own claim is five seconds old"
        assert not second._claim(entry), "another claim than the one that it saw"
        client.persist(key)
        now[0] += 5
        assert second._claim(entry), "the first has not come back"
        assert not first._claim(entry)
        assert client.pttl(key) > 0
        client.delete(key)
        assert first._claim(entry)


@pytest.mark.stack
def test_a_claim_that_another_beat_has_renewed_meanwhile_stays(tmp_path: Path):
    with queue_server(tmp_path) as broker, redis.Redis.from_url(broker.url) as client:
        client.set("claim", b"renewed")
        assert not client.eval(beat.TAKE_OVER, 1, "claim", b"seen before", b"own", 1000)
        assert client.get("claim") == b"renewed"
        assert client.eval(beat.TAKE_OVER, 1, "claim", b"renewed", b"own", 1000)
        assert client.get("claim") == b"own"


def _scheduler(app: Any) -> Any:
    made = OnceScheduler.__new__(OnceScheduler)
    made.app, made._seen, made._unsent, made._reported_s = app, {}, 0, -math.inf
    return made


@pytest.mark.stack
def test_a_beat_without_a_queue_logs_the_reason_in_one_line(tmp_path: Path):
    log_file = tmp_path / "beat.log"
    with queue_server(tmp_path) as broker, redis.Redis.from_url(broker.url) as client:
        with running_beat(broker, tmp_path, log_file) as process:
            wait_until(lambda: client.llen(FORECASTS) >= 2, "cycles", process=process)
            client.config_set("maxmemory", 1)
            wait_until(lambda: "OutOfMemory" in log_file.read_text(), "full queue", log_file.read_text, process=process)
            client.config_set("maxmemory", 0)
            again = "the queue takes tasks again"
            wait_until(lambda: again in log_file.read_text(), "end of it", log_file.read_text, process=process)
            client.shutdown(nosave=True)
            away = "the queue takes no task"
            wait_until(lambda: log_file.read_text().count(away) == 2, "no queue", log_file.read_text, process=process)
        assert "Traceback" not in log_file.read_text()


def test_a_queue_that_takes_no_task_is_reported_once_a_minute(monkeypatch: pytest.MonkeyPatch, caplog):
    now = [1000.0]
    monkeypatch.setattr(beat, "monotonic", lambda: now[0])
    made, fails = _scheduler(None), [True]

    def send(*_: object, **__: object) -> None:
        if fails[0]:
            raise redis.OutOfMemoryError("command not allowed")

    monkeypatch.setattr(made, "apply_async", send)
    for second in range(130):
        now[0] = 1000.0 + second
        made.apply_entry(SimpleNamespace(name=f"task {second}"))
    fails[0] = False
    for _ in range(2):
        made.apply_entry(SimpleNamespace(name="last"))
    why = "OutOfMemoryError: command not allowed"
    expected = [
        f"the queue takes no task, so that {unsent} were not sent, the last one 'task {unsent - 1}': {why}"
        for unsent in (1, 61, 121)
    ]
    assert [record.getMessage() for record in caplog.records] == [
        *expected,
        "the queue takes tasks again; 130 were not sent",
    ]
    assert all(record.exc_info is None for record in caplog.records)
    fails[0] = True
    made.apply_entry(SimpleNamespace(name="later"))
    assert "so that 1 were not sent" in caplog.records[-1].getMessage(), "the next outage is reported at once"


def test_a_task_that_is_claimed_and_then_not_sent_is_one_line_too(monkeypatch: pytest.MonkeyPatch, caplog):
    made = _scheduler(SimpleNamespace(tasks={}, send_task=Mock(side_effect=OSError("gone"))))
    monkeypatch.setattr(made, "_claim", lambda entry: True)
    made._tasks_since_sync = 0
    made.apply_entry(SimpleNamespace(name="n", task="t", args=(), kwargs={}, options={}), producer=Mock())
    (record,) = caplog.records
    assert "'n': SchedulingError: Couldn't apply scheduled task n: gone" in record.getMessage()
    assert record.exc_info is None


def test_a_step_of_the_wall_clock_moves_nothing(monkeypatch: pytest.MonkeyPatch):
    entry = SteadyEntry(name="n", task="t", schedule=5.0, app=None)

    def is_due(one: SteadyEntry) -> bool:
        due, _ = one.is_due()
        return due

    ticks = time.monotonic()
    assert not is_due(entry)

    class Stepped(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(beat, "datetime", Stepped)
    assert not is_due(entry)
    monkeypatch.setattr(beat, "monotonic", lambda: ticks + 5.1)
    assert is_due(entry)
    again: Any = next(entry)
    assert again.last_run_at == steady_now()
    assert not is_due(again)


def test_a_beat_that_leaves_all_tasks_to_another_one_records_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It may never send any: it was killed as frozen."""
    monkeypatch.setattr(signals, "get_settings", lambda: Settings(home=tmp_path))
    monkeypatch.setattr(OnceScheduler, "left_to_another", staticmethod(lambda: None))
    handlers: list[object] = []
    monkeypatch.setattr(after_task_publish, "connect", lambda handler, **_: handlers.append(handler))
    signals.record_sent_tasks()
    made = _scheduler(None)
    monkeypatch.setattr(made, "_claim", lambda entry: False)
    engine = open_engine(Settings(home=tmp_path).catalogue_url)
    assert "beat" not in last_progress(engine)
    assert made.apply_async(SimpleNamespace(name="n")) is None
    assert "beat" in last_progress(engine)
    assert handlers
