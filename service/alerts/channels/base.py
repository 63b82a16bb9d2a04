"""What a channel of alerts is: it checks a target, sends a message to it, and hides its secrets.

A channel is one file in this folder and one line in `service/alerts/channels/__init__.py`:

    @CHANNELS.register("pager")
    class Pager(Channel):
        fields = {"number": True}
        secrets = ("number",)

        def check(self, target, settings): ...
        def send(self, message): ...
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from core.errors import InputError, NowcastError, UnknownNameError, shown
from core.registry import Registry
from core.settings import Settings
from service.alerts.rule import check_line
from service.schemas.rules import Language

LONGEST: Final = 2000
"""Characters of a text of a target."""

Target = Mapping[str, Any]


class DeliveryError(NowcastError):
    """A message was not delivered.

    Attributes:
        is_final: a further attempt makes no sense.
        blocks_host: the receiver does not answer at all, so that other messages to it wait too.
        retry_after_s: what the receiver asked for.
    """

    title = "Not delivered"

    def __init__(
        self, text: str, *, is_final: bool = False, blocks_host: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(text)
        self.is_final, self.blocks_host, self.retry_after_s = is_final, blocks_host, retry_after_s


@dataclass(frozen=True)
class AlertMessage:
    """One message to one target.

    Attributes:
        id: idempotency key: the same for every attempt.
        document: of the event.
        target: as the channel's `check` returned it.
        secret: of the rule, as hexadecimal text.
        owner: of the rule: the id of an API key, or `local`.
        settings: of the service.
    """

    id: str
    document: Mapping[str, Any]
    target: Target
    secret: str
    owner: str
    settings: Settings

    @property
    def body(self) -> bytes:
        """Return the document as JSON."""
        return json.dumps({"delivery_id": self.id, **self.document}, ensure_ascii=False).encode()

    @property
    def text(self) -> str:
        """Return the sentence of the document."""
        return str(self.document["message"])


class Channel(ABC):
    """A way to deliver alerts.

    Attributes:
        fields: of a target, and whether each is required; all are texts.
        secrets: fields that answers and logs do not show.
    """

    fields: ClassVar[Mapping[str, bool]] = {}
    secrets: ClassVar[tuple[str, ...]] = ()

    def problem(self, settings: Settings) -> str | None:  # noqa: ARG002 - most need no settings
        """Return what is wrong in the settings of this channel, by name; None where nothing is, or none are set."""
        return None

    @abstractmethod
    def check(self, target: Target, settings: Settings) -> None:
        """Check a target whose fields are there.

        Raises:
            InputError: not usable, or this service does not offer the channel.
        """

    def welcome(  # noqa: B027 - most need none
        self, target: Target, settings: Settings, language: Language, owner: str
    ) -> None:
        """Prepare a checked target, before a rule of `owner` with it is stored.

        Raises:
            UnavailableError: that is not possible now.
        """

    @abstractmethod
    def send(self, message: AlertMessage) -> None:
        """Deliver a message.

        Raises:
            DeliveryError: it was not delivered.
        """

    def host(self, target: Target) -> str:
        """Return the receiver, of which one that does not answer keeps no other waiting."""
        return str(target.get("kind"))


CHANNELS: Final[Registry[type[Channel]]] = Registry("channel of alerts")


def checked_target(target: Target, settings: Settings) -> dict[str, Any]:
    """Return a target, if it is usable.

    Raises:
        InputError: it is not.
    """
    kind = target.get("kind")
    if kind not in CHANNELS:
        raise InputError(f"targets.kind: expected one of {', '.join(CHANNELS.names())}, got {shown(kind)}")
    channel = CHANNELS.get(str(kind))
    for name, value in target.items():
        if name != "kind" and name not in channel.fields:
            expected = ", ".join(channel.fields) or "none"
            raise InputError(f"targets.{shown(name)}: expected the fields {expected} of {kind}, got another one")
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
            raise InputError(f"targets.{name}: expected a text of 1 to {LONGEST} characters, got {shown(value)}")
        check_line(value, f"targets.{name}")
    missing = [name for name, needed in channel.fields.items() if needed and name not in target]
    if missing:
        raise InputError(f"targets.{missing[0]}: required for {kind}, but missing")
    if (problem := channel().problem(settings)) is not None:
        raise InputError(f"targets.kind: this service cannot deliver by {kind}: {problem}")
    channel().check(target, settings)
    return dict(target)


def problems_of(settings: Settings) -> list[str]:
    """Return what is wrong in the settings of all channels; the others deliver without them."""
    found = (CHANNELS.get(name)().problem(settings) for name in CHANNELS.names())
    return [problem for problem in found if problem is not None]


def waits_for_receiver(target: Target) -> bool:
    """Return whether a rule with a target cannot be stored before a server of others has answered."""
    kind = target.get("kind")
    return kind in CHANNELS and CHANNELS.get(str(kind)).welcome is not Channel.welcome


def welcome_target(target: Target, settings: Settings, language: Language, owner: str) -> None:
    """Prepare a checked target, before a rule of `owner` with it is stored.

    Raises:
        UnavailableError: that is not possible now.
    """
    CHANNELS.get(str(target["kind"]))().welcome(target, settings, language, owner)


def shown_target(target: Target) -> dict[str, Any]:
    """Return a target without its secrets."""
    try:
        secrets = CHANNELS.get(str(target.get("kind"))).secrets
    except UnknownNameError:
        secrets = tuple(name for name in target if name != "kind")
    return {name: "***" if name in secrets else value for name, value in target.items()}
