"""Sums over the forecasts of a period, taken by the database from what each forecast entered once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.sql.selectable import Select, Subquery

from ingest.store.database import reading
from service.forecasts.tables import CountsRow, FractionsRow, ReliabilityRow
from verification import reliability
from verification.baselines import BASELINES
from verification.counts import Counts
from verification.fractions import FractionsOf
from verification.scores.fss import FractionSums
from verification.verify import ScoreRow

Row = type[CountsRow] | type[FractionsRow] | type[ReliabilityRow]


@dataclass(frozen=True)
class Period:
    """Which forecasts: valid times in (after, until].

    Attributes:
        after: not included.
        until: included.
        model: of this model, and of the baselines over its very reference times and grids; None is every model.
        version: of this version of the model only; None is every version.
    """

    after: datetime
    until: datetime
    model: str | None = None
    version: str | None = None


def counts_over(engine: Engine, period: Period) -> list[ScoreRow]:
    """Counts by model, version, lead and threshold."""
    row = CountsRow
    keys = (row.model, row.version, row.lead_minutes, row.threshold_mmh)
    sums = (row.hits, row.misses, row.false_alarms, row.correct_negatives)
    found = _summed(engine, row, period, keys, sums)
    return [
        ScoreRow(model, lead, threshold, Counts(*map(int, four)), version)
        for model, version, lead, threshold, *four in found
    ]


def fractions_over(engine: Engine, period: Period) -> list[FractionsOf]:
    """Numerator and denominator of the fractions skill score by model, version, lead, threshold and window."""
    row = FractionsRow
    keys = (row.model, row.version, row.lead_minutes, row.threshold_mmh, row.window_km)
    found = _summed(engine, row, period, keys, (row.difference, row.worst, row.windows))
    return [
        FractionsOf(model, lead, threshold, km, FractionSums(float(d), float(w), int(n)), version)
        for model, version, lead, threshold, km, d, w, n in found
    ]


def reliability_over(engine: Engine, period: Period) -> list[reliability.ReliabilityRow]:
    """Cells by probability, of forecasts that have probabilities, by model, version, lead and threshold."""
    row = ReliabilityRow
    keys = (row.model, row.version, row.lead_minutes, row.threshold_mmh, row.bin)
    found = _summed(engine, row, period, keys, (row.cells, row.events, row.probability_ppm))
    return [
        reliability.ReliabilityRow(model, lead, threshold, reliability.Bin(number, *map(int, sums)), version)
        for model, version, lead, threshold, number, *sums in found
    ]


def _summed(engine: Engine, row: Row, period: Period, keys: Sequence[Any], sums: Sequence[Any]) -> Sequence[Any]:
    """Rows of the keys and the sums: models by name, then persistence and extrapolation; the rest ascending."""
    query: Select[Any] = select(*keys, *(func.sum(column) for column in sums))
    query = query.where(row.valid_time > period.after, row.valid_time <= period.until)
    if period.model is not None:
        own = _own(period)
        query = query.join(
            own,
            (own.c.product == row.product)
            & (own.c.grid_key == row.grid_key)
            & (own.c.reference_time == row.reference_time)
            & (own.c.lead_minutes == row.lead_minutes),
        )
        of_model = row.model == period.model
        if period.version is not None:
            of_model &= row.version == period.version
        query = query.where(of_model | row.model.in_([name for name in BASELINES if name != period.model]))
    elif period.version is not None:
        query = query.where(row.version == period.version)
    with reading(engine) as connection:
        return sorted(connection.execute(query.group_by(*keys)).all(), key=lambda found: (_place(found[0]), *found))


def _own(period: Period) -> Subquery:
    """Where and when the model itself was scored."""
    row = CountsRow
    query = select(row.product, row.grid_key, row.reference_time, row.lead_minutes).distinct()
    query = query.where(row.model == period.model, row.valid_time > period.after, row.valid_time <= period.until)
    if period.version is not None:
        query = query.where(row.version == period.version)
    return query.subquery()


def _place(model: str) -> int:
    return BASELINES.index(model) + 1 if model in BASELINES else 0
