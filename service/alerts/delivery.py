"""Sending of the messages that wait: receivers side by side, and one that does not answer keeps no other waiting."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from uuid import uuid4
from zlib import crc32

from sqlalchemy import Engine

from core.errors import InputError, UnknownNameError
from core.settings import Settings
from service.alerts.channels.base import CHANNELS, AlertMessage, Channel, DeliveryError
from service.alerts.messages import SENTENCES
from service.alerts.outbox import ClaimedDelivery, bound, claim, mark_failed, mark_sent, release
from service.alerts.rulebook import StoredRule

THREADS: Final = 16
LANES: Final = 4
"""Messages to one host at the same time."""

AT_ONCE: Final = 400
BATCH_S: Final = 20.0
"""After this time a batch begins no further message; less than the lease, by more than one request takes."""

AGAIN_AFTER_S: Final = 15.0
"""Wait of further messages to a host that did not answer."""

log = logging.getLogger(__name__)


@dataclass
class Sent:
    """Numbers of one batch."""

    sent: int = 0
    failed: int = 0
    postponed: int = 0


def deliver(engine: Engine, settings: Settings) -> Sent:
    """Send the messages that wait; return their numbers."""
    given_up = bound(engine)
    if given_up:
        log.warning("%d messages of alerts given up: too old, or too many were waiting", given_up)
    lanes: dict[tuple[str, int], list[ClaimedDelivery]] = defaultdict(list)
    for each in claim(engine, AT_ONCE):
        lanes[_host(each), crc32(each.rule_id.encode()) % LANES].append(each)
    until_s = monotonic() + BATCH_S
    total = Sent()
    if not lanes:
        return total
    with ThreadPoolExecutor(min(THREADS, len(lanes))) as threads:
        for done in threads.map(lambda lane: _send_lane(engine, settings, lane, until_s), lanes.values()):
            total.sent += done.sent
            total.failed += done.failed
            total.postponed += done.postponed
    return total


def send_test(stored: StoredRule, target: dict[str, Any], settings: Settings) -> str | None:
    """Send a test message to a target of a rule at once; return the problem, None where it was delivered."""
    rule = stored.rule
    document = {
        "event_id": str(uuid4()),
        "event": "raised",
        "reason": "test",
        "rule_id": rule.id,
        "name": rule.name,
        "alert_id": None,
        "language": rule.language,
        "message": SENTENCES[rule.language]["test"].format(name=rule.name),
        "is_test": True,
    }
    try:
        _channel(target).send(AlertMessage(str(uuid4()), document, target, stored.secret, stored.owner, settings))
    except (DeliveryError, InputError) as err:
        return str(err)
    return None


def _send_lane(engine: Engine, settings: Settings, lane: Sequence[ClaimedDelivery], until_s: float) -> Sent:
    """Send messages to one host in turn, up to the first that gets no answer."""
    done = Sent()
    for index, each in enumerate(lane):
        if monotonic() > until_s:
            return _postpone(engine, lane[index:], 0.0, done)
        try:
            message = AlertMessage(each.id, each.document, each.target, each.secret, each.owner, settings)
            _channel(each.target).send(message)
        except DeliveryError as err:
            done.failed += 1
            mark_failed(engine, each, str(err), is_final=err.is_final, retry_after_s=err.retry_after_s)
            if err.blocks_host:
                return _postpone(engine, lane[index + 1 :], AGAIN_AFTER_S, done)
        except Exception as err:  # a channel's own fault must not stop the others
            log.error("a channel failed", exc_info=err)
            done.failed += 1
            mark_failed(engine, each, f"internal error: {type(err).__name__}", is_final=False, retry_after_s=None)
        else:
            done.sent += 1
            mark_sent(engine, each.id)
    return done


def _postpone(engine: Engine, rest: Sequence[ClaimedDelivery], after_s: float, done: Sent) -> Sent:
    release(engine, rest, after_s)
    done.postponed += len(rest)
    return done


def _host(each: ClaimedDelivery) -> str:
    try:
        return _channel(each.target).host(each.target)
    except DeliveryError:
        return ""


def _channel(target: dict[str, Any]) -> Channel:
    """Return the channel of a target.

    Raises:
        DeliveryError: there is none of its kind any more.
    """
    try:
        return CHANNELS.get(str(target.get("kind")))()
    except UnknownNameError as err:
        raise DeliveryError(str(err), is_final=True) from err
