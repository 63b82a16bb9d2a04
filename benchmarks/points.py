"""Responses for places from one API process at a fixed rate of requests, over HTTP on this machine."""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.page import BENCHMARKS, Goal, Row, Section
from benchmarks.setting import BenchmarkSetting
from core.errors import UnavailableError
from core.frame import RadarFrame
from core.settings import Settings
from ingest.synthetic import weather
from service.forecasts.nowcast import NowcastService
from service.process.broker import free_port

RATE_HZ: Final = 200
SECONDS: Final = 10
CONNECTIONS: Final = 16
PATIENCE_S: Final = 60.0
TEXT: Final = (
    "`uvicorn service.app:app`, one process with the default model's forecast of two hours of invented scans, "
    "gets requests for `/nowcast/latest/point` at random places of Germany, 200 a second for 10 s over 16 connections "
    "that stay open. A request's time counts from its scheduled moment, whether or not the previous one is "
    "answered by then; client and server share this machine's cores. Afterwards the same with `If-None-Match`."
)


@dataclass(frozen=True)
class TimedResponse:
    """One response: seconds from the scheduled time of its request, status, and headers."""

    wait_s: float
    status: int
    head: bytes


@BENCHMARKS.register("points")
def points(setting: BenchmarkSetting) -> Section:
    """Request random places, then the same ones again with their validators."""
    seconds = max(1, round(SECONDS * setting.scale))
    rng = random.Random(0)
    paths = [_path(rng.uniform(48, 54), rng.uniform(7, 14)) for _ in range(RATE_HZ * seconds)]
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name))
        with serving(Path(name)) as port:
            asyncio.run(request_all(port, paths[:RATE_HZ], ()))  # the first second is not counted
            fresh = asyncio.run(request_all(port, paths, ()))
            tags = [_tag(answer) for answer in fresh]
            again = asyncio.run(request_all(port, paths, [f"If-None-Match: {tag}" for tag in tags]))
    rows = [_row("places", fresh, 200), _row("places, If-None-Match", again, 304)]
    goals = [
        Goal("p95 of an answer for a place at 200 requests a second", 20.0, _p95_ms(fresh), "ms", at_least=False),
        Goal("p95 of a 304 at 200 requests a second", 5.0, _p95_ms(again), "ms", at_least=False),
    ]
    return Section("Answers for places", TEXT, rows, goals if setting.scale == 1 else ())


def fill(home: Path) -> None:
    """Fill a live store with two hours of scans and the served model's forecast from them."""
    service = NowcastService.from_settings(Settings(home=home, device="cpu"))
    for frame in recent_weather(2.0):
        service.store.put(frame)
    service.forecast_stored()


def recent_weather(hours: float) -> Iterator[RadarFrame]:
    """Yield invented scans every 5 minutes, the newest at the last full minute."""
    return weather(datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=hours), hours, seed=1)


@contextmanager
def serving(home: Path) -> Iterator[int]:
    """Run one API process on a free port of the loopback; yield the port once the forecast is available."""
    port = free_port("127.0.0.1")
    command = [sys.executable, "-m", "uvicorn", "service.app:app", "--port", str(port), "--no-access-log"]
    # A program of this machine has no rate limit then, which 200 requests a second would reach in two seconds.
    settings = {"NOWCAST_HOME": str(home), "NOWCAST_DEVICE": "cpu", "NOWCAST_LOCAL_WITHOUT_KEY": "true"}
    environment = {**os.environ, **settings}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            asyncio.run(_ready(port))
            yield port
        finally:
            server.terminate()


async def request_all(
    port: int, paths: Sequence[str], headers: Sequence[str], *, rate_hz: float = RATE_HZ
) -> list[TimedResponse]:
    """Request all paths at a fixed rate, independent of the responses, which are returned in the order of the paths."""
    answers: list[TimedResponse | None] = [None] * len(paths)
    start = time.perf_counter() + 0.1
    headers = headers or [""] * len(paths)

    async def connection(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for index in range(number, len(paths), CONNECTIONS):
            scheduled = start + index / rate_hz
            await asyncio.sleep(max(0.0, scheduled - time.perf_counter()))
            extra = f"{headers[index]}\r\n" if headers[index] else ""
            writer.write(f"GET {paths[index]} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n".encode())
            status, head = await _answer(reader)
            answers[index] = TimedResponse(time.perf_counter() - scheduled, status, head)
        writer.close()

    await asyncio.gather(*(connection(number) for number in range(CONNECTIONS)))
    return [answer for answer in answers if answer is not None]


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if b"content-length:" in head and status != 304:
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    return status, head


async def _ready(port: int) -> None:
    end = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < end:
        try:
            if (await request_all(port, ["/readyz"], ()))[0].status == 200:
                return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise UnavailableError(f"the API was not ready within {PATIENCE_S:g} s")


def _path(lat: float, lon: float) -> str:
    return f"/nowcast/latest/point?lat={lat:.4f}&lon={lon:.4f}"


def _tag(answer: TimedResponse) -> str:
    if answer.status != HTTPStatus.OK:
        raise UnavailableError(f"expected a response for each place, got status {answer.status}")
    return answer.head.split(b"etag: ")[1].split(b"\r\n")[0].decode().replace("w/", "W/")


def _p95_ms(answers: Sequence[TimedResponse]) -> float:
    return float(np.percentile([answer.wait_s for answer in answers], 95)) * 1000


def _row(what: str, answers: Sequence[TimedResponse], status: int) -> Row:
    waits_ms = np.array([answer.wait_s for answer in answers]) * 1000
    wrong = sum(answer.status != status for answer in answers)
    quantiles = {f"p{q}, ms": float(np.percentile(waits_ms, q)) for q in (50, 95, 99)}
    return {"asked for": what, "requests": len(answers), f"not {status}": wrong, **quantiles}
