"""`Prefer: respond-async`: a real queue, a real worker process, and a job to follow until its forecast is there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from pydantic import SecretStr
from starlette.testclient import TestClient

from core.errors import BusyError, ConflictError, UnavailableError
from core.settings import Settings
from service.access.keybook import KeyBook
from service.api import jobs
from service.forecasts.nowcast import NowcastService
from service.forecasts.uploads import KeptUploads, Upload
from service.process.broker import Broker, embedded
from service.tasks.jobbook import JobBook
from service.tasks.jobs import MOST_TRIES, find_lost, run_job
from service.telemetry.traces import start_traces, stop_traces
from tests.otlp_receiver import TraceReceiver, trace_receiver
from tests.service.api_support import fill, lead_times, netcdf, running, service_at, window_times
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.stack,
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),  # Celery's own call
]

ASYNC = {"Prefer": "wait=5, respond-async"}


def in_state(client: TestClient, where: str, state: str) -> dict[str, Any]:
    """The job once it is in that state; empty before."""
    job: dict[str, Any] = client.get(where).json()
    return job if job["status"] == state else {}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = embedded(tmp_path_factory.mktemp("broker"))
    with subprocess.Popen(made.command) as server:
        try:
            wait_until(made.answers, "queue server", process=server)
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
def traces() -> Iterator[TraceReceiver]:
    with trace_receiver() as receiver:
        start_traces("api", Settings(traces_url=receiver.url))
        yield receiver
        stop_traces()


@pytest.fixture
def client(service: NowcastService, queue: Celery, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(jobs, "queue", queue)
    with running(service) as client:
        yield client


def test_a_job_that_was_never_queued_is_unknown(client):
    answer = client.get(f"/jobs/{uuid4()}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_worker_makes_the_forecast_that_the_job_leads_to(client, service, broker, traces):
    assert jobs.queue_state(service.settings) == "ok"
    body = {"reference_time": "2024-06-01T12:00:00Z", "model": "persistence"}
    accepted = client.post("/nowcast", json=body, headers=ASYNC)
    assert accepted.status_code == 202
    assert accepted.headers["preference-applied"] == "respond-async"
    where = accepted.headers["location"]
    assert client.get(where).json()["status"] == "waiting"
    assert service.list() == []  # the API itself made nothing

    called_off = client.post("/nowcast", json={**body, "model": "extrapolation"}, headers=ASYNC).headers["location"]
    assert client.delete(called_off).json()["status"] == "cancelled"
    assert client.delete(called_off).json()["status"] == "cancelled"  # asking twice is no mistake
    failing = client.post("/nowcast", json={**body, "reference_time": "1990-01-01T00:00:00Z"}, headers=ASYNC)
    settings = {
        "NOWCAST_HOME": str(service.settings.home),
        "NOWCAST_REDIS_URL": broker.url,
        "NOWCAST_MODEL": "persistence",
        "NOWCAST_TRACES_URL": traces.url,
    }
    command = [sys.executable, "-m", "celery", "-A", "service.worker", "worker", "--loglevel", "WARNING"]
    root = Path(__file__).resolve().parents[3]
    with subprocess.Popen(command, cwd=root, env={**os.environ, **settings}) as process:
        try:
            job = wait_until(lambda: in_state(client, where, "done"), "done job", process=process)
            forecast = client.get(job["links"]["forecast"]).json()
            assert forecast["forecast_id"] == job["forecast_id"]
            assert forecast["model"]["name"] == "persistence"
            failed_at = failing.headers["location"]
            failed = wait_until(lambda: in_state(client, failed_at, "failed"), "failed job", process=process)
            assert "1990-01-01" in failed["detail"]
            assert failed["problem"]["status"] == 404
            assert {forecast.model for forecast in service.list()} <= {"persistence"} | {"extrapolation"}
            assert client.get(called_off).json()["status"] == "cancelled"
            for over in (where, failed_at):
                refused = client.delete(over)
                assert (refused.status_code, refused.json()["title"]) == (409, "Not possible any more")
        finally:
            process.terminate()
    stop_traces()
    job_of = {one.trace_id: one for one in traces.spans if one.name == "run_job_task"}
    window = next(one for one in traces.spans if one.name == "window" and one.process == "nowcast-worker")
    sent = next(one for one in traces.spans if one.span_id == job_of[window.trace_id].parent_id)
    assert (sent.name, sent.process) == ("POST /nowcast", "nowcast-api"), "one trace from the request to the stage"
    assert sent.attributes["nowcast.request_id"] == window.attributes["nowcast.request_id"]


def test_an_unknown_model_is_refused_before_it_is_queued(client):
    assert client.post("/nowcast", json={"model": "no such"}, headers=ASYNC).status_code == 404


def test_waiting_jobs_are_bounded(client, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_WAITING", 1)
    body = {"reference_time": "2024-06-01T12:00:00Z", "model": "persistence"}
    assert client.post("/nowcast", json=body, headers=ASYNC).status_code == 202
    refused = client.post("/nowcast", json=body, headers=ASYNC)
    assert refused.status_code == 429
    assert "retry-after" in refused.headers
    waiting = client.get("/jobs?status=waiting").json()["jobs"]
    assert len(waiting) == 1
    assert client.delete(f"/jobs/{waiting[0]['job_id']}").status_code == 200


def test_waiting_jobs_of_one_client_leave_places_for_others(client, service, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_OF_ONE", 1)
    backend = client.app.state.backend
    made = [jobs.enqueue(None, "persistence", backend, "one")]
    with pytest.raises(BusyError, match="1 of this client's jobs are waiting, the limit; retry later"):
        jobs.enqueue(None, "persistence", backend, "one")
    made.append(jobs.enqueue(None, "persistence", backend, "another"))
    for job in made:
        JobBook(service.catalogue.engine).remove(job.id)


def test_a_lost_broker_is_reported(tmp_path):
    service = service_at(tmp_path, redis_url=SecretStr("redis://:secret-word@127.0.0.1:1/0"), model="persistence")
    with running(service) as client:
        answer = client.post("/nowcast", json={"model": "persistence"}, headers=ASYNC)
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert "queue" in answer.json()["detail"]
        assert "secret-word" not in answer.text
        assert client.get("/jobs").json()["jobs"] == []  # what did not get into the queue is no job
        assert client.get("/livez").status_code == 200


@pytest.fixture
def alone(tmp_path: Path) -> NowcastService:
    """A service whose jobs no queue knows of, as after a queue has lost everything."""
    made = service_at(tmp_path)
    fill(made)
    return made


def test_a_lost_job_is_queued_again_and_fails_after_three_tries(alone):
    book, uploads = JobBook(alone.catalogue.engine), KeptUploads(alone.settings.home)
    job = book.add(None, "persistence")
    uploads.keep(job.id, Upload((), (), "default"))
    assert find_lost(book, uploads, older_than_s=60) == []
    for _ in range(MOST_TRIES - 1):
        assert find_lost(book, uploads, older_than_s=0) == [job.id]
        assert waiting(alone), "it is needed for the next try"
        assert book.begin(job.id)  # a worker takes it, and dies
    assert find_lost(book, uploads, older_than_s=0) == []
    over = book.get(job.id)
    assert over.state == "failed"
    assert over.problem == {
        "status": 503,
        "title": "Temporarily unavailable",
        "detail": "no worker completed it in 3 tries; the service may be overloaded, or have no worker",
    }
    assert find_lost(book, uploads, older_than_s=0) == []
    assert waiting(alone) == []


def test_two_schedules_queue_a_lost_job_once(alone):
    book = JobBook(alone.catalogue.engine)
    job = book.add(None, "persistence")
    assert book.requeue(job)
    assert not book.requeue(job)


def test_a_job_that_is_queued_twice_is_done_once(alone):
    book = JobBook(alone.catalogue.engine)
    job = book.add("2024-06-01T12:00:00+00:00", "persistence")
    run_job(alone, book, job.id)
    done = book.get(job.id)
    assert done.state == "done"
    assert done.forecast_id == alone.latest("persistence").id
    run_job(alone, book, job.id)
    assert book.get(job.id) == done


def test_a_job_that_was_called_off_while_it_ran_stays_so(alone, monkeypatch):
    book = JobBook(alone.catalogue.engine)
    job = book.add(None, "persistence")
    real = alone.forecast_stored

    def cancelled_meanwhile(*asked, **document):
        book.cancel(job.id)
        return real(*asked, **document)

    monkeypatch.setattr(alone, "forecast_stored", cancelled_meanwhile)
    run_job(alone, book, job.id)
    assert book.get(job.id).state == "cancelled"


@pytest.mark.parametrize(
    ("error", "state"),
    [(ConflictError("no window"), "failed"), (ZeroDivisionError(), "failed"), (UnavailableError("busy"), "waiting")],
)
def test_how_a_job_ends_that_cannot_be_done(alone, monkeypatch, error, state):
    def fails(*_asked, **_named):
        raise error

    monkeypatch.setattr(alone, "forecast_stored", fails)
    book = JobBook(alone.catalogue.engine)
    job = book.add(None, "persistence")
    KeptUploads(alone.settings.home).keep(job.id, Upload((), (), "default"))
    with suppress(ZeroDivisionError, UnavailableError):
        run_job(alone, book, job.id)
    over = book.get(job.id)
    assert (over.state, bool(waiting(alone))) == (state, state == "waiting"), "20 that stay keep all others out"
    assert (over.problem or {}).get("status") == {"ConflictError": 409, "ZeroDivisionError": 500}.get(
        type(error).__name__
    )


def test_jobs_are_listed_in_pages(alone):
    book = JobBook(alone.catalogue.engine)
    ids = [book.add(None, "persistence").id for _ in range(7)]
    book.cancel(ids[3])
    with running(alone) as client:
        pages, path = [], "/jobs?limit=3"
        while path:
            answer = client.get(path)
            pages.append([job["job_id"] for job in answer.json()["jobs"]])
            path = answer.json()["next"]
            assert answer.headers.get("link") == (f'<{path}>; rel="next"' if path else None)
        assert [len(page) for page in pages] == [3, 3, 1]
        assert sorted(job for page in pages for job in page) == sorted(ids)
        assert [job["job_id"] for job in client.get("/jobs?status=cancelled").json()["jobs"]] == [ids[3]]
        assert client.get("/jobs?cursor=nonsense").status_code == 422


def test_another_callers_job_is_not_called_off(alone):
    keys = KeyBook.from_settings(alone.settings)
    own, other, admin = keys.create("own", "forecast"), keys.create("other", "forecast"), keys.create("chief", "admin")
    jobs_of = JobBook(alone.catalogue.engine)
    held = keys.find(own)
    assert held is not None
    first, second = (jobs_of.add(None, "persistence", held.id).id for _ in range(2))
    with running(alone) as client:
        assert client.delete(f"/jobs/{first}").status_code == 403
        assert client.delete(f"/jobs/{first}", headers={"X-API-Key": other}).status_code == 403
        assert client.delete(f"/jobs/{first}", headers={"X-API-Key": own}).status_code == 200
        assert client.delete(f"/jobs/{second}", headers={"X-API-Key": admin}).status_code == 200
        assert client.delete(f"/jobs/{uuid4()}").status_code == 404


def sent(client: TestClient, frames: bytes, *, members: str = "false") -> str:
    """The address of the job of an upload."""
    answer = client.post("/nowcast", files={"frames": ("f.nc", frames)}, data={"members": members}, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    return answer.headers["location"]


def waiting(service: NowcastService) -> list[Path]:
    return sorted((service.settings.home / "uploads").glob("*"))


def test_an_upload_is_made_by_the_worker_and_is_the_forecast_of_the_same_upload_at_once(client, service, tmp_path):
    book, where = JobBook(service.catalogue.engine), ""
    files = [
        ("frames", ("f.nc", netcdf(tmp_path, window_times()))),
        ("observations", ("o.nc", netcdf(tmp_path, lead_times()))),
    ]
    answer = client.post("/nowcast", files=files, headers=ASYNC)
    where = answer.headers["location"]
    assert (answer.status_code, client.get(where).json()["status"]) == (202, "waiting")
    assert [oct(path.stat().st_mode & 0o777) for path in waiting(service)] == ["0o600"], "the client's files"
    run_job(service, book, where.rsplit("/", 1)[-1])
    done = client.get(where).json()
    assert done["status"] == "done", done
    assert waiting(service) == []
    forecast = client.get(done["links"]["forecast"]).json()
    assert forecast["verification"]["kind"] == "this_forecast"
    assert client.post("/nowcast", files=files).json()["forecast_id"] == forecast["forecast_id"]


def test_an_upload_that_cannot_be_used_is_a_failed_job_with_the_reason(client, service):
    book, where = JobBook(service.catalogue.engine), sent(client, b"no radar file")
    run_job(service, book, where.rsplit("/", 1)[-1])
    failed = client.get(where).json()
    assert (failed["status"], failed["problem"]["status"]) == ("failed", 422)
    assert "f.nc" in failed["detail"]
    assert waiting(service) == []


@pytest.mark.parametrize("content", [None, b"PK damaged"])
def test_a_lost_or_damaged_upload_is_a_failed_job_and_no_forecast_of_other_data(client, service, tmp_path, content):
    book, where = JobBook(service.catalogue.engine), sent(client, netcdf(tmp_path, window_times()))
    (path,) = waiting(service)
    path.unlink() if content is None else path.write_bytes(content)
    run_job(service, book, where.rsplit("/", 1)[-1])
    failed = client.get(where).json()
    assert (failed["status"], failed["forecast_id"]) == ("failed", None)
    assert "NOWCAST_HOME/uploads" in failed["detail"]


def test_uploads_that_wait_are_bounded_and_go_with_their_job(client, service, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_UPLOADS", 1)
    frames = netcdf(tmp_path, window_times())
    where = sent(client, frames)
    refused = client.post("/nowcast", files={"frames": ("f.nc", frames)}, headers=ASYNC)
    assert (refused.status_code, "1 uploads are waiting" in refused.text) == (429, True)
    assert client.delete(where).status_code == 200
    assert waiting(service) == []
    monkeypatch.setattr(jobs, "disk_usage", lambda _: SimpleNamespace(free=10**6))
    full = client.post("/nowcast", files={"frames": ("f.nc", frames)}, headers=ASYNC)
    assert (full.status_code, "NOWCAST_MIN_FREE_BYTES" in full.text) == (503, True)
    assert client.get("/jobs?status=waiting").json()["jobs"] == []


def test_the_upload_of_a_job_that_was_cancelled_while_it_was_written_is_deleted(alone):
    book, uploads = JobBook(alone.catalogue.engine), KeptUploads(alone.settings.home)
    job = book.add("upload", "persistence")
    book.cancel(job.id)
    uploads.keep(job.id, Upload((), (), "default"))
    run_job(alone, book, job.id)
    assert waiting(alone) == []


def test_what_is_left_of_uploads_is_deleted_after_a_day(tmp_path):
    kept, folder = KeptUploads(tmp_path), tmp_path / "uploads"
    folder.mkdir()
    for name in ("old.zip", ".old.zip.part", "new.zip"):
        (folder / name).touch()
        if "old" in name:
            os.utime(folder / name, (0, 0))
    assert kept.sweep(datetime.now(UTC) - timedelta(days=1)) == 2
    assert [path.name for path in folder.iterdir()] == ["new.zip"]
