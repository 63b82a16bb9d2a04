"""Scans and forecasts as ODIM_H5: read back by wradlib, pysteps and ourselves to within one quantum."""

import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wradlib
from typer import Typer
from typer.testing import CliRunner

from core.cf import rate_dataset, write_dataset
from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import DE1200, RADOLAN_900, Grid
from ingest.export import export_odim, main
from ingest.readers import read_frames
from ingest.store.live import Store
from ingest.writers.odim_h5 import DWD_SOURCE, odim_bytes, odim_file_name
from tests.ingest.small_scans import GRID, T0, minutes, small_frame

QUANTUM_MMH = 0.01


def forecast_file(path: Path, grid: Grid, leads: int = 3) -> np.ndarray:
    """A forecast as the service stores it, and its field."""
    rng = np.random.default_rng(4)
    rate_mmh_THW = rng.gamma(0.2, 5.0, (leads, *grid.shape)).astype(np.float32)
    rate_mmh_THW[rate_mmh_THW < 0.05] = 0
    rate_mmh_THW[:, :5] = np.nan
    times = [T0 + minutes(30 * lead) for lead in range(1, leads + 1)]
    dataset = rate_dataset(rate_mmh_THW, times, grid, reference_time=T0, attributes={"product": "RY"})
    write_dataset(dataset, path)
    return rate_mmh_THW


def assert_within_a_quantum(actual_HW, expected_HW, quantum_mmh: float = QUANTUM_MMH) -> None:
    np.testing.assert_array_equal(np.isnan(actual_HW), np.isnan(expected_HW))
    np.testing.assert_array_equal(actual_HW > 0, expected_HW > 0)
    assert np.nanmax(np.abs(actual_HW - expected_HW)) <= quantum_mmh * 1.001


def as_wradlib_reads(path: Path, number: int = 1) -> np.ndarray:
    """Values of wradlib's ODIM reader, scaled by the file's gain and offset."""
    content = wradlib.io.read_opera_hdf5(path)
    what, data = content[f"dataset{number}/data1/what"], content[f"dataset{number}/data1/data"]
    rate_mmh_HW = data * what["gain"] + what["offset"]
    return np.where(data == what["nodata"], np.nan, rate_mmh_HW)


def as_pysteps_reads(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pysteps.io.importers import import_odim_hdf5

        rate_mmh_HW, _, attributes = import_odim_hdf5(str(path), qty="RATE")
    return rate_mmh_HW, attributes


@pytest.mark.parametrize("grid", [GRID, RADOLAN_900, DE1200.resized(170, 156)], ids=["small", "900", "model"])
def test_wradlib_and_pysteps_read_a_forecast_back(tmp_path, grid):
    rate_mmh_THW = forecast_file(tmp_path / "f.nc", grid)
    paths = export_odim(tmp_path / "f.nc", tmp_path / "out")
    assert [path.name for path in paths] == [f"composite_ry_20240701_0000_{lead:03d}-hd5" for lead in (30, 60, 90)]
    for path, expected_HW in zip(paths, rate_mmh_THW, strict=True):
        assert_within_a_quantum(as_wradlib_reads(path), expected_HW)
        actual_HW, attributes = as_pysteps_reads(path)
        assert_within_a_quantum(actual_HW, expected_HW)
        assert (attributes["unit"], attributes["yorigin"], attributes["zerovalue"]) == ("mm/h", "upper", 0)
        edges = (attributes["x1"], attributes["y1"], attributes["x2"], attributes["y2"])
        np.testing.assert_allclose(edges, grid.extent_m, atol=0.01)
        assert attributes["xpixelsize"] == pytest.approx(grid.pixel_x_m)


def test_one_file_holds_all_leads_for_us_and_wradlib(tmp_path):
    rate_mmh_THW = forecast_file(tmp_path / "f.nc", GRID, leads=12)
    (path,) = export_odim(tmp_path / "f.nc", tmp_path / "all.h5")
    frames = read_frames(path)
    assert [frame.lead_minutes for frame in frames] == [30 * lead for lead in range(1, 13)]
    assert {frame.reference_time for frame in frames} == {T0}
    assert all(frame.grid.same_place(GRID) and frame.product == "RY" for frame in frames)
    for number, (frame, expected_HW) in enumerate(zip(frames, rate_mmh_THW, strict=True), start=1):
        assert_within_a_quantum(frame.rate_mmh_HW, expected_HW)
        assert_within_a_quantum(as_wradlib_reads(path, number), expected_HW)


def test_a_stored_dwd_scan_is_read_back_unchanged(tmp_path, shared_data):
    source = shared_data / "radolan/raa01-ry_10000-2509212320-dwd---bin.bz2"
    store = Store(tmp_path / "home")
    store.put(read_frames(source)[0])
    (path,) = export_odim(store.scans()[0].path, tmp_path / "out")
    assert path.name == "raa01-ry_10000-2509212320-dwd---bin.hdf5"
    (expected,), (actual,) = read_frames(source), read_frames(path)
    assert replace(actual, rate_mmh_HW=expected.rate_mmh_HW) == expected
    assert_within_a_quantum(actual.rate_mmh_HW, expected.rate_mmh_HW)
    assert_within_a_quantum(as_pysteps_reads(path)[0], expected.rate_mmh_HW)


def test_missing_radars_and_the_interval_go_with_it():
    for source in (DWD_SOURCE, "CMT:x"):
        frame = small_frame(5, missing=("ess", "neu"))
        (actual,) = read_frames(odim_bytes([frame], source=source))
        assert (actual.missing_radars, actual.interval_minutes) == (("ess", "neu"), 5.0)
        assert actual.valid_time == frame.valid_time


def test_drizzle_below_the_quantum_stays_wet_and_large_rates_stay():
    frame = small_frame(0)
    rate_mmh_HW = np.zeros(frame.grid.shape, np.float32)
    rate_mmh_HW[0, :4] = 1e-4, 0.004, 5000.0, np.nan
    (actual,) = read_frames(odim_bytes([replace(frame, rate_mmh_HW=rate_mmh_HW)]))
    np.testing.assert_allclose(actual.rate_mmh_HW[0, :5], [0.01, 0.01, 5000.0, np.nan, 0], rtol=1e-6)


def test_frames_that_fit_no_file_are_refused(tmp_path):
    frame = small_frame(0)
    degrees = Grid("EPSG:4326", 5.0, 55.0, 0.1, 0.1, *frame.grid.shape)
    ahead = [replace(frame, lead_minutes=lead) for lead in (5, 10)]
    for frames, message in (
        ([], "at least one"),
        ([frame, replace(frame, grid=replace(GRID, west_m=0.0))], "two grids"),
        (ahead, "forecasts of one reference time, got several"),
        ([replace(frame, grid=degrees)], "got one in degrees"),
    ):
        with pytest.raises(FrameError, match=message):
            odim_bytes(frames)


def test_names_are_the_dwds():
    time = datetime(2025, 9, 23, 8, 55, tzinfo=UTC)
    frame = RadarFrame(time, GRID, small_frame(0).rate_mmh_HW, "RV")
    assert odim_file_name(frame) == "composite_rv_20250923_0855_000-hd5"
    ahead = replace(frame, valid_time=time + timedelta(minutes=50), lead_minutes=50)
    assert odim_file_name(ahead) == "composite_rv_20250923_0855_050-hd5"


def test_the_command(tmp_path):
    forecast_file(tmp_path / "f.nc", GRID)
    app = Typer(add_completion=False)
    app.command()(main)
    result = CliRunner().invoke(app, ["--input", str(tmp_path / "f.nc"), "--out", str(tmp_path / "f.h5")])
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'f.h5'}\n")
    assert len(read_frames(tmp_path / "f.h5")) == 3
    (tmp_path / "no.nc").write_bytes(b"no")
    result = CliRunner().invoke(app, ["--input", str(tmp_path / "no.nc"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.stderr.startswith("export: no.nc: expected one of the formats")
    assert not (tmp_path / "out").exists()
