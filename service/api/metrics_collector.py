"""Metrics that are computed at each scrape: ages, scores, queue lengths and catalogue counts.

They are therefore the same in every process, and an age grows even when no process is active.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from ingest.store.progress import CATALOGUE, last_progress
from ingest.store.status import IngestStatus
from service.alerts.progress import progress_of
from service.alerts.rulebook import rule_book
from service.api.metric_scores import score_gauges
from service.forecasts.nowcast import NowcastService
from service.forecasts.tables import ForecastRow, ScoredLeadRow
from service.tasks.queue import ALERTS, QUEUES, UNACKNOWLEDGED
from service.tasks.watchdog import last_heartbeats

QUEUE_WAIT_S: Final = 1.0


class StateCollector(Collector):
    """Collects the state of one service; a part that does not respond has `nowcast_up{part} 0` and nothing else."""

    def __init__(self, service: NowcastService) -> None:
        self._service = service

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering the collector does not collect."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all parts."""
        up = GaugeMetricFamily("nowcast_up", "Whether a part responds", labels=["part"])
        parts: dict[str, Callable[[], Sequence[Metric]]] = {
            "catalogue": self._stored,
            "scores": lambda: score_gauges(self._service),
            "ingest": lambda: ingest_metrics(self._service.store.ingest_status()),
            "worker": self._worker,
            "disk": self._disk,
            "rules": self._rules,
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
            return []  # an alert rule checks for the absent metric
        age_s, is_stale = service.data_age_s(forecast), float(forecast.status == "stale")
        return [
            _gauge("nowcast_forecast_age_seconds", "Age of the newest forecast's newest scan", age_s),
            _gauge("nowcast_forecast_stale", "1 if the newest forecast is older than a live forecast may be", is_stale),
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
        is_live = self._service.settings.source_kind != "replay"  # a replayed scan's time is in the past
        late = [((scan.product,), (scan.received_at - scan.valid_time).total_seconds()) for scan in newest if is_live]
        return [
            _family("nowcast_scan_age_seconds", "Age of the newest scan", ["product"], ages),
            _family(
                "nowcast_scan_latency_seconds",
                "Delay from the newest scan's valid time to its storage",
                ["product"],
                late,
            ),
        ]

    def _worker(self) -> list[Metric]:
        beats, now = last_heartbeats(self._service.catalogue.engine), datetime.now(UTC)
        times = {"schedule": beats.schedule, "worker": beats.any, "alerts": beats.alerts}
        ages = [((giver,), max(0.0, (now - time).total_seconds())) for giver, time in times.items() if time]
        help_text = "Time since a synthetic task was completed: scheduled, by any worker, by the process of rules"
        progress = last_progress(self._service.catalogue.engine)
        worked = {part: one.latest for part, one in sorted(progress.items()) if part != CATALOGUE}
        done = [((part,), max(0.0, (now - last).total_seconds())) for part, last in worked.items()]
        help_done = "Time since a part did its own work: tasks sent, looks at the source and for scans, verifications"
        return [
            _family("nowcast_heartbeat_age_seconds", help_text, ["giver"], ages),
            _family("nowcast_progress_age_seconds", help_done, ["part"], done),
        ]

    def _rules(self) -> list[Metric]:
        progress, now = progress_of(rule_book(self._service.settings).engine), self._service.now()
        behind = [((part,), max(0.0, (now - time).total_seconds())) for part, time in progress.evaluated.items()]
        waiting = (datetime.now(UTC) - progress.oldest_waiting).total_seconds() if progress.oldest_waiting else 0.0
        messages = [((state,), float(number)) for state, number in progress.messages.items()]
        return [
            _gauge("nowcast_rules", "Stored rules", progress.rules),
            _gauge("nowcast_alerts_raised", "Alerts that are raised now", progress.raised),
            _family("nowcast_alert_messages", "Messages of alerts of the last 30 days", ["state"], messages),
            _gauge("nowcast_alert_message_age_seconds", "Age of the oldest message that waits", max(0.0, waiting)),
            _family("nowcast_rules_age_seconds", "Age of the last forecast with which rules ran", ["part"], behind),
        ]

    def _queue(self) -> list[Metric]:
        url = self._service.settings.redis_url
        assert url is not None
        with self._client(url.get_secret_value()) as client:
            lengths = [((queue,), float(client.llen(queue))) for queue in (*QUEUES, ALERTS)]
            taken = float(client.zcard(UNACKNOWLEDGED))
        return [
            _family("nowcast_queue_length", "Waiting tasks", ["queue"], lengths),
            _gauge("nowcast_tasks_taken", "Tasks taken by workers and not finished", taken),
        ]

    @staticmethod
    def _client(url: str) -> Any:
        return Redis.from_url(url, socket_connect_timeout=QUEUE_WAIT_S, socket_timeout=QUEUE_WAIT_S)

    def _disk(self) -> list[Metric]:
        disk = shutil.disk_usage(self._service.store.home)
        return [
            _gauge("nowcast_disk_free_bytes", "Free space on the disk of the live store", disk.free),
            _gauge("nowcast_disk_total_bytes", "Size of the disk of the live store", disk.total),
        ]


def ingest_metrics(status: IngestStatus) -> list[Metric]:
    """Return the counters of ingest since the catalogue was created, and the state of its worker."""
    counter = CounterMetricFamily
    rejected = [((kind,), float(n)) for kind, n in status.rejected.items()]
    others = [((what,), float(n)) for what, n in status.counts.items() if ":" not in what]
    gaps = [((product.product,), float(len(product.gaps))) for product in status.products]
    coverage = [((product.product,), product.coverage) for product in status.products]
    outages = [((name,), float(bool(state.get("outage_since")))) for name, state in _sources(status).items()]
    return [
        _family(
            "nowcast_rejected_files", "Files that could not be read, by kind of error", ["kind"], rejected, counter
        ),
        _family("nowcast_ingest", "Events of ingest: files, stored scans, duplicates, ...", ["what"], others, counter),
        _family("nowcast_scan_gaps", "Scans missing in the last two and a half hours", ["product"], gaps),
        _family("nowcast_scan_coverage", "Share of grid cells observed in the newest scan", ["product"], coverage),
        _family("nowcast_source_outage", "1 while a source does not respond", ["source"], outages),
        *_worker_metrics(status.worker),
    ]


def _worker_metrics(worker: Mapping[str, Any]) -> list[Metric]:
    """Return the state of the ingest worker; its age only where it has run."""
    paused = float(bool(worker.get("paused_since")))
    metrics = [_gauge("nowcast_ingest_paused", "1 while ingest is paused for lack of disk space", paused)]
    if updated_at := worker.get("updated_at"):
        age_s = (datetime.now(UTC) - datetime.fromisoformat(updated_at)).total_seconds()
        help_text = "Time since the ingest worker last checked its sources"
        metrics.append(_gauge("nowcast_ingest_age_seconds", help_text, max(0.0, age_s)))
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
