"""The OpenAPI document tells the truth: every operation is described, and its errors are problem documents."""

import re
from pathlib import Path

import pytest
import schemathesis

from core.errors import NotAcceptableError
from service.api.negotiate import JSON, NETCDF, chosen_type
from service.api.openapi_older import openapi_30
from service.app import create_app

SCHEMA = create_app().openapi()
OPERATIONS = [(path, verb, op) for path, verbs in SCHEMA["paths"].items() for verb, op in verbs.items()]


@pytest.mark.parametrize(("path", "verb", "operation"), OPERATIONS)
def test_operations_are_described_and_their_errors_are_problems(path, verb, operation):
    assert operation["summary"]
    assert operation["description"]
    for status, response in operation["responses"].items():
        assert response["description"]
        if (path, status) == ("/wms", "400"):  # map clients read exceptions of their own
            assert set(response["content"]) == {"text/xml", "application/vnd.ogc.se_xml"}
        elif int(status) >= 400:
            assert response["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }
    for parameter in operation.get("parameters", []):
        assert parameter.get("description") or parameter["name"] in ("limit", "job_id"), parameter


def test_what_the_design_names_is_there():
    paths = set(SCHEMA["paths"])
    ends = {"", "/point", "/image/{lead}.png", "/file.nc", "/observations.nc"}
    assert {f"/nowcast/{{forecast_id}}{end}" for end in ends} <= paths
    assert {"/nowcast", "/verification", "/models", "/scans", "/livez", "/readyz"} <= paths
    body = SCHEMA["paths"]["/nowcast"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert {"404", "406", "409", "413", "415", "422", "503", "202"} <= set(
        SCHEMA["paths"]["/nowcast"]["post"]["responses"]
    )


def test_references_lead_somewhere():
    names = set(re.findall(r"#/components/schemas/(\w+)", str(SCHEMA)))
    assert names <= set(SCHEMA["components"]["schemas"])
    assert "HTTPValidationError" not in SCHEMA["components"]["schemas"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/netcdf", NETCDF),
        ("APPLICATION/NetCDF", NETCDF),
        ("application/x-netcdf4", NETCDF),
        ("application/json;q=0.5, application/netcdf;q=0.6", NETCDF),
        ("application/json;q=0, */*", NETCDF),
        ("text/html, */*;q=0.1", JSON),
        ("application/netcdf;q=oops, application/json", JSON),
    ],
)
def test_the_best_liked_type_is_chosen(accept, expected):
    assert chosen_type(accept) == expected


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "text/*", ",", "application/json;q=nan"])
def test_a_type_that_is_not_offered(accept):
    with pytest.raises(NotAcceptableError, match="expected one of"):
        chosen_type(accept)


def test_api_modules_stay_small():
    folder = Path(__file__).resolve().parents[3] / "service" / "api"
    assert all(len(file.read_text().splitlines()) < 300 for file in folder.glob("*.py"))


def words(node):
    """Every mapping of a document."""
    if isinstance(node, dict):
        yield node
    for below in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from words(below)


def test_the_older_document_has_the_same_operations_in_the_words_of_3_0():
    older = openapi_30(SCHEMA)
    assert older["openapi"] == "3.0.3"
    assert {(path, verb) for path, verbs in older["paths"].items() for verb in verbs} == {
        (path, verb) for path, verb, _ in OPERATIONS
    }
    for node in words({name: older[name] for name in ("paths", "components")}):
        assert not isinstance(node.get("type"), list), node
        assert node.get("type") != "null", node
        assert not isinstance(node.get("exclusiveMinimum", True), float), node
        if "$ref" in node:
            assert set(node) == {"$ref"} or "properties" in node, node
    names = set(re.findall(r"#/components/schemas/(\w+)", str(older)))
    assert names <= set(older["components"]["schemas"])
    loaded = schemathesis.openapi.from_dict(older)
    assert str(loaded.specification.version).startswith("3.0")
    assert sum(1 for _ in loaded.get_all_operations()) == len(OPERATIONS)


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "a"},
            {"type": "string", "title": "a", "nullable": True},
        ),
        ({"type": ["integer", "null"]}, {"type": "integer", "nullable": True}),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 0, "exclusiveMinimum": True}),
        ({"const": "a", "type": "string"}, {"type": "string", "enum": ["a"]}),
        ({"type": "string", "examples": ["x", "y"]}, {"type": "string", "example": "x"}),
        ({"anyOf": [{"$ref": "#/a"}, {"type": "null"}]}, {"allOf": [{"$ref": "#/a"}], "nullable": True}),
        (
            {"type": "object", "properties": {"const": {"type": "string"}, "type": {"const": 1}}},
            {"type": "object", "properties": {"const": {"type": "string"}, "type": {"enum": [1]}}},
        ),
    ],
)
def test_schemas_in_the_words_of_3_0(newer, older):
    assert openapi_30({"info": {}, "a": newer})["a"] == older
