"""Every example of the OpenAPI document runs as it stands, against a service with a forecast."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.access.keybook import KeyBook
from service.app import create_app
from service.forecasts.nowcast import NowcastService
from tests.service.api_support import fill, frames_at, lead_times, netcdf, running, service_at, window_times

SCHEMA: dict[str, Any] = create_app().openapi()
ENDLESS = ("/events", "/rules/events")
ANOTHER_TEST_HAS_IT = {
    "/alerts/cap": "a service with a sender is needed: test_cap.py",
    "/alerts/cap/{event_id}.xml": "an event of a public rule is needed: test_cap.py",
    "/rules/email/{action}/{code}": "a code of an e-mail is needed: test_email.py",
    "/jobs/{job_id}": "an id that was given out is needed: test_jobs.py",
    "/models/aliases/{alias}": "a model with versions is needed: test_registry.py",
    "/nowcast/{forecast_id}/observations.nc": "needs frames after the reference time: test_nowcast.py",
}

NEEDS = {"{rule_id}": "stored_rule", "/observations/{lead}.png": "observed"}
"""Fixtures that make what the examples of some paths name."""

EITHER = {"/nowcast/{forecast_id}/accumulation": (("lat", "lon"), ("bbox",))}
"""Optional parameters of which one group is required."""


def examples(described: dict[str, Any]) -> list[Any]:
    """Of a parameter or a body, wherever OpenAPI lets them stand."""
    schema = described.get("schema", {})
    if "$ref" in schema:
        schema = SCHEMA["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    for place in (described, schema):
        if "example" in place:
            return [place["example"]]
        if "examples" in place:
            found = place["examples"]
            return [each["value"] for each in found.values()] if isinstance(found, dict) else list(found)
    return []


def requests_of(path: str, verb: str, operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """(path, query, JSON body) of every combination of examples; None where a required one is missing."""
    parameters = {each["name"]: each for each in operation.get("parameters", []) if each["in"] in ("path", "query")}
    shown = {name: examples(each) for name, each in parameters.items()}
    missing = [name for name, each in parameters.items() if each.get("required") and not shown[name]]
    assert not missing, f"{verb} {path}: no example of {missing}"
    json_body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    bodies = examples(json_body) if json_body else [None]
    assert bodies, f"{verb} {path}: no example of its body"
    given = {name: values for name, values in shown.items() if values}
    for body, *values in itertools.product(bodies, *given.values()):
        chosen = dict(zip(given, values, strict=True))
        for left_out in EITHER.get(path, ((),)):
            kept = {name: value for name, value in chosen.items() if name not in left_out}
            where = {name: kept.pop(name) for name in list(kept) if parameters[name]["in"] == "path"}
            yield path.format(**where), kept, body


OPERATIONS = [
    pytest.param(path, verb, operation, id=f"{verb} {path}")
    for path, verbs in SCHEMA["paths"].items()
    for verb, operation in verbs.items()
    if path not in (*ENDLESS, *ANOTHER_TEST_HAS_IT)
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> NowcastService:
    made = service_at(tmp_path_factory.mktemp("home"))
    fill(made)
    made.forecast_stored()
    return made


@pytest.fixture(scope="module")
def client(service: NowcastService) -> Iterator[TestClient]:
    key = KeyBook.from_settings(service.settings).create("tester", "admin")
    with running(service) as opened:
        opened.headers["X-API-Key"] = key
        yield opened


@pytest.fixture
def observed(service: NowcastService) -> None:
    """The scan at the first lead of the newest forecast."""
    for frame in frames_at(lead_times(service.latest().reference_time, 1)):
        service.store.put(frame)


@pytest.fixture
def stored_rule(client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule with the id of the document's example."""
    parameter = SCHEMA["paths"]["/rules/{rule_id}"]["get"]["parameters"][0]
    (example,) = examples(parameter)
    (body,) = examples(SCHEMA["paths"]["/rules"]["post"]["requestBody"]["content"]["application/json"])
    if client.get(f"/rules/{example}").status_code == 404:
        with monkeypatch.context() as patched:
            patched.setattr("service.alerts.rulebook.uuid4", lambda: example)
            assert client.post("/rules", json=body).json()["rule_id"] == example


@pytest.mark.parametrize(("path", "verb", "operation"), OPERATIONS)
def test_examples_run(client, request, path, verb, operation):
    for part, needed in NEEDS.items():
        if part in path:
            request.getfixturevalue(needed)
    asked = list(requests_of(path, verb, operation))
    assert asked
    success = min(int(status) for status in operation["responses"])
    for url, query, body in asked:
        answer = client.request(verb, url, params=query, json=body)
        expected = (200, 503) if path == "/readyz" else (success,)
        assert answer.status_code in expected, (
            f"{verb} {url} {query} {json.dumps(body)}: {answer.status_code} {answer.text}"
        )


def test_the_multipart_form_runs_as_described(client, tmp_path: Path):
    fields = SCHEMA["paths"]["/nowcast"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"][
        "properties"
    ]
    assert set(fields) == {"frames", "observations", "model", "members"}
    files = {"frames": netcdf(tmp_path, window_times()), "observations": netcdf(tmp_path, lead_times())}
    answer = client.post(
        "/nowcast", files=files, data={name: str(fields[name]["default"]).lower() for name in ("model", "members")}
    )
    assert answer.status_code == 200, answer.text


def test_what_is_left_out_is_there():
    assert set(ANOTHER_TEST_HAS_IT) | {*ENDLESS} <= set(SCHEMA["paths"])


def test_security_schemes_are_documented():
    schemes = SCHEMA["components"]["securitySchemes"]
    assert schemes["ApiKey"]["name"] == "X-API-Key"
    for path, verbs in SCHEMA["paths"].items():
        for verb, operation in verbs.items():
            security = operation.get("security", [{}])
            assert ({} in security) == (path != "/models/aliases/{alias}")
            assert ("403" in operation["responses"]) == (verb != "get"), (verb, path)
