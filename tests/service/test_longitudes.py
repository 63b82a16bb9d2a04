"""Grids of any longitude convention, over the antimeridian, in both hemispheres: places, boxes, areas, maps."""

import numpy as np
import pytest
import shapely
import xarray as xr
from pyproj import Transformer

from core.grid_checks import grid_from_centres
from service.ogc.edr_meta import bounds_of
from service.queries.cells import box_block
from service.queries.maps import View, cells_of
from tests.service.api_support import running, service_at

TIMES = np.datetime64("2026-06-01T10:00", "ns") + np.arange(5) * np.timedelta64(30, "m")
WESTS = [255.0, 179.2, -104.0, 359.0, 5.0]


def file_of(west, north, folder):
    """Rain of 8 mm/h, 0.5 to 0.7 degrees from the north-western corner; 80 x 60 cells of 0.02 degrees."""
    rate_THW = np.zeros((5, 60, 80), np.float32)
    rate_THW[:, 25:35, 25:35] = 8.0
    lon, lat = west + 0.01 + 0.02 * np.arange(80), north - 0.01 - 0.02 * np.arange(60)
    rain = (("time", "lat", "lon"), rate_THW, {"standard_name": "rainfall_rate", "units": "mm h-1"})
    coordinates = {
        "time": TIMES,
        "lat": ("lat", lat, {"standard_name": "latitude", "units": "degrees_north"}),
        "lon": ("lon", lon, {"standard_name": "longitude", "units": "degrees_east"}),
    }
    path = folder / "rain.nc"
    xr.Dataset({"rain": rain}, coords=coordinates).to_netcdf(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with running(service_at(tmp_path_factory.mktemp("home"))) as made:
        yield made


def at_most_180(lon):
    return (lon + 180) % 360 - 180


@pytest.mark.parametrize("west", WESTS)
@pytest.mark.parametrize("north", [45.0, -44.0])
def test_places_boxes_areas_and_edr_find_the_rain(client, tmp_path, west, north):
    lon, lat = at_most_180(west + 0.6), north - 0.6
    files = {"frames": ("rain.nc", file_of(west, north, tmp_path))}
    made = client.post("/nowcast", files=files, data={"model": "persistence"})
    assert made.status_code == 200, made.text

    run = made.json()["forecast_id"]
    for convention in (lon, lon % 360):
        point = client.get(f"/nowcast/{run}/point", params={"lat": lat, "lon": convention}).json()
        assert point["series"][0]["rate_mmh"] == pytest.approx(8.0), point
        text = f"POINT({convention} {lat})"
        answer = client.get(f"/collections/nowcast/instances/{run}/position", params={"coords": text})
        assert answer.json()["ranges"]["rainfall_rate"]["values"][0] == pytest.approx(8.0)
    left, right = at_most_180(lon - 0.05), at_most_180(lon + 0.05)
    box = client.get(f"/nowcast/{run}/box", params={"bbox": f"{left},{lat - 0.05},{right},{lat + 0.05}"}).json()
    assert np.array(box["leads"][0]["rate_mmh"]).max() == pytest.approx(8.0)
    west_lon = lon - 0.04 if lon > -179.9 else lon + 360 - 0.04
    ring = [
        [west_lon, lat - 0.04],
        [west_lon + 0.08, lat - 0.04],
        [west_lon + 0.08, lat + 0.04],
        [west_lon, lat - 0.04],
    ]
    area = client.get(f"/nowcast/{run}/area", params={"polygon": shapely.Polygon(ring).wkt}).json()
    assert area["leads"][0]["mean_mmh"] == pytest.approx(8.0), area
    dry = client.get(f"/nowcast/{run}/point", params={"lat": lat, "lon": at_most_180(lon - 5)}).json()
    assert dry["row"] is None


@pytest.mark.parametrize("west", WESTS)
@pytest.mark.parametrize("north", [45.0, -44.0])
def test_map_layers_and_bounds_have_the_place(west, north):
    grid = grid_from_centres("EPSG:4326", west + 0.01 + 0.02 * np.arange(80), north - 0.01 - 0.02 * np.arange(60))
    lon, lat = at_most_180(west + 0.61), north - 0.61
    for system, (x, y) in {
        "CRS:84": (lon, lat),
        "EPSG:3857": Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(lon, lat),
    }.items():
        size = 1e-4 if system == "CRS:84" else 1.0
        found = cells_of(View(system, x - size, y - size, x + size, y + size, 2, 2), grid)
        assert set(np.ravel(found)) == {30 * 80 + 30}
    left, south, right, top = bounds_of(grid)
    assert (south, top) == pytest.approx((north - 1.2, north))
    assert (right - left) % 360 == pytest.approx(1.6)
    assert (lon - left) % 360 < 1.6
    block = box_block(grid, (left, south + 0.01, right, top - 0.01))
    assert block is not None
    assert block.shape == grid.shape
