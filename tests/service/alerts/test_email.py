"""E-mail: nothing without agreement, one question a day, links that end it and erase the address."""

import email
import re
import smtplib
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from email.message import Message
from threading import Thread
from time import sleep
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP
from pydantic import SecretStr
from sqlalchemy import select
from starlette.testclient import TestClient

from core.errors import BusyError, InputError
from core.settings import Settings
from ingest.store.database import reading
from service.alerts import subscribers
from service.alerts.channels.base import AlertMessage
from service.alerts.channels.email import subject_of
from service.alerts.delivery import deliver, send_test
from service.alerts.outbox import deliveries_of
from service.alerts.pending import clear
from service.alerts.rule import checked_definition
from service.alerts.rulebook import rule_book
from service.alerts.tables import DeliveryRow, RuleRow, SubscriberRow
from service.api.rules import LOCAL
from service.app import create_app
from service.process.broker import free_port
from service.schemas.rules import RuleIn
from tests.service.alerts.happening import happen
from tests.service.api_support import BASE_URL, running, service_at

ADDRESS = "anna.beispiel@example.org"
TARGET = {"kind": "email", "address": ADDRESS}
RULE: dict[str, Any] = {
    "name": "Garten", "place": {"lat": 51.0, "lon": 10.0}, "quantity": "rate", "threshold": 1.0, "language": "de",
    "targets": [TARGET],
}  # fmt: skip


class Mailbox:
    """What the mail server was given; `refuses` is its answer to a recipient."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.refuses = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuses:
            return self.refuses
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.got.append(email.message_from_bytes(envelope.content))
        return "250 OK"

    def text(self, index: int = -1) -> str:
        return self.got[index].get_payload(decode=True).decode()  # type: ignore[union-attr]

    def link(self, index: int = -1) -> str:
        found = re.search(r"https://rain\.example\.org(/rules/email/\S+)", self.text(index))
        assert found, self.text(index)
        return found[1]


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port("127.0.0.1"))
    controller.start()
    try:
        yield box, f"smtp://127.0.0.1:{controller.port}"
    finally:
        controller.stop()


@pytest.fixture
def world(mailbox, tmp_path) -> Iterator[SimpleNamespace]:
    box, url = mailbox
    service = service_at(
        tmp_path, smtp_url=SecretStr(url), email_from="rain@example.org", public_url="https://rain.example.org/"
    )
    with running(service) as client:
        book = rule_book(service.settings)
        yield SimpleNamespace(box=box, client=client, book=book, engine=book.engine, settings=service.settings)


def test_messages_begin_with_agreement_and_end_with_the_link_of_each(world):
    box, client = world.box, world.client
    made = client.post("/rules", json=RULE)
    assert made.status_code == 201, made.text
    rule_id = made.json()["rule_id"]
    assert made.json()["definition"]["targets"] == [{"kind": "email", "address": "***"}]
    assert len(box.got) == 1
    assert box.got[0]["To"] == ADDRESS
    assert "Wenn Sie zustimmen" in box.text()
    happen(world.book, rule_id, "raised")
    deliver(world.engine, world.settings)
    assert len(box.got) == 1, "no alert without agreement"
    (dead,) = deliveries_of(world.engine, rule_id, "dead", 10)
    assert dead.problem == "the address has not agreed to messages"

    page = client.get(box.link())
    assert (page.status_code, "<button" in page.text) == (200, True)
    assert "style-src 'self' 'unsafe-inline'" in page.headers["content-security-policy"], "its styles are inline"
    assert not subscribers.is_confirmed(world.engine, ADDRESS, LOCAL), "to look agrees to nothing"
    assert client.post(box.link()).status_code == 200
    assert subscribers.is_confirmed(world.engine, ADDRESS.upper(), LOCAL)

    happen(world.book, rule_id, "ended")
    deliver(world.engine, world.settings)
    mail = box.got[-1]
    assert len(box.got) == 2
    assert "Garten" in box.text()
    assert "keine amtliche Warnung" in box.text()
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Unsubscribe"] == f"<https://rain.example.org{box.link()}>"
    assert mail["Auto-Submitted"] == "auto-generated"

    gone = client.post(box.link(), data={"List-Unsubscribe": "One-Click"})
    assert (gone.status_code, "erased" in gone.text) == (200, True)
    with reading(world.engine) as connection:
        kept = [
            *connection.scalars(select(RuleRow.definition)), *connection.scalars(select(DeliveryRow.receiver)),
            *connection.scalars(select(SubscriberRow.id)),
        ]  # fmt: skip
    assert "beispiel" not in str(kept)
    assert client.get(f"/rules/{rule_id}").json()["definition"]["targets"] == []
    happen(world.book, rule_id, "raised", first=datetime(2024, 6, 2, tzinfo=UTC))
    deliver(world.engine, world.settings)
    assert len(box.got) == 2
    assert client.post("/rules", json=RULE).status_code == 201
    assert len(box.got) == 2, "nobody has it asked again at once"


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        ("St. Anna 2. OG: Regenbeginn, erwartet um 14:05 UTC. Von 40", "Regenbeginn, erwartet um 14:05 UTC"),
        ("St. Anna 2. OG: Regenende: vorbei.", "Regenende: vorbei"),
    ],
)
def test_a_subject_is_the_first_statement_also_where_the_name_has_full_stops(message, subject):
    document = {"name": "St. Anna 2. OG", "message": message}
    assert subject_of(AlertMessage("1", document, {}, "", LOCAL, Settings())) == f"St. Anna 2. OG: {subject}"


def test_links_need_no_key_and_no_other_code_works(world, tmp_path):
    world.client.post("/rules", json=RULE)
    link = world.box.link()
    app = create_app(service_at(world.settings.home))
    with TestClient(app, BASE_URL, client=("203.0.113.5", 5000)) as stranger:
        app.state.backend.wait_warm(30)
        assert stranger.post("/rules", json=RULE).status_code == 401
        for wrong in (link[:-1] + ("A" if link[-1] != "A" else "B"), link.replace("confirm", "stop"), link + "x"):
            assert stranger.post(wrong).status_code in (404, 422), wrong
        assert not subscribers.is_confirmed(world.engine, ADDRESS, LOCAL)
        assert stranger.post(link).status_code == 200
    assert subscribers.is_confirmed(world.engine, ADDRESS, LOCAL)


def test_who_agreed_to_the_rules_of_one_key_gets_those_of_no_other(world):
    rules = [(owner, world.book.create(owner, checked_definition(RuleIn.model_validate(RULE)))) for owner in "ab"]
    subscribers.confirm(world.engine, str(subscribers.ask(world.engine, ADDRESS, "a")))
    for _, stored in rules:
        happen(world.book, stored.id, "raised")
    deliver(world.engine, world.settings)
    assert len(world.box.got) == 1
    (dead,) = deliveries_of(world.engine, rules[1][1].id, "dead", 10)
    assert dead.problem == "the address has not agreed to messages"

    code = str(subscribers.ask(world.engine, ADDRESS.upper(), "b"))
    assert code, "another key has it asked, also on the same day"
    subscribers.confirm(world.engine, code)
    assert world.client.post(world.box.link()).status_code == 200
    for owner in "abc":
        assert not subscribers.is_confirmed(world.engine, ADDRESS, owner), "to leave ends the messages of all keys"
        assert subscribers.ask(world.engine, ADDRESS, owner) is None
    later = datetime.now(UTC) + timedelta(days=31)
    clear(world.engine, later, 30)
    assert not subscribers.is_confirmed(world.engine, ADDRESS, "a"), "what was agreed to is gone for good"
    assert subscribers.ask(world.engine, ADDRESS, "a", later)


def test_an_address_is_asked_once_a_day_and_the_service_a_limited_number(world, monkeypatch):
    engine, now = world.engine, datetime.now(UTC)
    assert subscribers.ask(engine, ADDRESS, LOCAL, now)
    assert subscribers.ask(engine, ADDRESS.title(), LOCAL, now + timedelta(hours=23)) is None
    code = subscribers.ask(engine, ADDRESS, LOCAL, now + timedelta(hours=25))
    assert code
    with pytest.raises(InputError, match="at most 7 days"):
        subscribers.check_code(engine, "confirm", code, now + timedelta(days=9))
    monkeypatch.setattr(subscribers, "MOST_ASKED_AN_HOUR", 2)
    subscribers.ask(engine, "b@example.org", LOCAL, now)
    with pytest.raises(BusyError):
        subscribers.ask(engine, "c@example.org", LOCAL, now)


def test_a_mail_server_that_is_gone_or_refuses(world, caplog):
    world.box.refuses = "550 no such user anna.beispiel"
    answer = world.client.post("/rules", json=RULE)
    assert (answer.status_code, "refuses the message: 550" in answer.text) == (503, True)
    assert world.client.get("/rules").json()["rules"] == []
    world.box.refuses = ""
    assert world.client.post("/rules", json=RULE).status_code == 201, "it was not asked, so it may be now"
    world.client.post(world.box.link())
    gone = world.settings.model_copy(update={"smtp_url": SecretStr("smtp://127.0.0.1:9")})
    (rule_id,) = (one["rule_id"] for one in world.client.get("/rules").json()["rules"])
    assert "does not answer" in str(send_test(world.book.get(rule_id), TARGET, gone))
    assert "beispiel" not in caplog.text
    assert subscribers.forget(world.engine, ADDRESS) == 1


def test_a_mail_server_that_drips_holds_no_message_for_long(world, monkeypatch):
    monkeypatch.setattr("service.alerts.channels.email.WHOLE_S", 0.5)
    stored = world.book.create(LOCAL, checked_definition(RuleIn.model_validate(RULE)))
    subscribers.confirm(world.engine, str(subscribers.ask(world.engine, ADDRESS, LOCAL)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=drip, args=[server], daemon=True).start()
        url = SecretStr(f"smtp://127.0.0.1:{server.getsockname()[1]}")
        problem = send_test(stored, TARGET, world.settings.model_copy(update={"smtp_url": url}))
    assert "does not answer" in str(problem)


def drip(server: socket.socket) -> None:
    """Greet without end, a byte at a time."""
    connection, _ = server.accept()
    with connection, suppress(OSError):
        for letter in b"220 " + b"." * 1000:
            connection.sendall(bytes([letter]))
            sleep(0.1)


def test_a_refused_password_loses_no_message(world, monkeypatch):
    subscribers.confirm(world.engine, str(subscribers.ask(world.engine, ADDRESS, LOCAL)))
    rule_id = world.book.create(LOCAL, checked_definition(RuleIn.model_validate(RULE))).id
    happen(world.book, rule_id, "raised")
    login = Mock(side_effect=smtplib.SMTPAuthenticationError(535, b"wrong"))
    monkeypatch.setattr(smtplib.SMTP, "login", login)
    url = world.settings.smtp_url.get_secret_value().replace("//", "//me:secret@")
    deliver(world.engine, world.settings.model_copy(update={"smtp_url": SecretStr(url)}))
    (waits,) = deliveries_of(world.engine, rule_id, None, 10)
    assert (waits.state, waits.problem) == ("waiting", "the mail server refuses the connection: 535")


def test_a_message_that_was_taken_is_not_sent_again_whatever_follows_it(world, monkeypatch):
    subscribers.confirm(world.engine, str(subscribers.ask(world.engine, ADDRESS, LOCAL)))

    async def quit_badly(server: SMTP, _: object) -> None:
        await server.push("421 overloaded")

    monkeypatch.setattr(SMTP, "smtp_QUIT", quit_badly)
    stored = world.book.create(LOCAL, checked_definition(RuleIn.model_validate(RULE)))
    assert send_test(stored, TARGET, world.settings) is None
    assert len(world.box.got) == 1


def test_nothing_is_written_while_an_address_is_looked_for(world, monkeypatch):
    world.book.create(LOCAL, checked_definition(RuleIn.model_validate(RULE)))
    is_of, tries = subscribers._is_of, []

    def with_another_writer(*args: Any) -> bool:
        with closing(sqlite3.connect(world.settings.home / "rules.sqlite", timeout=0)) as other:
            tries.append(1)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
        return is_of(*args)

    monkeypatch.setattr(subscribers, "_is_of", with_another_writer)
    assert subscribers.forget(world.engine, ADDRESS) == 1
    assert tries, "a message of in between would keep the address"


def test_other_texts_are_no_address(world):
    for address in ("a@b", "a b@example.org", "a@example.org\nBcc: c@d.org", "a@example.org,b@c.org", "@x.org"):
        refused = world.client.post("/rules", json={**RULE, "targets": [{"kind": "email", "address": address}]})
        assert refused.status_code == 422, address
    assert world.box.got == []
