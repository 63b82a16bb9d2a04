"""Many clients at once against one API process: their responses, its liveness, its memory."""

import http.client
import io
import multiprocessing
import multiprocessing.connection
import resource
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.points import fill, serving
from benchmarks.setting import BenchmarkSetting
from core.errors import UnavailableError
from core.frame import RadarFrame
from core.grid import RADOLAN_900
from ingest.writers.odim_h5 import odim_bytes

CLIENTS: Final = 32
SECONDS: Final = 120
LOOK_S: Final = 0.1
EDGE: Final = 128
GRID: Final = replace(RADOLAN_900, pixel_x_m=7000.0, pixel_y_m=7000.0, height=EDGE, width=EDGE, name="flood")
"""A grid with about the model's own cell size, so that an upload costs a forecast of the usual size."""

TIMEOUT_S: Final = 60.0
BUSY: Final = (429, 503)
TEXT: Final = (
    "{clients} clients send `POST /nowcast` for {seconds} s, each the next one as soon as it is answered (after a 429 "
    "or 503 when `Retry-After` has passed): half the JSON form, half uploads of five frames of 128 x 128 cells, no two "
    "alike, so that each is decoded and forecast with the default model and both baselines. Meanwhile `/livez` "
    "is requested ten times a second on its own connection. The clients are another process on the same two cores. "
    "Memory is what the API process holds, after the first quarter of the time and at the end."
)


@dataclass
class Answers:
    """Responses of one client: the number of each status, and all waits."""

    statuses: Counter[str] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)


@BENCHMARKS.register("flood")
def flood(setting: BenchmarkSetting) -> Section:
    """Measure one flood of requests."""
    seconds = max(2.0, SECONDS * setting.scale)
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name))
        with serving(Path(name)) as port:
            answers, alive_s, memory_mb = _flooded(port, seconds)
    statuses: dict[str, int] = dict(sorted(answers.statuses.items()))
    wrong = sum(count for status, count in statuses.items() if status != "200" and int(status) not in BUSY)
    rows: list[Row] = [
        {
            "clients": CLIENTS,
            "answers": sum(statuses.values()),
            "of which": ", ".join(f"{status}: {count}" for status, count in statuses.items()),
            "median wait, s": float(np.median(answers.waits_s)),
            "longest wait, s": max(answers.waits_s),
            "/livez p95, ms": float(np.percentile(alive_s, 95)) * 1000,
            "/livez slowest, ms": max(alive_s) * 1000,
            "memory then and at the end, MB": f"{memory_mb[0]:.0f}, {memory_mb[1]:.0f}",
        }
    ]
    goals = [
        Goal("answers that are neither 200 nor 429 nor 503", 0, wrong, "", at_least=False),
        Goal("slowest /livez under the flood", 100.0, max(alive_s) * 1000, "ms", at_least=False),
        Goal("memory at the end over that after a quarter", 1.1, memory_mb[1] / memory_mb[0], "times", at_least=False),
    ]
    text = TEXT.format(clients=CLIENTS, seconds=f"{seconds:g}")
    return Section("Many clients at once", text, rows, goals if setting.scale == 1 else ())


def _flooded(port: int, seconds: float) -> tuple[Answers, list[float], tuple[float, float]]:
    """Return all responses, times of /livez, and the server's memory after a quarter of the time and at the end."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    clients = multiprocessing.get_context("spawn").Process(target=_clients, args=(port, seconds, sending))
    server = listener(port)
    clients.start()
    alive_s, memory_mb, started = [], [], time.perf_counter()
    while clients.is_alive() and not receiving.poll():
        alive_s.append(_time_livez(port))
        memory_mb.append((time.perf_counter() - started, resident_mb(server)))
        time.sleep(LOOK_S)
    answers: Answers = receiving.recv()
    clients.join()
    early_mb = next(mb for at_s, mb in memory_mb if at_s >= memory_mb[-1][0] / 4)
    return answers, alive_s, (early_mb, memory_mb[-1][1])


def _time_livez(port: int) -> float:
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    connection.request("GET", "/livez")
    connection.getresponse().read()
    connection.close()
    return time.perf_counter() - start


def _clients(port: int, seconds: float, sending: "multiprocessing.connection.Connection") -> None:
    """Run all clients in a process of their own."""
    until = time.perf_counter() + seconds
    each = [Answers() for _ in range(CLIENTS)]
    threads = [
        threading.Thread(target=_client, args=(port, number, until, answers)) for number, answers in enumerate(each)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = Answers()
    for answers in each:
        together.statuses.update(answers.statuses)
        together.waits_s += answers.waits_s
    sending.send(together)


def _client(port: int, number: int, until: float, answers: Answers) -> None:
    turn = 0
    while time.perf_counter() < until:
        body, headers = upload(number, turn) if number % 2 else (b"{}", {"Content-Type": "application/json"})
        start = time.perf_counter()
        status, retry_after_s = _post(port, body, headers)
        answers.statuses[status] += 1
        answers.waits_s.append(time.perf_counter() - start)
        time.sleep(min(retry_after_s, max(0.0, until - time.perf_counter())))
        turn += 1


def _post(port: int, body: bytes, headers: dict[str, str]) -> tuple[str, float]:
    """Return the status (or 0 without a response) and the seconds to wait before the next request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/nowcast", body, headers)
        answer = connection.getresponse()
        answer.read()
        return str(answer.status), float(answer.headers.get("Retry-After", 0))
    except (OSError, http.client.HTTPException):
        return "0", 0.0
    finally:
        connection.close()


def upload(client: int, turn: int) -> tuple[bytes, dict[str, str]]:
    """Return a form of five ODIM files of moving showers, different for each client and round."""
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    rows, cols = np.mgrid[0:EDGE, 0:EDGE]
    form = io.BytesIO()
    for step in range(5):
        wave = np.sin((cols - 3 * step + client) / 9) * np.cos((rows + step + turn) / 11)
        rate_mmh_HW = np.maximum(np.round(8 * wave, 2), 0).astype(np.float32)
        frame = RadarFrame(end - timedelta(minutes=30 * (4 - step)), GRID, rate_mmh_HW, "RY")
        form.write(f'--cut\r\nContent-Disposition: form-data; name="frames"; filename="{step}.h5"\r\n\r\n'.encode())
        form.write(odim_bytes([frame]) + b"\r\n")
    form.write(b"--cut--\r\n")
    return form.getvalue(), {"Content-Type": "multipart/form-data; boundary=cut"}


def listener(port: int) -> int:
    """Return the process that listens on a port of this machine."""
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if any(f"socket:[{inode}]" == str(link.readlink()) for inode in inodes):
                return int(link.parts[2])
    raise UnavailableError(f"nobody listens on port {port}")


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
