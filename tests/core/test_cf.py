"""CF data sets: what is written comes back, and other software finds the same places in it."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.warp import transform

from core.cf import RATE, rate_dataset, write_dataset
from core.cf_reading import find_grid, find_rate, mmh_per_unit, times_of
from core.errors import FrameError
from core.grid import DE1200, RADOLAN_900, RADOLAN_SPHERE, Grid
from core.times import utc

REFERENCE = utc("2024-06-01T15:00Z")
TIMES = [REFERENCE + timedelta(minutes=30 * step) for step in (1, 2)]
GRIDS = [RADOLAN_900.resized(124, 124), DE1200.resized(60, 55), Grid("EPSG:4326", 5.0, 55.0, 0.1, 0.05, 40, 30)]
CITIES = [(52.52, 13.405), (48.1374, 11.5755), (53.5511, 9.9937)]


def field_THW(grid: Grid) -> np.ndarray:
    field = np.random.default_rng(1).gamma(0.3, 2.0, (2, *grid.shape)).astype(np.float32)
    field[:, :3] = np.nan
    return field


@pytest.mark.parametrize("grid", GRIDS)
def test_round_trip(grid: Grid, tmp_path: Path) -> None:
    field = field_THW(grid)
    attributes = {"model": "persistence", "notes": None}
    write_dataset(rate_dataset(field, TIMES, grid, reference_time=REFERENCE, attributes=attributes), tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc", decode_timedelta=False) as found:
        rate = find_rate(found)
        np.testing.assert_array_equal(rate.values, field)
        np.testing.assert_array_equal(found["coverage"].values, np.isfinite(field))
        found_grid, south_first = find_grid(found, rate)
        assert not south_first
        assert found_grid.same_place(grid)
        assert times_of(found) == TIMES
        assert times_of(found, "forecast_reference_time") == [REFERENCE]
        assert found["forecast_period"].values.tolist() == [30.0, 60.0]
        assert (found["forecast_period"].attrs["units"], mmh_per_unit(rate)) == ("minutes", 1.0)
        assert found.attrs == {"Conventions": "CF-1.13", "model": "persistence"}


@pytest.mark.parametrize("grid", [RADOLAN_900, DE1200])
def test_gdal_finds_the_cities_in_the_same_cells(grid: Grid, tmp_path: Path) -> None:
    write_dataset(rate_dataset(np.zeros((1, *grid.shape), np.float32), TIMES[:1], grid), tmp_path / "f.nc")
    with rasterio.open(f"netcdf:{tmp_path / 'f.nc'}:{RATE}") as opened:
        assert (opened.height, opened.width) == grid.shape
        for lat, lon in CITIES:
            cell = grid.cell_of(lat, lon)
            assert cell is not None
            geographic = grid.projection.geodetic_crs.to_wkt()  # degrees on the grid's own figure
            (x_m,), (y_m,) = transform(geographic, opened.crs, [lon], [lat])
            assert opened.index(x_m, y_m) == cell


def dataset(grid: Grid = GRIDS[0]) -> xr.Dataset:
    return rate_dataset(field_THW(grid), TIMES, grid)


def test_rows_from_the_south_are_detected() -> None:
    flipped = dataset().isel(y=slice(None, None, -1))
    grid, south_first = find_grid(flipped, find_rate(flipped))
    assert south_first
    assert grid.same_place(GRIDS[0])


def test_kilometres_are_metres() -> None:
    data = dataset()
    data = data.assign_coords(x=data.x / 1000, y=data.y / 1000)
    data.x.attrs["units"] = data.y.attrs["units"] = "km"
    assert find_grid(data, find_rate(data))[0].same_place(GRIDS[0])


def test_dwds_own_grid_is_recognised() -> None:
    data = dataset(RADOLAN_900)
    assert find_grid(data, find_rate(data))[0] is RADOLAN_900


def test_a_standard_name_goes_before_a_name() -> None:
    data = dataset().rename({RATE: "unknown"})
    data["precipitation_rate"] = data["unknown"].copy()
    data["precipitation_rate"].attrs = {"units": "mm h-1"}
    assert find_rate(data).name == "unknown"
    assert find_rate(data.drop_vars("unknown")).name == "precipitation_rate"


@pytest.mark.parametrize(("unit", "factor"), [("kg m**-2 s**-1", 3600.0), ("m s^-1", 3.6e6)])
def test_spellings_of_units(unit: str, factor: float) -> None:
    data = dataset()
    data[RATE].attrs["units"] = unit
    assert mmh_per_unit(find_rate(data)) == factor


def test_what_is_missing_is_named() -> None:
    data = dataset()
    with pytest.raises(FrameError, match="expected a variable with one of the standard names"):
        find_rate(data.drop_vars(RATE))
    with pytest.raises(FrameError, match="dimension y of rainfall_rate: expected a coordinate"):
        find_grid(data.drop_vars("y"), data.drop_vars("y")[RATE])
    with pytest.raises(FrameError, match="expected the name of a CF projection variable"):
        find_grid(data.drop_vars("crs"), data[RATE])
    turned = data.isel(x=slice(None, None, -1))
    with pytest.raises(FrameError, match="coordinate x: expected columns from the west"):
        find_grid(turned, turned[RATE])
    data.crs.attrs = {"crs_wkt": "nonsense"}
    with pytest.raises(FrameError, match="not a projection known to PROJ"):
        find_grid(data, data[RATE])


def test_grid_mapping_without_wkt() -> None:
    data = dataset(Grid(RADOLAN_SPHERE, 0.0, -4_000_000.0, 1000.0, 1000.0, 10, 10))
    for name in ("crs_wkt", "spatial_ref", "proj4", "GeoTransform"):
        del data.crs.attrs[name]
    grid, _ = find_grid(data, data[RATE])
    assert grid.corners_lon_lat()[0] == pytest.approx(
        Grid(RADOLAN_SPHERE, 0.0, -4_000_000.0, 1000.0, 1000.0, 10, 10).corners_lon_lat()[0]
    )
