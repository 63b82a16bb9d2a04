"""Boxes and polygons on a grid: true areas by another way, overlaps by hand."""

import time

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod

from core.errors import InputError, TooLargeError
from core.grid import DE1200, RADOLAN_900, Grid
from service.queries.areas import MOST_VERTICES, area_weights, cell_area_km2, checked_polygon
from service.queries.cells import Block, box_block
from service.queries.shares import shares_of
from tests.speed import python_s

DEGREES = Grid("EPSG:4326", 5.0, 56.0, 0.02, 0.02, 450, 550, "degrees")
SMALL = RADOLAN_900.resized(72, 60)
ROTATED = Grid(
    "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=40 +lon_0=10 +R=6371229 +type=crs",
    -4.0,
    4.0,
    0.05,
    0.05,
    160,
    160,
    "rotated pole",
)
TRIANGLE = checked_polygon(shapely.from_wkt("POLYGON((9.1 50.2,11.3 50.4,10.7 52.1,9.1 50.2))"))


def cell_outline(grid, row, col, pieces=8):
    """The edges of a cell in longitude and latitude."""
    x = grid.west_m + col * grid.pixel_x_m + np.array([0, 1, 1, 0, 0]) * grid.pixel_x_m
    y = grid.north_m - row * grid.pixel_y_m - np.array([0, 0, 1, 1, 0]) * grid.pixel_y_m
    dense = shapely.segmentize(shapely.Polygon(np.stack([x, y], axis=1)), grid.pixel_x_m / pieces)
    return in_degrees(grid, dense)


def in_degrees(grid, planar):
    return shapely.transform(planar, lambda xy: np.stack(grid.to_lon_lat(xy[:, 0], xy[:, 1]), axis=1))


@pytest.mark.parametrize("grid", [RADOLAN_900, DE1200, SMALL, DEGREES, ROTATED], ids=lambda grid: grid.name)
def test_true_cell_areas_by_the_geodesic(grid):
    figure = grid.projection.get_geod()
    areas_km2 = cell_area_km2(grid)
    for row, col in ((0, 0), (grid.height - 1, grid.width // 3), (grid.height // 2, grid.width - 1)):
        outline = shapely.orient_polygons(cell_outline(grid, row, col))
        assert areas_km2[row, col] == pytest.approx(abs(figure.geometry_area_perimeter(outline)[0]) / 1e6, rel=1e-4)


def test_a_dwd_cell_is_smaller_than_its_kilometre():
    areas_km2 = cell_area_km2(RADOLAN_900)
    assert 0.84 < areas_km2.min() < 0.88
    assert 0.93 < areas_km2.max() < 0.97


@pytest.mark.parametrize("grid", [RADOLAN_900, DE1200, SMALL, DEGREES, ROTATED], ids=lambda grid: grid.name)
def test_the_parts_add_up_to_the_polygon(grid):
    weights = area_weights(grid, TRIANGLE)
    geod = grid.projection.get_geod()
    dense = shapely.orient_polygons(shapely.segmentize(TRIANGLE, 0.01))
    assert weights.area_km2 == pytest.approx(abs(geod.geometry_area_perimeter(dense)[0]) / 1e6, rel=1e-5)
    assert weights.km2_HW.sum() == pytest.approx(weights.area_km2, rel=1e-5)


@given(
    west=st.floats(7, 12),
    south=st.floats(48, 52),
    width=st.floats(0.05, 2),
    height=st.floats(0.05, 1.5),
    hole=st.booleans(),
)
def test_no_cell_holds_more_than_itself_and_all_of_them_the_polygon(west, south, width, height, hole):
    outer = shapely.box(west, south, west + width, south + height)
    inner = shapely.box(west + width / 3, south + height / 3, west + width / 2, south + height / 2)
    polygon = checked_polygon(outer.difference(inner) if hole else outer)
    weights = area_weights(SMALL, polygon)
    assert weights.block is not None
    assert (weights.km2_HW <= cell_area_km2(weights.block.grid(SMALL)) * (1 + 1e-9)).all()
    assert weights.km2_HW.sum() == pytest.approx(weights.area_km2, rel=1e-5)


def test_half_a_cell_by_hand():
    """A polygon over the western half of one grid cell and all of its neighbour."""
    grid = Grid("+proj=cea +lat_ts=0 +a=6371000 +b=6371000 +units=m", 0.0, 4000.0, 1000.0, 1000.0, 4, 4)
    half = shapely.from_wkt("POLYGON((1500 2000,3000 2000,3000 3000,1500 3000,1500 2000))")
    weights = area_weights(grid, in_degrees(grid, half))
    np.testing.assert_allclose(weights.km2_HW[weights.km2_HW > 1e-6], [0.5, 1.0], rtol=1e-4)


def test_parts_outside_the_grid_count_in_the_area_only():
    edge = shapely.box(1.0, 50.0, 4.5, 51.0)  # the grid's western edge runs through it
    weights = area_weights(SMALL, edge)
    assert 0 < weights.km2_HW.sum() < 0.9 * weights.area_km2
    away = area_weights(SMALL, shapely.box(-80, 40, -79, 41))
    assert away.block is None
    assert away.area_km2 == pytest.approx(
        abs(Geod(ellps="sphere").geometry_area_perimeter(shapely.segmentize(shapely.box(-80, 40, -79, 41), 0.01))[0])
        / 1e6,
        rel=2e-3,
    )


@pytest.mark.parametrize(
    "wkt",
    [
        "POINT(1 2)",
        "LINESTRING(1 2, 3 4)",
        "POLYGON EMPTY",
        "POLYGON((0 0, 2 2, 2 0, 0 2, 0 0))",
        "POLYGON((0 0, 200 0, 200 10, 0 0))",
        "POLYGON((0 0, 10 91, 20 0, 0 0))",
    ],
)
def test_what_is_no_polygon_on_earth(wkt):
    with pytest.raises(InputError):
        checked_polygon(shapely.from_wkt(wkt))


def test_a_polygon_of_too_many_vertices():
    angles = np.linspace(0, 2 * np.pi, MOST_VERTICES + 2)
    with pytest.raises(TooLargeError, match="vertices"):
        checked_polygon(shapely.Polygon(np.stack([10 + np.cos(angles), 50 + np.sin(angles)], axis=1)))


@given(west=st.floats(5, 13), south=st.floats(47.5, 54), width=st.floats(0.02, 2), height=st.floats(0.02, 1))
def test_a_box_holds_the_cells_of_all_its_places(west, south, width, height):
    block = box_block(SMALL, (west, south, west + width, south + height))
    assert block is not None
    for lon in np.linspace(west, west + width, 7):
        for lat in np.linspace(south, south + height, 7):
            cell = SMALL.cell_of(float(lat), float(lon))
            assert cell is None or (block.top <= cell[0] < block.bottom and block.left <= cell[1] < block.right)


def test_a_box_of_one_cell_and_boxes_off_the_grid():
    lon_HW, lat_HW = SMALL.lon_lat_HW()
    lon, lat = float(lon_HW[10, 40]), float(lat_HW[10, 40])
    assert box_block(SMALL, (lon - 1e-4, lat - 1e-4, lon + 1e-4, lat + 1e-4)) == Block(10, 11, 40, 41)
    assert box_block(SMALL, (100, 0, 101, 1)) is None
    assert box_block(SMALL, (170, -10, -170, 10)) is None
    assert box_block(SMALL, (-180, -90, 180, 90)) == Block(0, 72, 0, 60)
    part = Block(10, 12, 40, 43).grid(SMALL)
    np.testing.assert_allclose(part.lon_lat_HW()[0], lon_HW[10:12, 40:43])


@pytest.mark.parametrize("bbox", [(1, 2, 1, 3), (1, 3, 2, 2), (1, -91, 2, 3), (-181, 2, 3, 4), (1, float("nan"), 3, 4)])
def test_what_is_no_box(bbox):
    with pytest.raises(InputError, match="bbox"):
        box_block(SMALL, bbox)


def jagged(vertices: int, noise: float) -> shapely.Polygon:
    angle_N = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    rng = np.random.default_rng(24)
    radius_N = 2.2 + 0.3 * np.sin(40 * angle_N) + noise * rng.standard_normal(vertices)
    return shapely.Polygon(np.stack([10 + 1.4 * radius_N * np.cos(angle_N), 51 + radius_N * np.sin(angle_N)], axis=1))


def test_the_covered_part_of_each_cell_is_that_of_exact_clipping():
    rng = np.random.default_rng(24)
    for _ in range(20):
        angle_N = np.sort(rng.uniform(0, 2 * np.pi, 12))
        radius_N = rng.uniform(3, 9, 12)
        hole = shapely.Point(6, 5).buffer(0.3)
        polygon = shapely.Polygon(np.stack([6 + radius_N * np.cos(angle_N), 5 + radius_N * np.sin(angle_N)], axis=1))
        joined = shapely.union_all([polygon.difference(hole), shapely.box(15.5, 2.25, 20, 4)])
        assert isinstance(joined, shapely.MultiPolygon)
        shares = shares_of(joined, (11, 17))
        x_HW, y_HW = np.meshgrid(np.arange(17), np.arange(11))
        parts_HW = shapely.intersection(joined, shapely.box(x_HW, y_HW, x_HW + 1, y_HW + 1))
        np.testing.assert_allclose(shares.share_HW, shapely.area(parts_HW), atol=1e-9)
        some_HW = shares.share_HW > 1e-3
        centres_N2 = shapely.get_coordinates(shapely.centroid(parts_HW[some_HW]))
        np.testing.assert_allclose(shares.right_HW[some_HW] + x_HW[some_HW] + 0.5, centres_N2[:, 0], atol=1e-5)
        np.testing.assert_allclose(shares.down_HW[some_HW] + y_HW[some_HW] + 0.5, centres_N2[:, 1], atol=1e-5)


def test_a_polygon_of_the_most_vertices_costs_less_than_two_million_steps_of_python():
    polygon = jagged(MOST_VERTICES - 1, 0.0)
    costs = []
    for _ in range(5):
        began = time.thread_time()
        weights = area_weights(RADOLAN_900, polygon)
        costs.append((time.thread_time() - began) / python_s())
    dense = shapely.orient_polygons(shapely.segmentize(polygon, 0.01))
    true_km2 = abs(Geod(a=6_370_040.0, b=6_370_040.0).geometry_area_perimeter(dense)[0]) / 1e6
    assert weights.area_km2 == pytest.approx(true_km2, rel=1e-5)
    assert min(costs) < 4, "of 400,000 steps each: 1.9 to 2.6 were measured"


def test_the_work_of_a_polygon_is_bounded_by_its_vertices_and_the_cells():
    def used_s(polygon: shapely.Polygon) -> float:
        began = time.process_time()
        area_weights(DE1200, polygon)
        return time.process_time() - began

    assert min(used_s(jagged(MOST_VERTICES - 1, 0.02)) for _ in range(3)) < 0.5, "an edge of 60,000 km"
