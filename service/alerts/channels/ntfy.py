"""Push messages by ntfy (ntfy.sh, or a server of one's own): a topic of a server."""

import json
from typing import ClassVar, Final
from urllib.parse import urlsplit

from core.errors import InputError, shown
from core.settings import Settings
from service.alerts.channels.base import CHANNELS, AlertMessage, Channel, Target
from service.alerts.channels.http import check_url, is_plain, post

SERVER: Final = "https://ntfy.sh"
TAGS: Final = {"raised": "umbrella", "updated": "umbrella", "ended": "white_check_mark", "cancelled": "warning"}


@CHANNELS.register("ntfy")
class Ntfy(Channel):
    """A message to a topic; knowing the topic is what lets a client read it."""

    fields: ClassVar = {"topic": True, "server": False, "token": False}
    secrets = ("token",)

    def check(self, target: Target, settings: Settings) -> None:
        """Check server and topic."""
        topic = str(target["topic"])
        if not (len(topic) <= 64 and topic.replace("-", "").replace("_", "").isalnum() and topic.isascii()):
            raise InputError(f"targets.topic: expected at most 64 letters, digits, - and _, got {shown(topic)}")
        if not is_plain(str(target.get("token", ""))):
            raise InputError("targets.token: expected ASCII without spaces, got another text")
        check_url(str(target.get("server", SERVER)), settings, "targets.server")

    def send(self, message: AlertMessage) -> None:
        """Deliver a message; ntfy knows no idempotency key, so that the one after a crash may be a second copy."""
        target, document = message.target, message.document
        content = {
            "topic": target["topic"],
            "title": document["name"],
            "message": message.text,
            "tags": [TAGS[document["event"]]],
            "priority": 4 if document["event"] == "raised" else 3,
        }
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.id}
        if "token" in target:
            headers["Authorization"] = f"Bearer {target['token']}"
        post(str(target.get("server", SERVER)), json.dumps(content).encode(), headers, message.settings)

    def host(self, target: Target) -> str:
        """Return the server."""
        return urlsplit(str(target.get("server", SERVER))).netloc
