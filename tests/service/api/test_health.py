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
from starlette.testclient import TestClient

from core.errors import ConfigError, UnavailableError
from core.settings import Settings
from service.app import create_app
from service.forecasts.nowcast import NowcastService
from service.tasks.queue import SCHEDULE
from service.tasks.watchdog import mark_completed
from tests.service.api_support import fill, running, service_at
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
    service = service_at(tmp_path, redis_url=url)
    fill(service)
    with running(service) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "broker" in answer.json()["detail"]
        assert "secret-word" not in answer.text
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
