"""The outbox and its channels: nothing lost, nothing twice, nothing into the own network, and bounded waiting."""

import base64
import hashlib
import hmac
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import postgresql

import service.alerts.channels.http as http
from core.errors import InputError
from core.settings import Settings
from ingest.store.database import reading
from service.alerts import channels as channels
from service.alerts.channels.base import DeliveryError
from service.alerts.channels.webhook import shown_secret
from service.alerts.delivery import deliver, send_test
from service.alerts.outbox import MOST_ATTEMPTS, MOST_OPEN, claim, claimable, deliveries_of, mark_failed
from service.alerts.rulebook import RuleBook, rule_book
from service.alerts.tables import DeliveryRow
from service.schemas.rules import EventKind
from tests.service.alerts.happening import again, happen
from tests.service.alerts.playing import stored
from tests.waiting import PATIENCE_S

RULE = {"name": "Garden", "place": {"lat": 51, "lon": 10}, "quantity": "rate", "threshold": 1}
SETTINGS = Settings(alert_networks=("127.0.0.1/32",))


@dataclass
class Receiver:
    """An HTTP server that notes what it gets and answers as a test wants."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/rain"
    try:
        yield receiver
    finally:  # also where a test fails: a thread that goes on keeps the whole run from ending
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def book(tmp_path) -> RuleBook:
    return rule_book(Settings(home=tmp_path))


def states(book: RuleBook) -> Counter[str]:
    with reading(book.engine) as connection:
        return Counter(connection.scalars(select(DeliveryRow.state)))


def with_webhook(url: str) -> dict[str, Any]:
    return {**RULE, "targets": [{"kind": "webhook", "url": url}]}


def test_a_webhook_is_signed_and_delivered_once_in_order(book):
    with receiving() as receiver:
        rule_id = stored(book, with_webhook(receiver.url))
        happen(book, rule_id, "raised", "updated", "ended")
        for _ in range(4):
            deliver(book.engine, SETTINGS)
        documents = [json.loads(body) for _, body in receiver.got]
        assert [one["event"] for one in documents] == ["raised", "updated", "ended"]
        assert len(set(receiver.ids)) == 3
        headers, body = receiver.got[0]
        assert headers["idempotency-key"] == headers["webhook-id"] == documents[0]["delivery_id"]
        key = base64.b64decode(shown_secret(book.get(rule_id).secret).removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
        assert "51" not in json.dumps(
            {**documents[0], "delivery_id": "", "event_id": "", "rule_id": "", "alert_id": ""}
        )
    assert states(book) == {"sent": 3}


def test_a_receiver_that_is_gone_gets_everything_later_in_order_and_others_at_once(book):
    with receiving() as well, receiving() as ill:
        ill.status = 503
        rule_ids = [stored(book, with_webhook(one.url)) for one in (ill, well)]
        for rule_id in rule_ids:
            happen(book, rule_id, "raised", "ended")
        for _ in range(3):
            deliver(book.engine, SETTINGS)
        assert len(well.got) == 2
        assert len(ill.got) == 1, "the next attempt waits, and what follows waits for it"
        ill.status = 200
        for _ in range(3):
            again(book)
            deliver(book.engine, SETTINGS)
        assert [json.loads(body)["event"] for _, body in ill.got] == ["raised", "raised", "ended"]
        assert ill.ids[0] == ill.ids[1] != ill.ids[2]
    assert states(book) == {"sent": 4}


def test_what_a_killed_sender_had_claimed_is_sent_again_with_the_same_key(book):
    with receiving() as receiver:
        rule_id = stored(book, with_webhook(receiver.url))
        happen(book, rule_id, "raised")
        (lost,) = claim(book.engine, 10)
        assert deliver(book.engine, SETTINGS).sent == 0, "another process has claimed it"
        again(book)
        assert deliver(book.engine, SETTINGS).sent == 1
        assert receiver.ids == [lost.id]


def test_two_senders_never_claim_the_same(book):
    rule_ids = [stored(book, with_webhook("https://example.org/")) for _ in range(20)]
    for rule_id in rule_ids:
        happen(book, rule_id, "raised")
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.extend(one.id for one in claim(book.engine, 15))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(set(found)) == 20


def test_a_message_that_was_claimed_meanwhile_is_compared_with_the_time_again():
    query = str(claimable(datetime.now(UTC), 1).compile(dialect=postgresql.dialect()))
    again = query.rpartition("\nWHERE ")[2]
    assert "deliveries.next_at <=" in again, "PostgreSQL looks at nothing else when it has waited for a row"
    assert again.endswith("SKIP LOCKED")


def test_owners_take_turns_so_that_one_with_many_messages_keeps_no_other_waiting(book):
    many = [stored(book, with_webhook("https://example.org/"), owner) for owner in ("many", "many", "many", "one")]
    for rule_id in many:
        happen(book, rule_id, "raised")
    first = claim(book.engine, 2)
    assert [each.rule_id for each in first] == [many[0], many[3]]
    assert [each.rule_id for each in claim(book.engine, 10)] == [many[1], many[2]]


def test_dead_letters_are_kept_and_listed(book):
    with receiving() as receiver:
        receiver.status = 410
        gone = stored(book, with_webhook(receiver.url))
        happen(book, gone, "raised")
        deliver(book.engine, SETTINGS)
    (dead,) = deliveries_of(book.engine, gone, "dead", 10)
    assert dead.problem == "the receiver answered status 410"
    rule_id = stored(book, with_webhook("https://example.org/"))
    happen(book, rule_id, "raised")
    for attempt in range(MOST_ATTEMPTS):
        (claimed,) = claim(book.engine, 10)
        assert claimed.attempts == attempt
        mark_failed(book.engine, claimed, "no answer", is_final=False, retry_after_s=None)
        again(book)
    assert [one.state for one in deliveries_of(book.engine, rule_id, None, 10)] == ["dead"]


def test_a_message_older_than_six_hours_is_given_up(book):
    rule_id = stored(book, with_webhook("https://example.org/"))
    happen(book, rule_id, "raised", now=datetime.now(UTC) - timedelta(hours=7))
    (claimed,) = claim(book.engine, 10)
    mark_failed(book.engine, claimed, "no answer", is_final=False, retry_after_s=None)
    assert states(book) == {"dead": 1}


def test_a_message_that_waited_through_an_outage_is_not_sent_hours_later(book):
    with receiving() as receiver:
        rule_id = stored(book, with_webhook(receiver.url))
        happen(book, rule_id, "raised", now=datetime.now(UTC) - timedelta(hours=7))
        assert deliver(book.engine, SETTINGS).sent == 0
        assert receiver.got == []
    (dead,) = deliveries_of(book.engine, rule_id, "dead", 10)
    assert dead.problem == "older than 6:00:00"


def test_receivers_of_an_alert_get_its_cancellation_when_the_rule_has_others_now(book):
    with receiving() as before, receiving() as after:
        rule_id = stored(book, with_webhook(before.url))
        happen(book, rule_id, "raised", "cancelled")
        book.change(rule_id, None, {**book.get(rule_id).definition, "targets": with_webhook(after.url)["targets"]})
        deliver(book.engine, SETTINGS)
        book.change(rule_id, None, {**book.get(rule_id).definition, "targets": []})
        deliver(book.engine, SETTINGS)
        assert [json.loads(body)["event"] for _, body in before.got] == ["raised", "cancelled"]
        assert after.got == []
    assert states(book) == {"sent": 2}


def test_a_host_that_is_no_name_is_a_problem_and_not_an_error(book):
    problem = send_test(book.get(stored(book, RULE)), {"kind": "webhook", "url": "https://example..org/"}, SETTINGS)
    assert problem is not None
    assert "has no address" in problem


def test_the_messages_that_wait_for_a_target_are_bounded(book):
    rule_id = stored(book, with_webhook("http://127.0.0.1:1/"))
    many: list[EventKind] = ["updated"] * (MOST_OPEN + 9)
    happen(book, rule_id, "raised", *many)
    deliver(book.engine, SETTINGS)
    assert states(book)["dead"] == 10
    assert sum(states(book).values()) == MOST_OPEN + 10


def test_a_clock_that_is_set_back_delays_nothing_for_hours(book):
    rule_id = stored(book, with_webhook("https://example.org/"))
    happen(book, rule_id, "raised", now=datetime.now(UTC) + timedelta(days=1))
    assert len(claim(book.engine, 10)) == 1


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "::1",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
        "2002:a00:1::",
        "0.0.0.0",
        "224.0.0.1",
        "100.64.0.1",
        "192.0.0.8",
        "fec0::1",
        "::7f00:1",
        "::ffff:0:a00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
        "2002:c000:8::",
    ],
)
def test_no_private_address_is_connected_to_whatever_the_name(address):
    with pytest.raises(DeliveryError, match="private address") as refused:
        http.post("https://rebound.example/", b"{}", {}, Settings(), resolve=lambda host, port: [address])
    assert refused.value.is_final


def test_a_name_with_a_public_and_a_private_address_is_refused():
    with pytest.raises(DeliveryError, match="private address"):
        http.post("http://two.example/", b"", {}, Settings(), resolve=lambda host, port: ["93.184.215.14", "10.0.0.1"])


def test_plain_http_goes_to_allowed_networks_alone():
    with pytest.raises(DeliveryError, match="and no https") as refused:
        http.post("http://a.example/", b"", {}, SETTINGS, resolve=lambda host, port: ["127.0.0.1", "93.184.215.14"])
    assert refused.value.is_final
    http.check_url("http://a.example/", SETTINGS)  # its address may be an allowed one when a message is sent
    http.check_url("http://127.0.0.1/", SETTINGS)
    with pytest.raises(InputError, match="expected https"):
        http.check_url("http://93.184.215.14/", SETTINGS)


def test_name_servers_that_never_answer_cost_a_limited_time(monkeypatch):
    monkeypatch.setattr(http, "WHOLE_S", 0.1)
    answered = threading.Event()

    def never(host: str, port: int) -> list[str]:
        answered.wait(PATIENCE_S)
        return ["127.0.0.1"]

    with pytest.raises(DeliveryError, match="name servers of slow") as failed:
        http.post("https://slow.example/", b"", {}, SETTINGS, resolve=never)
    assert failed.value.blocks_host
    assert not answered.is_set()
    answered.set()


def test_every_address_of_a_host_is_tried_until_one_answers(book):
    with receiving() as receiver:
        port = receiver.url.rpartition(":")[2].partition("/")[0]
        silent = "127.0.0.2"  # nothing listens there
        url = f"http://two.example:{port}/rain"
        allowed = Settings(alert_networks=("127.0.0.0/8",))
        http.post(url, b"{}", {"webhook-id": "1"}, allowed, resolve=lambda host, port: [silent, "127.0.0.1"])
        assert receiver.ids == ["1"]
        assert receiver.got[0][0]["host"] == f"two.example:{port}"
        with pytest.raises(DeliveryError, match="no answer") as failed:
            http.post(url, b"{}", {}, allowed, resolve=lambda host, port: [silent])
        assert failed.value.blocks_host


def test_redirects_are_not_followed(book):
    with receiving() as inner, receiving() as outer:
        outer.status, outer.headers = 307, {"Location": inner.url}
        rule_id = stored(book, with_webhook(outer.url))
        problem = send_test(book.get(rule_id), {"kind": "webhook", "url": outer.url}, SETTINGS)
        assert problem == "the receiver answered a redirect, which is not followed"
        assert not inner.got


def test_a_receiver_that_never_answers_costs_a_limited_time(book, monkeypatch):
    monkeypatch.setattr(http, "WHOLE_S", 0.3)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as silent:  # accepts connections, serves none
        url = f"http://127.0.0.1:{silent.server_port}/"
        for _ in range(3):
            happen(book, stored(book, with_webhook(url)), "raised")
        with receiving() as receiver:
            happen(book, stored(book, with_webhook(receiver.url)), "raised")
            done = deliver(book.engine, SETTINGS)
            assert len(receiver.got) == 1
    assert (done.sent, done.failed + done.postponed) == (1, 3)


def test_ntfy_gets_a_message_in_its_own_form(book):
    with receiving() as receiver:
        target = {"kind": "ntfy", "topic": "garden", "server": receiver.url, "token": "tk_x"}
        assert send_test(book.get(stored(book, RULE)), target, SETTINGS) is None
        headers, body = receiver.got[0]
        assert headers["authorization"] == "Bearer tk_x"
        assert json.loads(body)["topic"] == "garden"
