"""Stages of an upload or a forecast: how long each takes, in the metrics and as a span of its trace."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.telemetry.metrics import STAGE_SECONDS, timed
from service.telemetry.traces import span


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Observe how long a block takes, however it ends, and record it as a span where traces are on."""
    with timed(STAGE_SECONDS, name), span(name):
        yield
