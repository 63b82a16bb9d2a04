"""Parts of the running service are killed while a radar day is played: afterwards every forecast is there, once."""

import http.client
import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import xarray as xr

from ingest.store.live import Store
from ingest.synthetic import weather
from service.forecasts.catalogue import Catalogue
from service.process.broker import embedded
from tests.end_to_end.forecast_checks import (
    MODELS,
    assert_counts_are_those_of_the_files,
    assert_each_forecast_once,
    computed_twice,
)
from tests.end_to_end.stack import Stack, fetch, land, running_stack
from tests.waiting import PATIENCE_S, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.long]

SPEED = 30
KILLS = 20
BACK_WITHIN_S = 90.0
MISSED = 3
"""Scans that land while the queue is away."""


def stores_of(stack: Stack) -> tuple[Store, Catalogue]:
    """The live store and the forecasts of a running stack, read from outside."""
    (home,) = (path.parent for path in (stack.home / "var").rglob("catalogue.sqlite"))
    return Store(home), Catalogue(home)


def newest_scan(stack: Stack) -> datetime:
    return datetime.fromisoformat(stack.get("/scans")["scans"][0]["valid_time"])


def newest_forecast(stack: Stack) -> datetime | None:
    latest = stack.get("/nowcast/latest")
    return datetime.fromisoformat(latest["reference_time"]) if latest else None


def caught_up(stack: Stack) -> bool:
    """Whether the newest forecast is at most two scans behind the newest scan, and /readyz agrees that all is well."""
    if not stack.get("/livez") or not stack.get("/readyz") or not (forecast := newest_forecast(stack)):
        return False
    return newest_scan(stack) - forecast <= timedelta(minutes=10)


def with_baselines(stack: Stack) -> bool:
    """Whether every time has every model's forecast: one that a kill has cut off is made up for a little later."""
    made = Counter(one.reference_time for one in stores_of(stack)[1].select(origin="scans", limit=100_000))
    return set(made.values()) == {len(MODELS)}


def kill_and_await_another(stack: Stack, part: str) -> None:
    pid = stack.wait_until(lambda: stack.parts().get(part), f"running {part}", within_s=BACK_WITHIN_S) or 0
    os.kill(pid, signal.SIGKILL)
    stack.wait_until(lambda: stack.parts().get(part, pid) != pid, f"{part} in its place", within_s=BACK_WITHIN_S)


def test_twenty_random_kills_lose_nothing_and_double_nothing(tmp_path: Path):
    """Each part in turn and at random moments, at 30 times the speed of the radar."""
    chance = random.Random(2026)
    with running_stack(tmp_path, "--speed", str(SPEED)) as stack:
        stack.first_forecast()
        parts = ["worker", "api", "ingest", "beat", "queue", "radar"]
        for kill in range(KILLS):
            time.sleep(chance.uniform(1, 9))  # a random moment of the cycle is what is tested
            part = parts[kill] if kill < len(parts) else chance.choice(parts)
            kill_and_await_another(stack, part)
            stack.wait_until(lambda: caught_up(stack), f"new forecast after {part} was killed", within_s=BACK_WITHIN_S)
        before = stack.get("/verification")["scores"]
        assert before
        stack.wait_until(lambda: caught_up(stack), "last forecast", within_s=BACK_WITHIN_S)
        os.kill(stack.parts()["radar"], signal.SIGSTOP)
        stack.wait_until(
            lambda: newest_forecast(stack) == newest_scan(stack), "forecast of the last scan", within_s=BACK_WITHIN_S
        )
        stack.wait_until(lambda: with_baselines(stack), "baselines of all forecasts", within_s=BACK_WITHIN_S)
        made = assert_each_forecast_once(*stores_of(stack))
        assert assert_counts_are_those_of_the_files(*stores_of(stack), made) >= 5
        assert sum(computed_twice(stack.log()).values()) <= KILLS, "work is done again only where a kill has cut it off"


def test_a_queue_that_is_away_for_half_a_minute(tmp_path: Path):
    """The scans that land meanwhile all get their forecast: a replay would wait for each, so a live folder is used.

    The server is the embedded kind, but started apart, so that nobody starts it again before the half minute is over.
    """
    broker, folder = embedded(tmp_path), tmp_path / "in"
    folder.mkdir()
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    newest = now - timedelta(minutes=now.minute % 5)
    frames = list(weather(newest - timedelta(hours=2, minutes=5 * MISSED), 2 + MISSED / 12, seed=1))
    for frame in frames[:-MISSED]:
        land(folder, frame)
    environment = {"NOWCAST_REDIS_URL": broker.url, "NOWCAST_REFUSE_AFTER_S": "14400"}
    server = subprocess.Popen(broker.command)
    try:
        wait_until(broker.answers, "queue server")
        with running_stack(tmp_path, "--source", str(folder), environment=environment) as stack:
            first = frames[-MISSED - 1].valid_time
            stack.wait_until(lambda: newest_forecast(stack) == first, "steady state")
            server.kill()
            server.wait()
            for frame in frames[-MISSED:]:
                land(folder, frame)
            stack.wait_until(lambda: newest_scan(stack) == newest, "scans of the outage", within_s=BACK_WITHIN_S)
            _half_a_minute_without(stack)
            server = subprocess.Popen(broker.command)
            wait_until(broker.answers, "queue server again")
            _, catalogue = stores_of(stack)
            wanted = {frame.valid_time for frame in frames[-MISSED:]}
            stack.wait_until(lambda: wanted <= times_of(catalogue), "forecast of every scan", within_s=PATIENCE_S)
            made = catalogue.select(origin="scans", start=first, limit=100_000)
            assert set(Counter((one.reference_time, one.model) for one in made).values()) == {1}
            assert not computed_twice(stack.log())
    finally:
        server.kill()
        server.wait()


def times_of(catalogue: Catalogue) -> set[datetime]:
    """The reference times of the scheduled model's forecasts."""
    return {one.reference_time for one in catalogue.select(origin="scans", model="default", limit=100_000)}


def _half_a_minute_without(stack: Stack) -> None:
    """Check that the API answers from what is stored and reports that it is not ready."""
    wait_until(lambda: fetch(stack.url + "/readyz")[0] == 503, "503 from /readyz", stack.log, within_s=15)
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        started = time.monotonic()
        assert stack.get("/livez")
        assert time.monotonic() - started < 1
        assert stack.get("/nowcast/latest")
        assert fetch(stack.url + "/readyz")[0] == 503
        time.sleep(1)


def test_an_api_killed_during_an_upload_leaves_no_trace(tmp_path: Path, shared_data: Path):
    event = shared_data / "events" / "knmi_20100826.nc"
    with xr.open_dataset(event) as dataset:
        every = round(30 * 60e9 / float(np.diff(dataset.time.values)[0]))
        dataset.isel(time=slice(0, 4 * every + 1, every)).to_netcdf(tmp_path / "five.nc")
    content = (tmp_path / "five.nc").read_bytes()
    (tmp_path / "empty").mkdir()
    with running_stack(tmp_path, "--source", str(tmp_path / "empty")) as stack:
        stack.wait_until(lambda: fetch(stack.url + "/livez")[0] == 200, "API")
        stack.wait_until(lambda: fetch(stack.url + "/models")[0] == 200, "open service")
        connection = _half_an_upload(stack, content)
        kill_and_await_another(stack, "api")
        connection.close()
        stack.wait_until(lambda: fetch(stack.url + "/models")[0] == 200, "open service again")
        _, catalogue = stores_of(stack)
        assert not catalogue.select(limit=10)
        assert [path for path in catalogue.folder.rglob("[!.]*") if path.is_file()] == []
        ids = {_upload(stack, content) for _ in range(2)}
        assert len(ids) == 1


def _body(content: bytes) -> tuple[bytes, dict[str, str]]:
    head = b'--cut\r\nContent-Disposition: form-data; name="frames"; filename="five.nc"\r\n\r\n'
    body = head + content + b"\r\n--cut--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=cut", "Content-Length": str(len(body))}


def _half_an_upload(stack: Stack, content: bytes) -> http.client.HTTPConnection:
    body, headers = _body(content)
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=PATIENCE_S)
    connection.putrequest("POST", "/nowcast")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(body[: len(body) // 2])
    return connection


def _upload(stack: Stack, content: bytes) -> str:
    body, headers = _body(content)
    with closing(http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=PATIENCE_S)) as connection:
        connection.request("POST", "/nowcast", body, headers)
        answer = connection.getresponse()
        problem = answer.read().decode()
        assert answer.status == 200, problem
        return str(answer.headers["Content-Location"])
