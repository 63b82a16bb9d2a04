"""Spans of OpenTelemetry, sent by OTLP over HTTP; imported only where a receiver is set (extra `traces`).

Headers for the receiver, sampling, limits and attributes of the resource are read by OpenTelemetry itself, from its
standard variables `OTEL_*`.
"""

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from time import time_ns
from typing import Any, Final

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from core.logs import Seldom, add_log_context, current_log_context
from core.version import project_version

KINDS: Final = {"server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER}
TRACE_ID: Final = "trace_id"
EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class OpenSpan:
    """A span that has begun; the context fields of the log have its trace's id until it is closed."""

    def __init__(self, opened: Span, stack: ExitStack) -> None:
        self._span, self._stack = opened, stack

    def state(self, name: str, attributes: Mapping[str, str | int]) -> None:
        """Name the span, and add attributes."""
        self._span.update_name(name)
        self._span.set_attributes(attributes)

    def fail(self, kind: str) -> None:
        """Mark the work as failed, by the kind of error; its message may hold paths and addresses."""
        _fail(self._span, kind)

    def close(self) -> None:
        """End the span, in the context in which it began."""
        self._stack.close()


class Spans:
    """Records the spans of this process, and sends them in batches from a thread of its own.

    Args:
        part: of the installation; the service's name is `nowcast-PART` unless OTEL_SERVICE_NAME is set.
        url: address of the receiver for traces.
    """

    def __init__(self, part: str, url: str) -> None:
        own = {"service.name": f"nowcast-{part}", "service.version": project_version(), "nowcast.part": part}
        resource = Resource.create(own).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        self._tracer = self._provider.get_tracer("nowcast", project_version())
        exporter = logging.getLogger(EXPORTER)
        if not any(isinstance(one, Seldom) for one in exporter.filters):
            exporter.addFilter(Seldom(""))  # a receiver that is away is reported once a minute

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record a block as a span of the current trace."""
        with self._tracer.start_as_current_span(
            name, attributes=_known(), record_exception=False, set_status_on_exception=False
        ) as opened:
            try:
                yield
            except Exception as err:
                _fail(opened, type(err).__name__)
                raise

    def add(self, name: str, seconds: float) -> None:
        """Record work that ends now as a span of the current trace."""
        end_ns = time_ns()
        began = self._tracer.start_span(name, attributes=_known(), start_time=end_ns - round(seconds * 1e9))
        began.end(end_ns)

    def open(self, kind: str, name: str, carrier: Mapping[str, Any]) -> OpenSpan:
        """Begin the span of a request or a task, of the trace that its headers name or of a new one."""
        stack = ExitStack()
        opened = stack.enter_context(
            self._tracer.start_as_current_span(
                name,
                context=propagate.extract(carrier, Context()),
                kind=KINDS[kind],
                attributes=_known(),
                record_exception=False,
                set_status_on_exception=False,
            )
        )
        add_log_context(trace_id=f"{opened.get_span_context().trace_id:032x}")
        return OpenSpan(opened, stack)

    def inject(self, headers: MutableMapping[str, Any]) -> None:
        """Add the current trace to headers."""
        propagate.inject(headers)

    def close(self) -> None:
        """Send what is left; a receiver that does not respond is given up after some seconds."""
        self._provider.shutdown()


def _known() -> dict[str, str]:
    """Return the context fields of the log as attributes, so that a span is found by the ids that log lines have."""
    return {f"nowcast.{name}": text for name, text in current_log_context().items() if name != TRACE_ID}


def _fail(opened: Span, kind: str) -> None:
    opened.set_attribute("error.type", kind)
    opened.set_status(Status(StatusCode.ERROR))
