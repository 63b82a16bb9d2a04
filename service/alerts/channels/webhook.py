"""Webhooks, signed as Standard Webhooks 1.0 (standardwebhooks.com): any of its libraries verifies them."""

import base64
import hashlib
import hmac
from time import time
from typing import ClassVar, Final
from urllib.parse import urlsplit

from core.settings import Settings
from service.alerts.channels.base import CHANNELS, AlertMessage, Channel, Target
from service.alerts.channels.http import check_url, post

SECRET_MARK: Final = "whsec_"


@CHANNELS.register("webhook")
class Webhook(Channel):
    """POST of the document as JSON, with an idempotency key."""

    fields: ClassVar = {"url": True}

    def check(self, target: Target, settings: Settings) -> None:
        """Check the URL."""
        check_url(str(target["url"]), settings)

    def send(self, message: AlertMessage) -> None:
        """Deliver a message."""
        sent_at = int(time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "nowcast-alerts",
            "Idempotency-Key": message.id,
            "webhook-id": message.id,
            "webhook-timestamp": str(sent_at),
            "webhook-signature": signature(message.secret, message.id, sent_at, message.body),
        }
        post(str(message.target["url"]), message.body, headers, message.settings)

    def host(self, target: Target) -> str:
        """Return the receiver's host."""
        return urlsplit(str(target["url"])).netloc


def signature(secret: str, message_id: str, sent_at: int, body: bytes) -> str:
    """Return the signature of a message: HMAC-SHA256 of id, time and body, with the rule's secret."""
    signed = f"{message_id}.{sent_at}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(bytes.fromhex(secret), signed, hashlib.sha256).digest()).decode()


def shown_secret(secret: str) -> str:
    """Return the secret as libraries of Standard Webhooks take it."""
    return SECRET_MARK + base64.b64encode(bytes.fromhex(secret)).decode()
