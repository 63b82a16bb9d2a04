"""Web Push (RFC 8030, 8291, 8292): a notification of a browser, also while the page is closed."""

import base64
import binascii
import json
import os
from time import time
from typing import ClassVar, Final
from urllib.parse import urlsplit

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02
from sqlalchemy import Engine

from core.errors import InputError
from core.settings import Settings
from service.alerts.channels.base import CHANNELS, AlertMessage, Channel, DeliveryError, Target
from service.alerts.channels.http import check_url, post
from service.alerts.own_secrets import own_secret
from service.alerts.rulebook import rule_book

VAPID: Final = "vapid"
POINT_BYTES: Final = 65
AUTH_BYTES: Final = 16
TTL_S: Final = 3600
"""How long a push service keeps a message for a browser that is off: it is about the rain of the next hours."""

VALID_S: Final = 12 * 3600
GONE: Final = (404, 410)
"""A subscription that ended (RFC 8030, 7.3)."""


@CHANNELS.register("web_push")
class WebPush(Channel):
    """The sentence of an event, encrypted for one browser; its push service sees no text."""

    fields: ClassVar = {"endpoint": True, "p256dh": True, "auth": True}
    secrets = ("endpoint", "p256dh", "auth")

    def check(self, target: Target, settings: Settings) -> None:
        """Check address and keys of a subscription."""
        if settings.push_contact is None:
            raise InputError("targets.kind: web_push needs NOWCAST_PUSH_CONTACT, and this service has none")
        check_url(str(target["endpoint"]), settings, "targets.endpoint")
        for name, size in (("p256dh", POINT_BYTES), ("auth", AUTH_BYTES)):
            if len(_decoded(str(target[name]))) != size:
                raise InputError(f"targets.{name}: expected {size} bytes in base64url, got another text")
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _decoded(str(target["p256dh"])))
        except ValueError as err:
            raise InputError("targets.p256dh: expected a point of the curve P-256, got another one") from err

    def send(self, message: AlertMessage) -> None:
        """Deliver a message; those of one alert replace each other while the browser is off."""
        target, document, settings = message.target, message.document, message.settings
        content = {
            "id": message.id,
            "title": document["name"],
            "body": message.text.removeprefix(f"{document['name']}: "),
            "tag": document["alert_id"] or message.id,
        }
        endpoint = str(target["endpoint"])
        headers = {
            "TTL": str(TTL_S),
            "Urgency": "high",
            "Topic": str(document["alert_id"] or message.id).replace("-", "")[:32],
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            **_authorization(rule_book(settings).engine, endpoint, settings),
        }
        body = http_ece.encrypt(
            json.dumps(content, ensure_ascii=False).encode(),
            salt=os.urandom(16),
            private_key=ec.generate_private_key(ec.SECP256R1()),
            dh=_decoded(str(target["p256dh"])),
            auth_secret=_decoded(str(target["auth"])),
            version="aes128gcm",
        )
        post(endpoint, body, headers, settings, final=GONE)

    def host(self, target: Target) -> str:
        """Return the push service."""
        return urlsplit(str(target["endpoint"])).netloc


def public_key(engine: Engine) -> str:
    """Return the key that a browser subscribes with (`applicationServerKey`), in base64url."""
    point = _keys(engine).public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).decode().rstrip("=")


def _keys(engine: Engine) -> Vapid02:
    return Vapid02.from_pem(own_secret(engine, VAPID, _new_key).encode())


def _new_key() -> str:
    made = Vapid02()
    made.generate_keys()
    return bytes(made.private_pem()).decode()


def _authorization(engine: Engine, endpoint: str, settings: Settings) -> dict[str, str]:
    """Return the header by which a push service knows this one."""
    if settings.push_contact is None:
        raise DeliveryError("NOWCAST_PUSH_CONTACT names no contact any more", is_final=True)
    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": int(time()) + VALID_S,
        "sub": settings.push_contact,
    }
    return {"Authorization": str(_keys(engine).sign(claims)["Authorization"])}


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""
