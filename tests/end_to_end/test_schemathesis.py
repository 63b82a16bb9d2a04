"""Requests made of the OpenAPI document, fitting and not, against the running service.

No response is a 5xx except a documented 503 with `Retry-After`, and none differs from the document.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.access.keybook import KeyBook
from tests.service.api_support import fill, service_at
from tests.service.live import served

CONFORMS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
ENDLESS = ("/events",)
"""A stream that does not end; tests/service/api/test_events.py has it."""

THERE = {"forecast_id": "latest", "collection_id": "nowcast"}
"""Path parameters that lead somewhere: half of the fitting cases have them."""

LONGEST_QUERY = 4000
"""Characters, which are up to twelve times as many in the request: a longer one the server itself turns away."""


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, str]]]:
    """The document of a service with forecasts, and the headers of an administrator."""
    service = service_at(tmp_path_factory.mktemp("home"), limit_per_key="1000000/minute")
    fill(service)
    service.forecast_stored()
    key = KeyBook.from_settings(service.settings).create("tester", "admin")
    with served(service) as url:
        loaded = schemathesis.openapi.from_url(f"{url}/openapi.json")
        loaded.config.update(base_url=url)
        yield loaded, {"X-API-Key": key}


@pytest.mark.stack
def test_some_cases_of_every_operation(tested):
    counts = send_cases(*tested, cases=240)
    assert sum(counts.values()) >= 200


@pytest.mark.stack
@pytest.mark.long
def test_five_thousand_cases(tested):
    counts = send_cases(*tested, cases=7200)
    assert sum(counts.values()) >= 5000


def send_cases(schema: Any, headers: dict[str, str], *, cases: int) -> Counter[int]:
    """Send about so many cases to all operations; the number of answers by status."""
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [operation for operation in operations if operation.path not in ENDLESS]
    counts: Counter[int] = Counter()
    for operation in operations:
        ask_operation(operation, max(4, -(-cases // len(operations))), headers, counts)
    return counts


def ask_operation(operation: Any, examples: int, headers: dict[str, str], counts: Counter[int]) -> None:
    """Send cases that fit the document and cases that do not to one operation."""
    fitting = operation.as_strategy(GenerationMode.POSITIVE)
    if there := {name: value for name, value in THERE.items() if f"{{{name}}}" in operation.path}:
        fitting = fitting | operation.as_strategy(GenerationMode.POSITIVE, path_parameters=there)
    wrong = operation.as_strategy(GenerationMode.NEGATIVE)
    sent = 0

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(fitting, wrong) if has_input(operation) else fitting)
    def send(case: Any) -> None:
        nonlocal sent
        assume(len(repr(case.query)) < LONGEST_QUERY)
        answer = case.call(headers=headers)
        sent += 1
        counts[answer.status_code] += 1
        check(case, answer)

    send()
    while not has_input(operation) and sent < min(examples, 10):
        send()


def has_input(operation: Any) -> bool:
    return bool(list(operation.iter_parameters()) or operation.body)


def check(case: Any, answer: Any) -> None:
    """What holds of every answer."""
    if answer.status_code == 503:
        assert answer.headers.get("retry-after"), answer.text
        case.validate_response(answer, checks=CONFORMS)
    else:
        case.validate_response(answer, checks=[not_a_server_error, *CONFORMS])
    if answer.status_code >= 400:
        kind = answer.headers.get("content-type")
        if (case.path, answer.status_code) == ("/wms", 400):
            assert kind in (["text/xml; charset=utf-8"], ["application/vnd.ogc.se_xml"]), (case, kind)
            return
        assert kind == ["application/problem+json"], (case, kind)
