"""Grids of any longitude convention, over the antimeridian, in both hemispheres: places, boxes, areas, maps."""

import io
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import shapely
import xarray as xr
from PIL import Image
from pyproj import Transformer

from core.cells import CellEdges
from core.frame import RadarFrame
from core.grid import Grid
from core.grid_checks import grid_from_centres
from service.api.places import graticule
from service.queries.cells import box_block
from service.queries.longitudes import bounds_of
from service.queries.maps import View, cells_of
from tests.service.api_support import load_with, running, service_at

TIMES = np.datetime64("2026-06-01T10:00", "ns") + np.arange(5) * np.timedelta64(30, "m")
WESTS = [255.0, 179.2, -104.0, 359.0, 5.0]


def file_of(west, north, folder):
    """Rain of 8 mm/h, 0.5 to 0.7 degrees from the north-western corner; 80 x 60 cells of 0.02 degrees."""
    rate_THW = np.zeros((5, 60, 80), np.float32)
    rate_THW[:, 25:35, 25:35] = 8.0
    lon, lat = west + 0.01 + 0.02 * np.arange(80.0), north - 0.01 - 0.02 * np.arange(60.0)
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
def service(tmp_path_factory):
    return service_at(tmp_path_factory.mktemp("home"), load=load_with(CellEdges(2223.9, 2223.9)))


@pytest.fixture(scope="module")
def client(service):
    with running(service) as made:
        yield made


def frames_over_180():
    """Scans of the rain of `file_of` on cells from 179.4 to 181 degrees, around the equator."""
    grid = grid_from_centres("EPSG:4326", 179.41 + 0.02 * np.arange(80.0), 0.59 - 0.02 * np.arange(60.0))
    rate_HW = np.zeros((60, 80), np.float32)
    rate_HW[25:35, 25:35] = 8.0
    newest = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
    return [RadarFrame(newest - timedelta(minutes=30 * step), grid, rate_HW, "TEST") for step in range(5)]


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
    grid = grid_from_centres("EPSG:4326", west + 0.01 + 0.02 * np.arange(80.0), north - 0.01 - 0.02 * np.arange(60.0))
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


def square(lon, lat, half=0.03):
    """A ring of longitudes that go on over the antimeridian."""
    return [(lon - half, lat - half), (lon + half, lat - half), (lon + half, lat + half), (lon - half, lat + half)]


OVER_180 = {
    "longitudes of 0 to 360": shapely.Polygon(square(180.0, 0.0)),
    "cut at 180": shapely.MultiPolygon(
        [shapely.box(179.97, -0.03, 180.0, 0.03), shapely.box(-180.0, -0.03, -179.97, 0.03)]
    ),
}


@pytest.fixture(scope="module")
def over_180(client, tmp_path_factory):
    """The id of a forecast whose rain, 179.9 to 180.1 degrees and 0.1 around the equator, is over the antimeridian."""
    files = {"frames": ("rain.nc", file_of(179.4, 0.6, tmp_path_factory.mktemp("files")))}
    made = client.post("/nowcast", files=files, data={"model": "persistence"})
    assert made.status_code == 200, made.text
    return made.json()["forecast_id"]


@pytest.mark.parametrize("polygon", OVER_180.values(), ids=OVER_180)
def test_a_polygon_over_the_antimeridian_is_answered(client, over_180, polygon):
    geojson = shapely.geometry.mapping(polygon)
    answers = [
        client.get(f"/nowcast/{over_180}/area", params={"polygon": polygon.wkt}),
        client.get(f"/nowcast/{over_180}/area", params={"polygon": json.dumps(geojson)}),
        client.post(f"/nowcast/{over_180}/area", json=geojson),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        lead = answer.json()["leads"][0]
        assert (lead["min_mmh"], lead["max_mmh"], lead["coverage"]) == pytest.approx((8.0, 8.0, 1.0))
        assert answer.json()["area_km2"] == pytest.approx((0.06 * 111.32) * (0.06 * 110.574), rel=1e-3)
        assert answer.json()["cells"] == 16
    area = client.get(f"/collections/nowcast/instances/{over_180}/area", params={"coords": polygon.wkt, "crs": "CRS84"})
    assert set(area.json()["ranges"]["rainfall_rate"]["values"]) == {8.0}
    places = np.array(area.json()["domain"]["axes"]["composite"]["values"])
    assert sorted(set(places[:, 0].round(2))) == [-179.99, -179.97, 179.97, 179.99]


def test_a_polygon_whose_way_round_the_earth_is_unclear_is_refused(client, over_180):
    wrapped = "POLYGON((179.9 -0.1, -179.9 -0.1, -179.9 0.1, 179.9 0.1, 179.9 -0.1))"
    for path, name, status in (
        (f"/nowcast/{over_180}/area", "polygon", 422),
        (f"/collections/nowcast/instances/{over_180}/area", "coords", 400),  # EDR has 400 for a bad parameter
    ):
        answer = client.get(path, params={name: wrapped})
        assert answer.status_code == status
        assert "got one from 179.9 to -179.9" in answer.json()["detail"]
        assert "MultiPolygon cut at 180" in answer.json()["detail"]


@pytest.mark.parametrize("ring", [[-180, 180], [0, 360]])
def test_a_polygon_of_the_whole_earth_has_every_cell(client, over_180, ring):
    west, east = ring
    area = client.get(f"/nowcast/{over_180}/area", params={"polygon": shapely.box(west, -90, east, 90).wkt}).json()
    assert area["cells"] == 60 * 80
    assert area["area_km2"] == pytest.approx(510_065_622, rel=1e-4)
    assert area["leads"][0]["max_mmh"] == pytest.approx(8.0)


def test_edr_position_and_cube_find_the_rain_over_the_antimeridian(client, over_180):
    run = f"/collections/nowcast/instances/{over_180}"
    text = "MULTIPOINT((179.99 0), (-179.99 0), (180.01 0), (179.5 0.5))"
    series = client.get(f"{run}/position", params={"coords": text}).json()["coverages"]
    assert [one["ranges"]["rainfall_rate"]["values"][0] for one in series] == [8.0, 8.0, 8.0, 0.0]
    for bbox in ("179.97,-0.03,-179.97,0.03", "179.97,-0.03,180.03,0.03"):
        cube = client.get(f"{run}/cube", params={"bbox": bbox, "crs": "native"}).json()
        assert np.prod(cube["ranges"]["rainfall_rate"]["shape"]) == 5 * 4 * 4
        assert set(cube["ranges"]["rainfall_rate"]["values"]) == {8.0}
    dry = client.get(f"{run}/cube", params={"bbox": "-179.8,-0.04,-179.7,0.04"}).json()
    assert set(dry["ranges"]["rainfall_rate"]["values"]) == {0.0}
    bounds = client.get(run).json()["extent"]["spatial"]["bbox"][0]
    assert bounds == pytest.approx([179.4, -0.6, -179.0, 0.6])


@pytest.mark.parametrize("crs", ["CRS:84", "EPSG:3857"])
@pytest.mark.parametrize("turns", [-2, -1, 0, 1])
def test_a_map_goes_on_over_the_antimeridian(client, service, crs, turns):
    """Map clients draw a map over the antimeridian with x below -180 or above 180 degrees."""
    for frame in frames_over_180():
        service.store.put(frame)
    assert service.forecast_stored().grid.west_m == 179.4
    unit = 1.0 if crs == "CRS:84" else np.pi * 6_378_137 / 180
    west, south, east, north = (unit * degrees for degrees in (179.8 + 360 * turns, -0.2, 180.2 + 360 * turns, 0.2))
    box = {"layers": "rainfall_rate", "crs": crs, "bbox": f"{west},{south},{east},{north}", "width": 40, "height": 40}
    answer = client.get("/wms", params={"request": "GetMap", **box})
    shown = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))[..., 3] > 0
    expected = np.zeros((40, 40), bool)
    expected[10:30, 16:36] = True  # the model moves the rain by three cells a lead
    np.testing.assert_array_equal(shown, expected)
    info = client.get(
        "/wms", params={"request": "GetFeatureInfo", "query_layers": "rainfall_rate", "i": 25, "j": 20, **box}
    )
    feature = info.json()["features"][0]
    assert feature["properties"]["value"] == pytest.approx(8.0)
    assert feature["geometry"]["coordinates"][0] == pytest.approx(-179.945)


@pytest.mark.parametrize("west", WESTS)
def test_lines_of_orientation_are_drawn_in_any_turn(west):
    grid = grid_from_centres("EPSG:4326", west + 0.01 + 0.02 * np.arange(80.0), 0.59 - 0.02 * np.arange(60.0))
    meridians = [line.label for line in graticule(grid) if line.label[-1] in "EW" and line.points[0][0] % 80]
    first = np.ceil(west * 2) / 2
    expected = {at_most_180(first + 0.5 * number) for number in range(4) if first + 0.5 * number < west + 1.6}
    found = {float(label[:-2]) * (-1 if label[-1] == "W" else 1) for label in meridians}
    assert {lon % 360 for lon in found} >= {lon % 360 for lon in expected if 0 < (lon - west) % 360 < 1.6}


@pytest.mark.parametrize(
    "crs",
    ["EPSG:3857", "+proj=lcc +lat_1=49 +lat_2=52 +lat_0=51 +lon_0=10", "+proj=laea +lat_0=51 +lon_0=10"],
)
def test_a_box_over_the_antimeridian_is_not_on_a_grid_elsewhere(crs):
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(10.0, 51.0)
    grid = Grid(crs, x - 40_000, y + 30_000, 1000.0, 1000.0, 60, 80)
    assert box_block(grid, (170.0, 50.9, -170.0, 51.1)) is None
    assert box_block(grid, (-180.0, 50.9, -170.0, 51.1)) is None
    whole = box_block(grid, (-180.0, -80.0, 180.0, 80.0))
    assert whole is not None
    assert whole.shape == grid.shape
    around = box_block(grid, (9.95, 50.98, 10.05, 51.02))
    assert around is not None
    assert around.top < 30 < around.bottom
    assert around.left < 40 < around.right
    assert around.cells < 200
    assert box_block(grid, (170.0, 50.9, 10.0, 51.1)) == box_block(grid, (-179.0, 50.9, 10.0, 51.1))
