"""The source of EUMETNET's open radar data against a server on the loopback in the layout of its S3 bucket and EDR."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

from core.errors import ConfigError, UnavailableError
from core.settings import Settings
from ingest.sources import SOURCES, SourceContext, attribution_of
from ingest.sources.eumetnet import OPERA, OrdSource
from ingest.sources.eumetnet_listing import composite_of, linked_objects, object_url, parse_object_page
from ingest.sources.notifications import Notifications
from ingest.store.live import Store
from ingest.worker.loop import IngestWorker
from ingest.writers.odim_h5 import odim_bytes
from tests.ingest.small_scans import T0, small_frame

BUCKET = "/openradar-24h"
NOW = T0 + timedelta(minutes=64)
PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>openradar-24h</Name>
<IsTruncated>{more}</IsTruncated>{token}{entries}</ListBucketResult>"""
ENTRY = "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size></Contents>"


def key_of(time: datetime, quantity: str = "RATE", ending: str = "h5") -> str:
    return f"{time:%Y/%m/%d}/OPERA/COMP/OPERA@{time:%Y%m%dT%H%M}@0@{quantity}.{ending}"


class Bucket:
    """Objects by key, pages of a listing as S3 writes them, EDR's answer, and all requests received."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.changed: dict[str, str] = {}
        self.page_size = 1000
        self.asked: list[str] = []
        self.edr: object = None
        self.busy = 0
        self.url = ""

    def paths(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked

    def answer(self, target: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(target)
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.busy:
            return 503, {"Retry-After": str(self.busy)}, b"slow down"
        if parts.path.startswith("/edr/"):
            return (200, {}, json.dumps(self.edr).encode()) if self.edr else (204, {}, b"")
        if parts.path == f"{BUCKET}/":
            return 200, {}, self.listing(query).encode()
        key = unquote(parts.path).removeprefix(f"{BUCKET}/")
        return (200, {}, self.objects[key]) if key in self.objects else (404, {}, b"")

    def listing(self, query: dict[str, str]) -> str:
        assert query["list-type"] == "2"
        after = query.get("continuation-token", query.get("start-after", ""))
        keys = [key for key in sorted(self.objects) if key.startswith(query["prefix"]) and key > after]
        more = keys[self.page_size :]
        keys = keys[: self.page_size]
        entries = [
            ENTRY.format(key, self.changed.get(key, "2024-07-01T00:00:01Z"), hash(self.objects[key]), 1) for key in keys
        ]
        token = f"<NextContinuationToken>{keys[-1]}</NextContinuationToken>" if more else ""
        return PAGE.format(more=str(bool(more)).lower(), token=token, entries="".join(entries))

    def offer(self, *steps: int, start: datetime = T0) -> None:
        """OPERA's rates every 15 minutes, and the other objects of the same folder."""
        for step in steps:
            moment = start + timedelta(minutes=15 * step)
            frame = replace(small_frame(0, seed=step), valid_time=moment, product="RATE", interval_minutes=0.0)
            self.objects[key_of(moment)] = odim_bytes([frame])
            for quantity, ending in (("DBZH", "h5"), ("ACRR", "h5"), ("RATE", "tiff")):
                self.objects[key_of(moment, quantity, ending)] = b"not requested"


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    state = Bucket()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = state.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return "Mon, 01 Jul 2024 01:04:00 GMT"

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_address[1]}{BUCKET}"
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def source_of(bucket: Bucket, store: Store, *, now: datetime = NOW, **options) -> OrdSource:
    inbox = store.home / "inbox"
    return OrdSource(
        bucket.url, inbox, known=store.has_file_named, clock=lambda: now, jitter=lambda: 0.5, poll_s=60, **options
    )


def worker_of(source: OrdSource, store: Store) -> IngestWorker:
    return IngestWorker(source, store, list, threading.Event())


def objects_in(asked: list[str]) -> list[str]:
    return [unquote(path).removeprefix(f"{BUCKET}/") for path in asked if path.startswith(f"{BUCKET}/20")]


def test_composites_of_one_quantity_are_fetched_once_the_newest_first(bucket, store):
    bucket.offer(0, 1, 2, 3, 4)
    worker = worker_of(source_of(bucket, store), store)
    worker.look()
    times = [T0 + timedelta(minutes=15 * step) for step in range(5)]
    assert objects_in(bucket.paths()) == [key_of(time) for time in reversed(times)]
    assert [scan.valid_time for scan in store.scans()] == times
    assert worker.totals.rejected == 0
    worker.look()
    assert objects_in(bucket.paths()) == []
    bucket.objects[key_of(times[-1])] += b"\0"
    worker.look()
    assert objects_in(bucket.paths()) == [key_of(times[-1])], "an object that was written again"
    worker_of(source_of(bucket, Store(store.home)), store).look()
    assert objects_in(bucket.paths()) == [], "not fetched again after a restart"


def test_a_listing_of_many_pages_over_midnight(bucket, store):
    bucket.page_size = 3
    bucket.offer(*range(-14, 5))
    bucket.objects["2024/07/01/NO/nohur/PVOL/nohur@20240701T0000@0@DBZH.h5"] = b"a single radar"
    worker_of(source_of(bucket, store), store).look()
    lists = [path for path in bucket.paths() if path.startswith(f"{BUCKET}/?")]
    assert any("prefix=2024%2F06%2F30" in path for path in lists)
    assert any("continuation-token" in path for path in lists)
    assert [scan.valid_time for scan in store.scans()] == [T0 + timedelta(minutes=15 * n) for n in range(-5, 5)]


def test_a_busy_bucket_sets_the_next_poll(bucket, store):
    bucket.offer(0)
    bucket.busy = 120
    source = source_of(bucket, store)
    with pytest.raises(UnavailableError, match="again in 120 s"):
        list(source.look())
    assert source.wait_s == 120
    bucket.busy = 0
    worker_of(source, store).look()
    assert source.wait_s == 60


def test_a_bucket_without_composites_is_an_outage(bucket, store):
    bucket.offer(-40)
    with pytest.raises(UnavailableError, match="expected composites of RATE since 2024-06-30T22:34Z, got none"):
        list(source_of(bucket, store).look())


@pytest.mark.parametrize(
    "content", [b"", b"<html></html>", b"<a", b'<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult/>']
)
def test_what_is_no_listing_is_refused(content):
    with pytest.raises(UnavailableError, match="expected a listing of S3"):
        parse_object_page(content, "RATE")


def test_keys_of_other_layouts_are_not_composites():
    found = composite_of(key_of(T0, "DBZH"), "DBZH")
    assert found is not None
    assert found.time == T0
    for key in (key_of(T0, "ACRR"), key_of(T0, ending="tiff"), "x/" + key_of(T0), key_of(T0).replace("T00", "T99")):
        assert composite_of(key, "RATE") is None


def test_the_edr_interface_lists_the_composites_instead(bucket, store):
    bucket.offer(0, 1, 2)
    keys = [key_of(T0 + timedelta(minutes=15 * step)) for step in range(3)]
    elsewhere = {"href": f"http://elsewhere.test/openradar-24h/{key_of(T0)}"}
    links = [{"href": object_url(bucket.url, key), "rel": "item"} for key in keys[:2]]
    bucket.edr = {"coverages": [{"links": links, "ranges": {}}], "links": [elsewhere]}
    edr_url = bucket.url.replace(BUCKET, "/edr")
    source = source_of(bucket, store, edr_url=edr_url)
    worker_of(source, store).look()
    asked = bucket.paths()
    assert urlsplit(asked[0]).path == f"/edr/collections/observations/locations/{OPERA}"
    query = parse_qs(urlsplit(asked[0]).query)
    assert query["datetime"] == ["2024-06-30T22:34Z/2024-07-01T01:14Z"]
    assert (query["standard_name"], query["format"]) == (["RATE"], ["ODIM"])
    assert objects_in(asked) == keys[1::-1]
    bucket.edr = None
    with pytest.raises(UnavailableError, match="got none"):
        list(source.look())


def test_links_are_found_at_any_depth_and_on_the_bucket_alone():
    root = "https://s3.test/openradar-24h"
    deep: object = {"href": f"{root}/{quote(key_of(T0))}"}
    for _ in range(20):
        deep = {"a": [deep]}
    others: list[object] = [{"href": f"{root}.evil/{key_of(T0)}"}, {"href": 3}, {"href": f"{root}/other"}]
    others.append({"href": key_of(T0 + timedelta(minutes=15))})  # an address without a server
    content = json.dumps([deep, *others]).encode()
    assert [one.key for one in linked_objects(content, root, "RATE")] == [key_of(T0)]
    assert linked_objects(b"[" * 60 + b"]" * 60, root, "RATE") == []
    for broken in (b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(UnavailableError, match="expected JSON with links"):
            linked_objects(broken, root, "RATE")


def test_the_settings_choose_quantity_addresses_and_polling(tmp_path):
    settings = Settings(home=tmp_path, ord_url="http://h/b/", ord_quantity="DBZH", ord_mqtt_url="ws://u:p@h:1/m")
    source = SOURCES.get("ord")(SourceContext(settings, inbox=tmp_path / "inbox", poll_s=5))
    assert isinstance(source, OrdSource)
    assert (source.name, source.wait_s) == ("http://h/b/", 60)
    assert "CC BY 4.0" in attribution_of("ord")
    assert attribution_of("directory") == ""
    with pytest.raises(ConfigError, match="MQTT URL: expected one such as wss://"):
        SOURCES.get("ord")(SourceContext(Settings(home=tmp_path, ord_mqtt_url="h:1"), inbox=tmp_path / "inbox"))


class Broker:
    """A broker that confirms one client's subscription (MQTT 3.1.1 over TCP) and publishes to it."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://reader:secret@127.0.0.1:{self._socket.getsockname()[1]}"
        self.received: list[bytes] = []
        self.subscribed = threading.Event()
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def publish(self, topic: str, payload: bytes) -> None:
        body = struct.pack("!H", len(topic)) + topic.encode() + payload
        assert self._connection is not None
        self._connection.sendall(b"\x30" + self._length(len(body)) + body)

    def close(self) -> None:
        for one in (self._connection, self._socket):
            if one is not None:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with suppress(OSError):
            self._connection, _ = self._socket.accept()
            while packet := self._packet(self._connection):
                self.received.append(packet)
                if packet[0] >> 4 == 1:  # CONNECT
                    self._connection.sendall(b"\x20\x02\x00\x00")
                if packet[0] >> 4 == 8:  # SUBSCRIBE: its identifier is confirmed
                    self._connection.sendall(b"\x90\x03" + packet[1:3] + b"\x01")
                    self.subscribed.set()

    @staticmethod
    def _packet(connection: socket.socket) -> bytes:
        """Type byte and body of the next packet; empty at the end."""
        head = connection.recv(1)
        if not head:
            return b""
        length, shift = 0, 0
        while True:
            (byte,) = connection.recv(1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body = b""
        while len(body) < length:
            body += connection.recv(length - len(body))
        return head + body

    @staticmethod
    def _length(size: int) -> bytes:
        coded = bytearray()
        while True:
            size, byte = divmod(size, 128)
            coded.append(byte | (0x80 if size else 0))
            if not size:
                return bytes(coded)


@pytest.fixture
def broker() -> Iterator[Broker]:
    one = Broker()
    yield one
    one.close()


def message(url: str, quantity: str = "RATE") -> bytes:
    links = [{"href": "https://elsewhere.test/x", "rel": "canonical"}]
    links.append({"href": object_url(url, key_of(T0, quantity)), "rel": "item"})
    return json.dumps({"type": "Feature", "links": links}).encode()


def waited(condition, *, at_most_s: float = 5.0) -> bool:
    end_s = time.monotonic() + at_most_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.005)
    return bool(condition())


def test_a_message_announces_a_composite_and_others_do_not(broker):
    url, topic = "https://s3.test/openradar-24h", f"ORD/eu.eumetnet/{OPERA}/RATE"
    received: list[bytes] = []

    def is_relevant(payload: bytes) -> bool:
        received.append(payload)
        return bool(linked_objects(payload, url, "RATE"))

    notified = Notifications(broker.url, topic, is_relevant)
    with notified.listening():
        assert broker.subscribed.wait(5)
        assert topic.encode() in b"".join(broker.received)
        assert b"secret" in broker.received[0]
        assert notified.arrived.wait(5), "a new connection may have missed messages"
        notified.arrived.clear()
        for payload in (b"no json", message("https://elsewhere.test/b"), message(url, "DBZH")):
            broker.publish(topic, payload)
        assert waited(lambda: len(received) == 3)
        assert not notified.arrived.is_set()
        broker.publish(topic, message(url))
        assert notified.arrived.wait(5)


def test_a_message_shortens_the_wait_but_not_while_the_server_fails(bucket, store, monkeypatch):
    monkeypatch.setattr("ingest.sources.eumetnet.NOTIFIED_S", 0.05)
    monkeypatch.setattr("ingest.sources.eumetnet.CHECK_S", 0.01)
    notified = Notifications("mqtt://127.0.0.1:9", "t", lambda _: True)
    monkeypatch.setattr(notified, "listening", lambda: suppress(ZeroDivisionError))
    bucket.offer(0)
    source, stop = source_of(bucket, store, notifications=notified), threading.Event()
    ticks = source.ticks(stop)
    next(ticks)
    list(source.look())
    notified.arrived.set()
    begin_s = time.monotonic()
    next(ticks)
    assert 0.05 <= time.monotonic() - begin_s < 5
    assert not notified.arrived.is_set()
    bucket.busy = 600
    with pytest.raises(UnavailableError):
        list(source.look())
    notified.arrived.set()
    threading.Timer(0.2, stop.set).start()
    assert list(ticks) == [], "no look before the server's own time"
