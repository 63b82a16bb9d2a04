"""Web Push: a message that the browser alone can read, signed by the service's key, to public addresses alone."""

import base64
import json
import os

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02

from core.settings import Settings
from service.alerts.channels.web_push import public_key
from service.alerts.delivery import deliver
from service.alerts.outbox import deliveries_of
from service.alerts.rulebook import rule_book
from tests.service.alerts.happening import happen
from tests.service.alerts.playing import stored
from tests.service.alerts.test_delivery import RULE, receiving
from tests.service.api_support import running, service_at

CONTACT = "mailto:rain@example.org"


def text_of(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Browser:
    """The keys of a subscription, and what it reads of a message."""

    def __init__(self) -> None:
        self.private, self.auth = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)

    def target(self, endpoint: str) -> dict[str, str]:
        point = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"kind": "web_push", "endpoint": endpoint, "p256dh": text_of(point), "auth": text_of(self.auth)}

    def read(self, body: bytes) -> dict[str, str]:
        text = http_ece.decrypt(body, private_key=self.private, auth_secret=self.auth, version="aes128gcm")
        return json.loads(text)  # type: ignore[no-any-return]


def test_a_notification_is_encrypted_and_signed(tmp_path):
    settings = Settings(home=tmp_path, alert_networks=("127.0.0.1/32",), push_contact=CONTACT)
    book, browser = rule_book(settings), Browser()
    with receiving() as service:
        rule_id = stored(book, {**RULE, "targets": [browser.target(service.url)]})
        happen(book, rule_id, "raised")
        assert deliver(book.engine, settings).sent == 1
        headers, body = service.got[0]
        read = browser.read(body)
        assert read["title"] == "Garden"
        assert read["body"].startswith("rain of 1 mm/h or more, expected at 12:30 UTC")
        assert b"rain" not in body
        assert (headers["content-encoding"], headers["ttl"], headers["urgency"]) == ("aes128gcm", "3600", "high")
        assert len(headers["topic"]) <= 32
        assert Vapid02.verify(headers["authorization"])
        assert f"k={public_key(book.engine)}" in headers["authorization"]
        _, claims = (
            json.loads(base64.urlsafe_b64decode(part + "=="))
            for part in headers["authorization"].split("t=")[1].split(".")[:2]
        )
        assert claims["aud"] == service.url.removesuffix("/rain")
        assert claims["sub"] == CONTACT
        service.status = 404
        happen(book, rule_id, "ended")
        deliver(book.engine, settings)
    (dead,) = deliveries_of(book.engine, rule_id, "dead", 10)
    assert dead.attempts == 1, "a subscription that ended is not tried again"


def test_the_key_is_made_once(tmp_path):
    settings = Settings(home=tmp_path, push_contact=CONTACT)
    first = public_key(rule_book(settings).engine)
    assert public_key(rule_book(settings.model_copy(update={"rules_per_key": 7})).engine) == first
    assert len(base64.urlsafe_b64decode(first + "=")) == 65


def test_subscriptions_are_checked(tmp_path):
    browser = Browser()
    good = browser.target("https://push.example.org/1")
    with running(service_at(tmp_path, push_contact=CONTACT)) as client:
        assert client.get("/rules/push").json()["application_server_key"]
        made = client.post("/rules", json={**RULE, "targets": [good]})
        assert made.status_code == 201, made.text
        assert made.json()["definition"]["targets"] == [{**dict.fromkeys(good, "***"), "kind": "web_push"}]
        for changes in (
            {"endpoint": "https://10.0.0.1/1"}, {"endpoint": "https://localhost/1"}, {"p256dh": "AAAA"}, {"auth": "ä"},
            {"p256dh": text_of(b"\x04" + bytes(64))},
        ):  # fmt: skip
            refused = client.post("/rules", json={**RULE, "targets": [{**good, **changes}]})
            assert (refused.status_code, f"targets.{next(iter(changes))}" in refused.text) == (422, True), changes


def test_without_a_contact_there_is_none(tmp_path):
    target = Browser().target("https://push.example.org/1")
    with running(service_at(tmp_path)) as client:
        assert client.get("/rules/push").json() == {"application_server_key": None}
        refused = client.post("/rules", json={**RULE, "targets": [target]})
        assert (refused.status_code, "NOWCAST_PUSH_CONTACT" in refused.text) == (422, True)


@pytest.mark.parametrize("contact", ["rain@example.org", "mailto:", "javascript:1"])
def test_a_contact_is_an_address(contact):
    with pytest.raises(ValueError, match="push_contact"):
        Settings(push_contact=contact)
