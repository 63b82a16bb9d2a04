"""Scores of the last 24 hours as metrics; looked up at most once a minute, since they change with a new scan only."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Final
from weakref import WeakKeyDictionary

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from service.forecasts.nowcast import NowcastService
from service.forecasts.periods import Period, counts_over, fractions_over
from verification.fractions import FractionsOf
from verification.scores.fss import FractionSums
from verification.verify import ScoreRow, pooled

KEPT_S: Final = 60.0
HOURS: Final = 24.0
SCORES: Final = {
    "csi": ("nowcast_csi", "Critical success index of the last 24 hours"),
    "hss": ("nowcast_hss", "Heidke skill score of the last 24 hours"),
    "pod": ("nowcast_pod", "Probability of detection of the last 24 hours"),
    "far": ("nowcast_far", "False-alarm ratio of the last 24 hours"),
    "bias": ("nowcast_frequency_bias", "Forecast events per observed one of the last 24 hours"),
}
LABELS: Final = ("lead", "threshold", "model")

_kept: WeakKeyDictionary[NowcastService, tuple[float, list[Metric]]] = WeakKeyDictionary()


def score_gauges(service: NowcastService) -> list[Metric]:
    """Each score by lead (minutes), threshold (mm/h) and model, over all its versions; none where it is undefined."""
    at, metrics = _kept.get(service, (float("-inf"), []))
    if monotonic() - at > KEPT_S:
        until = service.now()
        period = Period(until - timedelta(hours=HOURS), until)
        engine = service.catalogue.engine
        metrics = [*_gauges(pooled(counts_over(engine, period))), _fss(fractions_over(engine, period))]
        _kept[service] = (monotonic(), metrics)
    return metrics


def _gauges(rows: Sequence[ScoreRow]) -> list[Metric]:
    families = {name: GaugeMetricFamily(*told, labels=LABELS) for name, told in SCORES.items()}
    cells = GaugeMetricFamily("nowcast_scored_cells", "Compared cells of the last 24 hours", labels=LABELS)
    for row in rows:
        labels = (str(row.lead_minutes), f"{row.threshold_mmh:g}", row.model)
        cells.add_metric(labels, row.counts.total)
        for name, family in families.items():
            value = row.counts.value(name)
            if value is not None:
                family.add_metric(labels, value)
    return [*families.values(), cells]


def _fss(rows: Sequence[FractionsOf]) -> Metric:
    family = GaugeMetricFamily(
        "nowcast_fss", "Fractions skill score of the last 24 hours", labels=(*LABELS, "window_km")
    )
    sums: dict[tuple[str, ...], FractionsOf] = {}
    for row in rows:
        labels = (str(row.lead_minutes), f"{row.threshold_mmh:g}", row.model, f"{row.window_km:g}")
        before = sums[labels].sums if labels in sums else FractionSums()
        sums[labels] = replace(row, sums=before + row.sums)
    for given, row in sums.items():
        if row.fss is not None:
            family.add_metric(given, row.fss)
    return family
