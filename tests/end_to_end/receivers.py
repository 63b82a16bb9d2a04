"""Receivers of alerts that keep ids, as a careful user would write them: an HTTP server, and a client of a broker."""

import json
import random
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from service.process.broker import free_port
from tests.waiting import wait_until


@dataclass
class Accepted:
    """Messages by their id: each is accepted once, further copies are counted.

    Attributes:
        documents: by `delivery_id`, in the order in which they were accepted.
        copies: messages that were there already.
        refused: answers with an error on purpose.
    """

    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    copies: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, document: dict[str, Any]) -> None:
        with self.lock:
            key = document["delivery_id"]
            if key in self.documents:
                self.copies[key] += 1
            else:
                self.documents[key] = document


@contextmanager
def http_receiver(refuse: float = 0.0, seed: int = 7) -> Iterator[tuple[str, Accepted]]:
    """An HTTP server on loopback that answers a share of the requests with 503 before it accepts them."""
    accepted, chance = Accepted(), random.Random(seed)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if chance.random() < refuse:
                accepted.refused += 1
                self.send_response(503)
            else:
                document = json.loads(body)
                assert document["delivery_id"] == self.headers["Idempotency-Key"]
                accepted.take(document)
                self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/rain", accepted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def mosquitto(folder: Path) -> Iterator[str]:
    """Debian's MQTT broker on a free port; the test is skipped where the program is not installed."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    port = free_port("127.0.0.1")
    file = folder / "mosquitto.conf"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
    log = (folder / "mosquitto.log").open("wb")
    with log, subprocess.Popen([program, "-c", str(file)], stdout=log, stderr=subprocess.STDOUT) as server:
        try:
            wait_until(lambda: _answers(port), "broker", process=server)
            yield f"mqtt://127.0.0.1:{port}"
        finally:
            server.kill()


def _answers(port: int) -> bool:
    client = Client(CallbackAPIVersion.VERSION2)
    try:
        client.connect("127.0.0.1", port)
    except OSError:
        return False
    client.disconnect()
    return True


@contextmanager
def mqtt_receiver(url: str, topic: str, key: str = "delivery_id") -> Iterator[Accepted]:
    """A client that accepts the messages of a topic; `key` is the member of the document that is its id."""
    accepted, ready = Accepted(), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"receiver-{key}", clean_session=False)

    def take(_client: Client, _data: Any, message: MQTTMessage) -> None:
        document = json.loads(message.payload)
        accepted.take({**document, "delivery_id": document[key], "topic": message.topic})

    client.on_connect = lambda connected, *_: connected.subscribe(topic, qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = take
    host, _, port = url.removeprefix("mqtt://").partition(":")
    client.connect(host, int(port))
    client.loop_start()
    assert ready.wait(30)
    try:
        yield accepted
    finally:
        client.disconnect()
        client.loop_stop()
