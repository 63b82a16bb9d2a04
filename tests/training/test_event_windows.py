"""Windows of events for scores: which fields are in them, what gaps cost, and that memory does not grow with them."""

import tracemalloc
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core import cf
from core.errors import ConfigError
from core.grid import RADOLAN_900
from training.datasets.cf_fields import CFFields
from training.evaluation.event_windows import NATIVE, PAPER, WindowCount, count_windows, event_windows
from training.evaluation.skill_windows import skill_windows

START = datetime(2020, 6, 1, 0, 10, tzinfo=UTC)


def write(path, minutes, size=(20, 24)):
    """Write an event whose field at START + m minutes is m / 20 mm/h everywhere, not observed along the south."""
    rate = np.ones((len(minutes), *size), np.float32) * np.array(minutes, np.float32)[:, None, None] / 20
    rate[:, -1] = np.nan
    times = [START + timedelta(minutes=m) for m in minutes]
    cf.write_dataset(cf.rate_dataset(rate.astype(np.float32), times, RADOLAN_900.resized(*size)), path)
    return path


def minutes_of(fields_THW):
    """Return the minutes after START of the fields of a window."""
    return np.rint(fields_THW[:, 0, 0] * 20).astype(int).tolist()


def test_a_native_window_has_all_scans_of_two_hours_and_the_scored_leads(tmp_path):
    path = write(tmp_path / "event.nc", range(0, 400, 5))
    first, second = event_windows(path, NATIVE)  # full hours from 02:10 to the last scan at 06:45 less 150 minutes
    assert [w.reference_time.isoformat() for w in (first, second)] == [f"2020-06-01T0{h}:00:00+00:00" for h in (3, 4)]
    assert minutes_of(first.past_THW) == list(range(50, 171, 5))
    assert minutes_of(first.future_LHW) == [170 + lead for lead in first.lead_minutes]
    assert first.lead_minutes == (5, 15, 30, 60, 90, 120, 150)
    assert (first.cadence_minutes, first.file, first.spell) == (5, "event.nc", "event")
    assert first.past_THW.dtype == first.future_LHW.dtype == np.float32
    assert np.isnan(first.past_THW[:, -1]).all()  # row 0 is north
    assert first.pixel_m == pytest.approx(np.sqrt(900_000 / 20 * 900_000 / 24))
    every = next(event_windows(path, NATIVE, all_leads=True))
    assert every.lead_minutes == tuple(range(5, 151, 5))
    assert minutes_of(every.future_LHW) == [170 + lead for lead in every.lead_minutes]


def test_leads_are_those_that_the_source_has(tmp_path):
    ten = next(event_windows(write(tmp_path / "ten.nc", range(0, 400, 10)), NATIVE))
    assert ten.lead_minutes == (30, 60, 90, 120, 150)
    assert len(ten.past_THW) == 13
    quarter = next(event_windows(write(tmp_path / "quarter.nc", range(5, 400, 15)), NATIVE, every_minutes=15))
    assert quarter.lead_minutes == (15, 30, 60, 90, 120, 150)
    assert len(quarter.past_THW) == 9
    sparse = write(tmp_path / "sparse.nc", range(20, 900, 60))
    assert list(event_windows(sparse, NATIVE)) == []  # three fields in two hours are too few
    assert list(event_windows(write(tmp_path / "one.nc", [50]), NATIVE)) == []
    assert list(event_windows(write(tmp_path / "short.nc", range(0, 260, 5)), NATIVE)) == []


@pytest.mark.parametrize(
    ("first", "last", "count"), [(50, 320, 1), (55, 320, 0), (50, 315, 0), (50, 380, 2), (45, 375, 1)]
)
def test_a_window_fits_into_the_event_from_two_hours_before_to_the_last_lead(tmp_path, first, last, count):
    path = write(tmp_path / "event.nc", range(first, last + 1, 5))  # 03:00 is minute 170, and 04:00 is 230
    assert len(list(event_windows(path, NATIVE))) == count_windows(path, NATIVE).windows == count


def test_a_gap_in_the_past_leaves_a_window_out_and_a_gap_after_it_is_not_observed(tmp_path):
    minutes = [m for m in range(0, 400, 5) if m not in (60, 200)]  # 60 is in the past of 03:00, 200 a lead of it
    path = write(tmp_path / "event.nc", minutes)
    assert list(event_windows(path, NATIVE)) == []
    assert count_windows(path, NATIVE) == WindowCount(windows=0, left_out=2, missing_fields=0)
    minutes = [m for m in range(0, 400, 5) if m not in (200, 235)]  # of the past of 04:00; leads 30 and (unscored) 65
    path = write(tmp_path / "event.nc", minutes)
    (window,) = event_windows(path, NATIVE)
    assert count_windows(path, NATIVE) == WindowCount(windows=1, left_out=1, missing_fields=1)
    assert count_windows(path, NATIVE, all_leads=True) == WindowCount(windows=1, left_out=1, missing_fields=2)
    there = np.isfinite(window.future_LHW[:, 0, 0])
    assert [lead for lead, found in zip(window.lead_minutes, there, strict=True) if not found] == [30]
    assert np.isfinite(window.past_THW[:, 0]).all()


def test_the_paper_s_windows_are_those_of_the_skill_protocol(tmp_path):
    minutes = [m for m in range(0, 600, 10) if m != 330]
    path = write(tmp_path / "event.nc", minutes, size=(150, 150))
    ours, skill = list(event_windows(path, PAPER)), list(skill_windows(path))
    assert len(ours) == len(skill) == count_windows(path, PAPER).windows > 10
    for one, other in zip(ours, skill, strict=True):
        np.testing.assert_allclose(one.past_THW, other.past_THW, rtol=1e-3)  # `skill_windows` holds 16 bits
        np.testing.assert_allclose(one.future_LHW, other.future_LHW, rtol=1e-3)
        assert one.pixel_m == pytest.approx(other.pixel_m)
        assert one.reference_time == START + timedelta(minutes=minutes[other.start] + 120)
    assert ours[0].past_THW.shape == (5, 124, 124)
    assert ours[0].lead_minutes == (30, 60, 90, 120, 150)
    hourly = list(event_windows(path, PAPER, every_minutes=60))
    assert [w.reference_time for w in hourly] == [w.reference_time for w in ours if w.reference_time.minute == 0]


def test_shards_share_the_windows(tmp_path):
    path = write(tmp_path / "event.nc", range(0, 900, 10))
    times = lambda shard: [w.reference_time for w in event_windows(path, NATIVE, shard=shard)]
    whole, parts = times((0, 1)), [times((n, 3)) for n in range(3)]
    assert sorted(time for part in parts for time in part) == whole
    assert len(whole) > 6
    assert all(parts)
    for shard in ((3, 3), (-1, 2), (0, 0)):
        with pytest.raises(ConfigError, match="shard: expected"):
            list(event_windows(path, NATIVE, shard=shard))
    with pytest.raises(ConfigError, match="every_minutes: expected at least 1, got 0"):
        list(event_windows(path, NATIVE, every_minutes=0))


def peak_and_reads(path, monkeypatch, **given):
    """Return the peak of memory in bytes, the number of windows, and the fields read, while windows pass by."""
    read: list[int] = []
    whole = CFFields.read

    def noted(self, which):
        read.extend(range(which.start, which.stop))
        return whole(self, which)

    monkeypatch.setattr(CFFields, "read", noted)
    tracemalloc.start()
    count = sum(1 for _ in event_windows(path, NATIVE, **given))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    monkeypatch.undo()
    return peak, count, read


def test_memory_does_not_grow_with_windows_and_each_field_is_decoded_once(tmp_path, monkeypatch):
    size = (100, 120)
    short = write(tmp_path / "short.nc", range(0, 360, 10), size)
    long = write(tmp_path / "long.nc", range(0, 1800, 10), size)
    few, windows, _ = peak_and_reads(short, monkeypatch, every_minutes=40)
    many, more, read = peak_and_reads(long, monkeypatch, every_minutes=40)
    assert more > 15 * windows > 15
    assert many < 1.2 * few
    assert many < 0.6 * 180 * size[0] * size[1] * 4  # a part of the event
    assert len(read) == len(set(read)) > 150
