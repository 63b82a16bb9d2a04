"""Building archives from every kind of source, in one process and in two."""

import json
from datetime import UTC, datetime, timedelta

import h5py
import numpy as np
import pytest

from core.errors import ConfigError, NoDataError
from ingest.archive.build import build_archive
from ingest.readers import read_frames
from tests.ingest.archive.sources import (
    START,
    STEP,
    read_archive,
    ry_scan,
    small_rates,
    tar_bytes,
    write_event,
)


def minutes(dataset) -> list[int]:
    since = dataset["time"].values - np.datetime64(START.replace(tzinfo=None))
    return [int(minute) for minute in since / np.timedelta64(1, "m")]


def test_event_files_come_back_as_they_are_row_0_in_the_north(tmp_path, settings):
    rate_mmh_THW = small_rates(7)
    write_event(tmp_path / "in" / "a.nc", rate_mmh_THW[:4], START)
    write_event(tmp_path / "in" / "b.nc", rate_mmh_THW[4:], START + 6 * STEP)
    report = build_archive(tmp_path / "in", tmp_path / "out.zarr", settings).report
    archive = read_archive(tmp_path / "out.zarr")
    np.testing.assert_array_equal(archive["rainfall_rate"].values, rate_mmh_THW)
    assert (np.diff(archive["y"]) < 0).all()
    assert minutes(archive) == [0, 5, 10, 15, 30, 35, 40]
    assert archive["missing_times"].size == 2
    assert archive.attrs["consistent_timestep_start"] == "2024-06-01T00:00:00"
    assert report["gaps"] == [{"from": "2024-06-01T00:20:00Z", "to": "2024-06-01T00:25:00Z", "fields": 2}]
    wet_THW, seen_THW = rate_mmh_THW >= 0.1, np.isfinite(rate_mmh_THW)
    np.testing.assert_allclose(archive["wet_fraction"], wet_THW.sum((1, 2)) / seen_THW.sum((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(archive["max_rate"], np.nanmax(rate_mmh_THW, axis=(1, 2)), rtol=1e-6)
    assert not list(tmp_path.glob("*.building"))


def test_nested_archives_hold_the_same_as_plain_files(tmp_path, settings):
    scans = [ry_scan(number) for number in range(3)]
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.mkdir()
    packed.mkdir()
    for name, content, _ in scans:
        (plain / name).write_bytes(content)
    day = tar_bytes({name: content for name, content, _ in scans[:2]}, "w:gz")
    late = tar_bytes({scans[2][0]: scans[2][1]}, "w:bz2")
    (packed / "YW_202406.tar").write_bytes(tar_bytes({"day1.tar.gz": day, "day2.tar.bz2": late}))
    for folder in (plain, packed):
        build_archive(folder, folder.with_suffix(".zarr"), settings)
    one, other = read_archive(plain.with_suffix(".zarr")), read_archive(packed.with_suffix(".zarr"))
    np.testing.assert_array_equal(one["rainfall_rate"], other["rainfall_rate"])
    for number, (name, _, rate_mmh_HW) in enumerate(scans):
        np.testing.assert_allclose(one["rainfall_rate"][number], rate_mmh_HW, rtol=1e-6)
        frame = read_frames(plain / name)[0]
        np.testing.assert_array_equal(one["rainfall_rate"][number], frame.rate_mmh_HW)


def test_files_left_out_of_the_archive_are_named_with_the_reason(tmp_path, settings, shared_data):
    folder = tmp_path / "in"
    folder.mkdir()
    name, content, _ = ry_scan(0)
    (folder / name).write_bytes(content)
    (folder / "notes.txt").write_text("not a radar file")
    raw = shared_data / "radolan"
    for other in ("RE2210180700_000.gz", "RQ2210180700_060.gz", "raa01-yw2017.002_10000-1708160055-dwd---bin.gz"):
        (folder / f"z{other}").write_bytes((raw / other).read_bytes())
    day = tar_bytes({ry_scan(1)[0]: ry_scan(1)[1], ry_scan(2)[0]: ry_scan(2)[1]}, "w:gz")
    (folder / "a_cut.tar").write_bytes(
        tar_bytes(
            {"day.tar.gz": day[: len(day) * 3 // 4], "bad.gz": b"\x1f\x8b" + b"no gzip" * 9, "after.gz": ry_scan(4)[1]}
        )
    )
    report = build_archive(folder, tmp_path / "out.zarr", settings, product="RY").report
    reasons = {one["file"].rsplit("/", 1)[-1]: one["reason"] for one in report["rejected"]}
    assert "solid fraction" in reasons["zRE2210180700_000.gz"]
    assert "a forecast of 60 minutes" in reasons["zRQ2210180700_060.gz"]
    assert "expected the archive's product RY, got YW" in reasons["zraa01-yw2017.002_10000-1708160055-dwd---bin.gz"]
    assert {"notes.txt", "bad.gz"} <= reasons.keys()
    assert any("damaged archive" in reason for reason in reasons.values())
    assert {0, 20} <= set(minutes(read_archive(tmp_path / "out.zarr")))
    assert "RE2210180700" in (tmp_path / "out.gaps.txt").read_text()
    assert json.loads((tmp_path / "out.gaps.json").read_text()) == report


def test_of_two_fields_of_one_time_the_one_that_observes_more_is_kept(tmp_path, settings):
    less, more = small_rates(2, seed=1)
    less[:, :3], more[:] = np.nan, np.nan_to_num(more)
    write_event(tmp_path / "in" / "1.nc", np.stack([less, more]), START)
    write_event(tmp_path / "in" / "2.nc", np.stack([more, less]), START)
    report = build_archive(tmp_path / "in", tmp_path / "out.zarr", settings).report
    np.testing.assert_array_equal(read_archive(tmp_path / "out.zarr")["rainfall_rate"], np.stack([more, more]))
    assert report["duplicate_count"] == 2


def test_rydl_depths_become_rates_from_the_north(tmp_path, settings):
    depth_mm_HW = np.zeros((900, 900), np.float32)
    depth_mm_HW[0, 3], depth_mm_HW[5, 5], depth_mm_HW[6, 6] = 0.25, np.nan, -1
    with h5py.File(tmp_path / "RYDL.hdf5", "w") as file:
        for key in ("201606010000", "201606010010"):
            file.create_dataset(key, data=depth_mm_HW, compression="gzip")
    build_archive(tmp_path / "RYDL.hdf5", tmp_path / "out.zarr", settings)
    archive = read_archive(tmp_path / "out.zarr")
    assert archive["time"].values.astype("datetime64[m]").astype(str).tolist() == [
        "2016-06-01T00:00",
        "2016-06-01T00:10",
    ]
    rate = archive["rainfall_rate"].values[0]
    assert rate[899, 3] == 3.0
    assert np.isnan(rate[894, 5])
    assert np.isnan(rate[893, 6])
    assert np.isfinite(rate).sum() == 900 * 900 - 2


def test_two_processes_make_the_same_archive_as_one(tmp_path, settings):
    for number in range(4):
        write_event(tmp_path / "in" / f"{number}.tar", small_rates(3, number), START + 3 * number * STEP)
    for workers in (1, 2):
        build_archive(tmp_path / "in", tmp_path / f"{workers}.zarr", settings, workers=workers)
    one, two = read_archive(tmp_path / "1.zarr"), read_archive(tmp_path / "2.zarr")
    assert one["time"].size == 12
    assert one.drop_attrs().identical(two.drop_attrs())


def test_a_finished_archive_is_left_alone_and_never_overwritten(tmp_path, settings):
    write_event(tmp_path / "in" / "a.nc", small_rates(2), START)
    out = tmp_path / "out.zarr"
    build_archive(tmp_path / "in", out, settings)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert build_archive(tmp_path / "in", out, settings).report == {}
    write_event(tmp_path / "in" / "b.nc", small_rates(2), START + timedelta(days=1))
    with pytest.raises(ConfigError, match="archive of other files"):
        build_archive(tmp_path / "in", out, settings)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_sources_without_a_field_are_an_error_and_leave_no_archive(tmp_path, settings):
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match="got an empty folder"):
        build_archive(tmp_path / "in", tmp_path / "out.zarr", settings)
    (tmp_path / "in" / "x.gz").write_bytes(b"\x1f\x8bnothing")
    with pytest.raises(NoDataError, match=r"x\.gz"):
        build_archive(tmp_path / "in", tmp_path / "out.zarr", settings)
    with pytest.raises(ConfigError, match="got nothing there"):
        build_archive(tmp_path / "elsewhere", tmp_path / "out.zarr", settings)
    assert not (tmp_path / "out.zarr").exists()


def test_real_scans_and_a_real_event_are_archived_bit_by_bit(tmp_path, settings, shared_data):
    sequence = shared_data / "radolan" / "sequence_ry_20200101"
    report = build_archive(sequence, tmp_path / "ry.zarr", settings).report
    assert (report["fields"], report["missing"], report["rejected_count"]) == (13, 0, 0)
    archive = read_archive(tmp_path / "ry.zarr")
    for number, path in enumerate(sorted(sequence.iterdir())):
        np.testing.assert_array_equal(archive["rainfall_rate"][number], read_frames(path)[0].rate_mmh_HW)
    event = shared_data / "events" / "opera_germany_20180824.nc"
    build_archive(event, tmp_path / "event.zarr", settings)
    archive = read_archive(tmp_path / "event.zarr")
    frames = read_frames(event)
    assert len(frames) == archive["time"].size
    assert frames[5].valid_time == datetime.fromtimestamp(
        int(archive["time"].values[5].astype("datetime64[s]").astype(int)), UTC
    )
    np.testing.assert_array_equal(archive["rainfall_rate"][5], frames[5].rate_mmh_HW)
