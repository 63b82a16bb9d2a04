"""Traces of requests, tasks and their stages, where a setting names a receiver (OpenTelemetry).

Without one nothing of OpenTelemetry is imported, and a stage costs one comparison. With one, `otlp` has the spans.
"""

import logging
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from core.errors import ConfigError
from core.settings import Settings, standard_traces_problem

if TYPE_CHECKING:  # an optional package, imported where a receiver is set
    from service.telemetry.otlp import OpenSpan, Spans

MISSING: Final = "expected the packages of the extra `traces` (pip install 'ms-rnn-nowcast[traces]'), got none of them"
log = logging.getLogger(__name__)
_spans: "Spans | None" = None


def start_traces(part: str, settings: Settings) -> None:
    """Send the traces of this process from now on, if the settings name a receiver.

    Args:
        part: of the installation.
        settings: with the address of the receiver.

    Raises:
        ConfigError: NOWCAST_TRACES_URL is set, and the packages are not installed. Where the standard variable of
            OpenTelemetry alone names a receiver, as platforms set it for every program, that is a warning, and so is
            one without http://.
    """
    global _spans
    if settings.traces_url is None:
        if problem := standard_traces_problem():
            log.warning("no traces: %s", problem)
        return
    try:
        from service.telemetry.otlp import Spans
    except ImportError as err:
        if "traces_url" in settings.model_fields_set:
            raise ConfigError(f"NOWCAST_TRACES_URL: {MISSING}: {err}") from err
        log.warning("no traces: %s: %s", MISSING, err)
        return
    _spans = Spans(part, settings.traces_url)


def stop_traces() -> None:
    """Send what is left, and record no more."""
    global _spans
    stopped, _spans = _spans, None
    if stopped is not None:
        stopped.close()


def is_tracing() -> bool:
    """Return whether this process records traces."""
    return _spans is not None


def span(name: str) -> AbstractContextManager[object]:
    """Return a span of the current trace such as `window`, which is the block of a `with`."""
    return nullcontext() if _spans is None else _spans.stage(name)


def add_span(name: str, seconds: float) -> None:
    """Record work that was done in pieces and took these seconds in all, as a span that ends now."""
    if _spans is not None:
        _spans.add(name, seconds)


def open_span(kind: str, name: str, carrier: Mapping[str, Any] | None) -> "OpenSpan | None":
    """Begin the span of a request (`server`) or a task (`consumer`), to be closed by the caller; None without traces.

    Args:
        kind: server or consumer.
        name: of the span.
        carrier: headers of W3C's trace context; None, or headers without it, begin a new trace.
    """
    return None if _spans is None else _spans.open(kind, name, carrier or {})


def send_trace(headers: MutableMapping[str, Any]) -> None:
    """Add the current trace to the headers of a message, as W3C's `traceparent`."""
    if _spans is not None:
        _spans.inject(headers)
