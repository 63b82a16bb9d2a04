"""Scores of the last 24 hours as metrics, computed at most once a minute, since they change with a new scan only."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from service.forecasts.nowcast import NowcastService
from service.forecasts.periods import Period, sums_over
from service.forecasts.schedule import ScheduleCount
from verification.counts import Counts
from verification.scores import SCORES, Score, value_of
from verification.table import SumRow, of_family, pooled

KEPT_S: Final = 60.0
HOURS: Final = 24.0

_kept: WeakKeyDictionary[NowcastService, tuple[float, list[Metric]]] = WeakKeyDictionary()


def score_gauges(service: NowcastService) -> list[Metric]:
    """Return each defined score by lead (minutes), model and its parameters, pooled over all versions."""
    at, metrics = _kept.get(service, (float("-inf"), []))
    if monotonic() - at > KEPT_S:
        until = service.now()
        period = Period(until - timedelta(hours=HOURS), until)
        rows = pooled(sums_over(service.catalogue.engine, period, mask="all"))
        metrics = [_gauge(name, kind, rows) for name, kind in SCORES.items() if kind.operational and _is_of_rain(kind)]
        metrics += [_cells(of_family(rows, "counts")), _schedule(service.schedule.counts(period))]
        _kept[service] = (monotonic(), metrics)
    return metrics


def _is_of_rain(kind: type[Score[Any]]) -> bool:
    return kind.takes != "pictures"


def _gauge(name: str, kind: type[Score[Any]], rows: Sequence[SumRow]) -> Metric:
    title, metric = kind.title or name.upper(), kind.metric or name.replace("-", "_")
    labels = [label for label in LABELS if label not in OF_PARAMETER or kind.has(OF_PARAMETER[label])]
    family = GaugeMetricFamily(f"nowcast_{metric}", f"{title} of the last 24 hours", labels=labels)
    for row in of_family(rows, kind.family or name):
        value = value_of(name, row.sums)
        if value is not None:
            family.add_metric([LABELS[label](row) for label in labels], value)
    return family


def _cells(rows: Sequence[SumRow]) -> Metric:
    labels = ("lead", "threshold", "model")
    family = GaugeMetricFamily("nowcast_scored_cells", "Compared cells of the last 24 hours", labels=labels)
    for row in rows:
        if isinstance(row.sums, Counts):
            family.add_metric([LABELS[label](row) for label in labels], row.sums.total)
    return family


def _schedule(counts: Sequence[ScheduleCount]) -> Metric:
    text = "Reference times of the schedule in the last 24 hours, with and without a forecast"
    family = GaugeMetricFamily("nowcast_scheduled_forecasts", text, labels=("model", "outcome"))
    for one in counts:
        family.add_metric((one.model, "made"), one.made)
        family.add_metric((one.model, "missed"), one.missed)
    return family


LABELS: Final[dict[str, Callable[[SumRow], str]]] = {
    "lead": lambda row: str(row.lead_minutes),
    "threshold": lambda row: f"{row.threshold_mmh:g}",
    "model": lambda row: row.model,
    "window_km": lambda row: f"{row.window_km:g}",
}
OF_PARAMETER: Final = {"threshold": "threshold_mmh", "window_km": "window_cells"}
"""Labels of the scores that have such a parameter."""
