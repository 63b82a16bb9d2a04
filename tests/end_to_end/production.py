"""The production layout on this machine: nginx with TLS, PostgreSQL, Redis, an S3 server, and two of each part."""

import io
import shlex
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from core.settings import Settings
from service.process.broker import free_port, server_program
from tests.end_to_end.machines import BUCKET, Machine, shared_environment
from tests.end_to_end.stack import ROOT, end, fetch
from tests.servers import own_database, postgresql_server, s3_server, separate_redis
from tests.waiting import wait_until
from tests.web_servers import LOOPBACK, NAME, client_of, get, in_front, make_certificate

UNITS: Final = ROOT / "deploy" / "systemd"
PARTS: Final = ("ingest", "worker", "api")
LATER: Final = ("alerter", "beat")
"""Started once the history and the rules are stored, so that all rules see every forecast."""

ENDED: Final = ("beat", "ingest", "alerter", "worker", "api")
"""The order in which the parts of a machine are stopped: what sends work first."""

GRACE_S: Final = 120.0
AFTER: Final = "-after"
"""End of the names of logs after the upgrade."""

PAUSE_S: Final = 0.5
LONGEST_WAIT_S: Final = 3600.0
READY: Final = " ready."
"""What a worker writes when it takes tasks."""

NAMED: Final = {"worker": "worker", "alerter": "alerts"}
"""Parts whose names in the queue would be the same here, where both machines are one."""


def command_of(part: str, machine: str, port: int) -> list[str]:
    """The command of a part as its unit of systemd has it, for `python -m`."""
    unit = (UNITS / f"nowcast-{part}.service").read_text()
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    program, *words = shlex.split(line.removeprefix("ExecStart="))
    words = [{"8000": str(port)}.get(word, word) for word in words]
    if Path(program).name == "python":
        return words[1:]
    if part in NAMED:
        words = [word for word in words if word != "--hostname" and not word.endswith("@%%h")]
        words += ["--hostname", f"{NAMED[part]}@{machine}"]
    return [Path(program).name, *words]


def code_of(commit: str, folder: Path) -> Path:
    """The files of a commit in a folder of their own; the test is skipped where the clone lacks it."""
    done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no commit {commit} in this clone: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@dataclass
class Production:
    """Two machines behind nginx.

    Attributes:
        folder: of all files.
        environment: of all machines.
        client: reads and writes through nginx.
        machines: with one of each part.
        ports: of their APIs.
        key: of a client, which the installation made.
        stopped: how parts ended that were stopped.
        restarted: how parts ended by themselves.
    """

    folder: Path
    environment: Mapping[str, str]
    client: httpx2.Client
    machines: Sequence[Machine]
    ports: Sequence[int]
    key: str = ""
    stopped: Counter[str] = field(default_factory=Counter)
    restarted: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._guard = threading.Lock()

    @property
    def inbox(self) -> Path:
        return self.folder / "radar"

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.key}

    def start(self, parts: Sequence[str]) -> None:
        for machine in self.machines:
            self._start(machine, parts)

    def _start(self, machine: Machine, parts: Sequence[str]) -> None:
        port = self.ports[self.machines.index(machine)]
        for part in parts:
            machine.start(part, *command_of(part, machine.home.name, port))

    def get(self, path: str) -> Any:
        """The JSON answer of nginx to GET, None unless it is 200."""
        answer = get(self.client, path, headers=self.headers)
        return answer.json() if answer.status_code == 200 else None

    def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, bytes]:
        extensions = {"sni_hostname": NAME}
        answer = self.client.post(path, json=body, headers=self.headers, extensions=extensions)
        return answer.status_code, answer.content

    def make_key(self) -> None:
        """Make a key with the command of the installed release."""
        machine = self.machines[0]
        environment = {**machine.environment, "NOWCAST_HOME": str(machine.home), "PYTHONPATH": str(machine.root)}
        command = [sys.executable, "-m", "service.keys", "create", "client", "--scope", "forecast"]
        done = subprocess.run(command, cwd=machine.root, env=environment, capture_output=True, text=True, check=True)
        self.key = done.stdout.strip()

    def log(self, release: str = "") -> str:
        return "\n".join(machine.log(release) for machine in self.machines)

    def start_again(self) -> None:
        """Start the parts again that have ended by themselves, as systemd does."""
        with self._guard:
            for machine in self.machines:
                for part, process in list(machine.processes.items()):
                    if process.poll() is not None:
                        self.restarted[f"{part}: {process.returncode}"] += 1
                        self._start(machine, [part])

    def wait_until(self, look: Callable[[], Any], what: str) -> None:
        """Wait until something is true."""

        def looked() -> Any:
            self.start_again()
            time.sleep(PAUSE_S)
            return look()

        wait_until(looked, what, lambda: self.log()[-20_000:], within_s=LONGEST_WAIT_S)

    def upgrade(self, root: Path) -> dict[str, float]:
        """Stop and start one machine after the other with the code of another checkout; how long each was away."""
        away_s = {}
        for machine, port in zip(self.machines, self.ports, strict=True):
            began_s = time.monotonic()
            for part in ENDED:
                self._stop(machine, part)
            machine.root, machine.release = root, AFTER
            self._start(machine, (*PARTS, *LATER))
            self._await_parts(machine, port)
            away_s[machine.home.name] = round(time.monotonic() - began_s, 1)
        return away_s

    def _stop(self, machine: Machine, part: str) -> None:
        with self._guard:  # a part that is stopped is none that has ended by itself
            process = machine.processes.pop(part)
        end(process, grace_s=GRACE_S)
        self.stopped[f"{part} ended with {process.returncode}"] += 1

    def _await_parts(self, machine: Machine, port: int) -> None:
        """Wait until the API of a machine answers, and its worker takes tasks."""
        url = f"http://{LOOPBACK}:{port}/nowcast/latest"
        name = machine.home.name
        self.wait_until(lambda: fetch(url)[0] == 200, f"answer of the API of {name}")
        self.wait_until(lambda: _is_ready(machine), f"worker of {name}")

    def settings(self, home: Path) -> Settings:
        """Settings of a reader from outside, with a cache of its own."""
        names = ("database_url", "files_url", "files_endpoint", "files_key_id", "files_key")
        values: dict[str, Any] = {name: self.environment[f"NOWCAST_{name.upper()}"] for name in names}
        return Settings(home=home, redis_url=self.environment["NOWCAST_REDIS_URL"], **values)


def _is_ready(machine: Machine) -> bool:
    return READY in machine.log_file("worker").read_text(errors="replace")


@contextmanager
def production(folder: Path, root: Path, environment: Mapping[str, str]) -> Iterator[Production]:
    """Servers and two machines without any part; at the end nothing of it is left.

    Args:
        folder: of all files.
        root: the checkout whose code runs at first.
        environment: in addition to what the machines need to find the servers.
    """
    with ExitStack() as stack:
        (folder / "radar").mkdir()
        (folder / "buckets" / BUCKET).mkdir(parents=True)
        (folder / "nginx").mkdir()
        s3_port = free_port(LOOPBACK)
        stack.enter_context(s3_server(folder / "buckets", s3_port))
        redis_url = stack.enter_context(separate_redis(shutil.which("redis-server") or str(server_program()), folder))
        database_url = stack.enter_context(own_database(stack.enter_context(postgresql_server())))
        ports = [free_port(LOOPBACK) for _ in range(2)]
        certificate = make_certificate(folder / "nginx")
        addresses = [f"{LOOPBACK}:{port}" for port in ports]
        secure, _ = stack.enter_context(in_front("nginx", addresses, certificate, folder / "nginx"))
        client = stack.enter_context(client_of(secure, certificate))
        whole = {
            **shared_environment(database_url, redis_url, s3_port),
            "NOWCAST_SOURCE": str(folder / "radar"),
            "NOWCAST_TRUSTED_PROXIES": f'["{LOOPBACK}/32"]',
            "NOWCAST_PUBLIC_URL": f"https://{NAME}:{secure}",
            **environment,
        }
        machines = [Machine(folder / name, whole, root) for name in ("first", "second")]
        made = Production(folder, whole, client, machines, ports)
        for machine in machines:
            stack.callback(machine.stop)
        yield made
