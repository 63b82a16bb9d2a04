"""Grids: DWD's corners as its own files and wradlib state them, cities, and what every grid keeps to."""

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Proj
from wradlib.georef import create_crs, get_radolan_coordinates, get_radolan_grid

from core.errors import FrameError, InputError
from core.grid import (
    CELLS_TO_REFERENCE,
    DE1200,
    RADOLAN_900,
    RADOLAN_1100,
    RADOLAN_SPHERE,
    Grid,
    dwd_grid,
    known,
)
from core.grid_checks import checked_grid, grid_from_centres

CITIES = {"Berlin": (52.5200, 13.4050), "Munich": (48.1374, 11.5755), "Hamburg": (53.5511, 9.9937)}
FALSE_ORIGIN_M = (543_196.835, 3_622_588.862)
"""Of DWD's WGS84 composites, as their HDF5 files state it."""

FIGURES = [(*size, wgs84) for size in CELLS_TO_REFERENCE for wgs84 in (False, True)]


grids = st.builds(
    Grid,
    crs=st.just(RADOLAN_SPHERE),
    west_m=st.floats(-500_000, 0),
    north_m=st.floats(-4_000_000, -3_500_000),
    pixel_x_m=st.floats(250, 8000),
    pixel_y_m=st.floats(250, 8000),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
)


@pytest.mark.parametrize(
    ("grid", "corners"),
    [  # NW, NE, SE, SW as DWD's format description prints them (wradlib, georef/rect.py)
        (RADOLAN_900, [(2.0715, 54.5877), (15.7208, 54.7405), (14.6209, 47.0705), (3.5889, 46.9526)]),
        (RADOLAN_1100, [(3.0889, 55.5482), (17.1128, 55.5342), (15.4801, 46.1827), (4.6759, 46.1929)]),
    ],
)
def test_corners_on_the_sphere(grid: Grid, corners: list[tuple[float, float]]) -> None:
    np.testing.assert_allclose(grid.corners_lon_lat(), corners, atol=1e-4)


def test_corners_of_the_european_composite() -> None:
    assert dwd_grid(1500, 1400, wgs84=False).corners_lon_lat()[3] == pytest.approx((2.3419, 43.9336), abs=1e-4)


@pytest.mark.parametrize("grid", [RADOLAN_900])
def test_plane_corner_of_the_national_grid(grid: Grid) -> None:
    west_m, south_m, east_m, north_m = grid.extent_m
    assert (west_m, south_m) == pytest.approx((-523_462.2, -4_658_644.7), abs=0.1)
    assert (east_m - west_m, north_m - south_m) == pytest.approx((900_000, 900_000))


def test_de1200_has_the_corners_of_dwds_hdf5(shared_data: Path) -> None:
    with h5py.File(shared_data / "radolan" / "raa01-rw_10000-latest-dwd---bin.hdf5") as root:
        where = dict(root["where"].attrs)
    stated = [(where[f"{corner}_lon"], where[f"{corner}_lat"]) for corner in ("UL", "UR", "LR", "LL")]
    np.testing.assert_allclose(DE1200.corners_lon_lat(), stated, atol=2e-8)
    assert DE1200.extent_m == (-500.0, -1_199_500.0, 1_099_500.0, 500.0)


@pytest.mark.parametrize(("rows", "cols", "wgs84"), FIGURES)
def test_cells_lie_on_the_plane_where_wradlib_has_them(rows: int, cols: int, wgs84: bool) -> None:
    crs = create_crs("dwd-radolan-wgs84" if wgs84 else "dwd-radolan-sphere")
    grid = dwd_grid(rows, cols, wgs84=wgs84)
    x_m, y_m = get_radolan_coordinates(rows, cols, crs=crs, mode="center")
    east_m, north_m = FALSE_ORIGIN_M if wgs84 else (0.0, 0.0)  # wradlib leaves it out of its WGS84 plane
    np.testing.assert_allclose(grid.x_centres_m, x_m + east_m, rtol=0, atol=0.5)
    np.testing.assert_allclose(grid.y_centres_m, y_m[::-1] + north_m, rtol=0, atol=0.5)


@pytest.mark.parametrize("grid", [RADOLAN_900, DE1200])
def test_cells_lie_on_earth_where_wradlib_has_them(grid: Grid) -> None:
    crs = create_crs("dwd-radolan-wgs84" if grid is DE1200 else "dwd-radolan-sphere")
    lon_lat = get_radolan_grid(*grid.shape, crs=crs, mode="center", wgs84=True)
    np.testing.assert_allclose(np.stack(grid.lon_lat_HW(), axis=-1), lon_lat[::-1], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("rows", "cols", "wgs84"), FIGURES)
@pytest.mark.parametrize("city", CITIES)
def test_a_city_is_in_the_nearest_cell(city: str, rows: int, cols: int, wgs84: bool) -> None:
    grid, (lat, lon) = dwd_grid(rows, cols, wgs84=wgs84), CITIES[city]
    cell = grid.cell_of(lat, lon)
    assert cell is not None
    west_m, north_m = grid.west_m + (cell[1] - 3) * 1000, grid.north_m - (cell[0] - 3) * 1000
    lon_HW, lat_HW = Grid(grid.crs, west_m, north_m, 1000, 1000, 7, 7).lon_lat_HW()
    ellipsoid = grid.projection.get_geod()
    assert ellipsoid is not None
    distance_m = ellipsoid.inv(np.full((7, 7), lon), np.full((7, 7), lat), lon_HW, lat_HW)[2]
    assert np.unravel_index(distance_m.argmin(), (7, 7)) == (3, 3)
    assert distance_m.min() < 1000 * math.sqrt(0.5)


@pytest.mark.parametrize(("city", "row", "col"), [("Berlin", 266, 762), ("Munich", 786, 648), ("Hamburg", 155, 523)])
def test_cells_of_cities_in_the_national_grid(city: str, row: int, col: int) -> None:
    lat, lon = CITIES[city]
    x_km, y_km = plane_km(lat, lon)
    x0_km, y0_km = plane_km(51.0, 9.0)
    assert (450 - math.ceil(y_km - y0_km), 450 + math.floor(x_km - x0_km)) == (row, col)
    assert RADOLAN_900.cell_of(lat, lon) == (row, col)


def plane_km(lat: float, lon: float) -> tuple[float, float]:
    """Polar stereographic on the sphere as DWD's format description has it, without PROJ."""
    phi, turn = math.radians(lat), math.radians(lon - 10)
    scale = (1 + math.sin(math.radians(60))) / (1 + math.sin(phi))
    radius_km = 6370.04 * scale * math.cos(phi)
    return radius_km * math.sin(turn), -radius_km * math.cos(turn)


def test_figures_differ_as_measured_and_agree_at_the_reference() -> None:
    """Field survey f8: 0 m at 9 E 51 N, 324 m Hamburg, 613 m Munich, 1035 m Berlin."""
    measured_m = {(51.0, 9.0): 0, CITIES["Hamburg"]: 324, CITIES["Munich"]: 613, CITIES["Berlin"]: 1035}
    for (lat, lon), distance_m in measured_m.items():
        off_m = math.dist(*(offset_m(dwd_grid(900, 900, wgs84=wgs84), lat, lon) for wgs84 in (True, False)))
        assert off_m == pytest.approx(distance_m, abs=5)


def offset_m(grid: Grid, lat: float, lon: float) -> tuple[float, float]:
    x_m, y_m = Proj(grid.crs)(lon, lat)
    return x_m - grid.west_m, y_m - grid.north_m


@pytest.mark.parametrize(
    ("rows", "cols", "first_row", "first_col"), [(900, 900, 150, 20), (1100, 900, 50, 100)]
)  # field survey f7, rows counted from the south
def test_older_grids_sit_in_de1200_at_whole_cells(rows: int, cols: int, first_row: int, first_col: int) -> None:
    west_m, south_m, _, _ = DE1200.extent_m
    north_m = south_m + (first_row + rows) * 1000
    part = Grid(DE1200.crs, west_m + first_col * 1000, north_m, 1000, 1000, rows, cols)
    assert part.same_place(dwd_grid(rows, cols, wgs84=True))


def test_unknown_sizes_are_refused() -> None:
    with pytest.raises(FrameError, match=r"expected one of 900 x 900, 1100 x 900.*got 460 x 460"):
        dwd_grid(460, 460, wgs84=False)


@given(grid=grids, data=st.data())
@settings(max_examples=80, deadline=None)
def test_the_centre_of_a_cell_is_in_it(grid: Grid, data: st.DataObject) -> None:
    row = data.draw(st.integers(0, grid.height - 1))
    col = data.draw(st.integers(0, grid.width - 1))
    lon_HW, lat_HW = grid.lon_lat_HW()
    assert grid.cell_of(float(lat_HW[row, col]), float(lon_HW[row, col])) == (row, col)


@given(grid=grids)
@settings(max_examples=50, deadline=None)
def test_a_grid_comes_back_from_its_values_and_centres(grid: Grid) -> None:
    assert Grid.from_dict(grid.to_dict()) == grid
    if min(grid.shape) > 1:
        again = grid_from_centres(grid.crs, grid.x_centres_m, grid.y_centres_m)
        assert again.same_place(grid)
        assert grid_from_centres(grid.crs, grid.x_centres_m, grid.y_centres_m[::-1]).same_place(grid)


@given(grid=grids, height=st.integers(1, 200), width=st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_resizing_keeps_the_area(grid: Grid, height: int, width: int) -> None:
    resized = grid.resized(height, width)
    assert resized.shape == (height, width)
    np.testing.assert_allclose(resized.extent_m, grid.extent_m, atol=1e-3)


def test_same_place_and_key_tell_grids_apart() -> None:
    shifted = Grid(RADOLAN_SPHERE, RADOLAN_900.west_m + 500, RADOLAN_900.north_m, 1000, 1000, 900, 900)
    renamed = Grid(RADOLAN_SPHERE, RADOLAN_900.west_m, RADOLAN_900.north_m, 1000, 1000, 900, 900, "mine")
    others = [shifted, dwd_grid(900, 900, wgs84=True), RADOLAN_1100, RADOLAN_900.resized(450, 450)]
    assert renamed.same_place(RADOLAN_900)
    assert renamed.key == RADOLAN_900.key
    assert not any(other.same_place(RADOLAN_900) for other in others)
    assert len({RADOLAN_900.key, *(other.key for other in others)}) == 5


def test_known_finds_dwds_own_grid_and_leaves_others_alone() -> None:
    projection = "+proj=stere +lat_ts=60 +lat_0=90 +lon_0=10 +x_0=543196.83521776402 +y_0=3622588.8619310022"
    as_in_file = Grid(
        f"{projection} +units=m +a=6378137 +b=6356752.3142451802 +no_defs", -500.0, 500.0, 1000, 1000, 1200, 1100
    )
    assert known(as_in_file) is DE1200
    elsewhere = Grid(RADOLAN_SPHERE, 0, -4_000_000, 1000, 1000, 900, 900)
    assert known(elsewhere) is elsewhere


@pytest.mark.parametrize(
    ("lat", "lon"), [(91, 10), (-90.1, 10), (50, 361), (50, -180.5), (math.nan, 10), (50, math.inf)]
)
def test_places_not_on_earth_are_input_errors(lat: float, lon: float) -> None:
    with pytest.raises(InputError, match="expected lat within -90 to 90 and lon within -180 to 360 degrees, got"):
        DE1200.cell_of(lat, lon)


@pytest.mark.parametrize(("lat", "lon"), [(0, 0), (-90, 0), (90, 0), (52, 30), (-52.5, -166.6)])
def test_places_off_the_grid_have_no_cell(lat: float, lon: float) -> None:
    assert DE1200.cell_of(lat, lon) is None


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([0.0], "expected one axis of two or more centres"),
        ([0.0, 0.0], "expected equal steps"),
        ([0.0, 1.0, 3.0], "expected equal steps, got steps from 1.0 to 2.0"),
        ([0.0, math.nan, 2.0], "expected equal steps"),
        ([[0.0, 1.0]], "got shape"),
    ],
)
def test_axes_that_make_no_grid(x: list[float], message: str) -> None:
    with pytest.raises(FrameError, match=message):
        grid_from_centres(RADOLAN_SPHERE, np.array(x), np.array([0.0, 1.0]))


@pytest.mark.parametrize(("pixel_m", "height"), [(0, 5), (-1, 5), (math.nan, 5), (1000, 0)])
def test_cells_must_be_positive(pixel_m: float, height: int) -> None:
    with pytest.raises(InputError, match="expected positive sizes"):
        Grid(RADOLAN_SPHERE, 0, 0, pixel_m, pixel_m, height, 5)


def test_pixel_size_of_a_geographic_grid_is_in_metres() -> None:
    grid = Grid("EPSG:4326", 0.0, 60.5, 0.1, 0.1, 10, 10)
    assert grid.pixel_m == pytest.approx(math.sqrt(11_119.5 * 11_119.5 * 0.5), rel=1e-3)
    assert RADOLAN_900.pixel_m == 1000


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (Grid(RADOLAN_SPHERE, -300, -3900, 2, 2, 60, 80), "expected cells of 50 m to 50 km, got"),
        (Grid(RADOLAN_SPHERE, -3e6, -3.9e6, 2e5, 2e5, 10, 10), "expected cells of 50 m to 50 km, got"),
        (Grid("EPSG:4326", 10, 95, 0.1, 0.1, 100, 100), "expected corners on Earth"),
        (Grid("EPSG:4326", -180, 60, 1, 0.4, 100, 400), "expected corners on Earth"),
        (Grid("+proj=geos +h=35785831 +units=m", -6e6, 6e6, 3000, 3000, 4000, 4000), "expected corners on Earth"),
        (Grid(RADOLAN_SPHERE, 0, -4e6, 1000, 1000, 1, 5), "expected 2 x 2 cells or more, got 1 x 5"),
    ],
)
def test_grids_that_are_not_on_earth_are_refused(grid: Grid, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        checked_grid(grid)


@pytest.mark.parametrize("grid", [DE1200, RADOLAN_900, Grid("EPSG:3832", -5e6, 3e6, 2000, 2000, 50, 50)])
def test_grids_on_earth_pass(grid: Grid) -> None:
    assert checked_grid(grid) is grid


@pytest.mark.parametrize("first", [-105.0, 255.0, 179.5, -180.5, 0.0, -0.3, -180.0])
@pytest.mark.parametrize("lat", [44.0, -44.0])
def test_longitudes_of_any_convention_find_their_cell(first: float, lat: float) -> None:
    centres = first + 0.05 + 0.1 * np.arange(12.0)
    for convention in (centres, (centres + 180) % 360 - 180, centres % 360):
        grid = grid_from_centres("EPSG:4326", convention.astype(np.float64), lat - 0.1 * np.arange(5.0))
        assert -180.1 <= grid.west_m < 180
        for lon in ((first + 0.75 + 180) % 360 - 180, (first + 0.75) % 360):
            assert grid.cell_of(lat - 0.2, lon) == (2, 7)
        assert grid.cell_of(lat - 0.2, (first - 2 + 180) % 360 - 180) is None
        lon_HW, _ = grid.lon_lat_HW()
        assert np.abs(lon_HW).max() <= 180
        np.testing.assert_allclose((lon_HW[2, 7] - first) % 360, 0.75)


def test_centres_in_single_precision_are_equal_steps() -> None:
    centres = (255.01 + 0.02 * np.arange(80)).astype(np.float32).astype(np.float64)
    assert grid_from_centres("EPSG:4326", centres, 0.1 * np.arange(5.0)).cell_of(0.2, -104.97) == (2, 1)
