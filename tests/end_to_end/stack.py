"""Starting, asking and watching the running system."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.frame import RadarFrame
from ingest.writers.radolan import ry_bytes, ry_file_name
from service.process.broker import free_port
from tests.waiting import PATIENCE_S, Found, wait_until

ROOT = Path(__file__).resolve().parents[2]
CELLS = {"NOWCAST_GRID_M": "7000"}
"""Forecasts of a second: these tests are about processes. That of 900 x 900 cells is a benchmark."""


def fetch(url: str, body: object = None, *, limit_s: float = PATIENCE_S, **headers: str) -> tuple[int, bytes]:
    """Status and body of one request; (0, b"") where nobody listens, or nothing comes within the limit."""
    data = None if body is None else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=limit_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as err:
        with err:
            return err.code, err.read()
    except OSError:
        return 0, b""


def alive(pid: int) -> bool:
    """True for a process that runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> dict[int, str]:
    """Every process below `pid`, with its command line."""
    found: dict[int, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            command = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found |= {int(stat.parent.name): command, **descendants(int(stat.parent.name))}
    return found


def process_environment() -> dict[str, str]:
    """What a process of the tests starts with: this Python's commands first, the project importable, one thread."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM, grace_s: float = 30) -> None:
    """Ask a process to end; kill it, and whatever is left below it, if it does not."""
    below = descendants(process.pid)
    process.send_signal(number)
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in filter(alive, below):
        os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class Stack:
    """A running `python -m service.run`."""

    process: subprocess.Popen[bytes]
    url: str
    home: Path
    log_file: Path
    started: float

    def log(self) -> str:
        """What it printed so far."""
        return self.log_file.read_text(errors="replace")

    def get(self, path: str) -> Any:
        """The JSON answer to GET `path`, None unless it is 200."""
        status, body = fetch(self.url + path)
        return json.loads(body) if status == 200 else None

    def wait_until(self, look: Callable[[], Found], what: str, within_s: float = PATIENCE_S) -> Found:
        """Return what `look` finds; this stack's log stands in a failure."""
        return wait_until(look, what, self.log, process=self.process, within_s=within_s)

    def first_forecast(self, within_s: float = PATIENCE_S) -> Any:
        """Return the latest forecast as soon as there is one."""
        return self.wait_until(lambda: self.get("/nowcast/latest"), "forecast", within_s)

    def parts(self) -> dict[str, int]:
        """Process ids by what runs."""
        marks = {
            "queue": "-server 127.0.0.1:",
            "api": "uvicorn service.app:app",
            "ingest": "ingest.run",
            "worker": "-A service.worker worker",
            "beat": "-A service.worker beat",
            "alerts": "-A service.alerter worker",
            "radar": "service.replay",
        }
        running = descendants(self.process.pid)
        return {
            name: pid
            for name, mark in marks.items()
            for pid, command in running.items()
            if mark in command and "leash" not in command
        }

    def send(self, part: str, number: signal.Signals) -> None:
        """Send a signal to a part, such as SIGSTOP."""
        os.kill(self.parts()[part], number)

    def redis_url(self) -> str:
        """Return the address of the queue in the worker's environment."""
        environment = Path(f"/proc/{self.parts()['worker']}/environ").read_bytes().split(b"\0")
        return next(line.decode().split("=", 1)[1] for line in environment if line.startswith(b"NOWCAST_REDIS_URL="))


@contextmanager
def running_stack(
    home: Path, *arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """Start `python -m service.run` on a free port; at the end nothing of it is left."""
    port = free_port("127.0.0.1")
    log_file = home / "stack.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.run", "--port", str(port), *arguments],
            env={**process_environment(), "NOWCAST_HOME": str(home / "var"), **CELLS, **(environment or {})},
            cwd=cwd,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    stack = Stack(process, f"http://127.0.0.1:{port}", home, log_file, time.monotonic())
    try:
        yield stack
    finally:
        end(process)


def make_recipe(target: str, *options: str) -> list[str]:
    """The commands that `make TARGET` would run, also where the tests themselves run under make."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--no-print-directory", "-n", *options, target]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def land(folder: Path, frame: RadarFrame) -> None:
    """Put a scan into a watched folder, whole at once."""
    part = folder.with_name("part")
    part.write_bytes(gzip.compress(ry_bytes(frame.rate_mmh_HW, frame.valid_time), 1))
    part.rename(folder / f"{ry_file_name(frame.valid_time)}.gz")
