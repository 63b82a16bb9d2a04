"""Worker and beat as real processes: their queue server is killed while scans come, and starts again empty.

The long tests of outages (`test_outages.py`) have the whole service; this one is of the parts that need the queue.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingest.store.live import Store
from service.forecasts.catalogue import Catalogue
from service.process.broker import embedded
from tests.end_to_end.forecast_checks import computed_twice
from tests.end_to_end.stack import ROOT, end, process_environment
from tests.ingest.store.test_healing import frame_at
from tests.waiting import wait_until

pytestmark = pytest.mark.stack

MODEL = "extrapolation"
EVERY = timedelta(minutes=5)
MISSED = 3
"""Scans that come while the queue is away."""


@contextmanager
def part(name: str, home: Path, url: str) -> Iterator[Path]:
    """A worker or a beat; its log."""
    log_file = home.parent / f"{name}.log"
    environment = {
        "NOWCAST_HOME": str(home),
        "NOWCAST_REDIS_URL": url,
        "NOWCAST_MODEL": MODEL,
        "NOWCAST_LEAD_MINUTES": "10",
        "NOWCAST_MEMBERS": "0",
        "NOWCAST_CYCLE_S": "0.5",
        "NOWCAST_REFUSE_AFTER_S": "86400",
    }
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "service.worker", name, "--loglevel", "INFO"]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command, env={**process_environment(), **environment}, cwd=ROOT, stdout=log, stderr=log
        )
    try:
        yield log_file
    finally:
        end(process)


def test_scans_of_an_outage_of_the_queue_get_their_forecast_once(tmp_path: Path):
    home, newest = tmp_path / "home", datetime.now(UTC).replace(second=0, microsecond=0)
    store, catalogue = Store(home), Catalogue(home)
    times = [newest - number * EVERY for number in reversed(range(MISSED + 3))]
    before, missed = times[:-MISSED], times[-MISSED:]
    for time in before:
        store.put(frame_at(time))

    def forecasts() -> list[datetime]:
        return sorted(one.reference_time for one in catalogue.select(origin="scans", model=MODEL))

    broker = embedded(tmp_path)
    server = subprocess.Popen(broker.command)
    try:
        wait_until(broker.answers, "queue server", process=server)
        with part("worker", home, broker.url) as log, part("beat", home, broker.url) as of_beat:
            # the oldest scan makes no window
            wait_until(lambda: forecasts() == before[1:], "steady state", log.read_text)
            server.kill()
            server.wait()
            for time in missed:
                store.put(frame_at(time))
            wait_until(lambda: "the queue takes no task" in of_beat.read_text(), "missed tasks", of_beat.read_text)
            assert forecasts() == before[1:], "nothing can have been queued"
            shutil.rmtree(tmp_path / "redis" / "appendonlydir")
            server = subprocess.Popen(broker.command)
            wait_until(lambda: forecasts() == times[1:], "forecast of every scan", log.read_text)
            assert computed_twice(log.read_text()) == {}
            assert "Traceback" not in of_beat.read_text()
    finally:
        server.kill()
        server.wait()
