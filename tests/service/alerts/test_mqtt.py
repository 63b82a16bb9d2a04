"""Alerts and new forecasts on an MQTT broker: each is confirmed by it, and a broken connection sends nothing later."""

import base64
import hashlib
import json
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import SecretStr

import service.alerts.channels.publisher as publisher
from core.settings import Settings
from service.alerts.arrivals import PART, announce, notification_of
from service.alerts.channels.base import DeliveryError
from service.alerts.delivery import deliver
from service.alerts.outbox import deliveries_of
from service.alerts.pending import last_evaluated
from service.alerts.rulebook import rule_book
from tests.end_to_end.receivers import mosquitto, mqtt_receiver
from tests.service.alerts.happening import again, happen
from tests.service.alerts.playing import play, rainy_world, stored
from tests.service.api_support import running, service_at
from tests.waiting import wait_until

RULE = {"name": "Garden", "place": {"lat": 51, "lon": 10}, "quantity": "rate", "threshold": 1}
TOPIC = "origin/a/wis2/de-example/data/recommended/weather/prediction/forecast"
NOTIFICATION = json.loads(Path(__file__).with_name("wis2_notification.schema.json").read_text("utf-8"))


class SmallBroker(socketserver.ThreadingTCPServer):
    """A broker that confirms messages (MQTT 3.1.1, QoS 1); `is_silent`: it takes them and confirms none."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), SmallSession)
        self.got: list[tuple[str, bytes]] = []
        self.is_silent, self.connack = False, 0
        self.url = f"mqtt://me:secret@127.0.0.1:{self.server_address[1]}"


class SmallSession(socketserver.StreamRequestHandler):
    server: SmallBroker

    def handle(self) -> None:
        with suppress(OSError):
            while head := self.rfile.read(1):
                body = self.rfile.read(self._length())
                if head[0] >> 4 == 1:
                    self.wfile.write(bytes((0x20, 2, 0, self.server.connack)))
                if head[0] >> 4 == 3:
                    (size,) = struct.unpack("!H", body[:2])
                    topic, number, payload = body[2 : 2 + size], body[2 + size : 4 + size], body[4 + size :]
                    self.server.got.append((topic.decode(), payload))
                    if not self.server.is_silent:
                        self.wfile.write(b"\x40\x02" + number)

    def _length(self) -> int:
        length, shift, byte = 0, 0, 0x80
        while byte & 0x80:
            (byte,) = self.rfile.read(1)
            length |= (byte & 0x7F) << shift
            shift += 7
        return length


@pytest.fixture
def broker() -> Iterator[SmallBroker]:
    with SmallBroker() as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield one
        finally:
            publisher.publisher_of(one.url).close()
            one.shutdown()
            thread.join()


def test_alerts_are_published_in_order_below_the_rule_s_topic(broker, tmp_path):
    settings = Settings(home=tmp_path, mqtt_url=SecretStr(broker.url), mqtt_topic="home/rain")
    book = rule_book(settings)
    rule_id = stored(book, {**RULE, "targets": [{"kind": "mqtt"}]})
    happen(book, rule_id, "raised", "ended")
    for _ in range(2):
        assert deliver(book.engine, settings).sent == 1
    assert [topic for topic, _ in broker.got] == [f"home/rain/alerts/{rule_id}"] * 2
    documents = [json.loads(payload) for _, payload in broker.got]
    assert [one["event"] for one in documents] == ["raised", "ended"]
    assert len({one["delivery_id"] for one in documents}) == 2


def test_a_message_that_is_not_confirmed_counts_as_failed_and_comes_again_by_the_outbox_alone(
    broker, tmp_path, monkeypatch
):
    monkeypatch.setattr(publisher, "WHOLE_S", 0.2)
    settings = Settings(home=tmp_path, mqtt_url=SecretStr(broker.url))
    book = rule_book(settings)
    rule_id = stored(book, {**RULE, "targets": [{"kind": "mqtt"}]})
    happen(book, rule_id, "raised")
    broker.is_silent = True
    assert deliver(book.engine, settings).failed == 1
    broker.is_silent = False
    again(book)
    assert deliver(book.engine, settings).sent == 1
    first, second = (json.loads(payload)["delivery_id"] for _, payload in broker.got)
    assert first == second
    (waited,) = deliveries_of(book.engine, rule_id, None, 10)
    assert (waited.state, waited.attempts) == ("sent", 2)


def test_a_broker_that_refuses_or_is_gone_is_a_problem_without_its_password(broker, tmp_path):
    broker.connack = 5
    with pytest.raises(DeliveryError, match="refuses the connection") as refused:
        publisher.publisher_of(broker.url).publish("a", b"")
    gone = "mqtt://me:secret@127.0.0.1:9"
    with pytest.raises(DeliveryError, match="does not answer") as silent:
        publisher.publisher_of(gone).publish("a", b"")
    assert "secret" not in f"{refused.value}{silent.value}"
    assert refused.value.blocks_host


def test_without_a_broker_the_kind_is_refused(tmp_path):
    with running(service_at(tmp_path)) as client:
        answer = client.post("/rules", json={**RULE, "targets": [{"kind": "mqtt"}]})
        assert (answer.status_code, "NOWCAST_MQTT_URL" in answer.text) == (422, True)


@pytest.mark.parametrize("topic", ["a/#", "a/+/b", "/a", "a/", "a//b", "a b", ""])
def test_a_topic_has_no_wildcards_and_no_empty_levels(topic):
    with pytest.raises(ValueError, match="mqtt_topic"):
        Settings(mqtt_topic=topic)


def test_each_forecast_is_notified_once_and_one_that_failed_later(broker, open_world):
    address = "https://rain.example.org"
    world = rainy_world(open_world, mqtt_url=SecretStr(broker.url), wis2_topic=TOPIC, public_url=address)
    settings, book = world.service.settings, rule_book(world.service.settings)
    made = []
    for index, forecast in enumerate(play(world, 0, 7)):
        made.append(forecast)
        broker.connack = 5 if index == 1 else 0
        if index == 0:
            assert announce(world.service, book.engine, settings) == 1
            publisher.publisher_of(broker.url).close()
        if index == 1:
            with pytest.raises(DeliveryError):
                announce(world.service, book.engine, settings)
    assert announce(world.service, book.engine, settings) == 2
    assert announce(world.service, book.engine, settings) == 0
    documents = [json.loads(payload) for topic, payload in broker.got if topic == TOPIC]
    assert [one["properties"]["data_id"].rpartition("_")[2] for one in documents] == [one.id for one in made]
    assert last_evaluated(book.engine, PART) == made[-1].reference_time
    for document, forecast in zip(documents, made, strict=True):
        Draft202012Validator(NOTIFICATION, format_checker=FormatChecker()).validate(document)
        assert UUID(document["id"])
        digest = base64.b64decode(document["properties"]["integrity"]["value"])
        assert digest == hashlib.sha512(forecast.path.read_bytes()).digest()
        assert document["links"][0]["length"] == forecast.path.stat().st_size


def test_a_notification_names_the_place_and_the_times(open_world):
    world = rainy_world(open_world, public_url="https://rain.example.org", wis2_topic=TOPIC)
    (forecast,) = play(world, 0, 5)
    found = notification_of(forecast, world.service.settings, datetime(2026, 1, 1, tzinfo=UTC))
    expected = f"de-example/data/recommended/weather/prediction/forecast/20240601T1200Z_{forecast.id}"
    assert found["properties"]["data_id"] == expected
    assert found["properties"]["metadata_id"] == "urn:wmo:md:de-example:nowcast"
    assert found["links"][0]["href"] == f"https://rain.example.org/nowcast/{forecast.id}/file.nc"
    assert found["properties"]["pubtime"] == "2026-01-01T00:00:00Z"
    ring = found["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert sum((b[0] - a[0]) * (b[1] + a[1]) for a, b in pairwise(ring)) < 0, "counterclockwise"


@pytest.mark.long
def test_mosquitto_has_every_message(tmp_path, open_world):
    with mosquitto(tmp_path) as url, mqtt_receiver(url, "nowcast/alerts/+") as accepted:
        settings = Settings(home=tmp_path, mqtt_url=SecretStr(url))
        book = rule_book(settings)
        rule_ids = [stored(book, {**RULE, "targets": [{"kind": "mqtt"}]}) for _ in range(50)]
        for rule_id in rule_ids:
            happen(book, rule_id, "raised", "ended")
        assert sum(deliver(book.engine, settings).sent for _ in range(3)) == 100
        wait_until(lambda: len(accepted.documents) == 100, "all messages")
        assert not accepted.copies
        publisher.publisher_of(url).close()
