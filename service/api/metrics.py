"""GET /metrics: the counters of all processes, and the state of the service now."""

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service.api.backend import BackendDep
from service.api.errors import documented
from service.api.metrics_collector import StateCollector
from service.telemetry.metric_files import counted

router = APIRouter(tags=["health"])
TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={**documented(), 200: {"description": "Prometheus text format", **TEXT}},
)
def read_metrics(backend: BackendDep) -> Response:
    """Return the metrics of all processes; the result does not depend on which API process answers."""
    looked_up = CollectorRegistry()
    looked_up.register(StateCollector(backend.service))
    text = generate_latest(counted(backend.settings.home)) + generate_latest(looked_up)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})
