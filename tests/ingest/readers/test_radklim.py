"""RADKLIM in NetCDF as DWD writes it: sums in `RR`, axes in metres, a projection in kilometres, rows from the south."""

import gzip
import io
import tarfile
from datetime import timedelta

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from core.errors import FrameError
from core.grid import RADOLAN_1100, RADOLAN_SPHERE
from core.times import utc
from ingest.archive.build import build_archive
from ingest.archive.settings import archive_settings
from ingest.readers import read_frames
from tests.ingest.archive.sources import read_archive
from training.datasets.series import find_series, open_series

START = utc("2017-06-01T23:50Z")


def radklim(path, *, minutes=5, steps=3, name="RR"):
    """Step k holds k tenths of a mm; one cell is not observed, and the north-western one has a mm."""
    amount_THW = (
        np.zeros((steps, *RADOLAN_1100.shape), np.float32) + np.arange(steps, dtype=np.float32)[:, None, None] / 10
    )
    amount_THW[:, 7, 9], amount_THW[:, -1, 0] = np.nan, 1.0
    times = [np.datetime64((START + timedelta(minutes=minutes * k)).replace(tzinfo=None), "ns") for k in range(steps)]
    attributes = {"standard_name": "rainfall_amount", "units": "kg m-2", "grid_mapping": "crs"}
    kilometres = {"crs_wkt": CRS(RADOLAN_SPHERE.replace("+units=m", "+units=km")).to_wkt()}
    axes = {a: {"standard_name": f"projection_{a}_coordinate", "units": "m"} for a in "xy"}
    dataset = xr.Dataset(
        {name: (("time", "y", "x"), amount_THW, attributes), "crs": ((), np.int32(0), kilometres)},
        coords={
            "time": times,
            "y": ("y", RADOLAN_1100.y_centres_m[::-1], axes["y"]),
            "x": ("x", RADOLAN_1100.x_centres_m, axes["x"]),
        },
    )
    dataset.to_netcdf(path, encoding={name: {"zlib": True, "complevel": 1, "_FillValue": np.float32(-1.0)}})
    return path


@pytest.mark.parametrize(("minutes", "product"), [(5, "YW"), (60, "RW")])
def test_sums_are_rates_of_their_interval(tmp_path, minutes, product):
    frames = read_frames(radklim(tmp_path / "day.nc", minutes=minutes))
    for step, frame in enumerate(frames):
        assert frame.grid is RADOLAN_1100
        assert (frame.product, frame.interval_minutes, frame.lead_minutes) == (product, minutes, 0)
        assert frame.valid_time == START + timedelta(minutes=minutes * step)
        assert frame.rate_mmh_HW[0, 0] == pytest.approx(60 / minutes)
        assert frame.rate_mmh_HW[500, 500] == pytest.approx(step / 10 * 60 / minutes)
        assert np.isnan(frame.rate_mmh_HW[1099 - 7, 9])


def test_training_reads_the_same(tmp_path):
    series = open_series(radklim(tmp_path / "day.nc"))
    assert series.pixel_m == pytest.approx(1000)
    assert series.field_mmh(2)[0, 0] == pytest.approx(12)
    assert np.isnan(series.field_mmh(2)[1099 - 7, 9])


@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_is_built_of_days_and_of_a_tar_of_days(tmp_path, packed):
    source = tmp_path / "in"
    source.mkdir()
    day = radklim(tmp_path / "YW_2017.002_20170601.nc")
    if packed:
        with tarfile.open(source / "YW2017.002_2017_netcdf.tar.gz", "w:gz") as tar:
            tar.add(day, "2017/06/YW_2017.002_20170601.nc")
    else:
        day.rename(source / day.name)
    dataset = read_archive(build_archive(source, tmp_path / "out.zarr", archive_settings()).archive)
    assert dataset.sizes["time"] == 3
    assert float(dataset["rainfall_rate"][2, 0, 0]) == pytest.approx(12, rel=1e-3)


@pytest.mark.parametrize("where", ["2017/06/YW_2017.002_20170601.nc", "YW2017.002_2017_netcdf.tar.gz", "day.nc.gz"])
def test_training_finds_days_in_folders_and_in_packed_files(tmp_path, where):
    data = tmp_path / "data"
    path = data / where
    path.parent.mkdir(parents=True)
    day = radklim(tmp_path / "YW_2017.002_20170601.nc")
    if where.endswith(".tar.gz"):
        with tarfile.open(path, "w:gz", compresslevel=1) as tar:
            tar.add(day, "2017/06/YW_2017.002_20170601.nc")
            tar.add(__file__, "2017/README.py")
    elif where.endswith(".gz"):
        path.write_bytes(gzip.compress(day.read_bytes(), 1))
    else:
        day.rename(path)
    for _ in range(2):  # the second time from what was unpacked
        (series,) = find_series(data, tmp_path / "cache")
        assert [int(minute) * 60 for minute in series.minutes] == [int(START.timestamp()) + 300 * k for k in range(3)]
        assert series.field_mmh(2)[0, 0] == pytest.approx(12)
    assert len(list((tmp_path / "cache").rglob("*.nc"))) == where.endswith(".gz")


def test_a_damaged_archive_is_skipped_and_leaves_nothing(tmp_path, caplog):
    radklim(tmp_path / "day.nc")
    (tmp_path / "other.tar.gz").write_bytes(gzip.compress(b"not a tar archive"))
    assert len(find_series(tmp_path, tmp_path / ".cache")) == 1
    assert "other.tar.gz: damaged archive" in caplog.text
    assert not list((tmp_path / ".cache" / "unpacked").iterdir())


def test_one_field_has_no_interval(tmp_path):
    with pytest.raises(FrameError, match="expected the interval of this amount"):
        read_frames(radklim(tmp_path / "one.nc", steps=1))


def test_other_amounts_of_that_size_are_not_taken_for_radklim(tmp_path):
    with pytest.raises(FrameError, match="expected the interval of this amount"):
        read_frames(radklim(tmp_path / "ten.nc", minutes=10))


def test_bytes_are_read_as_well_as_files(tmp_path):
    content = radklim(tmp_path / "day.nc").read_bytes()
    assert len(read_frames(io.BytesIO(content).getvalue())) == 3
