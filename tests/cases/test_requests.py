"""Cases of requests: WMS times as intervals, links behind a proxy, GeoJSON collections, plus signs of zones."""

import json
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from core.errors import InputError
from core.times import with_plus
from service.api.geometry import parsed_polygon
from tests.service.api_support import BASE_URL, fill, running, service_at

PROXY = "10.1.2.3"
BEHIND = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "rain.example.org"}
SQUARE = {"type": "Polygon", "coordinates": [[[9, 50], [11, 50], [11, 52], [9, 52], [9, 50]]]}
FEATURE = {"type": "Feature", "properties": {}, "geometry": SQUARE}
MAP = {
    "service": "WMS",
    "version": "1.3.0",
    "request": "GetMap",
    "layers": "rainfall_rate",
    "styles": "",
    "crs": "EPSG:3857",
    "bbox": "600000,6000000,1700000,7300000",
    "width": "32",
    "height": "32",
    "format": "image/png",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = service_at(tmp_path_factory.mktemp("home"), trusted_proxies=(PROXY,))
    fill(service)
    with running(service) as client:
        assert client.post("/nowcast", json={}).status_code == 200
        yield client


@pytest.fixture(scope="module")
def proxy(client: TestClient) -> TestClient:
    """The same application as its proxy calls it."""
    return TestClient(client.app, BASE_URL, raise_server_exceptions=False, client=(PROXY, 4711))


@pytest.mark.parametrize(
    ("time", "same_as"),
    [
        ("2024-06-01T12:30:00Z/2024-06-01T13:00:00Z", "2024-06-01T12:30:00Z"),
        ("2024-06-01T13:00:00Z/2024-06-01T13:29:59Z", "2024-06-01T13:00:00Z"),
        ("2024-06-01T12:50:00Z/2024-06-01T12:55:00Z/PT5M", "2024-06-01T13:00:00Z"),
        ("2024-06-01T15:00:00 02:00/2024-06-01T15:10:00 02:00", "2024-06-01T13:00:00Z"),
    ],
)
def test_case_27_an_interval_shows_the_field_at_its_start_or_the_nearest(client, time, same_as):
    found, expected = (client.get("/wms", params={**MAP, "time": text}) for text in (time, same_as))
    assert found.status_code == expected.status_code == 200, found.text
    assert found.content == expected.content


@pytest.mark.parametrize(
    "time",
    [
        "2024-06-01T18:00:00Z/2024-06-01T19:00:00Z",
        "2024-06-01T13:00:00Z/2024-06-01T12:30:00Z",
        "now/then",
        "/",
        "0001-01-01T00:00:00+23:00/2024-06-01T12:30:00Z",
    ],
)
def test_case_27_an_interval_without_a_lead_is_refused(client, time):
    answer = client.get("/wms", params={**MAP, "time": time})
    assert answer.status_code == 400
    assert "InvalidDimensionValue" in answer.text


def test_case_28_links_follow_the_proxy(proxy):
    public = "https://rain.example.org/"
    capabilities = proxy.get("/wms", params={"request": "GetCapabilities"}, headers=BEHIND).text
    assert f'xlink:href="{public}wms' in capabilities
    assert "http://127" not in capabilities
    links = json.dumps(proxy.get("/collections", headers=BEHIND).json())
    assert f"{public}collections" in links
    redirect = proxy.get("/collections/", headers=BEHIND, follow_redirects=False)
    assert redirect.status_code in (307, 404)
    if redirect.status_code == 307:
        assert redirect.headers["location"] == f"{public}collections"


def test_case_28_links_have_the_prefix_of_the_proxy(proxy):
    headers = {**BEHIND, "X-Forwarded-Prefix": "/weather/"}
    links = proxy.get("/nowcast/latest", headers=headers).json()["links"]
    assert links["self"].startswith("/weather/nowcast/")
    assert links["edr"].startswith("/weather/collections/")
    capabilities = proxy.get("/wms", params={"request": "GetCapabilities"}, headers=headers).text
    assert 'xlink:href="https://rain.example.org/weather/wms' in capabilities
    assert proxy.get("/weather/nowcast/latest", headers=headers).status_code == 200
    assert proxy.get("/nowcast/latest", headers=BEHIND).json()["links"]["self"].startswith("/nowcast/")


def test_case_28_headers_of_others_are_ignored(client):
    headers = {**BEHIND, "X-Forwarded-Prefix": "/weather"}
    assert "example.org" not in client.get("/wms", params={"request": "GetCapabilities"}, headers=headers).text
    assert client.get("/nowcast/latest", headers=headers).json()["links"]["self"].startswith("/nowcast/")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Host", 'evil"><x'),
        ("X-Forwarded-Host", "user@host"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Prefix", "/../a b"),
    ],
)
def test_case_28_headers_of_another_form_are_ignored(proxy, name, value):
    answer = proxy.get(
        "/wms", params={"request": "GetCapabilities"}, headers={"X-Forwarded-For": "1.2.3.4", name: value}
    )
    assert answer.status_code == 200
    assert value not in answer.text
    assert f'xlink:href="{BASE_URL}/wms' in answer.text


def test_case_35_a_feature_collection_of_one_polygon_is_an_area(client):
    collection = json.dumps({"type": "FeatureCollection", "features": [FEATURE]})
    assert parsed_polygon(collection).equals(parsed_polygon(json.dumps(SQUARE)))
    answer = client.get("/nowcast/latest/area", params={"polygon": collection})
    assert answer.status_code == 200, answer.text


def test_case_35_as_people_have_it(cases):
    assert parsed_polygon((cases / "35-geojson-featurecollection" / "fc.json").read_text()).area > 0


@pytest.mark.parametrize("features", [[], [FEATURE, FEATURE], None, "x", [None]])
def test_case_35_other_collections_are_refused_by_name(features):
    with pytest.raises(InputError, match="GeoJSON: expected"):
        parsed_polygon(json.dumps({"type": "FeatureCollection", "features": features}))


@pytest.mark.parametrize("path", ["/scans?start=", "/verification?end=", "/scans?product=RY&end="])
def test_case_36_a_plus_sign_that_became_a_space_is_repaired(client, path):
    lost, escaped = (client.get(f"{path}2024-06-01T13:30:00{plus}01:00") for plus in ("+", "%2B"))
    assert lost.status_code == escaped.status_code == 200, lost.text
    assert lost.json() == escaped.json()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-06-01T12:00:00 01:00", "2024-06-01T12:00:00+01:00"),
        ("2024-06-01 12:00:00.5 0100", "2024-06-01 12:00:00.5+0100"),
        ("2024-06-01 12:00", "2024-06-01 12:00"),
        ("2024-06-01 12:00Z", "2024-06-01 12:00Z"),
        ("2024-06-01T12:00 01:00/2024-06-01T13:00 01:00", "2024-06-01T12:00+01:00/2024-06-01T13:00+01:00"),
    ],
)
def test_case_36_only_the_space_before_a_zone_is_one(text, expected):
    assert with_plus(text) == expected
