"""The stored sums of forecasts from scans: each lead is entered once, with all of its scores."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from core.files import write_bytes_atomically
from ingest.store.database import reading, writing
from service.forecasts.periods import place_of
from service.forecasts.records import StoredForecast
from service.forecasts.replacement import is_current
from service.forecasts.tables import ForecastRow, ScoredLeadRow, ScoreSumsRow
from verification.counts import Counts
from verification.sums import MOST_COLUMNS
from verification.table import SumRow

NONE: Final = -1
LEADS_PER_STATEMENT: Final = 500


class Scorebook:
    """Sums by product, model, version, grid, reference time and lead."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def enter(self, forecasts: Mapping[str, StoredForecast], rows: Sequence[SumRow]) -> int:
        """Enter the sums of leads that are not stored yet, in one transaction.

        Args:
            forecasts: by label.
            rows: their `model` is such a label.

        Returns:
            the number of new rows of the four counts with mask `all`.
        """
        leads = list(dict.fromkeys((row.model, row.lead_minutes) for row in rows))
        with writing(self._engine) as connection:
            new = _enter_leads(connection, forecasts, leads)
            values = [one for row in rows if (row.model, row.lead_minutes) in new for one in _stored(row, new)]
            if values:
                connection.execute(insert(ScoreSumsRow), values)
        return sum((row.family, row.mask) == ("counts", "all") and (row.model, row.lead_minutes) in new for row in rows)

    def scored_leads(self, forecast: StoredForecast) -> set[int]:
        """Return the leads of a forecast whose sums are stored, also those from another input of the same time."""
        row = ScoredLeadRow
        query = select(row.lead_minutes).where(
            row.product == forecast.product,
            row.model == forecast.model,
            row.version == forecast.version,
            row.grid_key == forecast.grid.key,
            row.reference_time == forecast.reference_time,
            row.period_minutes == 0,
        )
        with reading(self._engine) as connection:
            return set(connection.scalars(query))

    def lead_without(self, forecast: StoredForecast, lead_minutes: int, family: str) -> int | None:
        """Return the id of a scored lead of a forecast that has no sums of a family; None where there is none."""
        row, sums = ScoredLeadRow, ScoreSumsRow
        has_family = select(sums.scored_lead).where(sums.scored_lead == row.id, sums.family == family).exists()
        query = select(row.id).where(
            row.product == forecast.product,
            row.model == forecast.model,
            row.version == forecast.version,
            row.grid_key == forecast.grid.key,
            row.reference_time == forecast.reference_time,
            row.lead_minutes == lead_minutes,
            row.period_minutes == 0,
            ~has_family,
        )
        with reading(self._engine) as connection:
            found: int | None = connection.scalar(query)
        return found

    def add(self, lead_id: int, row: SumRow) -> bool:
        """Add sums of a further family to a scored lead; return whether they were new."""
        values = _stored(row, {(row.model, row.lead_minutes): lead_id})
        if not values:
            return False
        with writing(self._engine) as connection:
            make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
            statement = make(ScoreSumsRow).values(values).on_conflict_do_nothing().returning(ScoreSumsRow.scored_lead)
            return connection.scalar(statement) is not None  # the number of rows of an insert is -1 with psycopg

    def unscored_inputs(self, since: datetime | None = None) -> Sequence[str]:
        """Return windows (`inputs_sha256`) where a current forecast from scans lacks sums of leads, oldest first."""
        query = (
            select(ForecastRow.inputs_sha256)
            .where(ForecastRow.origin == "scans", _lacks_leads(), is_current())
            .group_by(ForecastRow.inputs_sha256)
            .order_by(func.min(ForecastRow.reference_time), ForecastRow.inputs_sha256)
        )
        if since is not None:
            query = query.where(ForecastRow.reference_time >= since)
        with reading(self._engine) as connection:
            return list(connection.scalars(query))


def _enter_leads(
    connection: Connection, forecasts: Mapping[str, StoredForecast], leads: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """Insert the leads that are not stored yet; return their ids by label and lead."""
    row, found = ScoredLeadRow, {}
    label_of = {(forecasts[label].model, forecasts[label].version, lead): label for label, lead in leads}
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    for start in range(0, len(leads), LEADS_PER_STATEMENT):
        some = [_lead(forecasts[label], lead) for label, lead in leads[start : start + LEADS_PER_STATEMENT]]
        statement = make(row).values(some).on_conflict_do_nothing()
        for lead_id, model, version, lead in connection.execute(
            statement.returning(row.id, row.model, row.version, row.lead_minutes)
        ):
            found[label_of[model, version, lead], lead] = lead_id
    return found


def _lead(forecast: StoredForecast, lead_minutes: int) -> dict[str, Any]:
    return {
        "product": forecast.product,
        "model": forecast.model,
        "version": forecast.version,
        "grid_key": forecast.grid.key,
        "reference_time": forecast.reference_time,
        "lead_minutes": lead_minutes,
        "period_minutes": 0,
        "companions": "",
        "valid_time": forecast.valid_times[forecast.lead_minutes.index(lead_minutes)],
    }


def _stored(row: SumRow, lead_ids: Mapping[tuple[str, int], int]) -> list[dict[str, Any]]:
    """Return the database rows of one row of sums: one, or one per bin."""
    key = {
        "scored_lead": lead_ids[row.model, row.lead_minutes],
        "family": row.family,
        "mask": row.mask,
        "threshold_mmh": NONE if row.threshold_mmh is None else row.threshold_mmh,
        "window_km": NONE if row.window_km is None else row.window_km,
    }
    return [
        {
            **key,
            "bin": NONE if number is None else number,
            **{f"value_{n}": values[n] if n < len(values) else 0 for n in range(MOST_COLUMNS)},
        }
        for number, values in row.sums.rows()
    ]


def lacks_scores() -> ColumnElement[bool]:
    """Return the condition of a group of forecasts that one of them lacks sums of leads."""
    return func.max(case((_lacks_leads(), 1), else_=0)) == 1


def _lacks_leads() -> ColumnElement[bool]:
    """Return the condition that a forecast lacks sums of leads."""
    scored = aliased(ScoredLeadRow)
    leads = select(func.count()).select_from(scored).where(_same(scored, ForecastRow)).scalar_subquery()
    return leads < ForecastRow.leads


def _same(scored: type[ScoredLeadRow], forecast: type[ForecastRow]) -> ColumnElement[bool]:
    return and_(
        scored.product == forecast.product,
        scored.model == forecast.model,
        scored.version == forecast.version,
        scored.grid_key == forecast.grid_key,
        scored.reference_time == forecast.reference_time,
        scored.period_minutes == 0,
    )


def ranked(rows: Sequence[SumRow]) -> list[SumRow]:
    """Sort rows: models by name, then persistence and extrapolation; each by lead and threshold."""
    return sorted(rows, key=lambda row: (place_of(row.model), row.model, row.lead_minutes, row.threshold_mmh or NONE))


def kept_counts(
    forecast: StoredForecast,
    together: Mapping[str, StoredForecast],
    thresholds_mmh: Sequence[float],
    count: Callable[[], list[SumRow]],
) -> list[SumRow]:
    """Return the counts of a forecast, from its file if neither the observations nor what is compared have changed.

    Args:
        forecast: with its file of observations; without one there are no counts.
        together: the forecasts that are compared, by label.
        thresholds_mmh: of the events.
        count: counts anew.
    """
    if forecast.observations_path is None:
        return []
    path = forecast.path.with_name(f"{forecast.path.stem}.counts.json")
    key = _counted(forecast.observations_path, together, thresholds_mmh)
    try:
        kept = json.loads(path.read_bytes())
        if kept["of"] == key:
            return [_count_row(*values) for values in kept["counts"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there yet, or of another release: it is counted anew
    rows = count()
    write_bytes_atomically(path, json.dumps({"of": key, "counts": [_count_values(row) for row in rows]}).encode())
    return rows


def _counted(observations: Path, together: Mapping[str, StoredForecast], thresholds_mmh: Sequence[float]) -> list[Any]:
    files = [observations, *(one.path for one in together.values())]
    return [list(together), [path.stat().st_mtime_ns for path in files], list(thresholds_mmh)]


def _count_values(row: SumRow) -> list[Any]:
    return [row.model, row.version, row.lead_minutes, row.mask, row.threshold_mmh, *row.sums.flat()]


def _count_row(model: str, version: str | None, lead_minutes: int, mask: Any, mmh: float, *counts: int) -> SumRow:
    return SumRow(model, lead_minutes, "counts", Counts(*counts), mmh, None, mask, version)
