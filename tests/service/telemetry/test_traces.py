"""Traces: one from the request to the stages, in this process and over the queue, and none without a receiver."""

import logging
import sys
from collections.abc import Iterator

import pytest
from celery import Celery

from core import logs
from core.errors import ConfigError
from core.settings import Settings
from core.stages import measure_stages
from core.stages import stage as stage_of_a_model
from service.tasks import signals
from service.tasks.queue import CYCLE, add_origin
from service.telemetry.stages import stage
from service.telemetry.traces import is_tracing, span, start_traces, stop_traces
from tests.otlp_receiver import TraceReceiver, trace_receiver
from tests.service.api_support import fill, running, service_at

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


def nothing() -> None:
    """The body of a task."""


@pytest.fixture
def receiver() -> Iterator[TraceReceiver]:
    """A receiver of the traces of this process; they are all there after `stop_traces`."""
    with trace_receiver() as made:
        start_traces("test", Settings(traces_url=made.url))
        measure_stages(stage)
        try:
            yield made
        finally:
            measure_stages(None)
            stop_traces()


def test_a_request_and_the_stages_of_its_forecast_are_one_trace_of_the_caller(receiver, tmp_path):
    service = service_at(tmp_path)
    fill(service)
    with running(service) as client:
        answer = client.post("/nowcast", json={}, headers={**SENT, "X-Request-ID": "mine"})
        assert answer.status_code == 200, answer.text
        client.get("/readyz")
        client.get("/nowcast/latest/point?lat=52.5&lon=13.4")
    stop_traces()
    request = receiver.named("POST /nowcast")
    assert (request.trace_id, request.parent_id, request.process) == (TRACE, PARENT, "nowcast-test")
    assert request.attributes["http.response.status_code"] == "200"
    own = [one for one in receiver.spans if one.trace_id == TRACE]
    parents = {one.span_id: one for one in own}
    assert {"window", "forecast", "write", "score"} <= {one.name for one in own}
    for one in own:
        assert one is request or one.parent_id in parents, f"{one.name} hangs in the air"
        assert one.attributes["nowcast.request_id"] == "mine"
    forecasts = {one.span_id: one.attributes["nowcast.model"] for one in own if one.name == "forecast"}
    assert set(forecasts.values()) == {"default", "persistence", "extrapolation"}
    assert {forecasts[one.parent_id] for one in own if one.name == "write"} == set(forecasts.values())
    place = receiver.named("GET /nowcast/{forecast_id}/point")
    assert place.trace_id != TRACE
    assert "52.5" not in str(place.attributes), "the place of a person is in no trace"
    assert not any("readyz" in one.name for one in receiver.spans)


def test_a_stranger_begins_a_new_trace(receiver, tmp_path):
    with running(service_at(tmp_path, local_without_key=False, allow_no_keys=True)) as client:
        client.get("/models", headers=SENT)
    stop_traces()
    assert receiver.named("GET /models").trace_id != TRACE


def test_a_failed_request_is_marked_and_its_message_left_out(receiver, tmp_path, monkeypatch):
    service = service_at(tmp_path)
    fill(service)
    monkeypatch.setattr(service, "list", lambda **_: 1 / 0)
    with running(service) as client:
        assert client.get("/nowcast").status_code == 500
    stop_traces()
    failed = receiver.named("GET /nowcast")
    assert failed.failed
    assert "division" not in str(failed.attributes)


def test_a_task_goes_on_with_the_trace_of_its_sender_and_its_log_lines_name_it(receiver):
    app = Celery("traces", set_as_current=False)
    task = app.task(name="service.tasks.some_task")(nothing)
    headers: dict[str, object] = {}
    with span("sender"):
        add_origin(headers=headers)
    task.push_request(id="one", delivery_info={}, **headers)
    try:
        signals.begin("one", task, (), {})
        known = logs.current_log_context()
        with stage("window"), stage_of_a_model("motion"):
            pass
        signals.end("one", task, "FAILURE", KeyError("secret"))
    finally:
        task.pop_request()
    stop_traces()
    sender, made = receiver.named("sender"), receiver.named("some_task")
    assert (made.trace_id, made.parent_id) == (sender.trace_id, sender.span_id)
    assert receiver.named("window").parent_id == made.span_id
    assert receiver.named("motion").parent_id == receiver.named("window").span_id
    assert known["trace_id"] == sender.trace_id
    assert made.attributes["nowcast.task_id"] == known["task_id"] == "one"
    assert (made.failed, made.attributes["error.type"]) == (True, "KeyError")
    assert "trace_id" not in logs.current_log_context()


def test_a_task_of_every_few_seconds_has_no_span_of_its_own(receiver):
    app = Celery("traces", set_as_current=False)
    task = app.task(name=CYCLE)(nothing)
    task.push_request(id="two", delivery_info={})
    signals.begin("two", task, (), {})
    signals.end("two", task, "SUCCESS")
    task.pop_request()
    stop_traces()
    assert receiver.spans == []


def test_without_a_receiver_there_are_no_traces(monkeypatch):
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    start_traces("test", Settings())
    assert not is_tracing()
    headers: dict[str, object] = {}
    add_origin(headers=headers)
    assert "traceparent" not in headers


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}, "http://collector:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://one/traces"}, "https://one/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://one:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://one:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other", "NOWCAST_TRACES_URL": "http://own/x"}, "http://own/x"),
    ],
)
def test_the_receiver_is_that_of_the_setting_or_of_the_standard_variables(monkeypatch, variables, url):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings().traces_url == url


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
@pytest.mark.parametrize(
    ("value", "more", "is_named"),
    [
        ("collector:4318", {}, True),
        ("grpc://collector:4317", {}, True),
        ("collector:4317", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
        ("collector:4318", {"OTEL_TRACES_EXPORTER": "none"}, False),
        ("", {}, False),
    ],
)
def test_a_standard_receiver_without_http_is_named_at_the_start(monkeypatch, caplog, name, value, more, is_named):
    for variable, text in {name: value, **more}.items():
        monkeypatch.setenv(variable, text)
    with caplog.at_level(logging.WARNING):
        start_traces("test", Settings())
    words = f"no traces: {name}: expected an address such as http://collector:4318, got"
    assert (words in caplog.text) == is_named
    assert not is_tracing()


def test_missing_packages_stop_the_start_only_where_our_own_setting_asks_for_traces(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "service.telemetry.otlp", None)
    with pytest.raises(ConfigError, match=r"NOWCAST_TRACES_URL: expected the packages of the extra `traces`"):
        start_traces("test", Settings(traces_url="http://127.0.0.1:1/v1/traces"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with caplog.at_level(logging.WARNING):
        start_traces("test", Settings())
    assert "no traces: expected the packages" in caplog.text
    assert not is_tracing()
