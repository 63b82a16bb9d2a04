"""Counts of one forecast against its observations, kept in a file next to it: 30 leads take seconds to count."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.files import write_bytes_atomically
from service.forecasts.records import StoredForecast
from verification.counts import Counts
from verification.table import SumRow


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
    key = _key(forecast.observations_path, together, thresholds_mmh)
    try:
        kept = json.loads(path.read_bytes())
        if kept["of"] == key:
            return [_row(*values) for values in kept["counts"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there yet, or of another release: it is counted anew
    rows = count()
    write_bytes_atomically(path, json.dumps({"of": key, "counts": [_values(row) for row in rows]}).encode())
    return rows


def _key(observations: Path, together: Mapping[str, StoredForecast], thresholds_mmh: Sequence[float]) -> list[Any]:
    files = [observations, *(one.path for one in together.values())]
    return [list(together), [path.stat().st_mtime_ns for path in files], list(thresholds_mmh)]


def _values(row: SumRow) -> list[Any]:
    return [row.model, row.version, row.lead_minutes, row.mask, row.threshold_mmh, *row.sums.flat()]


def _row(model: str, version: str | None, lead_minutes: int, mask: Any, mmh: float, *counts: int) -> SumRow:
    return SumRow(model, lead_minutes, "counts", Counts(*counts), mmh, None, mask, version)
