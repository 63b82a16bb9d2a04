"""Metrics that are looked up when somebody asks: ages, scores, lengths and what the catalogue counts.

So they are right in any process, whichever made the forecast, and an age grows although nothing happens.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from core.errors import NoDataError, NowcastError
from ingest.store.database import reading
from ingest.store.status import IngestStatus
from service.api.metric_scores import score_gauges
from service.forecasts.nowcast import NowcastService
from service.forecasts.tables import ForecastRow, ScoredLeadRow
from service.tasks.queue import QUEUES, UNACKNOWLEDGED
from service.tasks.watchdog import last_heartbeats

QUEUE_WAIT_S: Final = 1.0


class StateCollector(Collector):
    """What can be known of one service now; a part that does not answer is `nowcast_up{part} 0` and left out."""

    def __init__(self, service: NowcastService) -> None:
        self._service = service

    def describe(self) -> list[Metric]:
        """Nothing: registering asks for no values."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Look everything up."""
        up = GaugeMetricFamily("nowcast_up", "Whether a part answers", labels=["part"])
        parts: dict[str, Callable[[], Sequence[Metric]]] = {
            "catalogue": self._stored,
            "scores": lambda: score_gauges(self._service),
            "ingest": lambda: ingest_metrics(self._service.store.ingest_status()),
            "worker": self._worker,
            "disk": self._disk,
        }
        if self._service.settings.redis_url is not None:
            parts["queue"] = self._queue
        for part, look in parts.items():
            try:
                yield from look()
                up.add_metric([part], 1)
            except (NowcastError, SQLAlchemyError, RedisError, OSError, ValueError):
                up.add_metric([part], 0)
        yield up

    def _stored(self) -> list[Metric]:
        return [*self._scans(), *self._newest_forecast(), *self._rows()]

    def _newest_forecast(self) -> list[Metric]:
        service = self._service
        try:
            forecast = service.latest()
        except NoDataError:
            return []  # no age of nothing: an alert asks for the absent metric
        age_s, is_stale = service.data_age_s(forecast), float(forecast.status == "stale")
        return [
            _gauge("nowcast_forecast_age_seconds", "Age of the newest forecast's newest scan", age_s),
            _gauge("nowcast_forecast_stale", "1 where it is older than a live forecast may be", is_stale),
        ]

    def _rows(self) -> list[Metric]:
        rows = func.count()
        with reading(self._service.catalogue.engine) as connection:
            query = select(ForecastRow.model, ForecastRow.origin, rows).group_by(ForecastRow.model, ForecastRow.origin)
            forecasts = [((model, origin), float(n)) for model, origin, n in connection.execute(query)]
            query_scores = select(ScoredLeadRow.model, rows).group_by(ScoredLeadRow.model)
            scores = [((model,), float(n)) for model, n in connection.execute(query_scores)]
        return [
            _family("nowcast_forecasts", "Stored forecasts", ["model", "origin"], forecasts),
            _family("nowcast_score_rows", "Scored leads, sums of hours and days among them", ["model"], scores),
        ]

    def _scans(self) -> list[Metric]:
        now, store = self._service.now(), self._service.store
        newest = [scan for product in store.products() if (scan := store.latest(product)) is not None]
        ages = [((scan.product,), max(0.0, (now - scan.valid_time).total_seconds())) for scan in newest]
        is_live = self._service.settings.source_kind != "replay"  # a replayed scan's time is not of this day
        late = [((scan.product,), (scan.received_at - scan.valid_time).total_seconds()) for scan in newest if is_live]
        return [
            _family("nowcast_scan_age_seconds", "Age of the newest scan", ["product"], ages),
            _family("nowcast_scan_latency_seconds", "From the newest scan's time to its store", ["product"], late),
        ]

    def _worker(self) -> list[Metric]:
        beats, now = last_heartbeats(self._service.catalogue.engine), datetime.now(UTC)
        times = {"schedule": beats.schedule, "worker": beats.any}
        ages = [((giver,), max(0.0, (now - time).total_seconds())) for giver, time in times.items() if time]
        help_text = "Since a synthetic task was completed: of the schedule, of anybody"
        return [_family("nowcast_heartbeat_age_seconds", help_text, ["giver"], ages)]

    def _queue(self) -> list[Metric]:
        url = self._service.settings.redis_url
        assert url is not None
        with self._client(url.get_secret_value()) as client:
            lengths = [((queue,), float(client.llen(queue))) for queue in QUEUES]
            taken = float(client.zcard(UNACKNOWLEDGED))
        return [
            _family("nowcast_queue_length", "Tasks that wait", ["queue"], lengths),
            _gauge("nowcast_tasks_taken", "Tasks that workers have taken and not ended", taken),
        ]

    @staticmethod
    def _client(url: str) -> Any:
        return Redis.from_url(url, socket_connect_timeout=QUEUE_WAIT_S, socket_timeout=QUEUE_WAIT_S)

    def _disk(self) -> list[Metric]:
        disk = shutil.disk_usage(self._service.store.home)
        return [
            _gauge("nowcast_disk_free_bytes", "Room on the disk of the live store", disk.free),
            _gauge("nowcast_disk_total_bytes", "Size of the disk of the live store", disk.total),
        ]


def ingest_metrics(status: IngestStatus) -> list[Metric]:
    """What ingest counted since the catalogue was made, and how its worker stands."""
    rejected = [((kind,), float(n)) for kind, n in status.rejected.items()]
    others = [((what,), float(n)) for what, n in status.counts.items() if ":" not in what]
    gaps = [((product.product,), float(len(product.gaps))) for product in status.products]
    coverage = [((product.product,), product.coverage) for product in status.products]
    outages = [((name,), float(bool(told.get("outage_since")))) for name, told in _sources(status).items()]
    metrics: list[Metric] = [
        _family("nowcast_rejected_files", "Files that could not be used", ["kind"], rejected, CounterMetricFamily),
        _family("nowcast_ingest", "Files, scans stored, duplicates, ...", ["what"], others, CounterMetricFamily),
        _family("nowcast_scan_gaps", "Scans that the last two and a half hours lack", ["product"], gaps),
        _family("nowcast_scan_coverage", "Observed share of the newest scan", ["product"], coverage),
        _family("nowcast_source_outage", "1 while a source does not answer", ["source"], outages),
        _gauge(
            "nowcast_ingest_paused", "1 while ingest waits for room", float(bool(status.worker.get("paused_since")))
        ),
    ]
    if updated_at := status.worker.get("updated_at"):
        age_s = (datetime.now(UTC) - datetime.fromisoformat(updated_at)).total_seconds()
        metrics.append(_gauge("nowcast_ingest_age_seconds", "Since the ingest worker last looked", max(0.0, age_s)))
    return metrics


def _sources(status: IngestStatus) -> dict[str, Any]:
    sources = status.worker.get("sources")
    return sources if isinstance(sources, dict) else {}


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)


def _family(
    name: str,
    help_text: str,
    labels: Sequence[str],
    values: Sequence[tuple[tuple[str, ...], float]],
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily] = GaugeMetricFamily,
) -> Metric:
    family = kind(name, help_text, labels=labels)
    for given, value in values:
        family.add_metric(given, value)
    return family
