"""`Prefer: respond-async`: a real queue, a real worker process, and a job to follow until its forecast is there."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from celery import Celery
from pydantic import SecretStr
from starlette.testclient import TestClient

from service.api import jobs
from service.broker import Broker, embedded
from service.nowcast import NowcastService
from tests.service.api_support import fill, running, service_at

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),  # Celery's own call
]

ASYNC = {"Prefer": "wait=5, respond-async"}
TASK = "service.tasks.make_forecast_task"
LIMIT_S = 90


def within(limit_s: float) -> Iterator[None]:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        yield
    pytest.fail(f"nothing came within {limit_s} s")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = embedded(tmp_path_factory.mktemp("broker"))
    with subprocess.Popen(made.command) as server:
        try:
            next(None for _ in within(20) if made.answers())
            yield made
        finally:
            server.kill()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> NowcastService:
    made = service_at(tmp_path_factory.mktemp("home"), redis_url=SecretStr(broker.url), model="persistence")
    fill(made)
    return made


@pytest.fixture(scope="module")
def queue(broker: Broker) -> Iterator[Celery]:
    """The queue as this test's process sees it; the project's own app takes its address from the environment."""
    app = Celery("client", broker=broker.url, backend=broker.url)
    yield app
    app.close()


@pytest.fixture
def client(service: NowcastService, queue: Celery, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(jobs, "worker", queue)
    monkeypatch.setattr(jobs, "make_forecast_task", queue.tasks[TASK])
    with running(service) as client:
        yield client


def test_a_job_that_nobody_gave_out_is_unknown(client):
    answer = client.get(f"/jobs/{uuid4()}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_worker_makes_the_forecast_that_the_job_leads_to(client, service, broker):
    assert client.get("/readyz").json()["checks"]["broker"] == "ok"
    body = {"reference_time": "2024-06-01T12:00:00Z", "model": "persistence"}
    accepted = client.post("/nowcast", json=body, headers=ASYNC)
    assert accepted.status_code == 202
    assert accepted.headers["preference-applied"] == "respond-async"
    where = accepted.headers["location"]
    assert client.get(where).json()["status"] == "waiting"
    assert service.list() == []  # the API itself made nothing

    failing = client.post("/nowcast", json={**body, "reference_time": "1990-01-01T00:00:00Z"}, headers=ASYNC)
    settings = {
        "NOWCAST_HOME": str(service.settings.home),
        "NOWCAST_REDIS_URL": broker.url,
        "NOWCAST_MODEL": "persistence",
    }
    command = [sys.executable, "-m", "celery", "-A", "service.worker", "worker", "--loglevel", "WARNING"]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, env={**os.environ, **settings}) as process:
        try:
            job = next(job for _ in within(LIMIT_S) if (job := client.get(where).json())["status"] == "done")
            forecast = client.get(job["links"]["forecast"]).json()
            assert forecast["forecast_id"] == job["forecast_id"]
            assert forecast["model"]["name"] == "persistence"
            failed_at = failing.headers["location"]
            failed = next(job for _ in within(LIMIT_S) if (job := client.get(failed_at).json())["status"] == "failed")
            assert "1990-01-01" in failed["detail"]
        finally:
            process.terminate()


def test_an_unknown_model_is_refused_before_it_is_queued(client):
    assert client.post("/nowcast", json={"model": "no such"}, headers=ASYNC).status_code == 404


def test_a_broker_that_is_gone_is_told(tmp_path):
    service = service_at(tmp_path, redis_url=SecretStr("redis://:secret-word@127.0.0.1:1/0"), model="persistence")
    with running(service) as client:
        posted = client.post("/nowcast", json={"model": "persistence"}, headers=ASYNC)
        for answer in (posted, client.get(f"/jobs/{uuid4()}")):
            assert answer.status_code == 503
            assert "retry-after" in answer.headers
            assert "queue" in answer.json()["detail"]
            assert "secret-word" not in answer.text
        assert client.get("/livez").status_code == 200
