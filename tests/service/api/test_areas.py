"""Boxes, polygons and amounts over HTTP, against the forecast's own file."""

import json
from itertools import pairwise
from urllib.parse import quote

import netCDF4
import numpy as np
import pytest
import shapely
from pyproj import Geod

from service.forecasts.member_maker import make_members
from service.queries.areas import cell_area_km2
from tests.service.api_support import GRID, REFERENCE, STEP, netcdf, window_times

NETCDF = "application/netcdf"
LON_HW, LAT_HW = GRID.lon_lat_HW()
CORNER = 2, 3
"""A cell that no radar sees."""


def around(rows, cols):
    """A box a little smaller than these cells: from the first centre to the last."""
    block = np.s_[rows, cols]
    return f"{LON_HW[block].min()},{LAT_HW[block].min()},{LON_HW[block].max()},{LAT_HW[block].max()}"


def test_a_box_holds_the_values_of_the_file(client, forecast):
    answer = client.get("/nowcast/latest/box", params={"bbox": around(slice(38, 44), slice(22, 30))})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    top, left = body["row"], body["col"]
    assert top <= 38
    assert left <= 22
    height, width = body["grid"]["height"], body["grid"]["width"]
    for index, lead in enumerate(body["leads"]):
        expected = forecast.rate_mmh_THW[index, top : top + height, left : left + width]
        np.testing.assert_allclose(np.array(lead["rate_mmh"]), expected, atol=6e-4)
        assert lead["coverage"] == 1.0
    assert body["radar_coverage"] == "ok"
    assert max(max(row) for row in body["leads"][0]["rate_mmh"]) > 5  # the shower is in it


def test_a_box_states_its_radar_coverage(client):
    body = client.get("/nowcast/latest/box", params={"bbox": around(slice(2, 12), slice(2, 12))}).json()
    assert 0 < body["leads"][0]["coverage"] < 1
    assert body["leads"][0]["rate_mmh"][0][0] is None
    nothing = client.get("/nowcast/latest/box", params={"bbox": around(slice(2, 4), slice(2, 4))}).json()
    assert nothing["radar_coverage"] == "no coverage"
    away = client.get("/nowcast/latest/box", params={"bbox": "-80,40,-79,41"})
    assert away.status_code == 200
    assert (away.json()["radar_coverage"], away.json()["grid"]) == ("no coverage", None)
    assert [lead["rate_mmh"] for lead in away.json()["leads"]] == [None] * 5


def test_a_large_box_is_a_file(client, forecast, monkeypatch, tmp_path):
    monkeypatch.setattr("service.api.areas.MOST_JSON_CELLS", 100)
    whole = {"bbox": "-10,40,30,60"}
    refused = client.get("/nowcast/latest/box", params=whole)
    assert refused.status_code == 413
    assert "application/netcdf" in refused.json()["detail"]
    answer = client.get("/nowcast/latest/box", params=whole, headers={"Accept": NETCDF})
    assert answer.headers["content-type"] == NETCDF
    with netCDF4.Dataset("memory", memory=answer.content) as dataset:
        dataset.set_auto_mask(False)
        np.testing.assert_array_equal(dataset["rainfall_rate"][...], forecast.rate_mmh_THW)
    again = client.get(
        "/nowcast/latest/box", params=whole, headers={"Accept": NETCDF, "If-None-Match": answer.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    off = client.get("/nowcast/latest/box", params={"bbox": "-80,40,-79,41"}, headers={"Accept": NETCDF})
    assert off.status_code == 404


POLYGON = shapely.Polygon([(8.2, 49.4), (10.1, 49.2), (10.6, 50.9), (8.8, 51.3)])


def by_hand(polygon, field_HW):
    """The mean over small pieces of the polygon, each with the true area of its middle."""
    west, south, east, north = polygon.bounds
    lon, lat = np.meshgrid(np.arange(west, east, 0.004) + 0.002, np.arange(south, north, 0.004) + 0.002)
    inside = shapely.contains_xy(polygon, lon, lat)
    x, y = GRID.to_xy(lon[inside], lat[inside])
    rows = np.floor((GRID.north_m - y) / GRID.pixel_y_m).astype(int)
    values = field_HW[rows, np.floor((x - GRID.west_m) / GRID.pixel_x_m).astype(int)]
    return float((values * np.cos(np.radians(lat[inside]))).sum() / np.cos(np.radians(lat[inside])).sum())


def test_the_mean_over_a_polygon(client, forecast):
    answer = client.get("/nowcast/latest/area", params={"polygon": POLYGON.wkt})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    for index, lead in enumerate(body["leads"]):
        assert lead["mean_mmh"] == pytest.approx(by_hand(POLYGON, forecast.rate_mmh_THW[index]), rel=0.02)
        assert lead["coverage"] == pytest.approx(1.0, abs=1e-6)
        assert lead["min_mmh"] <= lead["mean_mmh"] <= lead["max_mmh"]
    assert body["leads"][0]["mean_mmh"] > 0.2
    sphere = Geod(a=6370040, b=6370040)
    expected_km2 = abs(sphere.geometry_area_perimeter(shapely.segmentize(POLYGON, 0.01))[0]) / 1e6
    assert body["area_km2"] == pytest.approx(expected_km2, rel=1e-5)
    totals = [lead["total_mm"] for lead in body["leads"]]
    assert totals == sorted(totals)


def test_wkt_geojson_and_a_body_say_the_same(client):
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(POLYGON)}
    answers = [
        client.get("/nowcast/latest/area", params={"polygon": POLYGON.wkt}),
        client.get("/nowcast/latest/area", params={"polygon": json.dumps(feature)}),
        client.get(f"/nowcast/latest/area?polygon={quote(shapely.to_geojson(POLYGON))}"),
        client.post("/nowcast/latest/area", json=feature),
        client.post("/nowcast/latest/area", json=feature["geometry"]),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5
    leads = [answer.json()["leads"] for answer in answers]
    assert all(other == leads[0] for other in leads)


def test_a_polygon_half_seen_and_one_off_the_grid(client):
    cells = np.s_[4:14, 4:14]
    box = shapely.box(LON_HW[cells].min(), LAT_HW[cells].min(), LON_HW[cells].max(), LAT_HW[cells].max())
    body = client.get("/nowcast/latest/area", params={"polygon": box.wkt}).json()
    assert 0.3 < body["leads"][0]["coverage"] < 0.95
    assert body["leads"][0]["mean_mmh"] is not None
    away = client.get("/nowcast/latest/area", params={"polygon": "POLYGON((-80 40,-79 40,-79 41,-80 40))"}).json()
    assert (away["radar_coverage"], away["cells"], away["leads"][0]["mean_mmh"]) == ("no coverage", 0, None)


@pytest.mark.parametrize(
    "polygon",
    [
        "",
        "POINT(1 2)",
        "nonsense",
        "{",
        '{"type": "Point"}',
        '{"type":"Polygon","coordinates":[[1]]}',
        "POLYGON((0 0,0 91,1 1,0 0))",
    ],
)
def test_what_is_no_polygon(client, polygon):
    answer = client.get("/nowcast/latest/area", params={"polygon": polygon})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_amount_of_a_place(client, forecast):
    row, col = 40, 26
    where = {"lat": LAT_HW[row, col], "lon": LON_HW[row, col]}
    body = client.get("/nowcast/latest/accumulation", params=where).json()
    rates = [body["analysis_mmh"], *(float(rate) for rate in forecast.rate_mmh_THW[:, row, col])]
    expected = [(a + b) / 4 for a, b in pairwise(rates)]
    assert [lead["interval_mm"] for lead in body["leads"]] == pytest.approx(expected)
    assert [lead["total_mm"] for lead in body["leads"]] == pytest.approx(np.cumsum(expected), rel=1e-5)
    assert body["complete"]
    assert sum(expected) > 0
    unknown = {"lat": LAT_HW[CORNER], "lon": LON_HW[CORNER]}
    body = client.get("/nowcast/latest/accumulation", params=unknown).json()
    assert not body["complete"]
    assert [lead["total_mm"] for lead in body["leads"]] == [None] * 5
    off = client.get("/nowcast/latest/accumulation", params={"lat": 40, "lon": -74}).json()
    assert (off["radar_coverage"], off["row"], off["complete"]) == ("no coverage", None, False)


def test_the_amounts_of_a_box(client):
    box = {"bbox": around(slice(38, 44), slice(22, 30))}
    body = client.get("/nowcast/latest/accumulation", params=box).json()
    row, col = 40 - body["row"], 26 - body["col"]
    place = client.get("/nowcast/latest/accumulation", params={"lat": LAT_HW[40, 26], "lon": LON_HW[40, 26]}).json()
    for lead, one in zip(body["leads"], place["leads"], strict=True):
        assert lead["total_mm"][row][col] == pytest.approx(one["total_mm"], abs=6e-4)
    file = client.get("/nowcast/latest/accumulation", params=box, headers={"Accept": NETCDF})
    with netCDF4.Dataset("memory", memory=file.content) as dataset:
        np.testing.assert_allclose(dataset["rainfall_amount"][4], np.array(body["leads"][4]["total_mm"]), atol=6e-4)


@pytest.mark.parametrize(
    "query", ["", "lat=50", "lat=50&lon=9&bbox=1,2,3,4", "bbox=1,2,3", "bbox=a,b,c,d", "lat=91&lon=9", "bbox=1,2,1,4"]
)
def test_what_names_no_place(client, query):
    answer = client.get(f"/nowcast/latest/accumulation?{query}")
    assert answer.status_code == 422
    assert "expected" in answer.json()["detail"]


def test_areas_are_those_of_cells(forecast):
    assert cell_area_km2(forecast.grid).sum() > 700_000


def test_a_polygon_has_probabilities_once_the_members_are_made(client, forecast):
    outline = shapely.box(LON_HW[40, 20], LAT_HW[45, 20], LON_HW[40, 30], LAT_HW[38, 20]).wkt
    before = client.get("/nowcast/latest/area", params={"polygon": outline})
    body = before.json()
    assert body["members"] is None
    assert "ensemble members" in body["notes"][0]
    assert body["leads"][0]["area_probabilities"] == []
    assert body["leads"][0]["total_quantiles_mm"] is None
    make_members(forecast, 5)
    query = {"polygon": outline, "share": [0.05, 0.9]}
    after = client.get("/nowcast/latest/area", params=query, headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200, "the response has changed, although the forecast is the same"
    body = after.json()
    assert (body["members"], body["notes"]) == (5, [])
    for lead in body["leads"]:
        found = {(one["threshold_mmh"], one["share"]): one["probability"] for one in lead["area_probabilities"]}
        assert len(found) == 2 * len(forecast.thresholds_mmh)
        assert all(found[mmh, 0.9] <= found[mmh, 0.05] for mmh in forecast.thresholds_mmh)
        total = lead["total_quantiles_mm"]
        assert 0 <= total["q10"] <= total["q50"] <= total["q90"]
    refused = client.get("/nowcast/latest/area", params={"polygon": outline, "share": 1.5})
    assert refused.status_code == 422
    assert "share" in refused.text


def test_an_upload_has_members_on_request_alone(client, service, tmp_path):
    outline = shapely.box(LON_HW[40, 20], LAT_HW[45, 20], LON_HW[40, 30], LAT_HW[38, 20]).wkt
    content = netcdf(tmp_path, window_times(REFERENCE - 30 * STEP))
    for wanted, made in ((None, False), ("false", False), ("true", True)):
        data = {} if wanted is None else {"members": wanted}
        answer = client.post("/nowcast", files={"frames": ("frames.nc", content)}, data=data)
        assert answer.status_code == 200, answer.text
        area = client.get(f"/nowcast/{answer.json()['forecast_id']}/area", params={"polygon": outline}).json()
        assert area["members"] == (service.settings.members if made else None)
    refused = client.post("/nowcast", files={"frames": ("frames.nc", content)}, data={"members": "many"})
    assert refused.status_code == 422
    assert "members: expected true or false" in refused.text
