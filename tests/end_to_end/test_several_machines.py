"""Parts on two machines that share PostgreSQL, Redis and an S3 server, and no folder; then one of them is lost."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.sources.replay import STEP_MINUTES
from ingest.synthetic import weather
from service.forecasts.catalogue import Catalogue
from service.process.broker import free_port, server_program
from tests.end_to_end.machines import (
    BUCKET,
    Machine,
    assert_each_forecast_has_its_object,
    files_of,
    shared_environment,
)
from tests.end_to_end.stack import CELLS, Stack, fetch, land
from tests.servers import S3_KEY, s3_server, separate_redis
from tests.service.test_other_servers import database_url as database_url
from tests.service.test_other_servers import postgresql_url as postgresql_url

pytestmark = [pytest.mark.stack, pytest.mark.long]

STEP = timedelta(minutes=STEP_MINUTES)
PLACE = "lat=51.2&lon=9.5"
WORKER_SIDE = {
    "ingest": ("ingest.run", "--poll-s", "0.5", "--grace-s", "2", "--source"),
    "worker": ("celery", "--quiet", "-A", "service.worker", "worker"),
    "beat": ("celery", "--quiet", "-A", "service.worker", "beat", "--loglevel", "WARNING"),
}


@dataclass
class Installation:
    """Two machines, one of which ingests and forecasts, and one of which answers."""

    folder: Path
    environment: Mapping[str, str]
    port: int
    metrics_port: int
    machines: list[Machine] = field(default_factory=list)

    def start(self, name: str) -> tuple[Machine, Machine, Stack]:
        """Start both machines with empty folders."""
        made = Machine(self.folder / f"{name}-makes", self.environment)
        answers = Machine(self.folder / f"{name}-answers", self.environment)
        self.machines += [made, answers]
        for part, command in WORKER_SIDE.items():
            made.start(part, *command, *([str(self.folder / "radar")] if part == "ingest" else []))
        answers.start("api", "uvicorn", "service.app:app", "--port", str(self.port))
        url = f"http://127.0.0.1:{self.port}"
        return (
            made,
            answers,
            Stack(answers.processes["api"], url, answers.home, self.folder / f"{name}-answers-api.log", 0),
        )

    def stop(self) -> None:
        for machine in self.machines:
            machine.stop()


@pytest.fixture
def installation(database_url: str, tmp_path: Path) -> Iterator[Installation]:
    (tmp_path / "radar").mkdir()
    (tmp_path / "buckets" / BUCKET).mkdir(parents=True)
    with ExitStack() as servers:
        redis_url = servers.enter_context(separate_redis(str(server_program()), tmp_path))
        metrics_port, s3_port = free_port("127.0.0.1"), free_port("127.0.0.1")
        environment = {
            **shared_environment(database_url, redis_url, s3_port),
            **CELLS,
            "NOWCAST_METRICS_PORT": str(metrics_port),
            "NOWCAST_LEAD_MINUTES": "60",
            "NOWCAST_MEMBERS": "4",
            "NOWCAST_REFUSE_AFTER_S": "1500",
            "NOWCAST_AHEAD_MAX_S": "3600",
        }
        made = Installation(tmp_path, environment, free_port("127.0.0.1"), metrics_port)
        servers.callback(made.stop)
        yield made


def s3_port_of(installation: Installation) -> int:
    return int(installation.environment["NOWCAST_FILES_ENDPOINT"].rsplit(":", 1)[1])


def newest(api: Stack) -> Any:
    return api.get("/nowcast/latest") or {}


def _newest_point(api: Stack) -> Any:
    return api.get(f"/nowcast/latest/point?{PLACE}")


def wait_for_forecast(api: Stack, time: datetime) -> Any:
    """The forecast from the scan of a time."""
    return api.wait_until(
        lambda: (found := newest(api)).get("reference_time") == time.strftime("%Y-%m-%dT%H:%M:%SZ") and found,
        f"forecast of {time:%H:%M}",
    )


def scan(installation: Installation, time: datetime) -> None:
    (frame,) = weather(time, hours=0)
    land(installation.folder / "radar", frame)


def answers(api: Stack, forecast_id: str) -> None:
    """A place, a picture, a tile, and the file of a forecast."""
    point = api.get(f"/nowcast/{forecast_id}/point?{PLACE}")
    assert point["forecast_id"] == forecast_id
    assert len(point["series"]) == 12
    assert point["observed"] is not None
    for path, start in (("image/30.png", b"\x89PNG"), ("file.nc", b"\x89HDF"), ("file.tif", b"II")):
        status, body = fetch(f"{api.url}/nowcast/{forecast_id}/{path}")
        assert (status, body[: len(start)]) == (200, start), path


def test_api_and_workers_share_servers_and_no_folder(installation: Installation):
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    last = now - timedelta(minutes=now.minute % STEP_MINUTES)
    with s3_server(installation.folder / "buckets", s3_port_of(installation)):
        first = _forecast_is_answered(installation, last)
        _machines_are_lost(installation, first, last + STEP)
    _outage_of_the_store(installation, first)
    with s3_server(installation.folder / "buckets", s3_port_of(installation)):
        _goes_on_after_it(installation, first)
        _all_is_new(installation, first, last + 2 * STEP)
        _every_row_has_its_file(installation)
    for log in installation.folder.glob("*.log"):
        assert S3_KEY not in log.read_text(errors="replace")


def _forecast_is_answered(installation: Installation, last: datetime) -> str:
    _, _, api = installation.start("first")
    for number in range(26, -1, -1):
        scan(installation, last - number * STEP)
    wait_for_forecast(api, last)
    for time in (last - STEP, last, last + 6 * STEP):
        tile = fetch(f"{api.url}/tiles/rainfall_rate/{time:%Y-%m-%dT%H:%M:%SZ}/5/16/10.png")
        assert (tile[0], tile[1][:4]) == (200, b"\x89PNG"), time
    point = api.wait_until(lambda: (found := _newest_point(api))["amounts"] and found, "ensemble members")
    first: str = point["forecast_id"]  # one from a part of the scans may have been the first
    answers(api, first)
    scores = api.wait_until(lambda: api.get("/verification")["scores"], "score")
    assert {"persistence", "extrapolation"} <= {score["model"] for score in scores}
    ready = api.wait_until(lambda: api.get("/readyz"), "200 from /readyz")
    assert ready["checks"]["files"] == "ok"
    assert str(installation.folder / "radar") in api.get("/ingest")["worker"]["sources"]
    assert not list(installation.folder.rglob("*.sqlite"))
    counters = fetch(f"http://127.0.0.1:{installation.metrics_port}/metrics")[1]
    assert b'nowcast_tasks_total{outcome="success",task="make_forecast_task"}' in counters
    return first


def _machines_are_lost(installation: Installation, first: str, following: datetime) -> None:
    made, answering = installation.machines
    api = _api(installation)
    made.lose()
    scan(installation, following)
    wait_for_forecast(api, following)
    answering.lose()
    answers(api, first)
    assert api.get(f"/nowcast/{first}")["forecast_id"] == first


def _outage_of_the_store(installation: Installation, first: str) -> None:
    api = _api(installation)
    api.wait_until(lambda: b"files: the store of files" in fetch(f"{api.url}/readyz")[1], "named outage")
    assert api.get(f"/nowcast/{first}/point?{PLACE}")["forecast_id"] == first, "what is in a cache is served"
    assert fetch(f"{api.url}/livez")[0] == 200


def _goes_on_after_it(installation: Installation, first: str) -> None:
    api = _api(installation)
    assert api.wait_until(lambda: api.get("/readyz"), "200 from /readyz")
    answers(api, first)


def _all_is_new(installation: Installation, first: str, following: datetime) -> None:
    """Stop the old machines, as an upgrade does, and start new ones on the same servers."""
    installation.stop()
    _, _, api = installation.start("second")
    api.wait_until(lambda: api.get(f"/nowcast/{first}"), "first forecast")
    answers(api, first)
    scan(installation, following)
    wait_for_forecast(api, following)
    assert api.get("/verification")["scores"]


def _every_row_has_its_file(installation: Installation) -> None:
    installation.stop()
    catalogue = Catalogue(installation.folder / "check", installation.environment["NOWCAST_DATABASE_URL"])
    assert_each_forecast_has_its_object(catalogue, files_of(installation.environment))
    catalogue.engine.dispose()


def _api(installation: Installation) -> Stack:
    answering = installation.machines[-1]
    log = installation.folder / f"{answering.home.name}-api.log"
    return Stack(answering.processes["api"], f"http://127.0.0.1:{installation.port}", answering.home, log, 0)
