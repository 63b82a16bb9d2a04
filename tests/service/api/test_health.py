"""/livez answers at once, /readyz only when a forecast could be served; faults of the service are problems too."""

import re
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine
from starlette.testclient import TestClient

from core.errors import ConfigError, UnavailableError
from core.settings import Settings
from ingest.store.progress import CATALOGUE, LastWork, Part, ProgressRecorder, note_rebuilt
from service.api.health import newest_forecast_state
from service.app import create_app
from service.forecasts.nowcast import NowcastService
from service.tasks.liveness import lateness
from service.tasks.queue import SCHEDULE
from service.tasks.watchdog import mark_completed
from tests.service.api_support import NOW, fill, running, service_at
from tests.service.queue_server import queue_server
from tests.waiting import PATIENCE_S


def test_a_warm_service_is_ready(tmp_path: Path):
    with running(service_at(tmp_path)) as client:
        assert client.get("/livez").json() == {"status": "alive"}
        body = client.get("/readyz").json()
        assert body["status"] == "ready"
        assert body["checks"] == {
            "model": "ok",
            "catalogue": "ok",
            "broker": "not configured",
            "data": "no scan is stored yet",
            "device": "ok",
            "settings": "ok",
        }
        assert client.get("/nowcast/latest").status_code == 404  # ready, though there is nothing yet


def test_it_is_alive_but_not_ready_while_the_model_warms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    service, begun, let_go = service_at(tmp_path), threading.Event(), threading.Event()
    fill(service)

    def slow(name: str) -> None:
        begun.set()
        assert let_go.wait(PATIENCE_S)

    monkeypatch.setattr(service.predictor, "warm", slow)
    app = create_app(service)
    with TestClient(app) as client:
        assert begun.wait(PATIENCE_S)
        assert client.get("/livez").status_code == 200
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
        assert "model" in answer.json()["detail"]
        assert client.get("/scans").json()["count"] == 5  # what needs no model is there already
        let_go.set()
        assert app.state.backend.wait_warm(20)
        assert client.get("/readyz").status_code == 200


def test_until_the_store_is_open_every_answer_states_when_to_retry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    opening, let_go = threading.Event(), threading.Event()

    def from_settings(settings: Settings) -> NowcastService:
        opening.set()
        assert let_go.wait(PATIENCE_S)
        return service_at(settings.home)

    monkeypatch.setattr(NowcastService, "from_settings", from_settings)
    app = create_app(settings=Settings(home=tmp_path))
    with TestClient(app) as client:
        assert opening.wait(PATIENCE_S)
        assert client.get("/livez").status_code == 200
        for path in ("/nowcast/latest", "/models", "/scans", "/verification", "/readyz"):
            answer = client.get(path)
            assert (answer.status_code, answer.json()["title"]) == (503, "Temporarily unavailable"), path
            assert "retry-after" in answer.headers
        let_go.set()
        assert app.state.backend.wait_warm(20)
        assert client.get("/readyz").status_code == 200


def test_a_store_that_does_not_open_at_first_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tries = []

    def from_settings(settings: Settings) -> NowcastService:
        tries.append(1)
        if len(tries) == 1:
            raise UnavailableError("the database does not answer")
        return service_at(settings.home)

    monkeypatch.setattr(NowcastService, "from_settings", from_settings)
    monkeypatch.setattr("service.api.backend.RETRY_S", (0.01,))
    app = create_app(settings=Settings(home=tmp_path))
    with TestClient(app) as client:
        assert app.state.backend.wait_warm(20)
        assert client.get("/readyz").status_code == 200


def test_an_invalid_setting_is_reported_and_not_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def from_settings(settings: Settings) -> NowcastService:
        raise ConfigError("no such database driver")

    monkeypatch.setattr(NowcastService, "from_settings", from_settings)
    app = create_app(settings=Settings(home=tmp_path))
    with TestClient(app) as client:
        assert not app.state.backend.wait_warm(20)
        assert "no such database driver" in client.get("/readyz").json()["detail"]


def test_a_broker_that_does_not_answer_is_not_ready_and_takes_no_jobs(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = SecretStr(f"redis://:secret-word@127.0.0.1:{port}/0")
    times = [NOW]
    service = service_at(tmp_path, redis_url=url, clock=lambda: times[0])
    fill(service)
    with running(service) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "broker" in answer.json()["detail"]
        assert not any(word in answer.text for word in ("secret-word", f":{port}", "127.0.0.1", "redis"))
        assert "data" not in answer.json()["detail"]
        times[0] += timedelta(hours=1)  # what is unready does not hide that no scan arrives
        assert "; data: stale: the newest scan, of " in client.get("/readyz").json()["detail"]
        assert client.get("/livez").status_code == 200
        assert client.post("/nowcast", json={}).status_code == 200  # forecasts need no broker


def test_a_catalogue_that_does_not_answer_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    service = service_at(tmp_path)
    with running(service) as client:

        def broken(*_: object, **__: object) -> None:
            raise UnavailableError("the database is gone")

        monkeypatch.setattr(service, "latest", broken)
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "catalogue: no response: the database is gone" in answer.json()["detail"]


def test_an_internal_error_reveals_no_details(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    service = service_at(tmp_path)
    with running(service) as client:

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("secret path /home/x")

        monkeypatch.setattr(service, "latest", broken)
        answer = client.get("/nowcast/latest")
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "secret" not in answer.text
        assert client.get("/livez").status_code == 200


def test_importing_the_app_opens_nothing_and_loads_no_torch(tmp_path: Path):
    code = "import sys, service.app; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", code]
    environment = {
        "PYTHONPATH": str(root),
        "NOWCAST_NO_SUCH_SETTING": "1",
    }  # stops a process that reads the settings
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.stack
def test_without_a_worker_that_completes_tasks_it_is_not_ready(tmp_path: Path):
    with queue_server(tmp_path) as broker:
        service = service_at(tmp_path, redis_url=SecretStr(broker.url))
        now, engine = datetime.now(UTC), service.catalogue.engine
        with running(service) as client:
            answer = client.get("/readyz")
            assert (answer.status_code, answer.json()["detail"]) == (503, "worker: no synthetic task completed yet")
            mark_completed(engine, SCHEDULE, now, now)
            checks = client.get("/readyz").json()["checks"]
            assert (checks["worker"], checks["alerts"]) == ("ok", "no synthetic task completed yet")
            mark_completed(engine, "alerts@host", now, now)
            assert client.get("/readyz").json()["checks"]["alerts"] == "ok"
            mark_completed(engine, SCHEDULE, now, now - timedelta(seconds=2000))
            answer = client.get("/readyz")
            assert answer.status_code == 503
            detail = answer.json()["detail"]
            assert re.fullmatch(r"worker: expected a synthetic task .*, the last one completed 200\d s ago", detail)


PARTS: tuple[Part, ...] = ("beat", "ingest", "worker", "verification")


def work(engine: Engine, part: Part, ago_s: float = 0.0) -> None:
    """Record that a part worked some time ago."""
    ProgressRecorder(engine, part, Settings(), lambda: datetime.now(UTC) - timedelta(seconds=ago_s)).record()


@pytest.mark.stack
def test_each_part_that_does_not_do_its_own_work_makes_the_service_unready(tmp_path: Path):
    with queue_server(tmp_path) as broker:
        service = service_at(tmp_path, redis_url=SecretStr(broker.url))
        engine = service.catalogue.engine
        with running(service) as client:
            for part in PARTS:
                work(engine, part)
            mark_completed(engine, SCHEDULE, datetime.now(UTC))
            checks = client.get("/readyz").json()["checks"]
            assert {part: checks[part] for part in (*PARTS, "forecast")} == dict.fromkeys((*PARTS, "forecast"), "ok")
            late: tuple[tuple[Part, int], ...] = (
                ("beat", 400),
                ("ingest", 200),
                ("worker", 400),
                ("verification", 700),
            )
            for part, ago_s in late:
                work(engine, part, ago_s)
                mark_completed(engine, SCHEDULE, datetime.now(UTC))  # synthetic tasks go on: they are no work
                answer = client.get("/readyz")
                assert answer.status_code == 503, part
                assert re.fullmatch(
                    rf"{part}: expected .* within \d+ s, the last one was {ago_s} s ago", answer.json()["detail"]
                )
                work(engine, part)
                assert client.get("/readyz").status_code == 200, part


@pytest.mark.stack
def test_parts_have_their_time_again_after_a_loss_of_the_catalogue(tmp_path: Path):
    with queue_server(tmp_path) as broker:
        service = service_at(tmp_path, redis_url=SecretStr(broker.url))
        fill(service)
        engine = service.catalogue.engine
        with running(service) as client:
            client.app.state.backend.started_at = datetime.now(UTC) - timedelta(hours=1)  # type: ignore[attr-defined]
            for part in PARTS:
                work(engine, part)
            mark_completed(engine, SCHEDULE, datetime.now(UTC))
            assert "progress" not in client.get("/readyz").json()["checks"]
            for suffix in ("", "-wal", "-shm"):
                (tmp_path / f"catalogue.sqlite{suffix}").unlink(missing_ok=True)
            client.get("/readyz")  # finds the loss
            answer = client.get("/readyz")
            assert answer.status_code == 200, answer.text
            stated = answer.json()["checks"]["progress"]
            assert re.fullmatch(r"the catalogue was entered again at \S+; no work since of " + ", ".join(PARTS), stated)
            for part in PARTS[1:]:
                work(engine, part)
            assert client.get("/readyz").json()["checks"]["progress"].endswith("of beat")
            mark_completed(engine, SCHEDULE, datetime.now(UTC))
            note_rebuilt(engine, datetime.now(UTC) - timedelta(seconds=400))
            answer = client.get("/readyz")
            assert (answer.status_code, answer.json()["detail"]) == (
                503,
                "beat: expected a task to be sent within 180 s, there was none yet",
            )
            work(engine, "beat")
            assert "progress" not in client.get("/readyz").json()["checks"]


@pytest.mark.stack
def test_an_installation_may_expect_less(tmp_path: Path):
    with queue_server(tmp_path) as broker:
        url = SecretStr(broker.url)
        service = service_at(tmp_path, redis_url=url, ready_parts=("worker",))
        for part in PARTS:
            work(service.catalogue.engine, part, 4000)
        work(service.catalogue.engine, "beat")
        mark_completed(service.catalogue.engine, SCHEDULE, datetime.now(UTC))
        with running(service) as client:
            detail = client.get("/readyz").json()["detail"]
            assert detail.startswith("worker: expected a look for new scans")
            assert ";" not in detail


def test_a_part_that_never_worked_has_its_time_from_the_start_on():
    now = datetime.now(UTC)
    settings = Settings(part_late_s=100)
    assert lateness("ingest", settings, {}, now - timedelta(seconds=100), now) == "ok"
    late = lateness("ingest", settings, {}, now - timedelta(seconds=101), now)
    assert late == "expected a look at the source within 100 s, there was none yet"
    quiet = LastWork(now - timedelta(seconds=500), now + timedelta(seconds=10))  # its server asked for a pause
    assert lateness("ingest", settings, {"ingest": quiet}, now, now) == "ok"
    assert lateness("ingest", settings, {"ingest": quiet}, now, now + timedelta(seconds=111)) != "ok"


def test_a_catalogue_that_was_entered_again_gives_a_part_its_time_once_more():
    now, settings = datetime.now(UTC), Settings(part_late_s=100)

    def state(worked_s: float | None, rebuilt_s: float) -> str:
        ago = {"ingest": worked_s, CATALOGUE: rebuilt_s}
        times = {part: now - timedelta(seconds=s) for part, s in ago.items() if s is not None}
        progress = {part: LastWork(time, time) for part, time in times.items()}
        return lateness("ingest", settings, progress, now - timedelta(hours=1), now)

    assert state(None, 100) == "ok"
    assert state(None, 101) == "expected a look at the source within 100 s, there was none yet"
    assert state(99, 3600) == "ok"
    assert state(101, 3600) == "expected a look at the source within 100 s, the last one was 101 s ago"


def test_a_forecast_is_late_after_two_cycles_of_the_scans(tmp_path: Path):
    now = [NOW]
    service = service_at(tmp_path, clock=lambda: now[0])
    assert newest_forecast_state(service) == "ok"  # there is none; `waiting_for` says why
    fill(service)
    made = service.forecast_stored(scheduled=True)
    cadence = service.schedule.cadence(made.product)
    assert cadence
    now[0] = made.issued_at + 2 * cadence + timedelta(minutes=1)
    assert newest_forecast_state(service) == "ok"
    now[0] += timedelta(seconds=1)
    assert newest_forecast_state(service) == (
        f"expected a new one every {cadence.total_seconds() / 60:.0f} minutes, the newest, of 2024-06-01T12:00:00Z, "
        f"was made {(2 * cadence).total_seconds() + 61:.0f} s ago"
    )
