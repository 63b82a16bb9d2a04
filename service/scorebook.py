"""The stored counts of forecasts from scans: each entered once, and summed exactly."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, and_, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from ingest.catalogue import reading, writing
from service.records import BASELINES, Forecast
from service.tables import CountsRow, ForecastRow
from verification.counts import Counts
from verification.verify import ScoreRow


class Scorebook:
    """Counts by product, model, version, grid, reference time, lead and threshold."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def enter(self, forecasts: Mapping[str, Forecast], rows: Sequence[ScoreRow]) -> int:
        """Enter rows, whose `model` is a key of `forecasts`; the number of rows that were not there yet."""
        values = [_values(forecasts[row.model], row) for row in rows]
        if not values:
            return 0
        table = CountsRow.__table__
        assert isinstance(table, Table)
        with writing(self._engine) as connection:
            insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(table)
            return connection.execute(insert.values(values).on_conflict_do_nothing()).rowcount

    def scored_leads(self, forecast: Forecast) -> set[int]:
        """Leads of a forecast that have their counts, or whose counts came from another input of the same time."""
        row = CountsRow
        query = select(row.lead_minutes).distinct()
        query = query.where(
            row.product == forecast.product,
            row.model == forecast.model,
            row.version == forecast.version,
            row.grid_key == forecast.grid.key,
            row.reference_time == forecast.reference_time,
        )
        with reading(self._engine) as connection:
            return set(connection.scalars(query))

    def unscored_inputs(self) -> Sequence[str]:
        """Windows (by their `inputs_sha256`) with a forecast from scans that lacks counts of a lead, oldest first."""
        scored = aliased(CountsRow)
        leads = select(func.count(scored.lead_minutes.distinct())).where(_same(scored, ForecastRow)).scalar_subquery()
        query = (
            select(ForecastRow.inputs_sha256)
            .where(ForecastRow.origin == "scans", leads < ForecastRow.leads)
            .group_by(ForecastRow.inputs_sha256)
            .order_by(func.min(ForecastRow.reference_time), ForecastRow.inputs_sha256)
        )
        with reading(self._engine) as connection:
            return list(connection.scalars(query))

    def rolling(self, after: datetime, until: datetime, model: str | None = None) -> Sequence[ScoreRow]:
        """Counts summed over valid times in (after, until].

        Args:
            after: not included.
            until: included.
            model: of this model, and of the baselines over its very reference times and grids; None is every model.
        """
        row = CountsRow
        counts = (row.hits, row.misses, row.false_alarms, row.correct_negatives)
        sums = [func.sum(column) for column in counts]
        query: Any = select(row.model, row.lead_minutes, row.threshold_mmh, *sums)
        query = query.where(row.valid_time > after, row.valid_time <= until)
        if model is not None:
            own = aliased(CountsRow)
            beside = select(own.model).where(own.model == model, own.lead_minutes == row.lead_minutes)
            beside = beside.where(
                own.product == row.product,
                own.grid_key == row.grid_key,
                own.reference_time == row.reference_time,
                own.threshold_mmh == row.threshold_mmh,
            )
            query = query.where(row.model.in_((model, *BASELINES)), beside.exists())
        query = query.group_by(row.model, row.lead_minutes, row.threshold_mmh)
        with reading(self._engine) as connection:
            found = connection.execute(query).all()
        rows = [ScoreRow(name, lead, threshold, Counts(*map(int, four))) for name, lead, threshold, *four in found]
        return ranked(rows)


def _values(forecast: Forecast, row: ScoreRow) -> dict[str, Any]:
    return {
        "product": forecast.product,
        "model": forecast.model,
        "version": forecast.version,
        "grid_key": forecast.grid.key,
        "reference_time": forecast.reference_time,
        "lead_minutes": row.lead_minutes,
        "threshold_mmh": row.threshold_mmh,
        "valid_time": forecast.valid_times[forecast.lead_minutes.index(row.lead_minutes)],
        "forecast_id": forecast.id,
        "hits": row.counts.hits,
        "misses": row.counts.misses,
        "false_alarms": row.counts.false_alarms,
        "correct_negatives": row.counts.correct_negatives,
    }


def _same(counts: type[CountsRow], forecast: type[ForecastRow]) -> ColumnElement[bool]:
    return and_(
        counts.product == forecast.product,
        counts.model == forecast.model,
        counts.version == forecast.version,
        counts.grid_key == forecast.grid_key,
        counts.reference_time == forecast.reference_time,
    )


def ranked(rows: Sequence[ScoreRow]) -> list[ScoreRow]:
    """Models by name, then persistence and extrapolation; each by lead and threshold."""

    def rank(row: ScoreRow) -> tuple[int, str, int, float]:
        place = BASELINES.index(row.model) + 1 if row.model in BASELINES else 0
        return place, row.model, row.lead_minutes, row.threshold_mmh

    return sorted(rows, key=rank)
