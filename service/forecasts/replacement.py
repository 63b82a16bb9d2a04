"""A forecast from a partial window is made again once the missing scans are stored; the new one replaces it.

Nothing is marked: of the forecasts of one model version from the scans of one time the one that was made last counts.
So a process that ends at any point leaves either the old one, which is still found to lack scans, or the new one.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, exists
from sqlalchemy.orm import aliased

from ingest.store.live import Store
from ingest.windows.choice import TOLERANCE_MINUTES
from ingest.windows.window import nearest
from service.forecasts.records import StoredForecast
from service.forecasts.tables import ForecastRow

MOST_REPLACED: Final = 3
"""How often the forecast of one time is made again: scans that trickle in must not take the worker from new ones."""


def is_current() -> ColumnElement[bool]:
    """Return the condition that no later forecast of the same model version, time and product replaces a row's."""
    row, later = ForecastRow, aliased(ForecastRow)
    same = (
        later.reference_time == row.reference_time,
        later.origin == row.origin,
        later.product == row.product,
        later.model == row.model,
        later.version == row.version,
    )
    issued_later = later.attributes["issued_at"].as_string() > row.attributes["issued_at"].as_string()
    return (row.origin != "scans") | ~exists().where(and_(*same, issued_later))


def is_outdated(forecasts: Sequence[StoredForecast], store: Store) -> bool:
    """Return whether the forecast of a time is to be made again.

    Args:
        forecasts: those of one model and reference time, of which the last one counts.
        store: of the scans.
    """
    newest = max(forecasts, key=lambda forecast: forecast.issued_at)
    return len(forecasts) <= MOST_REPLACED and _has_late_scans(newest, store)


def _has_late_scans(forecast: StoredForecast, store: Store) -> bool:
    """Return whether a scan is stored now for a field of the window that had none."""
    if None not in forecast.input_times or not forecast.cadence_minutes:
        return False
    cadence, oldest = timedelta(minutes=forecast.cadence_minutes), len(forecast.input_times) - 1
    missing = [
        forecast.reference_time - cadence * (oldest - index)
        for index, time in enumerate(forecast.input_times)
        if time is None
    ]
    near = timedelta(minutes=TOLERANCE_MINUTES)
    scans = store.scans(product=forecast.product, start=missing[0] - near, end=missing[-1] + near)
    grid_key = (forecast.source_grid or forecast.grid).key
    by_time = {
        scan.valid_time: scan
        for scan in scans
        if scan.grid_key == grid_key and scan.valid_time not in forecast.input_times
    }
    return any(nearest(by_time, time, TOLERANCE_MINUTES, forecast.cadence_minutes) for time in missing)
