"""Subscribers by e-mail: an address gets messages after it has agreed to them by a signed link, and none after it left.

It agrees to the messages of one owner of rules (an API key): those of another one are asked for again. To leave ends
the messages of all. Stored are keyed hashes alone: of the address, and of the owner behind it. The address itself
stands in the rules that name it and in their messages, from where `forget` erases it.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from sqlalchemy import Engine, delete, func, select, update

from core.errors import BusyError, InputError, NoDataError
from ingest.store.database import reading, upsert, writing
from service.alerts.own_secrets import keyed_hash, link_key
from service.alerts.tables import DeliveryRow, RuleRow, SubscriberRow

Action = Literal["confirm", "stop"]
KIND: Final = "email"
ASKED_AGAIN_AFTER: Final = timedelta(days=1)
"""An address that did not agree is not asked for the same owner again before, whatever rule names it."""

HASH_LENGTH: Final = 43
"""Characters of a keyed hash; an id of 64 is that of the address and the first of the owner's."""

ID_LENGTH: Final = 64

LEFT_FOR: Final = timedelta(days=30)
"""An address that left is not asked again before."""

LINK_VALID: Final = timedelta(days=7)
MOST_ASKED_AN_HOUR: Final = 100
"""Questions of all addresses: the service cannot be made to send many e-mails to people who want none."""


@dataclass(frozen=True)
class Subscriber:
    """One subscriber: its id, and where it stands; `decided_at`: when it agreed or left."""

    id: str
    is_confirmed: bool
    asked_at: datetime
    decided_at: datetime | None


def address_id(engine: Engine, address: str) -> str:
    """Return the id of an address that left: its keyed hash; upper and lower case are one."""
    return _id_of(link_key(engine), address)


def subscriber_id(engine: Engine, address: str, owner: str) -> str:
    """Return the id of an address as a subscriber to an owner's rules; it begins with that of the address."""
    return (address_id(engine, address) + keyed_hash(link_key(engine), f"owner:{owner}"))[:ID_LENGTH]


def is_confirmed(engine: Engine, address: str, owner: str) -> bool:
    """Return whether an address has agreed to messages of an owner's rules."""
    found = _find(engine, subscriber_id(engine, address, owner))
    return found is not None and found.is_confirmed


def ask(engine: Engine, address: str, owner: str, now: datetime | None = None) -> str | None:
    """Note that an address is asked to agree to messages of an owner's rules; return the code of its link.

    None where it is not to be asked now: it has agreed, was asked today, or left not long ago.

    Raises:
        BusyError: too many addresses are asked at this time.
    """
    now = now or datetime.now(UTC)
    row_id = subscriber_id(engine, address, owner)
    found, left = _find(engine, row_id), _find(engine, address_id(engine, address))
    if found is not None and (found.is_confirmed or now - found.asked_at < ASKED_AGAIN_AFTER):
        return None
    if left is not None and now - left.asked_at < LEFT_FOR:
        return None
    recent = select(func.count()).where(SubscriberRow.asked_at > now - timedelta(hours=1))
    with writing(engine) as connection:
        if int(connection.scalar(recent) or 0) >= MOST_ASKED_AN_HOUR:
            raise BusyError(f"expected at most {MOST_ASKED_AN_HOUR} new addresses an hour, got more; retry later")
        row = {"id": row_id, "is_confirmed": False, "asked_at": now, "decided_at": None}
        connection.execute(upsert(SubscriberRow, [row], connection.dialect.name))
    return _code(engine, "confirm", row_id, now)


def withdraw_question(engine: Engine, address: str, owner: str) -> None:
    """Forget that an address was asked, since the question was not sent."""
    mine = (SubscriberRow.id == subscriber_id(engine, address, owner)) & SubscriberRow.is_confirmed.is_(False)
    with writing(engine) as connection:
        connection.execute(delete(SubscriberRow).where(mine))


def stop_code(engine: Engine, address: str) -> str:
    """Return the code of the link by which an address leaves."""
    return _code(engine, "stop", address_id(engine, address), None)


def check_code(engine: Engine, action: Action, code: str, now: datetime | None = None) -> str:
    """Return the subscriber of a link's code.

    Raises:
        InputError: not a code of this service, or too old.
        NoDataError: the subscriber is erased.
    """
    row_id = code.partition(".")[0]
    found = _find(engine, row_id)
    if found is None and action == "confirm":
        raise NoDataError("there is no such question any more; name the address in a rule again")
    asked_at = found.asked_at if found and action == "confirm" else None
    if not hmac.compare_digest(_code(engine, action, row_id, asked_at).encode(), code.encode()):
        raise InputError("code: expected the link of an e-mail of this service, got another one")
    if asked_at is not None and (now or datetime.now(UTC)) - asked_at > LINK_VALID:
        raise InputError(f"code: expected a link of at most {LINK_VALID.days} days, got an older one")
    return row_id


def confirm(engine: Engine, code: str) -> None:
    """Enter that an address agrees to messages of the owner that had it asked.

    Raises:
        InputError: not a code of this service, or too old.
        NoDataError: the subscriber is erased.
    """
    row_id, now = check_code(engine, "confirm", code), datetime.now(UTC)
    with writing(engine) as connection:
        mine = update(SubscriberRow).where(SubscriberRow.id == row_id)
        connection.execute(mine.values(is_confirmed=True, decided_at=now))


def stop(engine: Engine, code: str) -> None:
    """End all messages to an address, and erase it.

    Raises:
        InputError: not a code of this service.
    """
    _erase(engine, check_code(engine, "stop", code))


def forget(engine: Engine, address: str) -> int:
    """Erase an address from rules, messages and subscribers; return the number of rules that named it."""
    return _erase(engine, address_id(engine, address))


def _erase(engine: Engine, row_id: str) -> int:
    """Erase an address with what it agreed to. Its keyed hash stays for a month, so that nobody has it asked again."""
    rules, messages, key = [], [], link_key(engine)
    with writing(engine) as connection:  # as a whole: a rule or a message of in between would keep the address
        for row in connection.execute(select(RuleRow.id, RuleRow.definition).with_for_update()):
            kept = [one for one in row.definition["targets"] if not _is_of(key, one, row_id)]
            if len(kept) < len(row.definition["targets"]):
                rules.append((row.id, {**row.definition, "targets": kept}))
        for message in connection.execute(select(DeliveryRow.id, DeliveryRow.receiver)):
            messages += [message.id] if _is_of(key, message.receiver, row_id) else []
        for rule_id, definition in rules:  # a further revision: what is evaluated now has the old receivers
            changed = {"definition": definition, "revision": RuleRow.revision + 1}
            connection.execute(update(RuleRow).where(RuleRow.id == rule_id).values(**changed))
        for message_id in messages:
            connection.execute(delete(DeliveryRow).where(DeliveryRow.id == message_id))
        connection.execute(delete(SubscriberRow).where(func.substr(SubscriberRow.id, 1, HASH_LENGTH) == row_id))
        now = datetime.now(UTC)
        left = {"id": row_id, "is_confirmed": False, "asked_at": now, "decided_at": now}
        connection.execute(upsert(SubscriberRow, [left], connection.dialect.name))
    return len(rules)


def _is_of(key: bytes, target: dict[str, str], row_id: str) -> bool:
    return target.get("kind") == KIND and _id_of(key, target["address"]) == row_id


def _id_of(key: bytes, address: str) -> str:
    return keyed_hash(key, f"address:{address.lower()}")


def _find(engine: Engine, row_id: str) -> Subscriber | None:
    with reading(engine) as connection:
        row = connection.execute(select(SubscriberRow.__table__).where(SubscriberRow.id == row_id)).one_or_none()
    return None if row is None else Subscriber(*row)


def _code(engine: Engine, action: Action, row_id: str, asked_at: datetime | None) -> str:
    signed = f"{action}:{row_id}:{asked_at.timestamp() if asked_at else ''}"
    return f"{row_id}.{keyed_hash(link_key(engine), signed)}"
