"""A budget for every request: bodies, lanes, streams and connections are bounded, and rude clients get no 500."""

import asyncio
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from starlette.exceptions import HTTPException

from core.errors import BusyError, ClientDisconnectedError
from ingest.store.status import STATUS_FILE
from service.api import admission, bodies, events, lanes, uploads
from service.api.lanes import RequestLane
from service.app import create_app
from service.inference.request_scope import ClientPresence, request_scope
from service.process import connections
from service.process.connections import BoundedHttp
from service.queries import regions
from service.queries.regions import area_series
from service.telemetry.metric_store import AllocatedDict, SoundCollector, is_sound
from tests import asking
from tests.service.api_support import fill, service_at
from tests.waiting import PATIENCE_S, wait_until

POLYGON = "POLYGON((9.2 50.3, 11.1 50.4, 10.4 51.9, 9.2 50.3))"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    made = service_at(tmp_path_factory.mktemp("home"))
    fill(made)
    made.forecast_stored()
    return made


@pytest.fixture(scope="module")
def url(service) -> Iterator[str]:
    """The app on a port, with connections as `service.run` starts them."""
    app = create_app(service)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as port:
        config = uvicorn.Config(app, log_level="warning", proxy_headers=False, ws=asyncio.Protocol, http=BoundedHttp)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started, "server")
        assert app.state.backend.wait_warm(timeout_s=PATIENCE_S)
        yield f"http://127.0.0.1:{port.getsockname()[1]}"
        server.should_exit = True
        thread.join(PATIENCE_S)


def opened(url: str, sent: bytes = b"") -> socket.socket:
    made = socket.create_connection((url.split("/")[2].split(":")[0], int(url.rsplit(":", 1)[1])), timeout=PATIENCE_S)
    made.sendall(sent)
    return made


def ends(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_body_that_is_too_large_is_refused_before_it_is_read(url):
    head = f"POST /nowcast/latest/area HTTP/1.1\r\nHost: localhost\r\nContent-Length: {200 * 2**20}\r\n\r\n"
    with opened(url, head.encode()) as connection:
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


def test_a_body_without_a_length_ends_at_the_limit(client, monkeypatch):
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)
    sent = []

    def chunks() -> Iterator[bytes]:
        for _ in range(200):
            sent.append(1)
            yield b" " * 2**16

    answer = client.post("/nowcast/latest/area", content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_that_takes_too_long_is_ended(service):
    app = bodies.BoundedBodies(create_app(service), receive_s=0.05)

    async def receive() -> dict[str, object]:
        await anyio.sleep_forever()
        return {}

    async def read() -> None:
        bounded = bodies._Bounded(receive, app._most_bytes, app._receive_s)
        with pytest.raises(HTTPException) as caught:
            await bounded.receive()
        assert caught.value.status_code == 422

    anyio.run(read)


def test_stalled_uploads_end_and_an_upload_works_again(url, monkeypatch):
    """33 uploads that send nothing more once held all places for a minute."""
    monkeypatch.setattr(uploads, "STALLED_S", 0.5)
    head = (
        b"POST /nowcast HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=cut\r\n"
        b"Content-Length: 100000\r\n\r\n--cut\r\n"
    )
    stalled = [opened(url, head) for _ in range(33)]
    try:
        found = sorted(one.recv(12)[-3:] for one in stalled)
        assert found == [b"422"] * admission.MOST_BODIES + [b"429"] * (33 - admission.MOST_BODIES)
        assert httpx2.post(f"{url}/nowcast", json={"verify": False}, timeout=PATIENCE_S).status_code == 200
    finally:
        for one in stalled:
            one.close()


@pytest.mark.parametrize(
    "headers", [{"Host": "[::1"}, {"Host": "a b"}, {"Host": "x/[", "Origin": "http://["}, {"Origin": "http://["}]
)
@pytest.mark.parametrize("path", ["/livez", "/nowcast/latest", "/nowhere"])
def test_headers_that_are_no_address_are_no_fault_of_the_service(client, headers, path):
    answer = client.get(path, headers=headers)
    assert answer.status_code < 500, answer.text
    assert "Host" not in headers or answer.status_code == 422


@pytest.mark.parametrize("kind", ["CURVEPOLYGON", "MULTISURFACE", "COMPOUNDCURVE", "CIRCULARSTRING"])
def test_curves_are_refused(client, kind):
    inner = "(0 0,4 0,4 4,0 4,0 0)"
    text = {"CIRCULARSTRING": f"CIRCULARSTRING{inner}", "MULTISURFACE": f"MULTISURFACE(({inner}))"}
    answer = client.get("/nowcast/latest/area", params={"polygon": text.get(kind, f"{kind}({inner})")})
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("depth", [20, 500, 5000])
def test_a_deeply_nested_polygon_is_refused(client, depth):
    text = f'{{"type": "Polygon", "coordinates": {"[" * depth}1{"]" * depth}}}'
    for answer in (
        client.get("/nowcast/latest/area", params={"polygon": text}),
        client.post("/nowcast/latest/area", content=text, headers={"Content-Type": "application/json"}),
    ):
        assert answer.status_code == 422, answer.text[:300]


def test_a_lane_lets_few_work_some_wait_and_refuses_the_rest():
    async def crowd() -> tuple[int, int]:
        lane, most, now, refused = RequestLane("areas", 2, waiting=3, wait_s=PATIENCE_S), 0, 0, 0

        async def one() -> None:
            nonlocal most, now, refused
            try:
                async with lane.place():
                    now += 1
                    most = max(most, now)
                    await anyio.sleep(0.01)
                    now -= 1
            except BusyError:
                refused += 1

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(one)
        return most, refused

    assert anyio.run(crowd) == (2, 5)


@pytest.mark.parametrize(
    "path", ["nowcast/latest/animation.webp", "v2/radar/nowcast_0/256/5/17/10/2/1_1.png", "wms", "tiles"]
)
def test_whatever_draws_a_map_waits_in_its_lane(client, monkeypatch, path):
    monkeypatch.setattr(client.app.state.lanes, "_lanes", {"maps": RequestLane("maps", 1, waiting=0)})
    assert client.get(path).status_code == 429


def test_every_picture_of_a_field_waits_in_a_lane(client, monkeypatch):
    full = {name: RequestLane(name, 1, waiting=0) for name in lanes.AT_ONCE}
    monkeypatch.setattr(client.app.state.lanes, "_lanes", full)
    answers = {path: str(item.get("get", {}).get("responses")) for path, item in client.app.openapi()["paths"].items()}
    drawn = [path for path, answer in answers.items() if "image/" in answer]
    assert len(drawn) > 6
    served = {path for path in drawn if client.get(re.sub(r"{\w+}", "latest", path)).status_code != 429}
    assert served == {"/nowcast/{forecast_id}/point.png"}, "of one place, which is small"


def test_one_that_waits_too_long_or_whose_client_has_gone_leaves_the_lane():
    async def wait() -> None:
        lane = RequestLane("areas", 1, wait_s=0.05)
        client = ClientPresence()
        async with lane.place():
            with pytest.raises(BusyError):
                async with lane.place():
                    pass
            client.disconnect()
            with request_scope(client=client), pytest.raises(ClientDisconnectedError):
                async with lane.place():
                    pass
        async with lane.place():
            pass  # it was left by all of them

    anyio.run(wait)


def test_the_work_of_an_area_ends_at_the_next_lead_when_its_client_has_gone(service, monkeypatch):
    client, done = ClientPresence(), []
    lead = regions._lead

    def one(*arguments):
        done.append(1)
        client.disconnect()
        return lead(*arguments)

    monkeypatch.setattr(regions, "_lead", one)
    polygon = regions.__dict__["Polygon"].__args__[0]([(9.2, 50.3), (11.1, 50.4), (10.4, 51.9)])
    with request_scope(client=client), pytest.raises(ClientDisconnectedError):
        area_series(service.latest(), polygon)
    assert len(done) == 1


def test_a_flood_of_areas_and_maps_leaves_threads_for_the_rest(url, monkeypatch):
    release = threading.Event()

    def slow(*_: object, **__: object) -> None:
        release.wait(PATIENCE_S)
        raise BusyError("released")

    monkeypatch.setattr("service.api.area_views.area_series", slow)
    path = f"/nowcast/latest/area?polygon={POLYGON.replace(' ', '%20')}"
    flood = [opened(url, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) for _ in range(60)]
    try:
        refused = sum(one.recv(12).endswith(b"429") for one in flood[lanes.WAITING + lanes.AT_ONCE["areas"] :])
        assert refused == 60 - lanes.WAITING - lanes.AT_ONCE["areas"]
        for light in ("/livez", "/readyz", "/nowcast/latest/point?lat=51&lon=10"):
            answer = httpx2.get(f"{url}{light}", timeout=5)
            assert answer.status_code in (200, 503), light
    finally:
        release.set()
        for one in flood:
            one.close()


def test_streams_of_one_client_are_bounded(url, monkeypatch):
    monkeypatch.setattr(events, "MOST_PER_CALLER", 1)
    with httpx2.stream("GET", f"{url}/events", timeout=PATIENCE_S) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert asking.get(f"{url}/events").status_code == 429


def test_streams_that_are_asked_for_at_once_are_bounded(url, monkeypatch):
    many, most = 8, 2
    together = threading.Barrier(many)
    monkeypatch.setattr(events, "MOST_PER_CALLER", most)
    monkeypatch.setattr(events, "_known", lambda *_: together.wait(PATIENCE_S) and None)

    def status(_: int) -> int:
        with httpx2.stream("GET", f"{url}/events", timeout=PATIENCE_S) as answer:
            together.wait(PATIENCE_S)  # until all have their answer
            return answer.status_code

    with ThreadPoolExecutor(many) as clients:
        assert Counter(clients.map(status, range(many))) == {200: most, 429: many - most}


CHUNKED = b"Host: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(("size", "count", "is_read"), [(1, 3000, False), (1, 2000, True), (100, 3000, True)])
def test_a_body_of_very_many_small_chunks_is_not_read(url, size, count, is_read):
    chunk = f"{size:x}\r\n{'x' * size}\r\n".encode()
    with opened(url, b"POST /rules HTTP/1.1\r\n" + CHUNKED) as sender:
        with suppress(ConnectionError):
            sender.sendall(chunk * count + b"0\r\n\r\n")
        assert sender.recv(12) == b"HTTP/1.1 422" if is_read else ends(sender)


def test_no_request_becomes_a_websocket(url):
    asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x", "Sec-WebSocket-Version": "13"}
    assert asking.get(f"{url}/livez", headers=asked).json() == {"status": "alive"}


def test_a_length_that_is_no_number_is_no_fault(client):
    answer = client.post("/rules", content=b"{}", headers={b"content-length": b"\xb2"})
    assert answer.status_code == 422


def test_silent_and_slow_connections_are_closed_and_others_served(url, monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_S", 0.3)
    silent = [opened(url) for _ in range(40)] + [opened(url, b"GET /livez HTTP/1.1\r\nHost: ") for _ in range(10)]
    assert httpx2.get(f"{url}/livez", timeout=5).status_code == 200
    assert all(ends(one) for one in silent)
    for one in silent:
        one.close()
    with httpx2.Client(base_url=url, timeout=PATIENCE_S) as client:
        for _ in range(4):
            assert client.get("/livez").status_code == 200
            time.sleep(0.12)


def test_connections_of_one_address_are_bounded(url, monkeypatch):
    wait_until(lambda: BoundedHttp.open_by_address.total() == 0, "connections to close")
    monkeypatch.setattr(connections, "PER_ADDRESS", 5)
    held = [opened(url) for _ in range(5)]
    with opened(url) as more:
        assert ends(more)
    for one in held:
        one.close()
    wait_until(lambda: BoundedHttp.open_by_address.total() == 0, "connections to close")


WRONG = (
    "[]",
    "7",
    '{"sources": []}',
    '{"sources": {"a": 5, "b": {"outage_since": [1], "error": {}}}, "updated_at": 7, "paused_since": {"x": 1}}',
    '{"updated_at": "yesterday", "sources": {"a": {"outage_since": "2024"}}, "stored": {"deep": [1]}}',
    "[" * 100_000,
    "\x00",
)


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_a_status_file_of_another_shape_is_no_fault(client, service, text):
    (service.settings.home / STATUS_FILE).write_text(text)
    for path in ("/ingest", "/metrics", "/readyz"):
        answer = client.get(path)
        assert answer.status_code in (200, 503), (path, answer.text[:300])
        assert path == "/readyz" or answer.status_code == 200
        assert path != "/metrics" or 'nowcast_up{part="ingest"} 1.0' in answer.text


def test_files_of_metrics_are_never_sparse_and_grow_with_room(tmp_path):
    path = tmp_path / "counter_0.db"
    counts = AllocatedDict(str(path))
    for number in range(30_000):
        counts.read_value(json.dumps(["name", "name_total", {"label": str(number)}, "help"]))
    status = path.stat()
    assert status.st_size > 2**20
    assert status.st_blocks * 512 >= status.st_size
    counts.close()


def test_a_damaged_file_of_metrics_is_left_out(tmp_path):
    for number in (0, 1):
        counts = AllocatedDict(str(tmp_path / f"counter_{number}.db"))
        counts.write_value(json.dumps(["name", "name_total", {}, "help"]), 3.0, 0.0)
        counts.close()
    for content in (
        b"\x7f" * 5000,
        b"",
        b"\x01",
        b"\x30\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00[1,2]xxx" + b"\0" * 99,
    ):
        (tmp_path / "counter_1.db").write_bytes(content)
        (metric,) = SoundCollector(None, path=str(tmp_path)).collect()
        assert [sample.value for sample in metric.samples] == [3.0]
        assert not Path(tmp_path / "counter_1.db").exists()
    (tmp_path / "counter_1.db").write_bytes(b"\x7f" * 5000)
    AllocatedDict(str(tmp_path / "counter_1.db")).close()
    assert is_sound(tmp_path / "counter_1.db")


@pytest.mark.parametrize("prefix", ["", "/weather"])
def test_an_upload_has_limits_of_its_own_with_any_prefix_of_a_proxy(prefix):
    served = []

    async def app(_scope: object, receive: object, _send: object) -> None:
        served.append(receive)

    async def nothing(*_: object) -> Any:
        return {}

    length = (b"content-length", str(10 * bodies.MOST_BYTES).encode())
    scope = {"type": "http", "method": "POST", "path": f"{prefix}/nowcast/", "root_path": prefix, "headers": [length]}
    anyio.run(bodies.BoundedBodies(app), scope, nothing, nothing)
    assert served == [nothing]
