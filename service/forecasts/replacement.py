"""A forecast from a partial window is made again once the missing scans are stored; the new one replaces it.

Nothing is marked: of the forecasts of one model version from the scans of one time the one that was made last counts.
So a process that ends at any point leaves either the old one, which is still found to lack scans, or the new one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, exists
from sqlalchemy.orm import aliased

from ingest.store.index import Scan
from ingest.store.live import Store
from ingest.windows.choice import TOLERANCE_MINUTES
from ingest.windows.window import nearest
from service.forecasts.records import StoredForecast
from service.forecasts.tables import ForecastRow
from verification.baselines import BASELINES

MOST_REPLACED: Final = 3
"""How often the forecast of one time is made again: scans that trickle in must not take the worker from new ones."""


def is_current() -> ColumnElement[bool]:
    """Return the condition that no later forecast of the same model version, time and product replaces a row's.

    A baseline depends on its window, and models have windows of their own: it is current as long as a forecast that was
    made from the same window is. One that was made alone is replaced by another one that was.
    """
    row, model = ForecastRow, aliased(ForecastRow)
    with_model = _from_window_of(row, model)
    of_current_model = exists().where(and_(with_model, ~_is_replaced(model)))
    alone = ~exists().where(with_model)
    current_baseline = of_current_model | (alone & ~_is_replaced(row, by_baseline_alone=True))
    return (
        (row.origin != "scans")
        | (row.model.not_in(BASELINES) & ~_is_replaced(row))
        | (row.model.in_(BASELINES) & current_baseline)
    )


def _is_replaced(row: type[ForecastRow], *, by_baseline_alone: bool = False) -> ColumnElement[bool]:
    """Return the condition that a later forecast of the same model version, time and product exists."""
    later = aliased(ForecastRow)
    same = (
        later.reference_time == row.reference_time,
        later.origin == row.origin,
        later.product == row.product,
        later.model == row.model,
        later.version == row.version,
    )
    issued_later = later.attributes["issued_at"].as_string() > row.attributes["issued_at"].as_string()
    also = (~exists().where(_from_window_of(later, aliased(ForecastRow))),) if by_baseline_alone else ()
    return exists().where(and_(*same, issued_later, *also))


def _from_window_of(row: type[ForecastRow], model: type[ForecastRow]) -> ColumnElement[bool]:
    """Return the condition that a model's forecast was made from the same window as a row's."""
    return and_(model.inputs_sha256 == row.inputs_sha256, model.origin == row.origin, model.model.not_in(BASELINES))


def outdated(forecasts: Mapping[datetime, Sequence[StoredForecast]], store: Store) -> set[datetime]:
    """Return the times whose forecast is to be made again: a scan is stored now for a field that had none.

    Args:
        forecasts: those of one model by reference time, of each of which the last one counts.
        store: of the scans, which is asked once, since a look at the schedule must stay cheap.
    """
    newest = [max(made, key=_issued) for made in forecasts.values() if 0 < len(made) <= MOST_REPLACED]
    lacking = [(one, times) for one in newest if (times := _times_without_scan(one))]
    if not lacking:
        return set()
    near = timedelta(minutes=TOLERANCE_MINUTES)
    start, end = min(times[0] for _, times in lacking) - near, max(times[-1] for _, times in lacking) + near
    scans = store.scans(start=start, end=end)
    return {one.reference_time for one, times in lacking if _has_late_scans(one, times, scans)}


def _issued(forecast: StoredForecast) -> datetime:
    return forecast.issued_at


def _times_without_scan(forecast: StoredForecast) -> list[datetime]:
    """Return the nominal times of the fields of the window that had no scan, ascending."""
    cadence, oldest = timedelta(minutes=forecast.cadence_minutes or 0), len(forecast.input_times) - 1
    if not cadence:
        return []
    times = enumerate(forecast.input_times)
    return [forecast.reference_time - cadence * (oldest - index) for index, time in times if time is None]


def _has_late_scans(forecast: StoredForecast, missing: Sequence[datetime], scans: Sequence[Scan]) -> bool:
    """Return whether one of some scans is of a field of the window that had none."""
    grid_key = (forecast.source_grid or forecast.grid).key
    by_time = {
        scan.valid_time: scan
        for scan in scans
        if (scan.product, scan.grid_key) == (forecast.product, grid_key) and scan.valid_time not in forecast.input_times
    }
    return any(nearest(by_time, time, TOLERANCE_MINUTES, forecast.cadence_minutes or 0) for time in missing)
