"""The whole service as `make run` starts it: it forecasts, survives its worker's death, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery

from service.process.broker import embedded
from service.tasks.queue import CYCLE, MAKE_FORECAST
from tests.end_to_end.stack import ROOT, Stack, alive, descendants, fetch, make_recipe, running_stack
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.stack

PARTS = {"queue", "api", "ingest", "worker", "beat", "radar"}
FIRST_FORECAST_WITHIN_S = 120.0


def test_make_run_starts_exactly_this():
    assert make_recipe("run")[-1].endswith("bin/python -m service.run")


def test_a_forecast_with_rain_is_there_within_two_minutes(stack: Stack):
    forecast = stack.first_forecast(FIRST_FORECAST_WITHIN_S)
    assert [lead["lead_minutes"] for lead in forecast["leads"]] == list(range(5, 151, 5))
    assert max(lead["max"] for lead in forecast["leads"]) > 1
    assert min(lead["wet_fraction"] for lead in forecast["leads"]) > 0.01
    # This radar runs 30 times as fast, so data of 20 s ago are stale: a busy machine may lie behind for a while.
    stack.wait_until(lambda: stack.get("/nowcast/latest")["status"] in ("ok", "degraded"), "forecast that is not stale")
    assert stack.wait_until(lambda: stack.get("/readyz"), "200 from /readyz")
    status, page = fetch(stack.url + "/", Accept="text/html")
    assert status == 200
    assert b"<html" in page
    status, picture = fetch(f"{stack.url}/nowcast/latest/image/30.png")
    assert (status, picture[:4]) == (200, b"\x89PNG")


def test_the_tree_prints_its_address_and_every_part_under_its_name(stack: Stack):
    assert re.search(
        rf"^     run \| {stack.url} shows an invented radar day, 30 times as fast", stack.log(), re.MULTILINE
    )
    for name in PARTS:
        assert re.search(rf"^ *{name} \| started, process {stack.parts()[name]}$", stack.log(), re.MULTILINE)


def test_new_scans_are_forecast_and_what_followed_is_scored(stack: Stack):
    first = stack.first_forecast()
    newer = stack.wait_until(
        lambda: (latest := stack.get("/nowcast/latest"))["reference_time"] > first["reference_time"] and latest,
        "forecast from a newer scan",
    )
    assert newer["forecast_id"] != first["forecast_id"]
    scores = stack.wait_until(lambda: stack.get("/verification")["scores"], "score")
    assert {"persistence", "extrapolation"} <= {score["model"] for score in scores}


def test_what_a_killed_worker_had_begun_and_what_waited_is_done_by_the_one_that_replaces_it(stack: Stack):
    killed = stack.parts()["worker"]
    with _schedule_held(stack):
        reference_time = _scan_without_forecast(stack)
        app = Celery("test", broker=stack.redis_url(), backend=stack.redis_url())
        begun, *waiting = (
            app.send_task(MAKE_FORECAST, (reference_time, model))
            for model in ("extrapolation", "persistence", "extrapolation")
        )
        ends_at = time.monotonic() + PATIENCE_S
        while (state := begun.state) != "STARTED":  # without a pause, so that it is killed while it runs
            assert state == "PENDING", "it was done before it could be killed: use a task that takes longer"
            assert time.monotonic() < ends_at, stack.log()
        os.kill(killed, signal.SIGKILL)
        assert {task.id: task.state for task in (begun, *waiting)} == {
            begun.id: "STARTED",
            waiting[0].id: "PENDING",
            waiting[1].id: "PENDING",
        }
        assert stack.get("/livez")
        assert stack.get("/nowcast/latest")
        replacement = stack.wait_until(
            lambda: (pid := stack.parts().get("worker")) != killed and pid, "worker in its place"
        )
        for task in (begun, *waiting):
            forecast_id = task.get(timeout=PATIENCE_S)
            assert stack.get(f"/nowcast/{forecast_id}")["forecast_id"] == forecast_id
        app.close()
    assert stack.parts()["worker"] == replacement
    assert not alive(killed)


@contextmanager
def _schedule_held(stack: Stack) -> Iterator[None]:
    beat = stack.parts()["beat"]
    os.kill(beat, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(beat, signal.SIGCONT)


def _scan_without_forecast(stack: Stack) -> str:
    """Return the time of a scan that was stored while no forecast is scheduled."""
    app = Celery("test", broker=stack.redis_url(), backend=stack.redis_url())
    app.send_task(CYCLE).get(timeout=PATIENCE_S)  # what was queued before is done now
    app.close()
    held = stack.get("/scans")["scans"][0]["valid_time"]

    def newer() -> str:
        newest: str = stack.get("/scans")["scans"][0]["valid_time"]
        return newest if newest > held else ""

    return stack.wait_until(newer, "newer scan")


def test_a_second_one_on_the_same_port_or_home_is_refused_with_one_line(stack: Stack, tmp_path: Path):
    port = stack.url.rsplit(":", 1)[1]
    for home, its_port, expected in (
        (tmp_path, port, f"cannot start: cannot listen on port {port} of 127.0.0.1 "),
        (stack.home / "var", "0", "cannot start: another service.run works in "),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "service.run", "--port", its_port],
            env={**os.environ, "NOWCAST_HOME": str(home)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(expected)
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_nothing_is_left_when_it_ends(tmp_path: Path, number: signal.Signals):
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux ends a process with its parent")
    with running_stack(tmp_path, "--source", str(tmp_path), environment={"NOWCAST_MODEL": "persistence"}) as stack:
        stack.wait_until(lambda: stack.parts().keys() >= PARTS - {"radar"} and stack.get("/livez"), "whole tree")
        running = descendants(stack.process.pid)
        stack.process.send_signal(number)
        code = stack.process.wait(PATIENCE_S)
        wait_until(lambda: not any(map(alive, running)), "end of every process")
        assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)


def test_a_given_queue_is_used_and_none_is_started(tmp_path: Path):
    broker = embedded(tmp_path)
    with subprocess.Popen(broker.command) as server:
        wait_until(broker.answers, "queue server")
        environment = {"NOWCAST_REDIS_URL": broker.url, "NOWCAST_MODEL": "persistence"}
        with running_stack(tmp_path, "--source", str(tmp_path), environment=environment) as stack:
            stack.wait_until(lambda: stack.parts().keys() >= PARTS - {"queue", "radar"}, "whole tree")
            assert "queue" not in stack.parts()
            assert stack.redis_url() == broker.url
            stack.process.send_signal(signal.SIGINT)
            assert stack.process.wait(PATIENCE_S) == 0
        assert broker.answers()
        server.terminate()
