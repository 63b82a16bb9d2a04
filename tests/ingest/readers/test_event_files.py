"""The CF event files: several times, rows from the south, packed values, intervals by bounds."""

from datetime import timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest

from core.errors import TooLargeError
from core.grid import RADOLAN_900
from core.times import utc
from ingest.readers import read_frames


@pytest.mark.parametrize(
    ("name", "count", "first", "step_minutes", "interval_minutes", "coverage"),
    [
        ("knmi_20100826.nc", 92, "2010-08-26T00:00Z", 5, 5, 0.256),
        ("opera_germany_20180824.nc", 24, "2018-08-24T18:00Z", 15, 0, 0.996),
        ("fmi_20160928.nc", 40, "2016-09-28T14:45Z", 5, 0, 0.321),
    ],
)
def test_frames_hold_the_file(name, count, first, step_minutes, interval_minutes, coverage, shared_data: Path) -> None:
    path = shared_data / "events" / name
    frames = read_frames(path)
    assert [f.valid_time for f in frames] == [utc(first) + n * timedelta(minutes=step_minutes) for n in range(count)]
    assert {f.interval_minutes for f in frames} == {interval_minutes}
    assert np.mean([f.coverage for f in frames]) == pytest.approx(coverage, abs=0.001)
    with h5py.File(path) as raw:
        for number in (0, count // 2, count - 1):
            packed_HW = raw["precipitation_rate"][number][::-1]  # the file's rows run from the south
            rate_mmh_HW = np.where(packed_HW == -32768, np.nan, packed_HW * 0.01)
            np.testing.assert_allclose(frames[number].rate_mmh_HW, rate_mmh_HW, rtol=1e-6, atol=1e-9)
        assert frames[0].grid.y_centres_m[0] == pytest.approx(raw["y"][:].max())
        assert frames[0].grid.x_centres_m[0] == pytest.approx(raw["x"][:].min())


def test_the_german_event_is_on_dwds_grid(shared_data: Path) -> None:
    frames = read_frames(shared_data / "events" / "opera_germany_20180824.nc")
    assert {frame.grid for frame in frames} == {RADOLAN_900}


def test_packed_netcdf_counts_unpacked_against_the_limit(shared_data: Path) -> None:
    path = shared_data / "events" / "opera_germany_20180824.nc"
    assert path.stat().st_size < 8_000_000 < 24 * 900 * 900 * 2
    with pytest.raises(TooLargeError, match=r"opera_germany.*limit of 8,000,000 bytes"):
        read_frames(path, max_bytes=8_000_000)
    with pytest.raises(TooLargeError, match="expected at most 23 frames, got 24"):
        read_frames(path, max_frames=23)
