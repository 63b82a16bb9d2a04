"""A query parameter that an operation does not have is an error that names it; foreign interfaces ignore it."""

import pytest
from starlette.testclient import TestClient

from tests.service.api_support import fill, running, service_at


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    service = service_at(tmp_path_factory.mktemp("home"))
    fill(service)
    service.forecast_stored()
    with running(service) as client:
        yield client


@pytest.mark.parametrize(
    ("address", "name", "expected"),
    [
        ("/nowcast/latest/point?lat=51&lon=9.5&time=now", "time", "lat, lon"),
        ("/nowcast/latest/point?lat=51&lon=9.5&Lat=50", "Lat", "lat, lon"),
        ("/nowcast/latest/point?latt=51&lon=9.5", "latt", "lat, lon"),
        ("/nowcast/latest/image/30.png?probabilityof=0.5", "probabilityof", "probability_of"),
        ("/nowcast/latest/file.tif?lead_minutes=30", "lead_minutes", "grid, lead"),
        ("/nowcast/latest?verify=false", "verify", "no query parameter"),
        ("/scans?limits=3", "limits", "product, start, end, limit, cursor"),
    ],
)
def test_an_unknown_query_parameter_is_named(client: TestClient, address: str, name: str, expected: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert f"got {name!r}" in answer.json()["detail"]
    assert expected in answer.json()["detail"]


@pytest.mark.parametrize(
    "address",
    [
        "/wms?request=GetCapabilities&service=WMS&map=rain.map&_=17",
        "/collections/nowcast/position?coords=POINT(9.5 51)&z=0",
        "/livez?probe=1",
        "/metrics?name[]=up",
        "/?utm_source=x",
    ],
)
def test_interfaces_of_others_ignore_what_they_do_not_have(client: TestClient, address: str) -> None:
    assert client.get(address).status_code == 200
