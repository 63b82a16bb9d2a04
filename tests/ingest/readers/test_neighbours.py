"""Neighbours of the inputs that people have: groups, rotated poles, bytes, longitudes, and marks of ODIM."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from core import cf
from core.errors import FrameError
from core.grid import Grid
from core.times import iso, utc
from ingest.archive.build import build_archive
from ingest.archive.settings import archive_settings
from ingest.plausibility import field_notes
from ingest.readers import read_frames
from ingest.store.live import Store
from ingest.store.ready import read_ready, write_ready
from ingest.store.recent import recent_window
from tests.ingest.archive.sources import read_archive
from tests.ingest.readers.odim_files import Dialect, odim_file
from tests.ingest.readers.test_cf_layouts import MAP_GRID, RAIN, check, field_THW, on_a_map
from training.datasets.series import open_series

END = utc("2024-06-01T12:00Z")
ROTATED = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}


def in_degrees(field: np.ndarray, grid: Grid, **changes: Any) -> xr.Dataset:
    """A field on longitudes and latitudes, without a grid mapping unless `changes` of its attributes state one."""
    attributes = {"standard_name": "rainfall_rate", "units": "mm h-1", **changes}
    return xr.Dataset(
        {RAIN: (("time", "lat", "lon"), field, attributes)},
        coords={
            "time": on_a_map(field)["time"],
            "lat": ("lat", grid.y_centres_m, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("lon", grid.x_centres_m, {"standard_name": "longitude", "units": "degrees_east"}),
        },
    )


@pytest.mark.parametrize("west", [5.0, 150.0, 179.9, -180.0])
@pytest.mark.parametrize("north", [55.0, -33.0])
@pytest.mark.parametrize("turn", [0.0, 180.0, 360.0])
def test_degrees_in_every_hemisphere_and_convention(west: float, north: float, turn: float, tmp_path: Path) -> None:
    field, grid = field_THW(1, MAP_GRID.shape), Grid("EPSG:4326", west, north, 0.02, 0.02, *MAP_GRID.shape)
    data = in_degrees(field, grid)
    longitudes = (data["lon"].values - (turn - 360)) % 360 + turn - 360
    data.assign_coords(lon=("lon", longitudes, data["lon"].attrs)).to_netcdf(tmp_path / "rain.nc")
    check(read_frames(tmp_path / "rain.nc"), field, grid)


def test_a_rotated_pole_is_a_place_on_earth(tmp_path: Path) -> None:
    field = field_THW(2, MAP_GRID.shape)
    grid = Grid(CRS.from_cf(ROTATED).to_wkt(), -5.0, 3.0, 0.02, 0.02, *MAP_GRID.shape)
    data = in_degrees(field, grid, grid_mapping="pole").rename(lat="rlat", lon="rlon")
    data["rlat"].attrs = {"standard_name": "grid_latitude", "units": "degrees"}
    data["rlon"].attrs = {"standard_name": "grid_longitude", "units": "degrees"}
    data.assign(pole=((), np.int32(0), ROTATED)).to_netcdf(tmp_path / "rain.nc")
    frames = read_frames(tmp_path / "rain.nc")
    check(frames, field, grid)
    lon, lat = frames[0].grid.corners_lon_lat()[0]
    assert (lon, lat) == pytest.approx((9.592923, 53.465817), abs=1e-5)  # by the formulas of spherical triangles
    written = cf.rate_dataset(frames[0].rate_mmh_HW[None], [frames[0].valid_time], frames[0].grid)
    cf.write_dataset(written, tmp_path / "again.nc")
    assert read_frames(tmp_path / "again.nc")[0].grid.same_place(grid)
    del data[RAIN].attrs["grid_mapping"]
    data.to_netcdf(tmp_path / "bare.nc")
    with pytest.raises(FrameError, match="grid_mapping of rain"):
        read_frames(tmp_path / "bare.nc")


def test_fields_in_one_group_are_read_through_every_way(tmp_path: Path) -> None:
    """IMERG's HDF5: `Grid/precipitation(time, lon, lat)` without a standard name."""
    field, grid = field_THW(3, MAP_GRID.shape), Grid("EPSG:4326", 5.0, 55.0, 0.1, 0.1, *MAP_GRID.shape)
    data = in_degrees(field, grid, units="mm/hr").rename({RAIN: "precipitation"}).transpose("time", "lon", "lat")
    del data["precipitation"].attrs["standard_name"]
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "imerg.HDF5.nc"
    xr.Dataset(attrs={"FileHeader": "invented"}).to_netcdf(path)
    data.to_netcdf(path, group="Grid", mode="a", encoding={"precipitation": {"_FillValue": np.float32(-9999.9)}})
    check(read_frames(path), field, grid)
    np.testing.assert_allclose(open_series(path).fields_mmh(slice(0, 3)), field, atol=1e-3)
    built = build_archive(tmp_path / "in", tmp_path / "out.zarr", archive_settings())
    np.testing.assert_allclose(read_archive(built.archive)["rainfall_rate"], field, atol=1e-3)


def test_of_two_groups_none_is_guessed(tmp_path: Path) -> None:
    data = on_a_map(field_THW(1, MAP_GRID.shape))
    for group in ("a", "b"):
        data.to_netcdf(tmp_path / "two.nc", group=group, mode="a")
    with pytest.raises(FrameError, match="got the variables none"):
        read_frames(tmp_path / "two.nc")


@pytest.mark.parametrize(
    ("stated", "view", "notes"),
    [
        ({"_FillValue": np.uint8(255)}, "u1", 0),
        ({"valid_range": np.array([0, 250], "u1")}, "u1", 0),
        ({"_Unsigned": "true", "_FillValue": np.int8(-1)}, "i1", 0),
        ({"_Unsigned": "true", "valid_range": np.array([0, -6], "i1")}, "i1", 0),
        ({"_Unsigned": "true"}, "i1", 3),
        ({}, "u1", 3),
    ],
)
def test_bytes(stated: dict[str, Any], view: str, notes: int, tmp_path: Path) -> None:
    field = field_THW(4, MAP_GRID.shape).clip(0, 25)
    counts = np.where(np.isnan(field), 255, np.round(field * 10)).astype("u1").view(view)
    data = on_a_map(field)
    data[RAIN] = (("time", "y", "x"), counts, {**data[RAIN].attrs, "scale_factor": np.float32(0.1), **stated})
    data.to_netcdf(tmp_path / "rain.nc", format="NETCDF4" if view == "u1" else "NETCDF3_64BIT")
    found: list[str] = []
    check(read_frames(tmp_path / "rain.nc", notes=found), field, MAP_GRID)
    assert len(found) == notes
    assert all("they hold 25.5, which no attribute states as missing" in note for note in found)


def test_equal_notes_of_many_fields_are_one_with_their_number(tmp_path: Path) -> None:
    field = np.ones((3, *MAP_GRID.shape), np.float32)
    field[:2, 0, :4], field[2, 0, :5] = -9999.0, -9999.0
    on_a_map(field).to_netcdf(tmp_path / "rain.nc")
    found: list[str] = []
    frames = read_frames(tmp_path / "rain.nc", notes=found)
    first, _, last = (f"{RAIN} of {iso(frame.valid_time)}" for frame in frames)
    reason = "which no attribute states as missing"
    assert found == [
        f"{first} (the first of 2 such fields): 4 cells are not observed: they hold -9999, {reason}",
        f"{last}: 5 cells are not observed: they hold -9999, {reason}",
    ]
    (note,) = field_notes(frames)
    assert note.startswith(f"{RAIN.upper()} of {iso(frames[0].valid_time)} (the first of 3 such fields): ")


def test_the_smallest_count_of_a_packed_range_is_a_value(tmp_path: Path) -> None:
    """Packed to the range of the data, the smallest count of a signed type is the dry cell."""
    field = np.nan_to_num(field_THW(5, MAP_GRID.shape))
    counts = np.round(field * 100 - 32768).astype("i2")
    data = on_a_map(field)
    packing = {"scale_factor": 0.01, "add_offset": 327.68}
    data[RAIN] = (("time", "y", "x"), counts, {**data[RAIN].attrs, **packing})
    data.to_netcdf(tmp_path / "rain.nc")
    check(read_frames(tmp_path / "rain.nc"), field, MAP_GRID)


RATE_HW = np.array([[0.0, 3.5, 12.0], [np.nan, 0.5, 0.0]])


def test_a_nodata_that_is_no_count_is_refused_where_it_would_matter() -> None:
    def change(root: Any) -> None:
        root["dataset1/data1/what"].attrs["nodata"] = 65535.0

    content = odim_file(Dialect(dtype="u1", gain=0.5, nodata=255.0, change=change), RATE_HW, END)
    with pytest.raises(FrameError, match=r"a nodata of 65535 is no uint8 in .* expected it, as counts of 255"):
        read_frames(content)


@pytest.mark.parametrize("dialect", [Dialect(dtype="f4", gain=1.0, nodata=-1.0, undetect=-1.0), Dialect(nodata=0.0)])
def test_dry_cells_with_the_number_of_missing_ones_are_not_observed(dialect: Dialect) -> None:
    notes: list[str] = []
    (frame,) = read_frames(odim_file(dialect, RATE_HW, END), notes=notes)
    np.testing.assert_allclose(frame.rate_mmh_HW, np.where(RATE_HW == 0, np.nan, RATE_HW), rtol=1e-6)
    assert any("nodata and undetect are both" in note for note in notes)


def without(*names: str) -> Callable[[Any], object]:
    def change(root: Any) -> None:
        for path in ("dataset1/what", "what"):
            for name in names:
                if name in root[path].attrs:
                    del root[path].attrs[name]

    return change


@pytest.mark.parametrize(
    "change",
    [
        without("enddate", "endtime"),
        without("startdate", "starttime"),
        without("startdate", "starttime", "enddate", "endtime"),
        without("source"),
    ],
)
@pytest.mark.parametrize("dialect", [Dialect(), Dialect(dtype=">u2"), Dialect(dtype=">f4", gain=1.0, nodata=-9999.0)])
def test_rates_without_some_attributes_and_of_both_byte_orders(dialect: Dialect, change: Any) -> None:
    (frame,) = read_frames(odim_file(replace(dialect, change=change), RATE_HW, END))
    assert (frame.valid_time, frame.lead_minutes) == (END, 0)
    np.testing.assert_allclose(frame.rate_mmh_HW, RATE_HW, rtol=1e-6)


@pytest.mark.parametrize(
    ("stated", "provider"),
    [
        ({"institution": "Deutscher Wetterdienst\n (DWD)", "source": "radar"}, "Deutscher Wetterdienst (DWD)"),
        ({"institution": " ", "source": "RY of DWD"}, "RY of DWD"),
        ({"institution": "a" * 300}, "a" * 120),
        ({}, None),
    ],
)
def test_the_provider_is_the_one_that_a_file_states(
    stated: dict[str, str], provider: str | None, tmp_path: Path
) -> None:
    on_a_map(field_THW(1, MAP_GRID.shape)).assign_attrs(stated).to_netcdf(tmp_path / "rain.nc")
    assert {frame.provider for frame in read_frames(tmp_path / "rain.nc")} == {provider}


def test_the_provider_stays_with_stored_scans_and_their_window(tmp_path: Path) -> None:
    store, provider = Store(tmp_path / "home"), "Deutscher Wetterdienst"
    on_a_map(field_THW(1, MAP_GRID.shape)).assign_attrs(institution=provider).to_netcdf(tmp_path / "rain.nc")
    for frame in (frames := read_frames(tmp_path / "rain.nc")):
        store.put(frame)
    window = recent_window(store, frames[-1].valid_time)
    assert window.provider == provider
    write_ready(window, MAP_GRID.pixel_m, tmp_path / "ready.safetensors")
    assert read_ready(tmp_path / "ready.safetensors").as_window().provider == provider
