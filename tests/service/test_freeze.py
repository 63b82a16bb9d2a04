"""The source freezes: every response says so within ten minutes of data time, and scheduled forecasts are refused."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core.errors import NoDataError
from service.forecasts.nowcast import NowcastService
from service.tasks import forecasts as tasks
from tests.service.api_support import NOW, REFERENCE, STEP, fill, netcdf, running, service_at, window_times

ANSWERS = ("/nowcast/latest", "/nowcast/latest/point?lat=51&lon=10", "/nowcast/{id}", "/readyz")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def after(self, age: timedelta) -> None:
        """The newest scan is so old now."""
        self.now = REFERENCE + age


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> NowcastService:
    service = service_at(tmp_path, clock=lambda: clock.now)
    fill(service)
    return service


@pytest.fixture
def client(service: NowcastService) -> Iterator[TestClient]:
    with running(service) as client:
        yield client


def stale_flags(client: TestClient, forecast_id: str) -> list[bool]:
    answers = [client.get(path.format(id=forecast_id)).json() for path in ANSWERS]
    return [answer["status"] == "stale" for answer in answers]


def test_ten_minutes_after_the_last_scan_every_response_is_stale(client: TestClient, clock: Clock):
    forecast_id = client.post("/nowcast", json={}).json()["forecast_id"]
    clock.after(timedelta(minutes=10))
    assert stale_flags(client, forecast_id) == [False] * len(ANSWERS)
    clock.after(timedelta(minutes=10, seconds=1))
    assert stale_flags(client, forecast_id) == [True] * len(ANSWERS)
    made_now = client.post("/nowcast", json={}).json()
    assert made_now["status"] == "stale"
    assert made_now["stale"]
    assert made_now["data_age_s"] == 601
    assert datetime.fromisoformat(made_now["reference_time"]) == REFERENCE
    metrics = client.get("/metrics").text
    assert "\nnowcast_forecast_age_seconds 601.0\n" in metrics
    assert "\nnowcast_forecast_stale 1.0\n" in metrics
    assert '\nnowcast_scan_age_seconds{product="RY"} 601.0\n' in metrics
    assert (
        "stale: the newest scan, of 2024-06-01T12:00:00Z, is 601 s old"
        in client.get("/readyz").json()["checks"]["data"]
    )


def test_after_twenty_minutes_the_scheduled_forecast_is_refused_with_the_reason(
    service: NowcastService, client: TestClient, clock: Clock
):
    clock.after(timedelta(minutes=20))
    assert service.schedule.pending() == [(REFERENCE, "default")]
    assert service.schedule.refusal() is None
    clock.after(timedelta(minutes=20, seconds=1))
    assert service.schedule.pending() == []
    reason = "the scan of 2024-06-01T12:00:00Z is 1201 s old; a scheduled forecast starts from one of at most 1200 s"
    refusal = service.schedule.refusal()
    assert refusal is not None
    assert refusal.reason == reason
    with pytest.raises(NoDataError, match=reason):
        service.forecast_stored(REFERENCE, scheduled=True)
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"]["data"].endswith(f"no scheduled forecast: {reason}")
    assert client.get("/nowcast/latest").status_code == 404  # nothing was made


def test_what_somebody_asks_for_is_made_however_old(client: TestClient, clock: Clock, tmp_path: Path):
    clock.after(timedelta(days=400))
    past = client.post("/nowcast", json={"reference_time": REFERENCE.isoformat()})
    assert (past.status_code, past.json()["status"]) == (200, "stale")
    times = window_times(REFERENCE - 30 * STEP)
    upload = client.post("/nowcast", files={"frames": ("frames.nc", netcdf(tmp_path, times))})
    assert (upload.status_code, upload.json()["status"]) == (200, "stale")
    assert upload.json()["data_age_s"] > 400 * 24 * 3600


def test_the_schedule_logs_a_refusal_once(
    service: NowcastService, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    known: set[str] = set()

    def is_first(name: str, within_s: int) -> bool:
        return not (name in known or known.add(name))  # type: ignore[func-returns-value]

    monkeypatch.setattr(tasks, "service", lambda: service)
    monkeypatch.setattr(tasks, "is_first", is_first)
    monkeypatch.setattr(tasks, "STARTED_AT", datetime.now(UTC))
    clock.after(timedelta(minutes=21))
    assert [tasks.cycle_task() for _ in range(3)] == [0, 0, 0]
    assert [record.getMessage() for record in caplog.records if record.name == "service.tasks.forecasts"] == [
        "no scheduled forecast: the scan of 2024-06-01T12:00:00Z is 1260 s old; a scheduled forecast starts from one "
        "of at most 1200 s"
    ]
