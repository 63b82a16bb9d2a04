"""Interfaces of others give the values of our own, in their shapes and units."""

import base64
import zlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from service.app import LANES
from service.foreign import brightsky, rainviewer
from service.ogc import tiles
from tests.service.api_support import GRID, REFERENCE, STEP, fill, frames_at, running, service_at

ROW, COL = 40, 24


def place_of(row: int, col: int) -> dict[str, float]:
    lon, lat = GRID.to_lon_lat(GRID.x_centres_m[col : col + 1], GRID.y_centres_m[row : row + 1])
    return {"lat": round(float(lat[0]), 4), "lon": round(float(lon[0]), 4)}


PLACE = place_of(ROW, COL)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = service_at(tmp_path_factory.mktemp("foreign"))
    fill(service)
    service.forecast_stored(with_baselines=False)
    return service


@pytest.fixture(scope="module")
def client(service):
    with running(service) as opened:
        yield opened


@pytest.fixture(scope="module")
def point(client):
    found = client.get("/nowcast/latest/point", params=PLACE).json()
    rates = [found["observed"]["rate_mmh"], *(lead["rate_mmh"] for lead in found["series"])]
    assert max(rates) > 1
    assert min(rates) == 0
    return found | {"rates": rates}


def test_minutes_are_now_and_every_lead_with_a_sentence(client, point):
    found = client.get("/nowcast/latest/minutes", params={**PLACE, "lang": "de", "tz": "Europe/Berlin"}).json()
    assert [one["intensity_mmh"] for one in found["minutes"]] == point["rates"]
    assert [one["minutes"] for one in found["minutes"]] == [0, 30, 60, 90, 120, 150]
    assert found["minutes"][0]["probability"] == 1.0
    expected = [lead["probabilities"][0]["probability"] for lead in point["series"]]
    assert [one["probability"] for one in found["minutes"]][1:] == expected
    assert found["minutes"][0]["time"] == "2024-06-01T14:00:00+02:00"
    assert "Regen" in found["summary"]
    assert "Rain" in client.get("/nowcast/latest/minutes", params=PLACE).json()["summary"]


def test_minutes_of_several_places_are_a_list(client):
    query = {"lat": f"{PLACE['lat']},10", "lon": f"{PLACE['lon']},10"}
    near, far = client.get("/nowcast/latest/minutes", params=query).json()
    assert near["radar_coverage"] == "ok"
    assert far["radar_coverage"] == "no coverage"
    assert {one["intensity_mmh"] for one in far["minutes"]} == {None}
    assert client.get("/nowcast/latest/minutes", params={**PLACE, "lang": "fr"}).status_code == 422


def test_complete_has_the_shape_of_met_no(client, point):
    found = client.get("/weatherapi/nowcast/2.0/complete", params={**PLACE, "altitude": 90}).json()
    assert (found["type"], found["geometry"]["coordinates"]) == ("Feature", [PLACE["lon"], PLACE["lat"], 90])
    properties = found["properties"]
    assert properties["meta"]["radar_coverage"] == "ok"
    assert properties["meta"]["units"]["precipitation_rate"] == "mm/h"
    series = properties["timeseries"]
    assert [one["data"]["instant"]["details"]["precipitation_rate"] for one in series] == [
        round(rate, 2) for rate in point["rates"]
    ]
    assert series[0]["time"] == "2024-06-01T12:00:00Z"
    first = point["rates"]
    hour = (first[0] + 2 * first[1] + first[2]) / 4
    assert series[0]["data"]["next_1_hours"]["details"]["precipitation_amount"] == pytest.approx(hour, abs=0.006)
    outside = client.get("/weatherapi/nowcast/2.0/complete", params={"lat": 10, "lon": 10}).json()["properties"]
    assert outside["meta"]["radar_coverage"] == "no coverage"
    assert outside["timeseries"][0]["data"] == {"instant": {"details": {}}}


def test_open_meteo_has_depths_of_the_quarter_before(client, point):
    query = {
        "latitude": PLACE["lat"],
        "longitude": PLACE["lon"],
        "minutely_15": "precipitation,precipitation_probability",
    }
    found = client.get("/v1/forecast", params=query).json()
    block = found["minutely_15"]
    assert found["minutely_15_units"] == {"time": "iso8601", "precipitation": "mm", "precipitation_probability": "%"}
    assert block["time"][0] == "2024-06-01T12:15"
    assert len(block["time"]) == len(block["precipitation"]) == 10
    now, later = point["rates"][:2]
    middle = (now + later) / 2
    assert block["precipitation"][:2] == pytest.approx([(now + middle) / 8, (middle + later) / 8], abs=0.006)
    assert block["precipitation_probability"][0] is None
    chance = point["series"][0]["probabilities"][0]["probability"]
    assert block["precipitation_probability"][1] == round(100 * chance)
    local = client.get("/v1/forecast", params={**query, "timezone": "Europe/Berlin"}).json()
    assert local["minutely_15"]["time"][0] == "2024-06-01T14:15"
    assert local["utc_offset_seconds"] == 7200
    seconds = client.get("/v1/forecast", params={**query, "timeformat": "unixtime"}).json()
    assert seconds["minutely_15"]["time"][0] == int((REFERENCE + timedelta(minutes=15)).timestamp())
    two = client.get("/v1/forecast", params={"latitude": "51,10", "longitude": "10,10", "minutely_15": "rain"}).json()
    assert len(two) == 2
    assert set(two[1]["minutely_15"]["rain"]) == {None}


@pytest.mark.parametrize(
    "changes",
    [
        {"minutely_15": "snowfall"},
        {"latitude": "x"},
        {"latitude": "95"},
        {"timeformat": "roman"},
        {"timezone": "Mars/Base"},
    ],
)
def test_an_error_of_open_meteo_has_its_own_shape(client, changes):
    answer = client.get("/v1/forecast", params={"latitude": "51", "longitude": "10", "minutely_15": "rain", **changes})
    assert answer.status_code == 400
    assert answer.json()["error"] is True
    assert answer.json()["reason"]


def test_bright_sky_has_the_same_field_in_three_forms(client, point):
    forms = {
        form: client.get("/radar", params={"format": form, **PLACE, "distance": 60_000}).json()
        for form in ("plain", "bytes", "compressed")
    }
    found = forms["plain"]
    top, left, bottom, right = found["bbox"]
    shape = (bottom - top + 1, right - left + 1)
    position = found["latlon_position"]
    assert (position["y"] + top, position["x"] + left) == (ROW, COL)
    assert len(found["radar"]) == 5
    for index, record in enumerate(found["radar"]):
        rows = record["precipitation_5"]
        assert rows[position["y"]][position["x"]] == round(point["rates"][index] * 100 / 12)
        assert datetime.fromisoformat(record["timestamp"]) == REFERENCE + timedelta(minutes=30 * index)
        plain = np.array([[-1 if value is None else value for value in row] for row in rows])
        raw = base64.b64decode(forms["bytes"]["radar"][index]["precipitation_5"])
        packed = zlib.decompress(base64.b64decode(forms["compressed"]["radar"][index]["precipitation_5"]))
        assert raw == packed
        np.testing.assert_array_equal(np.frombuffer(packed, "i2").reshape(shape), plain)


def test_bright_sky_cuts_boxes_and_marks_what_is_not_known(client):
    found = client.get("/radar", params={"bbox": "0,0,3,9", "format": "plain"}).json()
    first = found["radar"][0]["precipitation_5"]
    assert (len(first), len(first[0])) == (4, 10)
    assert first[0][0] is None
    west, north = found["geometry"]["coordinates"][0]
    assert (west, north) == pytest.approx(GRID.corners_lon_lat()[0])
    for wrong in ({"bbox": "1,2,3"}, {"bbox": "9,0,3,9"}, {"lat": 51}, {"lat": 10, "lon": 10}, {"format": "png"}):
        assert client.get("/radar", params=wrong).status_code == 422, wrong


def test_rainviewer_lists_frames_whose_tiles_are_there(client):
    maps = client.get("/public/weather-maps.json").json()
    assert maps["version"] == "2.0"
    past, ahead = maps["radar"]["past"], maps["radar"]["nowcast"]
    assert past[-1]["time"] == int(REFERENCE.timestamp())
    assert [one["time"] - past[-1]["time"] for one in ahead] == [1800, 3600, 5400, 7200, 9000]
    for frame in (past[-1], ahead[0]):
        tile = client.get(f"{maps['host']}{frame['path']}/256/5/16/10/2/1_1.png")
        assert tile.status_code == 200
        assert tile.content.startswith(b"\x89PNG")
        time = datetime.fromtimestamp(frame["time"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert tile.content == client.get(f"/tiles/rainfall_rate/{time}/5/16/10.png").content
    for path in ("/v2/radar/soon/256/5/16/10/2/1_1.png", f"{past[-1]['path']}/300/5/16/10/2/1_1.png"):
        assert client.get(path).status_code == 422
    assert client.get("/v2/radar/1/256/5/16/10/2/1_1.png").status_code == 404


@pytest.mark.parametrize("altitude", ["nan", "inf"])
def test_an_altitude_that_json_does_not_have_is_refused(client, altitude):
    answer = client.get("/weatherapi/nowcast/2.0/complete", params={**PLACE, "altitude": altitude})
    assert answer.status_code == 422
    assert "altitude" in answer.text


def test_rainviewer_lists_no_scan_whose_tile_would_show_the_forecast(client, service):
    service.store.put(*frames_at([REFERENCE + STEP]))  # its forecast is not made yet
    past = client.get("/public/weather-maps.json").json()["radar"]["past"]
    assert past[-1]["time"] == int(REFERENCE.timestamp())


def test_tiles_and_whole_fields_of_others_wait_in_the_lanes_of_ours():
    assert LANES[rainviewer] == LANES[tiles]
    assert LANES[brightsky] == "files"
