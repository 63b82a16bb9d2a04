"""The tables of rules, in a database of their own: unlike the catalogue, they cannot be rebuilt from files (0095)."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ingest.store.tables import Base, UtcDateTime


class RuleRow(Base):
    """One rule; `definition` is what its owner sent, `secret` signs its messages."""

    __tablename__ = "rules"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), index=True)
    revision: Mapped[int]
    definition: Mapped[dict[str, Any]] = mapped_column(JSON)
    secret: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RuleStateRow(Base):
    """What is known of a rule between two forecasts; times are reference times of forecasts.

    Attributes:
        alert_id: the alert that is raised now; None without one.
        last_held_at: when the condition held last.
        last_event_at: of the last event.
        expected_at: time of the event by the last message.
        hits, false_alarms, unknown: outcomes of past alerts.
        misses: events without an alert.
        lead_gained_minutes: sum over the hits.
    """

    __tablename__ = "rule_states"

    rule_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    alert_id: Mapped[str | None] = mapped_column(String(36))
    raised_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_held_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_event_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expected_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    probability: Mapped[float | None]
    hits: Mapped[int]
    false_alarms: Mapped[int]
    misses: Mapped[int]
    unknown: Mapped[int]
    lead_gained_minutes: Mapped[float]


class AlertRow(Base):
    """One raised alert and what the radar observed then.

    Attributes:
        outcome: open, hit, false_alarm or unknown.
        looked, observed: forecasts within its lead window, and those with an observation.
    """

    __tablename__ = "rule_alerts"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    rule_id: Mapped[str] = mapped_column(String(36), index=True)
    raised_at: Mapped[datetime] = mapped_column(UtcDateTime)
    probability: Mapped[float]
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str] = mapped_column(String(16), index=True)
    lead_gained_minutes: Mapped[float | None]
    looked: Mapped[int]
    observed: Mapped[int]


class RuleEventRow(Base):
    """One event of an alert; the key prevents a second one, `number` is their order."""

    __tablename__ = "rule_events"
    __table_args__ = (
        UniqueConstraint("alert_id", "kind", "reference_time", name="rule_events_key"),
        Index("rule_events_of_rule", "rule_id", "reference_time"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    rule_id: Mapped[str] = mapped_column(String(36))
    alert_id: Mapped[str] = mapped_column(String(36))
    kind: Mapped[str] = mapped_column(String(16))
    reference_time: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    number: Mapped[int] = mapped_column(index=True, server_default="0")
    document: Mapped[dict[str, Any]] = mapped_column(JSON)


class DeliveryRow(Base):
    """One message to one target: the outbox.

    Attributes:
        id: made of the event and the target; receivers get it as the idempotency key.
        target: position of the receiver in the rule at the time of the event.
        receiver: that target itself, since the rule may have others by now.
        number: order of the messages of a target.
        state: waiting, sending, sent or dead.
        next_at: time of the next attempt; of a message that is being sent, when another process may send it.
    """

    __tablename__ = "rule_deliveries"
    __table_args__ = (
        Index("rule_deliveries_open", "state", "next_at"),
        Index("rule_deliveries_of_rule", "rule_id", "target", "number"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(36))
    rule_id: Mapped[str] = mapped_column(String(36))
    target: Mapped[int]
    receiver: Mapped[dict[str, Any]] = mapped_column(JSON)
    number: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int]
    next_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    problem: Mapped[str | None] = mapped_column(Text)


class EvaluationRow(Base):
    """One evaluation of all rules with one forecast; the key prevents a second one."""

    __tablename__ = "rule_evaluations"

    reference_time: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    part: Mapped[str] = mapped_column(String(16), primary_key=True)
    forecast_id: Mapped[str] = mapped_column(String(36))
    evaluated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    rules: Mapped[int]
    seconds: Mapped[float]


class SubscriberRow(Base):
    """One e-mail address that agreed to messages of an owner's rules, did not yet, or left.

    Attributes:
        id: keyed hash of the address, and of the owner behind it; of an address that left, its own alone.
    """

    __tablename__ = "rule_subscribers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    is_confirmed: Mapped[bool] = mapped_column(Boolean)
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SecretRow(Base):
    """One secret of the service itself, made once: it signs links, or messages to push services.

    The largest number of an event is kept here too, since its row may be erased.
    """

    __tablename__ = "rule_secrets"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
