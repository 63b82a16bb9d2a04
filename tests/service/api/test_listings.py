"""Lists in pages: every row once, in order, also where rows share a time or come in between."""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.forecasts.nowcast import NowcastService
from tests.service.api_support import REFERENCE, frames_at, running, service_at, window_times


@pytest.fixture
def service(tmp_path: Path) -> NowcastService:
    made = service_at(tmp_path)
    for product in ("RY", "RV"):
        for frame in frames_at(window_times(count=7), product):
            made.store.put(frame)
    return made


def rows(client: TestClient, path: str, name: str) -> list[Any]:
    found = []
    while path:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        found += answer.json()[name]
        path = answer.json()["next"]
        assert answer.links.get("next", {}).get("url") == path
    return found


@pytest.mark.parametrize("limit", [1, 3, 7, 13, 14, 15])
def test_scans(service, limit):
    with running(service) as client:
        whole = client.get("/scans?limit=1000").json()
        assert (whole["count"], whole["next"]) == (14, None)
        assert rows(client, f"/scans?limit={limit}", "scans") == whole["scans"]
        some = rows(client, f"/scans?limit={limit}&product=RV&start=2024-06-01T10:30:00Z", "scans")
        assert [scan["product"] for scan in some] == ["RV"] * 4
        times = [scan["valid_time"] for scan in whole["scans"]]
        assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 100])
def test_forecasts(service, limit):
    for steps in range(2):
        for model in ("default", "persistence"):
            service.forecast_stored(REFERENCE - steps * timedelta(minutes=30), model)
    with running(service) as client:
        whole = client.get("/nowcast").json()["forecasts"]
        assert {row["forecast_id"] for row in whole} == {forecast.id for forecast in service.list()}
        assert rows(client, f"/nowcast?limit={limit}", "forecasts") == whole
        times = [row["reference_time"] for row in whole]
        assert times == sorted(times, reverse=True)
        of_one = rows(client, f"/nowcast?limit={limit}&model=persistence&end=2024-06-01T11:30:00Z", "forecasts")
        assert {row["model"] for row in of_one} == {"persistence"}
        assert {row["reference_time"] for row in of_one} == {"2024-06-01T11:30:00Z"}
        assert client.get(whole[0]["href"]).json()["forecast_id"] == whole[0]["forecast_id"]


def test_a_row_that_comes_in_between_moves_none(service):
    with running(service) as client:
        first = client.get("/scans?limit=3&product=RY").json()
        service.store.put(frames_at([REFERENCE + timedelta(minutes=5)])[0])
        second = client.get(first["next"]).json()
        times = [scan["valid_time"] for page in (first, second) for scan in page["scans"]]
        assert times == [f"{REFERENCE - timedelta(minutes=30 * n):%Y-%m-%dT%H:%M:%SZ}" for n in range(6)]


def test_an_upload_is_not_listed(service):
    service.forecast_upload(frames_at(window_times()))
    with running(service) as client:
        assert client.get("/nowcast").json()["forecasts"] == []


def cursor(text: str) -> str:
    return "cursor=" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


WRONG = (
    "0001-01-01T00:00:00+23:00 1",
    "9999-12-31T23:59:59-23:00 1",
    "2024-06-01T12:00:00 RY",
    "2024-06-01T12:00Z \x00",
)


@pytest.mark.parametrize("path", ["/scans", "/nowcast", "/jobs", "/verification"])
@pytest.mark.parametrize("query", ["cursor=x", *map(cursor, WRONG), "cursor=a%20b", "limit=0"])
def test_an_invalid_cursor_or_limit_is_refused(service, path, query):
    with running(service) as client:
        answer = client.get(f"{path}?{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
