"""CF-NetCDF: units, order of rows, intervals, leads; NetCDF4 and NetCDF3."""

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from core.cf import rate_dataset, write_dataset
from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import DE1200, RADOLAN_SPHERE, Grid
from core.times import utc
from ingest.readers import read_frames

GRID = Grid(RADOLAN_SPHERE, -10_000.0, -4_000_000.0, 1000.0, 2000.0, 4, 3)
FIELD_HW = np.array([[0, 1, 2], [3, 4, 5], [6, np.nan, 8], [0, 0, 0.5]], np.float32)
TIMES = np.array(["2024-06-01T15:30", "2024-06-01T15:35"], "datetime64[ns]")


def dataset(**attributes: Any) -> xr.Dataset:
    """Two times, row 0 in the north."""
    rate = {"units": "mm h-1", "standard_name": "rainfall_rate", "grid_mapping": "crs", **attributes}
    return xr.Dataset(
        {
            "rain": (("time", "y", "x"), np.stack([FIELD_HW, FIELD_HW * 2]), rate),
            "crs": ((), np.int32(0), CRS(RADOLAN_SPHERE).to_cf()),
        },
        coords={"time": TIMES, "y": GRID.y_centres_m, "x": GRID.x_centres_m},
        attrs={"product": "ry"},
    )


def content(data: xr.Dataset, engine: str = "h5netcdf") -> bytes:
    file = io.BytesIO()
    if engine == "scipy":
        return bytes(data.to_netcdf(engine="scipy", format="NETCDF3_64BIT"))
    data.to_netcdf(file, engine="h5netcdf")
    return file.getvalue()


def read(data: xr.Dataset, engine: str = "h5netcdf") -> list[RadarFrame]:
    return read_frames(content(data, engine))


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
@pytest.mark.parametrize("south_first", [True, False])
def test_both_row_orders_and_both_formats(engine: str, south_first: bool) -> None:
    data = dataset()
    frames = read(data.isel(y=slice(None, None, -1)) if south_first else data, engine)
    assert len(frames) == 2
    for factor, frame in enumerate(frames, 1):
        np.testing.assert_allclose(frame.rate_mmh_HW, FIELD_HW * factor)
        assert frame.grid.same_place(GRID)
        assert (frame.product, frame.interval_minutes, frame.lead_minutes) == ("RY", 0.0, 0)
    assert [frame.valid_time for frame in frames] == [utc("2024-06-01T15:30Z"), utc("2024-06-01T15:35Z")]


@pytest.mark.parametrize("dims", [("y", "x", "time"), ("time", "x", "y"), ("x", "time", "y"), ("x", "y", "time")])
def test_any_order_of_the_dimensions(dims: tuple[str, ...]) -> None:
    for data in (dataset().transpose(*dims), dataset().isel(x=slice(None, None, -1)).transpose(*dims)):
        frame = read(data)[1]
        np.testing.assert_allclose(frame.rate_mmh_HW, FIELD_HW * 2)
        assert frame.grid.same_place(GRID)


@pytest.mark.parametrize(("units", "factor"), [("mm h-1", 1), ("kg m-2 s-1", 3600), ("m s-1", 3.6e6), ("mm/h", 1)])
def test_units(units: str, factor: float) -> None:
    np.testing.assert_allclose(read(dataset(units=units))[0].rate_mmh_HW, FIELD_HW * factor, rtol=1e-6)


def test_one_time_needs_no_time_dimension() -> None:
    (frame,) = read(dataset().isel(time=1))
    assert frame.valid_time == utc("2024-06-01T15:35Z")
    np.testing.assert_allclose(frame.rate_mmh_HW, FIELD_HW * 2)


def test_bounds_give_the_interval_and_its_end() -> None:
    data = dataset()
    bounds = np.stack([TIMES - np.timedelta64(10, "m"), TIMES + np.timedelta64(5, "m")], axis=1)
    data["time_bnds"] = (("time", "nv"), bounds)
    data["time"].attrs["bounds"] = "time_bnds"
    data["time"].encoding["units"] = "minutes since 2024-01-01"
    frames = read(data)
    assert {frame.interval_minutes for frame in frames} == {15}
    assert frames[0].valid_time == utc("2024-06-01T15:35Z")


def test_files_written_by_the_project_are_read_back(tmp_path: Path) -> None:
    field_HW = np.zeros(DE1200.shape, np.float32)
    field_HW[3, 5], field_HW[1000, 700] = np.nan, 7.25
    reference = utc("2024-06-01T15:00Z")
    times = [reference + timedelta(minutes=30 * step) for step in (1, 2)]
    attributes = {"product": "RV", "missing_radars": "boo, umd", "interval_minutes": 5}
    written = rate_dataset(
        np.stack([field_HW, field_HW]), times, DE1200, reference_time=reference, attributes=attributes
    )
    write_dataset(written, tmp_path / "scan.nc")
    frames = read_frames(tmp_path / "scan.nc")
    assert [(f.valid_time, f.lead_minutes) for f in frames] == [(times[0], 30), (times[1], 60)]
    for frame in frames:
        assert frame.grid is DE1200
        assert (frame.product, frame.missing_radars, frame.interval_minutes) == ("RV", ("boo", "umd"), 5)
        np.testing.assert_array_equal(frame.rate_mmh_HW, field_HW)


def without(*names: str) -> xr.Dataset:
    return dataset().drop_vars(names)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (dataset(units="mm"), "unit of rain: expected one of .*got 'mm'"),
        (dataset(standard_name="air_temperature"), "expected a variable with one of the standard names"),
        (dataset(grid_mapping="nowhere"), "expected the name of a CF projection variable"),
        (without("crs"), "expected the name of a CF projection variable"),
        (without("time"), "expected a coordinate time with CF times"),
        (without("x"), "dimension x of rain: expected a coordinate"),
        (dataset().assign_coords(x=[0.0, 1.0, 5.0]), "coordinate x: expected equal steps"),
        (dataset().assign_coords(time=[1.0, 2.0]), "expected a coordinate time with CF times"),
        (dataset() - 3, "expected rates of 0 mm/h or more, got -3"),
        (dataset() + np.inf, "infinite rates"),
        (dataset().expand_dims(member=2), r"dimensions \(time, y, x\) or \(y, x\), got \('member'"),
        (dataset().rename(y="rows"), r"expected the dimensions \(time, y, x\) or \(y, x\), got"),
    ],
)
def test_unusable_files_name_what_was_expected_and_found(data: xr.Dataset, message: str) -> None:
    data["rain"].attrs = {"units": "mm h-1", "standard_name": "rainfall_rate", "grid_mapping": "crs"} | data[
        "rain"
    ].attrs
    with pytest.raises(FrameError, match=message):
        read(data)


def test_a_heap_that_hdf5_would_walk_for_ever_is_refused() -> None:
    """HDFGroup/hdf5 issue 1707: an object number turned to 0 in a global heap hangs libhdf5 2.0 and before."""
    golden = bytearray((Path(__file__).parents[2] / "golden" / "cf-netcdf.nc").read_bytes())
    first_object = golden.index(b"GCOL") + 16
    assert golden[first_object : first_object + 2] != b"\0\0"
    golden[first_object : first_object + 16] = bytes(16)
    with pytest.raises(FrameError, match=r"global heap at byte .* has free space of size 0"):
        read_frames(bytes(golden))


def test_text_that_starts_like_netcdf_is_a_frame_error() -> None:
    with pytest.raises(FrameError, match="NetCDF file does not open"):
        read_frames(b"CDF\x01 is not what this is")
