"""The abstract tests of OGC API-EDR (19-086, annex A), one by one; docs/results/edr.md has the table of them."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import schemathesis
from covjson_pydantic.coverage import Coverage, CoverageCollection
from edr_pydantic.capabilities import ConformanceModel, LandingPageModel
from edr_pydantic.collections import Collection, Collections, Instances
from pyproj import CRS
from starlette.testclient import TestClient

from tests.end_to_end.stack import ROOT
from tests.service.api_support import fill, running, service_at

HERE: Final = "/collections/nowcast"
POINT: Final = "POINT(9.5 50.5)"
POLYGON: Final = "POLYGON((9 50,10 50,10 51,9 51,9 50))"
BOX: Final = "9,50,10,51"
FAR: Final = {"position": "POINT(-74 95)", "area": "POLYGON((-75 40,-74 40,-74 41,-75 40))"}
QUERIES: Final = {"position": {"coords": POINT}, "area": {"coords": POLYGON}, "cube": {"bbox": BOX}}
OF_THE_STANDARD: Final = {
    *("core", "collections", "json", "covjson", "geojson", "edr-geojson", "html", "oas30", "oas31", "instances"),
    *("position", "radius", "area", "cube", "trajectory", "corridor", "locations", "items"),
}
"""The groups of annex A, of version 1.1 and the draft of 1.2."""

Check = Callable[[TestClient], None]
CHECKS: Final[dict[str, Check]] = {}


def abstract(*names: str) -> Callable[[Check], Check]:
    """Register the check of some abstract tests."""

    def kept(check: Check) -> Check:
        CHECKS.update(dict.fromkeys(names, check))
        return check

    return kept


def asked(client: TestClient, query: str, **more: str) -> Any:
    answer = client.get(f"{HERE}/{query}", params={**QUERIES[query], **more})
    assert answer.status_code == 200, answer.text
    return answer


def status(client: TestClient, query: str, **more: str) -> int:
    return client.get(f"{HERE}/{query}", params={**QUERIES[query], **more}).status_code


@abstract("core/http")
def check_http(client):
    assert client.get("/").http_version == "HTTP/1.1"
    assert client.post("/collections").status_code == 405
    assert client.get("/collections/none").status_code == 404


@abstract("core/root-op", "core/root-success")
def check_root(client):
    page = LandingPageModel.model_validate_json(client.get("/").content)
    assert {"self", "service-desc", "service-doc", "conformance", "data"} <= {link.rel for link in page.links}
    assert page.title
    assert page.description


@abstract("core/api-definition-op", "core/api-definition-success", "oas30/oas-definition-1", "oas31/oas-definition-1")
def check_api(client):
    links = [link for link in client.get("/").json()["links"] if link["rel"].startswith("service-")]
    for link in links:
        answer = client.get(urlsplit(link["href"]).path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] == link["type"].split(";")[0] or "json" in link["type"]
    versions = {client.get(urlsplit(one["href"]).path).json()["openapi"][:3] for one in links if "json" in one["type"]}
    assert versions == {"3.0", "3.1"}


@abstract("oas30/oas-definition-2", "oas31/oas-definition-2", "oas30/oas-impl", "oas31/oas-impl")
def check_definition(client):
    for path, version in (("/openapi-3.0.json", "3.0"), ("/openapi.json", "3.1")):
        document = client.get(path).json()
        loaded = schemathesis.openapi.from_dict(document)
        assert str(loaded.specification.version).startswith(version)
        names = {
            each["name"] for each in document["paths"]["/collections/{collection_id}/position"]["get"]["parameters"]
        }
        assert {"coords", "parameter-name", "datetime", "crs", "f"} <= names


@abstract("oas30/exceptions-codes", "oas31/exceptions-codes", "oas30/security", "oas31/security")
def check_codes(client):
    document = client.get("/openapi-3.0.json").json()
    assert {"ApiKey", "Bearer"} == set(document["components"]["securitySchemes"])
    for query in QUERIES:
        responses = document["paths"][f"/collections/{{collection_id}}/{query}"]["get"]["responses"]
        assert {"200", "400", "404"} <= set(responses)


@abstract("oas30/completeness", "oas31/completeness")
def check_completeness(client):
    """Whatever an operation answers is a status and a kind of content that its description has."""
    seen = set()
    for path in ("/openapi-3.0.json", "/openapi.json"):
        paths = client.get(path).json()["paths"]
        for answer, template in every_answer(client):
            described = paths[template]["get"]["responses"][str(answer.status_code)]
            kind = answer.headers["content-type"].split(";")[0]
            assert kind in {name.split(";")[0] for name in described["content"]}, (template, answer.status_code)
            seen.add(answer.status_code)
    assert {200, 400, 404} <= seen


def every_answer(client: TestClient) -> Iterator[tuple[Any, str]]:
    """Yield answers of every operation, good and bad, each with the path of its description."""
    for path in ("/conformance", "/collections"):
        yield client.get(path), path
    for place in ("/collections/{collection_id}", "/collections/{collection_id}/instances"):
        for name in ("nowcast", "none"):
            yield client.get(place.replace("{collection_id}", name)), place
    for place in ("/collections/{collection_id}", "/collections/{collection_id}/instances/{forecast_id}"):
        here = place.replace("{collection_id}", "nowcast").replace("{forecast_id}", "latest")
        for query, params in QUERIES.items():
            for more in ({}, {"f": "NetCDF"}, {"f": "CSV"}, {"f": "png"}, {"crs": "EPSG:2154"}, {"datetime": "soon"}):
                yield client.get(f"{here}/{query}", params={**params, **more}), f"{place}/{query}"
            far = {"bbox": "-75,40,-74,41"} if query == "cube" else {"coords": FAR[query]}
            yield client.get(f"{here}/{query}", params=far), f"{place}/{query}"
            yield client.get(f"{here}/{query}"), f"{place}/{query}"


@abstract("core/conformance-op", "core/conformance-success")
def check_conformance(client):
    classes = ConformanceModel.model_validate_json(client.get("/conformance").content).conformsTo
    for name in ("ogcapi-edr-1/1.2/conf/core", "ogcapi-common-1/1.0/conf/core", "ogcapi-common-2/1.0/conf/collections"):
        assert any(str(one).endswith(name) for one in classes)


@abstract("core/crs84")
def check_crs84(client):
    assert "CRS84" in client.get(HERE).json()["crs"]
    assert asked(client, "position", crs="CRS84").json() == asked(client, "position").json()


@abstract("collections/rc-md-op", "collections/rc-md-success")
def check_collections(client):
    found = Collections.model_validate_json(client.get("/collections").content)
    assert [one.id for one in found.collections] == ["nowcast"]
    assert any(link.rel == "self" for link in found.links)


@abstract("collections/src-md-op", "collections/src-md-success", "collections/rc-collection-info")
def check_collection(client):
    alone = client.get(HERE).json()
    Collection.model_validate_json(client.get(HERE).content)
    assert alone == client.get("/collections").json()["collections"][0]
    assert {"id", "links", "extent", "data_queries", "parameter_names", "output_formats", "crs"} <= set(alone)


@abstract("collections/rc-md-extent")
def check_extent(client):
    extent = client.get(HERE).json()["extent"]
    west, south, east, north = extent["spatial"]["bbox"][0]
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90
    start, end = extent["temporal"]["interval"][0]
    assert start <= end
    assert extent["temporal"]["values"][0] == start


@abstract(
    "collections/rc-data-queries",
    "collections/rc-common-query-type",
    "collections/rc-common-variables",
    "collections/rc-cube-variables",
    "collections/rc-md-query-links",
)
def check_queries(client):
    queries = client.get(HERE).json()["data_queries"]
    assert set(queries) == {*QUERIES, "instances"}
    for name, query in queries.items():
        link = query["link"]
        assert {"href", "rel", "variables"} <= set(link)
        assert link["variables"]["query_type"] == name
        if name in QUERIES:
            assert {"output_formats", "crs_details"} <= set(link["variables"])
            assert client.get(urlsplit(link["href"]).path, params=QUERIES[name]).status_code == 200
    assert "height_units" in queries["cube"]["link"]["variables"]


@abstract("collections/rc-md-links")
def check_links(client):
    for link in client.get(HERE).json()["links"]:
        assert {"href", "rel", "type"} <= set(link)
        path = urlsplit(link["href"]).path
        params = QUERIES.get(path.rpartition("/")[2], {})
        assert client.get(path, params=params).status_code == 200, link


@abstract("collections/rc-crs")
def check_systems(client):
    """Every system of coordinates has a name of its own and a text that PROJ reads."""
    found = client.get(HERE).json()
    for query in QUERIES:
        details = found["data_queries"][query]["link"]["variables"]["crs_details"]
        names = [one["crs"] for one in details]
        assert len(names) == len({*names})
        assert "CRS84" in names
        assert {*names} == ({"CRS84"} if query == "position" else {*found["crs"]})
        for one in details:
            assert CRS.from_wkt(one["wkt"]).is_geographic == ("84" in one["crs"])


@abstract("collections/rc-parameters")
def check_parameters(client):
    for name, one in client.get(HERE).json()["parameter_names"].items():
        assert one["type"] == "Parameter"
        assert one["id"] == name
        assert one["observedProperty"]["label"]
        assert one["unit"]["symbol"]["value"]


@abstract("json/definition", "json/content")
def check_json(client):
    for path in ("/", "/conformance", "/collections", HERE, f"{HERE}/instances"):
        answer = client.get(path, headers={"Accept": "application/json"})
        assert answer.headers["content-type"].split(";")[0] == "application/json"
        assert answer.json()


@abstract("covjson/definition", "covjson/content")
def check_covjson(client):
    for query in QUERIES:
        answer = asked(client, query)
        assert answer.headers["content-type"] == "application/prs.coverage+json"
        Coverage.model_validate_json(answer.content)
    several = client.get(f"{HERE}/position", params={"coords": "MULTIPOINT((9 50),(10 51))"})
    CoverageCollection.model_validate_json(several.content)


@abstract("instances/rc-md-op", "instances/rc-md-success", "instances/src-md-op", "instances/src-md-success")
def check_instances(client):
    found = Instances.model_validate_json(client.get(f"{HERE}/instances").content).instances
    for one in found:
        assert client.get(f"{HERE}/instances/{one.id}").json()["id"] == one.id
        for query, params in QUERIES.items():
            assert client.get(f"{HERE}/instances/{one.id}/{query}", params=params).status_code == 200
    assert client.get(f"{HERE}/instances/00000000-0000-0000-0000-000000000000").status_code == 404


def of_queries(name: str) -> tuple[str, ...]:
    return tuple(f"{query}/{name}-{part}" for query in QUERIES for part in ("definition", "response"))


@abstract(
    *(f"{query}/rc-coords-{part}" for query in ("position", "area") for part in ("definition", "response")),
    *(f"cube/rc-bbox-{part}" for part in ("definition", "response")),
)
def check_places(client):
    for query, name in (("position", "coords"), ("area", "coords"), ("cube", "bbox")):
        assert client.get(f"{HERE}/{query}").status_code == 400
        assert status(client, query, **{name: "nonsense"}) == 400
        values = asked(client, query).json()["ranges"]["rainfall_rate"]
        assert any(value is not None for value in values["values"])


@abstract("position", "area", "cube")
def check_patterns(client):
    """Without its place, or with one of another kind, a query is 400; with all parameters each of them counts."""
    wrong = {"position": {"coords": POLYGON}, "area": {"coords": POINT}, "cube": {"bbox": "9,50,10"}}
    collection = client.get(HERE).json()
    time, parameter = collection["extent"]["temporal"]["values"][1], "rainfall_rate"
    chosen = {"datetime": time, "parameter-name": parameter, "crs": "CRS84", "f": "CoverageJSON", "z": "0"}
    for query in QUERIES:
        assert client.get(f"{HERE}/{query}").status_code == 400
        assert client.get(f"{HERE}/{query}", params={"datetime": time}).status_code == 400
        assert client.get(f"{HERE}/{query}", params=wrong[query]).status_code == 400
        whole, part = asked(client, query), asked(client, query, **chosen).json()
        assert set(part["ranges"]) == {parameter}
        axes = part["domain"]["axes"]
        times = axes["t"]["values"] if "t" in axes else {one[0] for one in axes["composite"]["values"]}
        assert list(times) == [time]
        assert len(whole.content) > len(json.dumps(part))


@abstract(*of_queries("rc-datetime"))
def check_datetime(client):
    times = client.get(HERE).json()["extent"]["temporal"]["values"]
    for query in QUERIES:
        for text, expected in (
            (times[1], times[1:2]),
            (f"{times[1]}/{times[2]}", times[1:3]),
            (f"../{times[1]}", times[:2]),
            (f"{times[-2]}/..", times[-2:]),
        ):
            assert asked(client, query, datetime=text).json()["domain"]["axes"]["t"]["values"] == expected
        assert status(client, query, datetime="yesterday") == 400


@abstract(*of_queries("rc-parameter-name"))
def check_parameter_name(client):
    names = list(client.get(HERE).json()["parameter_names"])
    for query in QUERIES:
        assert set(asked(client, query).json()["ranges"]) == set(names)
        assert set(asked(client, query, **{"parameter-name": ",".join(names[:2])}).json()["ranges"]) == set(names[:2])
        assert status(client, query, **{"parameter-name": "snow"}) == 400


@abstract(*of_queries("rc-crs"))
def check_crs(client):
    for query in QUERIES:
        for crs in client.get(HERE).json()["crs"]:
            assert status(client, query, crs=crs) == 200
        assert status(client, query, crs="EPSG:9999999") == 400


@abstract(*of_queries("rc-f"))
def check_f(client):
    csv = "text/csv; charset=utf-8; header=present"
    kinds = {"CoverageJSON": "application/prs.coverage+json", "NetCDF": "application/netcdf", "CSV": csv}
    assert client.get(HERE).json()["output_formats"] == list(kinds)
    for query in QUERIES:
        for name, kind in kinds.items():
            assert asked(client, query, f=name).headers["content-type"] == kind
        assert status(client, query, f="png") in (400, 406)


@abstract("cube/rc-resolution-x-definition", "cube/rc-resolution-x-response")
@abstract("cube/rc-resolution-y-definition", "cube/rc-resolution-y-response")
def check_resolution(client):
    for name, axis in (("resolution-x", "x"), ("resolution-y", "y")):
        whole = len(asked(client, "cube").json()["domain"]["axes"][axis]["values"])
        assert 2 <= len(asked(client, "cube", **{name: "2"}).json()["domain"]["axes"][axis]["values"]) < whole
        assert status(client, "cube", **{name: "many"}) == 400


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = service_at(tmp_path_factory.mktemp("home"))
    fill(service)
    service.forecast_stored()
    with running(service) as opened:
        yield opened


@pytest.mark.parametrize("check", dict.fromkeys(CHECKS.values()), ids=lambda check: check.__name__)
def test_abstract_tests(client, check):
    check(client)


def test_the_table_has_every_abstract_test_and_what_checks_it():
    text = (Path(ROOT) / "docs" / "results" / "edr.md").read_text()
    passed = re.findall(r"^\| `([a-z0-9/-]+)` \| passed \| `(check_\w+)` \|$", text, re.MULTILINE)
    assert dict(passed) == {name: check.__name__ for name, check in CHECKS.items()}
    assert len(passed) == len(CHECKS)
    left_out = re.findall(r"^\| `([^`]+)` \| not applicable \| \S", text, re.MULTILINE)
    classes = {name.partition("/")[0] for name in CHECKS} | {name.partition("/")[0] for name in left_out}
    assert classes >= OF_THE_STANDARD
    assert not {name for name in left_out if name in CHECKS}


def test_a_checker_of_servers_finds_what_it_begins_with(client):
    """What sedr reads first: it is in no registry, so its first questions are asked here."""
    landing, classes = client.get("/").json(), client.get("/conformance").json()["conformsTo"]
    (described, *_) = [link for link in landing["links"] if link["rel"] == "service-desc"]
    assert client.get(urlsplit(described["href"]).path).json()["openapi"].startswith("3.")
    wanted = ("ogcapi-common-1/1.0/conf/core", "ogcapi-common-2/1.0/conf/collections", "ogcapi-edr-1/1.1/conf/core")
    for name in (*wanted, "ogcapi-edr-1/1.1/req/oas30", "ogcapi-edr-1/1.2/req/oas31"):
        assert f"http://www.opengis.net/spec/{name}" in classes
    (found,) = client.get(urlsplit(next(one["href"] for one in landing["links"] if one["rel"] == "data")).path).json()[
        "collections"
    ]
    ((west, south, east, north),) = found["extent"]["spatial"]["bbox"]
    base = urlsplit(next(link["href"] for link in found["links"] if link["rel"] == "data")).path
    lon, lat = west + (east - west) / 500, south + (north - south) / 500
    assert client.get(f"{base}/position?coords=POINT({lon} {lat})").status_code == 200
    ring = ",".join(f"{lon + d * step} {lat + d * step * d}" for d, step in ((0, 0.1), (1, 0.1), (2, 0.1), (0, 0.1)))
    assert client.get(f"{base}/area?coords=POLYGON(({ring}))").status_code in (200, 404)
