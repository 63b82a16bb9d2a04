"""Latitude and longitude the other way round: every interface that takes a place says so."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.service.api_support import fill, running, service_at

AREA = "POLYGON((50 9, 51 9, 51 10, 50 9))"
FAR_AREA = "POLYGON((50 109, 51 109, 51 110, 50 109))"
EDR = "/collections/nowcast"
INSIDE = "swapped, as lat 51 and lon 10, it would be inside"
BOX_INSIDE = "swapped, as 9,50,10,51, it would be inside"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = service_at(tmp_path_factory.mktemp("home"))
    fill(service)
    service.forecast_stored()
    with running(service) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "status", "hint"),
    [
        ("/nowcast/latest/point?lat=10&lon=51", 200, INSIDE),
        ("/nowcast/latest/minutes?lat=10&lon=51", 200, INSIDE),
        ("/nowcast/latest/accumulation?lat=10&lon=51", 200, INSIDE),
        ("/nowcast/latest/accumulation?bbox=50,9,51,10", 200, BOX_INSIDE),
        ("/nowcast/latest/box?bbox=50,9,51,10", 200, BOX_INSIDE),
        (f"/nowcast/latest/area?polygon={AREA}", 200, BOX_INSIDE),
        ("/nowcast/latest/motion?bbox=50,9,51,10", 200, BOX_INSIDE),
        ("/observed/point?lat=10&lon=51", 200, INSIDE),
        (f"{EDR}/position?coords=POINT(51 10)", 200, INSIDE),
        (f"{EDR}/area?coords={AREA}", 404, BOX_INSIDE),
        (f"{EDR}/cube?bbox=50,9,51,10", 404, BOX_INSIDE),
        ("/radar?lat=10&lon=51", 422, INSIDE),
        ("/nowcast/latest/point?lat=113&lon=51", 422, "did you mean lat=51, lon=113?"),
        ("/nowcast/latest/point.png?lat=113&lon=51", 422, "did you mean lat=51, lon=113?"),
        ("/nowcast/latest/minutes?lat=113&lon=51", 422, "did you mean lat=51, lon=113?"),
        ("/nowcast/latest/accumulation?lat=113&lon=51", 422, "did you mean lat=51, lon=113?"),
        ("/nowcast/latest/box?bbox=50,109,51,110", 422, "did you mean 109,50,110,51?"),
        (f"/nowcast/latest/area?polygon={FAR_AREA}", 422, "did you mean longitude before latitude?"),
        ("/observed/point?lat=113&lon=51", 422, "did you mean lat=51, lon=113?"),
        (f"{EDR}/position?coords=POINT(51 113)", 400, "did you mean latitude (second in coords)=51"),
        (f"{EDR}/area?coords={FAR_AREA}", 400, "did you mean longitude before latitude?"),
        (f"{EDR}/cube?bbox=50,109,51,110", 400, "did you mean 109,50,110,51?"),
        ("/radar?lat=113&lon=51", 422, "did you mean lat=51, lon=113?"),
        ("/weatherapi/nowcast/2.0/complete?lat=113&lon=51", 422, "did you mean lat=51, lon=113?"),
        ("/v1/forecast?latitude=113&longitude=51&minutely_15=rain", 400, "did you mean latitude=51, longitude=113?"),
    ],
)
def test_a_swapped_place_is_hinted(client, path, status, hint):
    answer = client.get(path)
    assert (answer.status_code, hint in answer.text) == (status, True), answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/nowcast/latest/point?lat=40&lon=-74",
        "/nowcast/latest/accumulation?lat=40&lon=-74",
        "/nowcast/latest/box?bbox=-75,40,-74,41",
        f"{EDR}/position?coords=POINT(-74 40)",
        f"{EDR}/cube?bbox=-75,40,-74,41",
        "/nowcast/latest/point?lat=200&lon=400",
        f"{EDR}/position?coords=POINT(400 200)",
        "/nowcast/latest/point?lat=51&lon=10",
    ],
)
def test_a_place_that_is_off_the_grid_either_way_has_no_hint(client, path):
    text = client.get(path).text
    assert "swapped" not in text
    assert "did you mean" not in text
