"""The benchmark of a folder: its files are distinct radar files of the day, and the worker stores all of them."""

import pytest

from benchmarks.folder import START, folder, ingest, read, write_day
from benchmarks.setting import BenchmarkSetting, quick
from ingest.readers import read_frames
from ingest.store.live import Store
from tests.ingest.small_scans import minutes


def test_a_day_s_files_are_distinct_and_all_are_stored(tmp_path):
    write_day(tmp_path / "in", 2)
    frames = [frame for path in sorted((tmp_path / "in").iterdir()) for frame in read_frames(path)]
    assert [frame.valid_time for frame in frames] == [START, START + minutes(5)]
    assert (frames[0].rate_mmh_HW != frames[1].rate_mmh_HW).any()
    ingest(tmp_path / "in", tmp_path / "home")
    assert len(Store(tmp_path / "home").scans()) == 2
    read(tmp_path / "in")


def test_a_file_that_is_not_stored_stops_the_benchmark(tmp_path):
    write_day(tmp_path / "in", 1)
    (tmp_path / "in" / "broken").write_bytes(b"no radar file")
    with pytest.raises(RuntimeError, match="expected 2 stored scans, got 1"):
        ingest(tmp_path / "in", tmp_path / "home")


@pytest.mark.long
def test_a_small_day_is_measured():
    (row,) = folder(quick(BenchmarkSetting())).rows
    assert float(row["stored, s"] or 0) > 0
