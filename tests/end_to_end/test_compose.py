"""docker-compose.yml without Docker: every service by exactly its command and environment, as a local process.

Only what containers change is mapped: host names, ports, and the paths of volumes. `redis-server` is the server program
that the embedded stack uses.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from ingest.synthetic import write_weather
from service.process.broker import free_port, server_program
from tests.deploy.compose import compose
from tests.end_to_end.stack import ROOT, end, fetch, process_environment
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.stack

COMPOSE: dict[str, Any] = compose()
SERVICES: dict[str, dict[str, Any]] = {
    name: service for name, service in COMPOSE["services"].items() if "profiles" not in service
}
"""Without the profiles: tests/deploy/test_compose_file.py looks at them."""

PASSWORD = "of: the/queue"


@dataclass(frozen=True)
class Containers:
    """Where the containers' names, ports and paths are on this machine."""

    folder: Path
    redis_port: int
    api_port: int

    def mapped(self, text: str) -> str:
        places = {
            "/var/lib/nowcast": str(self.folder / "live"),
            "/radar": str(self.folder / "radar"),
            "/data": str(self.folder / "queue"),
            "/run/secrets": str(self.folder / "secrets"),
            "redis-server": str(server_program()),
            "redis:6379": f"127.0.0.1:{self.redis_port}",
            "6379": str(self.redis_port),
            "8000": str(self.api_port),
            "0.0.0.0": "127.0.0.1",
        }
        either = "|".join(map(re.escape, places))
        return re.sub(rf"(?<![\w.-])(?:{either})(?!\w)", lambda found: places[found[0]], text)

    def command(self, service: str) -> list[str]:
        command = SERVICES[service]["command"]
        return [self.mapped(word) for word in (command if isinstance(command, list) else shlex.split(command))]

    def environment(self, service: str) -> dict[str, str]:
        environment = SERVICES[service]["environment"]
        mapped = {name: self.mapped(str(value)) for name, value in environment.items()}
        return {**process_environment(), "HOSTNAME": socket.gethostname(), **mapped}

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text(errors="replace")

    @contextmanager
    def running(self, service: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / f"{service}.log").open("wb") as log:
            process = subprocess.Popen(
                self.command(service), env=self.environment(service), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            yield process
        finally:
            end(process, signal.SIGTERM, 20)

    def healthy(self, service: str) -> bool:
        kind, *words = SERVICES[service]["healthcheck"]["test"]
        # in a container `--end` reaches the part of this container alone, here that of any program of the machine
        mapped = [self.mapped(word) for word in words if word != "--end"]
        command = ["sh", "-c", *mapped] if kind == "CMD-SHELL" else mapped
        done = subprocess.run(command, env=self.environment(service), cwd=ROOT, capture_output=True, timeout=PATIENCE_S)
        return done.returncode == 0


@pytest.fixture
def containers(tmp_path: Path) -> Containers:
    for volume in ("live", "radar", "queue", "secrets"):
        (tmp_path / volume).mkdir()
    for secret in COMPOSE["secrets"]:
        (tmp_path / "secrets" / secret).write_text(f"{PASSWORD}\n")
    return Containers(tmp_path, free_port("127.0.0.1"), free_port("127.0.0.1"))


def test_the_services_of_the_file_make_a_forecast(containers: Containers):
    assert list(SERVICES) == ["redis", "ingest", "worker", "beat", "alerter", "api"]
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    write_weather(containers.folder / "radar", now - timedelta(hours=2), hours=2, step_minutes=30)
    url = f"http://127.0.0.1:{containers.api_port}"

    def log() -> str:
        return "\n".join(f"--- {service}\n{containers.log(service)[-4000:]}" for service in SERVICES)

    with ExitStack() as running, redis.Redis(port=containers.redis_port, password=PASSWORD) as queue:
        processes = {"redis": running.enter_context(containers.running("redis"))}
        wait_until(lambda: _answers(queue), "redis", log, process=processes["redis"])
        for service in list(SERVICES)[1:]:
            processes[service] = running.enter_context(containers.running(service))
        wait_until(lambda: fetch(f"{url}/nowcast/latest")[0] == 200, "forecast", log)
        _, body = fetch(f"{url}/nowcast/latest")
        forecast = yaml.safe_load(body)
        assert forecast["reference_time"] == f"{now:%Y-%m-%dT%H:%M:%SZ}"
        assert max(lead["max"] for lead in forecast["leads"]) > 1
        assert not forecast["invented"]
        for service in ("worker", "api"):
            wait_until(partial(containers.healthy, service), f"healthy {service}", log)
        assert {service: process.poll() for service, process in processes.items()} == dict.fromkeys(SERVICES)


def _answers(queue: "redis.Redis") -> bool:
    try:
        return bool(queue.ping())
    except redis.RedisError:
        return False


def test_only_the_mapped_words_differ_from_the_file(containers: Containers):
    assert containers.mapped("python -m ingest.run --source /radar") == (
        f"python -m ingest.run --source {containers.folder}/radar"
    )
    assert containers.mapped("redis-server - --port 6379").startswith(f"{server_program()} - --port ")
    assert containers.mapped("redis://redis:6379/0") == f"redis://127.0.0.1:{containers.redis_port}/0"
    assert containers.mapped("celery -A service.worker beat") == "celery -A service.worker beat"


def test_every_folder_that_the_image_copies_is_there():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
