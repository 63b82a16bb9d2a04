"""Motion of the rain from the file of a forecast: true directions on Earth, thinned, in a box, at a place."""

import netCDF4
import numpy as np
import pytest
from pyproj import Geod

from models.fields import MotionField
from service.forecasts.motion import read_motion
from tests.service.api_support import GRID, fill, service_at
from tests.service.fakes import fields_of, write_fields

FACTOR = 8
LON_HW, LAT_HW = GRID.lon_lat_HW()
PLACE = 41, 26
CORNER = 2, 3
SPHERE = Geod(a=6370040, b=6370040)


def field(right_ms: float, up_ms: float) -> MotionField:
    shape = -(-GRID.height // FACTOR), -(-GRID.width // FACTOR)
    return MotionField(np.full(shape, right_ms, np.float32), np.full(shape, up_ms, np.float32), FACTOR)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    made = service_at(tmp_path_factory.mktemp("home"))
    fill(made)
    forecast = made.forecast_stored()
    fields = fields_of(forecast.rate_mmh_THW)
    object.__setattr__(fields, "motion", field(20.0, 0.0))
    write_fields(forecast, fields)
    return made


def test_the_file_holds_true_components(service):
    """Rain that moves along the rows of a stereographic grid is ten minutes later where the file says."""
    forecast = service.latest()
    motion = read_motion(forecast)
    assert motion is not None
    with netCDF4.Dataset(forecast.path) as dataset:
        assert dataset["motion_eastward"].units == "m s-1"
        x, y = dataset["motion_x"][:], dataset["motion_y"][:]
    for row, col in ((0, 0), (4, 6), (8, 7)):
        east, north = motion.eastward_ms_HW[row, col], motion.northward_ms_HW[row, col]
        lon, lat = GRID.to_lon_lat(x[col], y[row])
        azimuth = np.degrees(np.arctan2(east, north))
        then_lon, then_lat, _ = SPHERE.fwd(lon, lat, azimuth, float(np.hypot(east, north)) * 600)
        then_x, then_y = GRID.to_xy(np.array(then_lon), np.array(then_lat))
        moved = 20.0 * 600 / GRID.pixel_m * GRID.pixel_x_m
        assert (float(then_x) - x[col], float(then_y) - y[row]) == pytest.approx((moved, 0.0), abs=15)
    west, east = motion.northward_ms_HW[4, 0], motion.northward_ms_HW[4, -1]
    assert west < -0.5 < 0.5 < east or east < -0.5 < 0.5 < west  # the grid's rows are no parallels


def test_a_place_has_speed_and_direction_in_words_of_wind(client):
    body = client.get("/nowcast/latest/point", params={"lat": float(LAT_HW[PLACE]), "lon": float(LON_HW[PLACE])}).json()
    assert body["motion"]["speed_kmh"] == pytest.approx(72, rel=0.1)
    assert body["motion"]["towards_degrees"] == pytest.approx(90, abs=6)
    corner = {"lat": float(LAT_HW[CORNER]), "lon": float(LON_HW[CORNER])}
    assert client.get("/nowcast/latest/point", params=corner).json()["motion"] is None


def test_vectors_are_thinned_and_cut(client):
    every = {"every_km": 1}
    whole = client.get("/nowcast/latest/motion", params=every).json()
    edge_km = GRID.pixel_m * FACTOR / 1000
    assert whole["every_km"] == pytest.approx(edge_km)
    assert (
        len(whole["vectors"]) == 9 * 7 - 1
    )  # without the corner that no radar sees; the eighth column's centres are off the grid
    thin = client.get("/nowcast/latest/motion", params={"every_km": 2.1 * edge_km}).json()
    assert thin["every_km"] == pytest.approx(2 * edge_km)
    assert len(thin["vectors"]) < len(whole["vectors"]) / 3
    for vector in whole["vectors"]:
        speed_ms = np.hypot(vector["eastward_ms"], vector["northward_ms"])
        assert vector["speed_kmh"] == pytest.approx(3.6 * speed_ms, abs=0.1)
        towards = np.degrees(np.arctan2(vector["eastward_ms"], vector["northward_ms"])) % 360
        assert vector["towards_degrees"] == pytest.approx(towards, abs=0.1)
    inside = client.get("/nowcast/latest/motion", params={**every, "bbox": "9,50,12,52"}).json()["vectors"]
    assert 0 < len(inside) < len(whole["vectors"])
    assert all(8 < vector["lon"] < 13 and 49 < vector["lat"] < 53 for vector in inside)
    off = client.get("/nowcast/latest/motion", params={"bbox": "-10,30,-9,31"}).json()
    assert (off["vectors"], off["notes"]) == ([], ["the box is outside the grid"])


def test_a_forecast_without_motion_has_a_note(client, service):
    baseline = service.forecast_stored(model="persistence")
    body = client.get(f"/nowcast/{baseline.id}/motion").json()
    assert body["vectors"] == []
    assert "holds no motion" in body["notes"][0]


@pytest.mark.parametrize("query", ["every_km=0", "every_km=-5", "every_km=nan", "every_km=x", "bbox=1,2,3"])
def test_a_wrong_thinning_or_box_is_refused(client, query):
    assert client.get(f"/nowcast/latest/motion?{query}").status_code == 422
