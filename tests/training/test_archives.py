"""Archives of years: RainNet's HDF5 file, RADKLIM's Zarr store, the split by date, the cache of resized fields."""

from datetime import UTC, datetime, timedelta

import h5py
import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from core import cf
from core.errors import ConfigError, FrameError
from core.grid import RADOLAN_900, RADOLAN_1100
from ingest.archive.__main__ import app as archive_app
from ingest.readers.read import read_frames
from training.datasets import build_dataset, field_cache
from training.datasets.radar_series import RadarSeries
from training.datasets.series import open_series

STEPS = {"input_steps": 2, "lead_steps": 2, "seed": 5}
START = datetime(2014, 12, 31, 12, tzinfo=UTC)


def _germany(data, split, **options):
    return build_dataset("germany", data, split, {"height": 12, "width": 12, **options}, **STEPS)


def _rydl(path, steps, *, start=START, size=24):
    """Field k holds k / 100 mm in 5 minutes, its southernmost row 1 mm, and a cell that is not observed."""
    with h5py.File(path, "w") as file:
        for k in steps:
            depth_mm = np.full((size, size), max(k, 0) / 100, np.float32)
            depth_mm[0] = 1.0  # the files begin in the south
            depth_mm[5, 5] = -1.0
            name = f"{start + timedelta(minutes=5 * k):%Y%m%d%H%M}"
            file.create_dataset(name, data=depth_mm.astype(np.float16), compression="gzip")
    return path


def _radklim(path, hours=3, *, size=(30, 20)):
    """The layout of the public store: amounts in kg m-2 per 5 minutes, x and y in km, latitude and longitude."""
    grid = RADOLAN_1100.resized(*size)
    steps = [k for k in range(12 * hours) if k != 20]  # one scan is missing
    times = [START + timedelta(minutes=5 * k) for k in steps]
    amount = np.ones((len(steps), *size), np.float32) * (np.array(steps, np.float32) / np.float32(100))[:, None, None]
    amount[:, 0, 0] = np.nan
    dataset = cf.rate_dataset(amount.astype(np.float32), times, grid).drop_vars("coverage")
    dataset = dataset.rename({cf.RATE: "YW"}).isel(y=slice(None, None, -1))  # from the south
    dataset["YW"].attrs |= {"standard_name": "rainfall_amount", "long_name": "5-minute rainfall", "units": "kg m-2"}
    for axis in ("x", "y"):
        dataset[axis] = (axis, dataset[axis].values / 1000, {**dataset[axis].attrs, "units": "km"})
    lonlat = np.zeros(size)
    dataset = dataset.assign_coords(lat=(("y", "x"), lonlat), lon=(("y", "x"), lonlat))
    dataset.chunk({"time": 16}).to_zarr(path, zarr_format=2, consolidated=True)
    return path


def test_rainnet_s_file_is_read_in_mm_per_hour_from_the_north(tmp_path):
    series = open_series(_rydl(tmp_path / "RYDL.hdf5", [0, 1, 2, 7]))
    assert np.diff(series.minutes).tolist() == [5, 5, 25]
    assert datetime.fromtimestamp(int(series.minutes[0]) * 60, UTC) == START
    field = series.field_mmh(3)
    assert field[3, 3] == pytest.approx(12 * 0.07, rel=1e-3)
    assert (field[-1] == 12.0).all()  # row 0 is north
    assert np.isnan(field[-6, 5])
    assert series.pixel_m == 1000 * 900 / 24


def test_windows_of_rainnet_s_file_are_half_an_hour_apart_and_go_over_no_gap(tmp_path):
    steps = [k for k in range(60) if k != 30]
    data = _germany(_rydl(tmp_path / "RYDL.hdf5", steps), "test", height=24, width=24)
    starts = [k for k in steps if all(k + 6 * n in steps for n in range(4))]
    assert [w.begin - data.windows[0].begin for w in data.windows] == [5 * (k - starts[0]) for k in starts]
    for index in (0, len(starts) - 1):
        found = torch.cat(tuple(data[index]))[:, 0, 0, 0]
        expected = [12 * (starts[index] + 6 * n) / 100 for n in range(4)]
        np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_the_radklim_store_holds_amounts_of_five_minutes(tmp_path):
    series = open_series(_radklim(tmp_path / "5_minutes.zarr"))
    assert series.shape == (30, 20)
    assert series.pixel_m == pytest.approx(RADOLAN_1100.resized(30, 20).pixel_m, rel=1e-6)
    assert series.source.time_chunk == 16
    assert series.field_mmh(10)[5, 5] == pytest.approx(12 * 0.10)
    assert np.isnan(series.field_mmh(10)[0, 0])  # row 0 is north, though the store begins in the south
    assert series.fingerprint()["sha256"]
    data = _germany(tmp_path, "test")
    expected = [k for k in range(36) if all(k + 6 * n < 36 and k + 6 * n != 20 for n in range(4))]
    assert len(data) == len(expected)
    np.testing.assert_allclose(data[0].future_TCHW[:, 0, 6, 6], [12 * 0.12, 12 * 0.18], rtol=2e-3)


def test_an_amount_without_an_interval_is_refused(tmp_path):
    store = _radklim(tmp_path / "all.zarr", hours=1)
    xr.open_zarr(store).isel(time=slice(0, 1)).to_netcdf(tmp_path / "one.nc")
    with pytest.raises(FrameError, match="two or more"):
        open_series(tmp_path / "one.nc")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"train": np.zeros((2, 2))}, "200603010000"),
        ({"201413010000": np.zeros((2, 2))}, "named by their time, as"),
        ({}, "nothing"),
    ],
)
def test_hdf5_of_another_layout_is_refused(tmp_path, content, text):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        for key, value in content.items():
            file[key] = value
    with pytest.raises(FrameError, match=text):
        open_series(tmp_path / "other.h5")
    (tmp_path / "cut.hdf5").write_bytes(b"not HDF5")
    with pytest.raises(ConfigError, match=r"nothing in .*expected .*RYDL\.hdf5"):
        _germany(tmp_path, "train")


def test_years_divide_an_archive_that_reaches_over_them(tmp_path):
    path = _rydl(tmp_path / "RYDL.hdf5", range(288))  # from noon of the last day of 2014 to noon of the first of 2015
    years = {"train_from": "2014-12-31T14:00", "test_from": "2015-01-01", "test_until": "2015-01-01T06:00"}
    day = datetime(2015, 1, 1, tzinfo=UTC).timestamp() / 60
    train, held_out, test = (_germany(path, split, **years) for split in ("train", "validation", "test"))
    assert min(w.begin for w in train.windows) == day - 600
    assert max(w.end for w in train.windows) + 90 <= min(w.begin for w in held_out.windows)
    assert max(w.end for w in held_out.windows) == day - 5
    assert min(w.begin for w in held_out.windows) == day - 120  # a fifth of ten hours
    assert min(w.begin for w in test.windows) == day
    assert max(w.end for w in test.windows) == day + 355
    assert test.fingerprint["test_from"] == "2015-01-01"


def test_years_that_do_not_divide_the_data_are_reported_and_ignored(tmp_path, caplog):
    path = _rydl(tmp_path / "RYDL.hdf5", range(60), start=datetime(2021, 6, 1, tzinfo=UTC))
    years = {"train_from": "2006-01-01", "test_from": "2015-01-01", "test_until": "2018-01-01"}
    assert len(_germany(path, "test", **years)) == len(_germany(path, "test")) == 42
    assert "no data on both sides of test_from 2015-01-01" in caplog.text
    assert _germany(path, "train", **years).fingerprint["test_from"] is None
    with pytest.raises(ConfigError, match="train_from before test_from"):
        _germany(path, "test", train_from="2016-01-01", test_from="2015-01-01")
    with pytest.raises(ConfigError, match="test_from"):
        _germany(path, "test", test_from="last year")


def test_windows_are_thinned_evenly(tmp_path):
    path = _rydl(tmp_path / "RYDL.hdf5", range(138))
    assert len(_germany(path, "test")) == 120
    thin = _germany(path, "test", max_windows=10)
    assert np.diff([w.begin for w in thin.windows]).tolist() == [60] * 9
    assert len(_germany(path, "test", max_windows=500)) == 120


def test_dry_windows_can_be_left_out_of_training_but_not_of_the_test(tmp_path):
    path = _rydl(tmp_path / "RYDL.hdf5", range(-40, 80), size=12)  # dry up to k = 0; k = 5 is the first of 0.5 mm/h
    options = {"min_wet_window": 0.5, "validation_fraction": 0.05}
    kept = _germany(path, "train", **options)
    first = int(kept.windows[0].series.minutes[0])
    last_given = [(w.begin - first) // 5 - 40 + 6 for w in kept.windows]
    assert last_given == list(range(5, 32))  # the last training window begins at field 65
    assert len(_germany(path, "train", **{**options, "min_wet_window": 0.0})) == 66
    assert len(_germany(path, "train", **{**options, "min_wet_window": 0.05})) == 66  # the wet row is a twelfth
    assert len(_germany(path, "test", **options)) == 120 - 18


def test_whole_windows_are_turned_by_seed_and_index(tmp_path):
    path = _rydl(tmp_path / "RYDL.hdf5", range(60))
    plain, turned, again = (_germany(path, "train", flips=flips) for flips in (False, True, True))
    sides = set()
    for index in range(len(plain)):
        one, other, same = (data[index].future_TCHW.nan_to_num(-1) for data in (plain, turned, again))
        assert torch.equal(other, same)
        assert torch.equal(one.flatten(1).sort().values, other.flatten(1).sort().values)
        edges = [other[0, 0, 0, 1:-1], other[0, 0, -1, 1:-1], other[0, 0, 1:-1, 0], other[0, 0, 1:-1, -1]]
        sides.add(int(np.argmax([float(edge.mean()) for edge in edges])))
    assert sides == {0, 1, 2, 3}  # the wet southern edge is on every side in turn


def test_a_large_archive_is_resized_once_and_kept_in_files(tmp_path, monkeypatch):
    path = _rydl(tmp_path / "RYDL.hdf5", range(300))
    small = _germany(path, "test")
    assert not (tmp_path / ".cache").exists()
    monkeypatch.setattr(RadarSeries, "is_small", False)
    large = _germany(path, "test")
    for index in (0, 90, 281):
        for one, other in zip(small[index], large[index], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3, equal_nan=True)
    files = sorted((tmp_path / ".cache").rglob("*"))
    assert [f.name for f in files if f.is_file()] == ["000000.npy", "000001.npy", "000004.npy"]  # 64 fields in each
    monkeypatch.setattr(field_cache, "resize", None)  # it would fail if a field were resized again
    again = _germany(path, "test")
    torch.testing.assert_close(again[90].past_TCHW, large[90].past_TCHW, rtol=0, atol=0, equal_nan=True)
    monkeypatch.undo()
    monkeypatch.setattr(RadarSeries, "is_small", False)
    thin = _germany(path, "test", max_windows=3)  # needs other fields, so its files are others
    torch.testing.assert_close(thin[1].past_TCHW, small[94].past_TCHW, rtol=1e-3, atol=1e-3, equal_nan=True)
    (tmp_path / "file").write_text("no folder")
    blocked = _germany(path, "test", cache=str(tmp_path / "file" / "cache"))
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="--set cache=FOLDER"):
        blocked[0]


def test_the_cache_of_a_file_that_changed_is_another(tmp_path, monkeypatch):
    monkeypatch.setattr(RadarSeries, "is_small", False)
    path = _rydl(tmp_path / "RYDL.hdf5", range(40))
    first = _germany(path, "test")[0].past_TCHW.clone()
    path.unlink()
    _rydl(path, range(5, 45))
    assert not torch.equal(_germany(path, "test")[0].past_TCHW, first)
    assert len(list((tmp_path / ".cache").iterdir())) == 2


def test_whole_fields_of_the_radolan_grid_are_one_kilometre(tmp_path):
    with h5py.File(tmp_path / "RYDL.hdf5", "w") as file:
        file.create_dataset("201501010000", data=np.zeros(RADOLAN_900.shape, np.float16), compression="gzip")
    assert open_series(tmp_path / "RYDL.hdf5").pixel_m == 1000


def test_an_archive_of_our_own_is_read(tmp_path, shared_data):
    source = shared_data / "radolan" / "sequence_ry_20200101"
    built = CliRunner().invoke(archive_app, ["build", "--source", str(source), "--out", str(tmp_path / "ry.zarr")])
    assert built.exit_code == 0, built.output
    data = _germany(tmp_path / "ry.zarr", "test", cadence_minutes=15)
    assert len(data) == 13 - 9  # one hour of scans every 5 minutes; a window of four spans 45 minutes
    assert data.windows[0].series.shape == (900, 900)
    assert data.windows[0].series.minutes[0] * 60 == datetime(2020, 1, 1, 15, tzinfo=UTC).timestamp()
    first = sorted(source.glob("*.gz"))[0]
    frame = read_frames(first)[0]
    expected = field_cache.resize(frame.rate_mmh_HW.astype(np.float16), (12, 12))
    np.testing.assert_allclose(data[0].past_TCHW[0, 0], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(data.windows[0].series.field_mmh(0), frame.rate_mmh_HW, rtol=1e-3, atol=1e-3)
