"""Roll-up of old scores: sums by hour from an age of 26 hours, by day from 90 days."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select

from ingest.store.database import reading, writing
from service.forecasts.tables import ScoredLeadRow, ScoreSumsRow
from verification.baselines import BASELINES
from verification.sums import MOST_COLUMNS

HOURS_AFTER: Final = timedelta(hours=26)
"""A day of forecasts every 5 minutes with 30 leads has a million rows, of which a tenth stays."""

DAYS_AFTER: Final = timedelta(days=90)
HOUR_MINUTES: Final = 60
DAY_MINUTES: Final = 24 * 60
MOST_PERIODS: Final = 500
"""Limit of hours or days per sweep: after an upgrade there are months of rows, and others wait for the lock."""

IDS_PER_STATEMENT: Final = 500
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
log = logging.getLogger(__name__)


def roll_up(engine: Engine, now: datetime) -> int:
    """Sum old rows by hour and by day; return the number of scored leads that were replaced by a sum.

    Every period is one transaction: either its sums replace the rows of which they are the sums, or nothing changes. A
    second call changes nothing.

    Args:
        engine: of the catalogue.
        now: time from which ages are counted.

    Raises:
        UnavailableError: the database does not respond.
    """
    gone = done = 0
    for minutes, age in ((DAY_MINUTES, DAYS_AFTER), (HOUR_MINUTES, HOURS_AFTER)):
        step = timedelta(minutes=minutes)
        last = EPOCH + (now - age - EPOCH) // step * step
        while done < MOST_PERIODS and (first := _first(engine, minutes, last)) is not None:
            end = EPOCH - (EPOCH - first) // step * step  # rounded up
            with writing(engine) as connection:
                gone += _sum(connection, end, minutes)
            done += 1
    if gone:
        log.info("scores of %d leads were summed to %d hours or days", gone, done)
    return gone


def _first(engine: Engine, minutes: int, last: datetime) -> datetime | None:
    """Return the oldest valid time, up to `last`, of a row with a finer resolution."""
    row = ScoredLeadRow
    query = select(func.min(row.valid_time)).where(row.period_minutes < minutes, row.valid_time <= last)
    with reading(engine) as connection:
        found: datetime | None = connection.scalar(query)
    return found


def _sum(connection: Connection, end: datetime, minutes: int) -> int:
    """Sum the rows of one hour or day, and an earlier sum of it; return the number of finer leads."""
    row = ScoredLeadRow
    query = select(row).where(
        row.valid_time > end - timedelta(minutes=minutes), row.valid_time <= end, row.period_minutes <= minutes
    )
    leads = connection.execute(query).all()
    companions = _companions(leads)
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for lead in leads:
        together = companions[_window(lead)] if lead.period_minutes == 0 else lead.companions
        groups[lead.product, lead.model, lead.version, lead.grid_key, lead.lead_minutes, together].append(lead.id)
    for key, ids in groups.items():
        sums = _summed(connection, ids)
        _delete(connection, ids)
        lead_id = _enter(connection, key, end, minutes)
        if sums:
            connection.execute(insert(ScoreSumsRow), [{"scored_lead": lead_id, **values} for values in sums])
    return sum(lead.period_minutes < minutes for lead in leads)


def _window(lead: Row[Any]) -> tuple[Any, ...]:
    return lead.product, lead.grid_key, lead.reference_time, lead.lead_minutes


def _companions(leads: Iterable[Row[Any]]) -> dict[tuple[Any, ...], str]:
    """Return the models, without baselines, that were scored together, by window and lead."""
    found: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for lead in leads:
        found[_window(lead)] |= {f"{lead.model}@{lead.version}"} if lead.model not in BASELINES else set()
    return {window: " ".join(sorted(models)) for window, models in found.items()}


def _summed(connection: Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Add up rows in Python, whose integers have no upper limit."""
    row = ScoreSumsRow
    names = [f"value_{number}" for number in range(MOST_COLUMNS)]
    keys = ("family", "mask", "threshold_mmh", "window_km", "bin")
    sums: dict[tuple[Any, ...], list[int]] = {}
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        query = select(row).where(row.scored_lead.in_(ids[start : start + IDS_PER_STATEMENT]))
        for one in connection.execute(query):
            values = sums.setdefault(tuple(getattr(one, key) for key in keys), [0] * MOST_COLUMNS)
            for number, name in enumerate(names):
                values[number] += getattr(one, name)
    return [dict(zip((*keys, *names), (*key, *values), strict=True)) for key, values in sums.items()]


def _delete(connection: Connection, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), IDS_PER_STATEMENT):
        some = ids[start : start + IDS_PER_STATEMENT]
        connection.execute(delete(ScoreSumsRow).where(ScoreSumsRow.scored_lead.in_(some)))
        connection.execute(delete(ScoredLeadRow).where(ScoredLeadRow.id.in_(some)))


def _enter(connection: Connection, key: tuple[Any, ...], end: datetime, minutes: int) -> int:
    names = ("product", "model", "version", "grid_key", "lead_minutes", "companions")
    values = dict(zip(names, key, strict=True), reference_time=end, valid_time=end, period_minutes=minutes)
    return int(connection.execute(insert(ScoredLeadRow).values(**values).returning(ScoredLeadRow.id)).scalar_one())
