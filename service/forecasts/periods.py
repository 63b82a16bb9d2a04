"""Sums over the forecasts of a period, computed by the database from the stored sums of single forecasts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Integer, func, literal, select, tuple_
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import Select

from ingest.store.database import reading
from service.forecasts.tables import ScoredLeadRow, ScoreSumsRow
from verification.baselines import BASELINES
from verification.counts import Counts
from verification.rain_times import FAMILY as RAIN_TIMES
from verification.rain_times import RainTimes
from verification.scores import families
from verification.sums import MOST_COLUMNS, Sums
from verification.table import Mask, SumRow

HALF_BITS: Final = 31
"""The upper and the lower bits are summed separately: SQLite raises an error if a sum exceeds 64 bits."""

LONGEST_LEAD: Final = timedelta(hours=24)
"""Limits a search by valid time, which has an index."""

SHARED: Final = ("product", "grid_key", "reference_time", "lead_minutes", "period_minutes", "companions")
"""Columns that a scored lead of a model has in common with those of the baselines that are compared with it."""


@dataclass(frozen=True)
class Period:
    """The forecasts with valid times in (after, until].

    Sums of hours (older than 26 hours) and days (older than 90) belong to the period that contains their end, so that a
    period there is exact if it begins and ends at a full hour, or at 00:00 UTC.

    Attributes:
        after: not included.
        until: included.
        model: only this model, and the baselines over the same reference times and grids; None selects every model.
        version: only this version of the model; None selects every version.
    """

    after: datetime
    until: datetime
    model: str | None = None
    version: str | None = None


def counts_over(engine: Engine, period: Period, mask: Mask = "all") -> list[SumRow]:
    """Return the four counts by model, version, lead and threshold."""
    return sums_over(engine, period, family="counts", mask=mask)


def sums_over(engine: Engine, period: Period, *, family: str | None = None, mask: Mask | None = None) -> list[SumRow]:
    """Return the sums of every score by model, version, lead, threshold, window and mask.

    Models are sorted by name, then persistence and extrapolation; all other keys are in ascending order.

    Args:
        engine: of the catalogue.
        period: selects the forecasts.
        family: of sums; None selects every family with a registered score.
        mask: of grid cells; None selects every mask.
    """
    kinds = {name: kind.sums for name, kind in families("rain", "probabilities").items()}
    names = list(kinds) if family is None else [family]
    kinds[RAIN_TIMES] = RainTimes  # no registered score: it is of whole forecasts, and read by its name alone
    found: dict[tuple[Any, ...], list[tuple[int | None, tuple[int, ...]]]] = {}
    for *key, number, values in _summed(engine, period, names, mask):
        found.setdefault(tuple(key), []).append((None if number < 0 else number, values))
    return [_row(key, kinds[key[3]], parts) for key, parts in found.items()]


def _row(key: tuple[Any, ...], kind: type[Sums], parts: list[tuple[int | None, tuple[int, ...]]]) -> SumRow:
    model, version, lead, family, mask, threshold, window = key
    sums = kind.from_rows((number, values[: len(kind.columns())]) for number, values in parts)
    threshold_mmh, window_km = (None if value < 0 else value for value in (threshold, window))
    return SumRow(model, lead, family, sums, threshold_mmh, window_km, mask, version)


def _summed(engine: Engine, period: Period, names: Sequence[str], mask: Mask | None) -> list[tuple[Any, ...]]:
    """Return the key, the bin and the summed columns of every row."""
    lead, row = ScoredLeadRow, ScoreSumsRow
    keys: list[Any] = [lead.model, lead.version, lead.lead_minutes]
    keys += [row.family, row.mask, row.threshold_mmh, row.window_km, row.bin]
    columns = [getattr(row, f"value_{number}") for number in range(MOST_COLUMNS)]
    low = (1 << HALF_BITS) - 1
    bits = literal(HALF_BITS, Integer)  # PostgreSQL shifts a bigint by an integer only
    halves = [half for one in columns for half in (one.bitwise_rshift(bits), one.bitwise_and(low))]
    query: Select[Any] = select(*keys, *(func.sum(half) for half in halves))
    query = query.join_from(lead, row, row.scored_lead == lead.id)
    query = query.where(lead.valid_time > period.after, lead.valid_time <= period.until, row.family.in_(names))
    query = _of_model(query if mask is None else query.where(row.mask == mask), period)
    with reading(engine) as connection:
        found = connection.execute(query.group_by(*keys)).all()
    rows = [(*one[: len(keys)], _joined(one[len(keys) :])) for one in found]
    return sorted(rows, key=lambda one: (place_of(one[0]), *one))


def _joined(halves: Sequence[Any]) -> tuple[int, ...]:
    pairs = zip(halves[::2], halves[1::2], strict=True)
    return tuple((int(high) << HALF_BITS) + int(low) for high, low in pairs)


def _of_model(query: Select[Any], period: Period) -> Select[Any]:
    """Restrict a query to the period's model, and to the baselines at the times and places where it was scored."""
    lead = ScoredLeadRow
    if period.model is None:
        return query if period.version is None else query.where(lead.version == period.version)
    of_model = lead.model == period.model
    if period.version is not None:
        of_model &= lead.version == period.version
    others = lead.model.in_([name for name in BASELINES if name != period.model])
    return query.where(of_model | (others & _scored_with(period)))


def _scored_with(period: Period) -> ColumnElement[bool]:
    """Return whether the model was scored at the time and place of a lead; the database makes their list once."""
    lead, own = ScoredLeadRow, aliased(ScoredLeadRow)
    query = select(*(getattr(own, name) for name in SHARED))
    query = query.where(own.model == period.model, own.valid_time > period.after, own.valid_time <= period.until)
    if period.version is not None:
        query = query.where(own.version == period.version)
    return tuple_(*(getattr(lead, name) for name in SHARED)).in_(query)


def place_of(model: str) -> int:
    """Return the place of a model in every list: models first, then the baselines in their order."""
    return BASELINES.index(model) + 1 if model in BASELINES else 0


@dataclass(frozen=True)
class ForecastCounts:
    """The four counts of one lead of one forecast, as they are stored until they are summed by hours."""

    product: str
    grid_key: str
    reference_time: datetime
    model: str
    version: str
    lead_minutes: int
    counts: Counts


def counts_of_forecasts(
    engine: Engine, start: datetime, end: datetime, threshold_mmh: float, *, every_minutes: int
) -> list[ForecastCounts]:
    """Return the counts of single forecasts with reference times from `start` to `end`, of the mask `all`.

    Args:
        engine: of the catalogue.
        start: included.
        end: included.
        threshold_mmh: of the event; as stored.
        every_minutes: leads that are multiples of it.
    """
    lead, row = ScoredLeadRow, ScoreSumsRow
    columns = [getattr(row, f"value_{number}") for number in range(len(Counts.columns()))]
    query = select(
        lead.product, lead.grid_key, lead.reference_time, lead.model, lead.version, lead.lead_minutes, *columns
    )
    query = query.join_from(lead, row, row.scored_lead == lead.id)
    query = query.where(
        lead.reference_time >= start,
        lead.reference_time <= end,
        lead.valid_time > start,
        lead.valid_time <= end + LONGEST_LEAD,
        lead.lead_minutes % every_minutes == 0,
        lead.period_minutes == 0,
        row.family == "counts",
        row.mask == "all",
        row.threshold_mmh == threshold_mmh,
    )
    with reading(engine) as connection:
        found = connection.execute(query).all()
    names = ("product", "grid_key", "reference_time", "model", "version", "lead_minutes")
    return [
        ForecastCounts(**dict(zip(names, one[:6], strict=True)), counts=Counts(*map(int, one[6:]))) for one in found
    ]
