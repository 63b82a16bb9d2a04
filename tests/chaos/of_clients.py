"""Faults by clients and of the queue: floods of every kind of request, silent and slow ones, a queue that loses all."""

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from redis.exceptions import RedisError

from tests.chaos.scene import FAULTS, Scene, fault
from tests.end_to_end.stack import fetch

AT_ONCE: Final = 24
WMS: Final = (
    "/wms?service=WMS&version=1.3.0&request=GetMap&layers=rainfall_rate&styles=&crs=EPSG:3857&format=image/png"
    "&bbox=0,5000000,2000000,7000000&width=2048&height=2048"
)


def _flood(scene: Scene, name: str, ask: Callable[[int], int], count: int) -> str:
    """Send many requests at once; only the server's own errors count, and an answer may also be that it is busy."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(count)))
    scene.refused.update(f"{name}: {status}" for status in answers if status >= 500 and status != 503)
    return f"{count} requests, {sorted(set(answers))}"


def ring(vertices: int) -> dict[str, Any]:
    """A star of many vertices over the crop, as GeoJSON; one more than an even number, with which it crosses itself."""
    vertices |= 1
    west, east, south, north = 8.0, 11.0, 49.5, 51.5
    points = []
    for number in range(vertices):
        share = number / vertices
        reach = 1.0 if number % 2 else 0.4
        points.append([west + (east - west) * share, south + (north - south) * reach * (1 - abs(2 * share - 1))])
    return {"type": "Polygon", "coordinates": [[*points, points[0]]]}


def _points(scene: Scene, number: int) -> int:
    place = f"lat={49.5 + number % 20 / 10}&lon={8 + number % 30 / 10}"
    return fetch(f"{scene.stack.url}/nowcast/latest/point?{place}")[0]


def _area(scene: Scene, number: int) -> int:
    return fetch(f"{scene.stack.url}/nowcast/latest/area", ring(4000))[0]


def _picture(scene: Scene, number: int) -> int:
    return fetch(f"{scene.stack.url}{WMS}")[0]


def _upload(scene: Scene, number: int) -> int:
    body = (
        b'--cut\r\nContent-Disposition: form-data; name="frames"; filename="a.nc"\r\n\r\n'
        + bytes(9000)
        + b"\r\n--cut--"
    )
    return send(scene, body, "multipart/form-data; boundary=cut")


def _job(scene: Scene, number: int) -> int:
    return fetch(f"{scene.stack.url}/nowcast", {"model": "default", "verify": False}, Prefer="respond-async")[0]


def _metrics(scene: Scene, number: int) -> int:
    return fetch(scene.stack.url + ("/metrics", "/ingest", "/verification", "/readyz", "/scans")[number % 5])[0]


def _odd(scene: Scene, number: int) -> int:
    """Requests that once ended in 500: names of hosts and origins, nested JSON, curved geometries."""
    nested = b"[" * 20_000
    headers: list[dict[str, Any]] = [{"Host": "[::1"}, {"Origin": "http://["}, {"Accept": "," * 3000}]
    if number % 4 == 3:
        return send(scene, nested, "application/json")
    return fetch(f"{scene.stack.url}/models", **headers[number % 4])[0]


FLOODS: Final[dict[str, tuple[Callable[[Scene, int], int], int]]] = {
    "places": (_points, 400),
    "areas": (_area, 30),
    "pictures": (_picture, 20),
    "uploads": (_upload, 40),
    "jobs": (_job, 60),
    "metrics and lists": (_metrics, 60),
    "odd requests": (_odd, 24),
}


def _flood_of(scene: Scene, name: str) -> str:
    ask, count = FLOODS[name]
    return _flood(scene, name, partial(ask, scene), count)


for _name in FLOODS:
    FAULTS[f"flood of {_name}"] = partial(_flood_of, name=_name)


def send(scene: Scene, body: bytes, kind: str, path: str = "/nowcast") -> int:
    """The status of a POST with any bytes; 0 without an answer."""
    host = urlsplit(scene.stack.url)
    head = f"POST {path} HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    with (
        suppress(OSError, ValueError, IndexError),
        socket.create_connection((host.hostname or "", host.port or 0), timeout=60) as connection,
    ):
        connection.sendall(head.encode() + body)
        return int(connection.recv(4096).split()[1])
    return 0


def _open(scene: Scene, opened: ExitStack, first: bytes, count: int) -> list[socket.socket]:
    host = urlsplit(scene.stack.url)
    made = []
    for _ in range(count):
        with suppress(OSError):
            connection = socket.create_connection((host.hostname or "", host.port or 0), timeout=5)
            made.append(opened.enter_context(connection))
            connection.sendall(first)
    return made


@fault("silent connections")
def silent(scene: Scene) -> str:
    """Two hundred sockets that send nothing, or half a head; places are answered meanwhile."""
    with ExitStack() as opened:
        made = _open(scene, opened, b"", 100) + _open(scene, opened, b"GET /livez HTTP/1.1\r\nHost: a\r\n", 100)
        status = _points(scene, 0)
        time.sleep(scene.chance.uniform(1, 4))
    return f"{len(made)} connections, a place: {status}"


@fault("stalled uploads")
def stalled(scene: Scene) -> str:
    """Forty uploads whose body does not go on."""
    head = (
        b"POST /nowcast HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=cut\r\n"
        b"Content-Length: 100000\r\n\r\n--cut\r\n"
    )
    with ExitStack() as opened:
        made = _open(scene, opened, head, 40)
        time.sleep(scene.chance.uniform(1, 4))
        status = _upload(scene, 0)
    return f"{len(made)} uploads, another one: {status}"


@fault("listeners")
def listeners(scene: Scene) -> str:
    """Sixty streams of events at once."""
    with ExitStack() as opened:
        made = _open(scene, opened, b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 60)
        time.sleep(scene.chance.uniform(1, 3))
    return f"{len(made)} streams"


@fault("an emptied queue")
def empty_queue(scene: Scene) -> str:
    scene.redis().flushall()
    return "all messages"


@fault("a full queue")
def full_queue(scene: Scene) -> str:
    """The server takes no command that needs memory for some seconds."""
    for_s = scene.chance.uniform(2, 6)
    with scene.redis() as client, suppress(RedisError):
        before: Any = client.config_get("maxmemory")
        client.config_set("maxmemory", 1)
        time.sleep(for_s)
        client.config_set("maxmemory", before["maxmemory"])
    return f"{for_s:.1f} s"


@fault("a slow queue")
def slow_queue(scene: Scene) -> str:
    for_s = scene.chance.uniform(2, 6)
    with scene.redis() as client, suppress(RedisError):
        client.execute_command("CLIENT", "PAUSE", round(for_s * 1000))
        time.sleep(for_s)
    return f"{for_s:.1f} s"


@fault("garbage in the queue")
def spoil_queue(scene: Scene) -> str:
    """Messages that are no messages, and a task without a name."""
    with scene.redis() as client, suppress(RedisError):
        client.rpush("celery", b"\x00\xff", "{}", json.dumps({"body": "", "headers": {}, "properties": {}}))
    return "3 messages"
