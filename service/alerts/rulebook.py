"""The stored rules: created, changed and deleted by their owners; several processes may use it at once."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from json import dumps
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Engine, Text, cast, delete, func, insert, or_, select, update

from core.errors import ConflictError, NoDataError
from core.settings import Settings
from ingest.store.database import open_engine, reading, upsert, writing
from ingest.store.schema import prepare
from service.alerts.events import NewEvent, enter_events
from service.alerts.machine import RuleState, cancel
from service.alerts.messages import document_of
from service.alerts.rule import AREAS, AlertRule
from service.alerts.tables import AlertRow, DeliveryRow, RuleEventRow, RuleRow, RuleStateRow

FILE: Final = "rules.sqlite"
SECRET_BYTES: Final = 32
COUNTING: Final = 0x72756C65
"""First key of PostgreSQL's advisory locks of the rules of one owner."""

MOST_CHARACTERS: Final = 32 * 2**20
"""Text of the long rules of one owner: each evaluation reads all rules, and a polygon of many vertices has 0.8 MB."""

LONG: Final = 4096
"""Characters from which a rule is a long one; shorter ones are few enough by their number."""

OF_A_RULE: Final = (RuleRow.id, RuleStateRow.rule_id, AlertRow.rule_id, RuleEventRow.rule_id, DeliveryRow.rule_id)
"""Every column with the id of a rule: what is erased with it."""

WHAT: Final = ("quantity", "threshold", "probability", "lead_from_minutes", "lead_to_minutes", "dry_minutes")
"""Fields of a definition that say, with its area, which alerts a rule raises."""


class RuleLimitError(ConflictError):
    """The owner has as many rules as are allowed."""

    title = "Too many rules"


@dataclass(frozen=True)
class StoredRule:
    """A rule with its owner and its state."""

    id: str
    owner: str
    revision: int
    definition: Mapping[str, Any]
    secret: str
    created_at: datetime
    changed_at: datetime
    state: RuleState

    @property
    def rule(self) -> AlertRule:
        """Return the rule as evaluation uses it."""
        return AlertRule.of(self.id, self.revision, self.definition)


class RuleBook:
    """The rules of one service.

    Args:
        engine: of the database.
        most_per_owner: largest number of rules of one owner.
    """

    def __init__(self, engine: Engine, most_per_owner: int = 10_000) -> None:
        self.engine = engine
        self._most = most_per_owner
        prepare(engine)

    def create(self, owner: str, definition: Mapping[str, Any]) -> StoredRule:
        """Store a new rule.

        Raises:
            RuleLimitError: the owner has too many.
        """
        now = datetime.now(UTC)
        row: dict[str, Any] = {
            "id": str(uuid4()),
            "owner": owner,
            "revision": 1,
            "definition": dict(definition),
            "secret": secrets.token_hex(SECRET_BYTES),
            "created_at": now,
            "changed_at": now,
        }
        state = RuleState(row["id"])
        with writing(self.engine) as connection:
            if connection.dialect.name == "postgresql":  # else two at once both count one less than there are then
                connection.execute(select(func.pg_advisory_xact_lock(COUNTING, func.hashtext(owner))))
            mine = select(func.count()).select_from(RuleRow).where(RuleRow.owner == owner)
            count = int(connection.scalar(mine) or 0)
            if count >= self._most:
                raise RuleLimitError(f"expected at most {self._most} rules of one owner, got one more")
            _check_length(connection, owner, definition)
            connection.execute(insert(RuleRow).values(**row))
            connection.execute(insert(RuleStateRow).values(**vars(state)))
        return StoredRule(**row, state=state)

    def get(self, rule_id: str, owner: str | None = None) -> StoredRule:
        """Return a rule; `owner` None finds those of every owner.

        Raises:
            NoDataError: there is none, or it is another owner's.
        """
        with reading(self.engine) as connection:
            return _get(connection, rule_id, owner)

    def select(
        self, owner: str | None, *, after: tuple[datetime, str] | None = None, limit: int = 100
    ) -> Sequence[StoredRule]:
        """Return rules, the newest first; `after` is time and id of the last one of the page before."""
        query = select(RuleRow.__table__).order_by(RuleRow.created_at.desc(), RuleRow.id).limit(limit)
        if owner is not None:
            query = query.where(RuleRow.owner == owner)
        if after is not None:
            time, rule_id = after
            query = query.where(or_(RuleRow.created_at < time, (RuleRow.created_at == time) & (RuleRow.id > rule_id)))
        with reading(self.engine) as connection:
            rows = [row._asdict() for row in connection.execute(query)]
            states = read_states(connection, [row["id"] for row in rows])
        return [StoredRule(**row, state=states.get(row["id"], RuleState(row["id"]))) for row in rows]

    def change(self, rule_id: str, owner: str | None, definition: Mapping[str, Any]) -> StoredRule:
        """Replace the definition of a rule; an alert that is raised now is cancelled, since it was the old rule's.

        The record of past alerts begins anew, unless only name, language, quiet hours or receivers change.

        Raises:
            NoDataError: there is no such rule, or it is another owner's.
            RuleLimitError: the owner's rules are too long together.
        """
        now = datetime.now(UTC)
        with writing(self.engine) as connection:
            before = _get(connection, rule_id, owner)
            _check_length(connection, before.owner, definition, without=rule_id)
            state, event = cancel(before.state, "rule_changed", now)
            if event is not None:
                document = document_of(before.rule, event, None, None, None)
                enter_events(connection, [NewEvent(before.rule, event, document)], now)
            if _is_another(before.definition, definition):
                state = RuleState(rule_id)
                connection.execute(delete(AlertRow).where(AlertRow.rule_id == rule_id))
            alerts = update(AlertRow).where(AlertRow.rule_id == rule_id, AlertRow.outcome == "open")
            connection.execute(alerts.values(outcome="unknown", ended_at=func.coalesce(AlertRow.ended_at, now)))
            changes = {"definition": dict(definition), "revision": before.revision + 1, "changed_at": now}
            connection.execute(update(RuleRow).where(RuleRow.id == rule_id).values(**changes))
            connection.execute(upsert(RuleStateRow, [vars(state)], connection.dialect.name))
            return _get(connection, rule_id, owner)

    def delete(self, rule_id: str, owner: str | None = None) -> None:
        """Delete a rule with its alerts, events and messages.

        Raises:
            NoDataError: there is no such rule, or it is another owner's.
        """
        with writing(self.engine) as connection:
            _get(connection, rule_id, owner)
            erase_rules(connection, [rule_id])

    def erase_owner(self, owner: str) -> int:
        """Delete all rules of an owner; return their number."""
        with writing(self.engine) as connection:
            ids = list(connection.scalars(select(RuleRow.id).where(RuleRow.owner == owner)))
            erase_rules(connection, ids)
        return len(ids)

    def rules(self, without_owners: Collection[str] = (), *, owners: Collection[str] | None = None) -> list[AlertRule]:
        """Return all rules but those of some owners, or only those of some (`owners`)."""
        row = RuleRow
        query = select(row.id, row.revision, row.definition)
        if without_owners:
            query = query.where(row.owner.not_in(without_owners))
        if owners is not None:
            query = query.where(row.owner.in_(owners))
        with reading(self.engine) as connection:
            return [AlertRule.of(*each) for each in connection.execute(query)]


def erase_rules(connection: Connection, ids: Sequence[str]) -> None:
    """Delete everything of some rules."""
    for rule_id in ids:
        for column in OF_A_RULE:
            connection.execute(delete(column.class_).where(column == rule_id))


def read_states(connection: Connection, ids: Sequence[str] | None = None) -> dict[str, RuleState]:
    """Return the states of rules by their id; None: of all rules."""
    query = select(RuleStateRow.__table__)
    if ids is not None:
        query = query.where(RuleStateRow.rule_id.in_(ids))
    return {row.rule_id: RuleState(*row) for row in connection.execute(query)}


def rule_book(settings: Settings) -> RuleBook:
    """Return the rules of the service with these settings, opened once in a process."""
    return _opened(rules_url(settings), settings.rules_per_key)


@lru_cache(maxsize=4)
def _opened(database_url: str, most_per_owner: int) -> RuleBook:
    return RuleBook(open_engine(database_url), most_per_owner)


def rules_url(settings: Settings) -> str:
    """Return the database of the rules: the setting's, or a file for its owner alone: it holds places of people."""
    if settings.database_url:
        return settings.database_url.get_secret_value()
    home: Path = settings.home
    home.mkdir(parents=True, exist_ok=True)
    file = home.resolve() / FILE
    file.touch(mode=0o600)
    return f"sqlite:///{file}"


def _check_length(connection: Connection, owner: str, definition: Mapping[str, Any], *, without: str = "") -> None:
    """Raise a RuleLimitError where a further definition makes the long rules of an owner too long together."""
    length = len(dumps(definition))
    if length <= LONG:
        return
    stored = func.length(cast(RuleRow.definition, Text))
    others = select(func.sum(stored)).where(RuleRow.owner == owner, RuleRow.id != without, stored > LONG)
    total = int(connection.scalar(others) or 0) + length
    if total > MOST_CHARACTERS:
        raise RuleLimitError(
            f"expected at most {MOST_CHARACTERS} characters in the long rules of one owner, got {total}"
        )


def _is_another(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether two definitions raise other alerts, so that the record of one is not that of the other."""
    return any(before.get(name) != after.get(name) for name in (*AREAS, *WHAT))


def _get(connection: Connection, rule_id: str, owner: str | None) -> StoredRule:
    row = connection.execute(select(RuleRow.__table__).where(RuleRow.id == rule_id)).one_or_none()
    if row is None or owner not in (None, row.owner):
        raise NoDataError(f"no rule has the id {rule_id}")
    states = read_states(connection, [rule_id])
    return StoredRule(**row._asdict(), state=states.get(rule_id, RuleState(rule_id)))
