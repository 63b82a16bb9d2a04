"""The stored counts of forecasts from scans: each entered once, and summed exactly."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Table, and_, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, aliased
from sqlalchemy.sql.dml import Insert

from ingest.store.database import reading, writing
from service.forecasts import tables
from service.forecasts.records import StoredForecast
from service.forecasts.tables import CountsRow, ForecastRow
from verification.baselines import BASELINES
from verification.fractions import FractionsOf
from verification.reliability import ReliabilityRow
from verification.verify import ScoreRow

ROWS_PER_STATEMENT: Final = 500


class Scorebook:
    """Counts by product, model, version, grid, reference time, lead and threshold."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def enter(
        self,
        forecasts: Mapping[str, StoredForecast],
        rows: Sequence[ScoreRow],
        fractions: Sequence[FractionsOf] = (),
        bins: Sequence[ReliabilityRow] = (),
    ) -> int:
        """Enter rows, whose `model` is a key of `forecasts`, all or none; the number of counts that are new."""
        if not rows:
            return 0
        with writing(self._engine) as connection:
            for table, values in (
                (tables.FractionsRow, [_fractions(forecasts[row.model], row) for row in fractions]),
                (tables.ReliabilityRow, [_bin(forecasts[row.model], row) for row in bins]),
            ):
                for some in batched(values):
                    connection.execute(_once(table, some, connection.dialect.name))
            counts = [_counts(forecasts[row.model], row) for row in rows]
            keep = {"preserve_rowcount": True}  # PostgreSQL's driver tells it, SQLAlchemy forgets it after an INSERT
            new = [
                connection.execute(_once(CountsRow, some, connection.dialect.name), execution_options=keep).rowcount
                for some in batched(counts)
            ]
        return sum(new)

    def scored_leads(self, forecast: StoredForecast) -> set[int]:
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

    def unscored_inputs(self, since: datetime | None = None) -> Sequence[str]:
        """Windows (by their `inputs_sha256`) with a forecast from scans that lacks counts of a lead, oldest first."""
        scored = aliased(CountsRow)
        leads = select(func.count(scored.lead_minutes.distinct())).where(_same(scored, ForecastRow)).scalar_subquery()
        query = (
            select(ForecastRow.inputs_sha256)
            .where(ForecastRow.origin == "scans", leads < ForecastRow.leads)
            .group_by(ForecastRow.inputs_sha256)
            .order_by(func.min(ForecastRow.reference_time), ForecastRow.inputs_sha256)
        )
        if since is not None:
            query = query.where(ForecastRow.reference_time >= since)
        with reading(self._engine) as connection:
            return list(connection.scalars(query))


def batched(values: Sequence[dict[str, Any]]) -> Iterator[Sequence[dict[str, Any]]]:
    """As many as a statement takes: databases bind some thousands of values at once."""
    for start in range(0, len(values), ROWS_PER_STATEMENT):
        yield values[start : start + ROWS_PER_STATEMENT]


def _once(model: type[DeclarativeBase], values: Sequence[dict[str, Any]], dialect: str) -> Insert:
    """Insert what is not there yet."""
    table = model.__table__
    assert isinstance(table, Table)
    insert = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)
    return insert.values(list(values)).on_conflict_do_nothing()


def _key(forecast: StoredForecast, lead_minutes: int, threshold_mmh: float) -> dict[str, Any]:
    return {
        "product": forecast.product,
        "model": forecast.model,
        "version": forecast.version,
        "grid_key": forecast.grid.key,
        "reference_time": forecast.reference_time,
        "lead_minutes": lead_minutes,
        "threshold_mmh": threshold_mmh,
        "valid_time": forecast.valid_times[forecast.lead_minutes.index(lead_minutes)],
    }


def _counts(forecast: StoredForecast, row: ScoreRow) -> dict[str, Any]:
    return {
        **_key(forecast, row.lead_minutes, row.threshold_mmh),
        "forecast_id": forecast.id,
        "hits": row.counts.hits,
        "misses": row.counts.misses,
        "false_alarms": row.counts.false_alarms,
        "correct_negatives": row.counts.correct_negatives,
    }


def _fractions(forecast: StoredForecast, row: FractionsOf) -> dict[str, Any]:
    return {
        **_key(forecast, row.lead_minutes, row.threshold_mmh),
        "window_km": row.window_km,
        "difference": row.sums.difference,
        "worst": row.sums.worst,
        "windows": row.sums.windows,
    }


def _bin(forecast: StoredForecast, row: ReliabilityRow) -> dict[str, Any]:
    return {
        **_key(forecast, row.lead_minutes, row.threshold_mmh),
        "bin": row.bin.number,
        "cells": row.bin.cells,
        "events": row.bin.events,
        "probability_ppm": row.bin.probability_ppm,
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
