"""The benchmarks of the forecast on the radar's own cells, at tiny sizes."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import native as measured
from benchmarks import visible
from benchmarks.native import native, native_peers, window_mmh
from benchmarks.setting import BenchmarkSetting, quick
from benchmarks.sides import rain_mmh

SETTING = replace(quick(BenchmarkSetting()), scale=1.0)


def _numbers(row):
    return {column: float(value) for column, value in row.items() if not isinstance(value, str)}


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    for module in (measured, visible):
        monkeypatch.setattr(module, "in_fresh_process", lambda work, *args: work(*args))
    monkeypatch.setattr(measured, "window_mmh", lambda shape: rain_mmh(shape[0], shape[1], 5))


def test_each_grid_has_a_row_and_its_goals():
    section = native(SETTING)
    assert [row["cells"] for row in section.rows] == ["96x80", "64x48"]
    rows = [_numbers(row) for row in section.rows]
    for row in rows:
        assert all(value >= 0 for value in row.values())
        assert 0 < row["lead by lead, peak, GB"] < 50
    assert [goal.target for goal in section.goals] == [25.0, 4.0, 30.0, 35.0, 4.0, 30.0]
    assert [goal.measured for goal in section.goals[:2]] == [
        rows[0]["forecast, s"],
        rows[0]["peak, GB"],
    ]


def test_pysteps_is_timed_on_the_same_window():
    section = native_peers(SETTING)
    assert [(row["ours"], row["pysteps"], row["leads"]) for row in section.rows] == [
        ("probabilities", "extrapolation", 2),
        ("2 members", "STEPS", 1),
    ]
    assert all(_numbers(row)["times faster"] > 0 and _numbers(row)["pairs"] >= 1 for row in section.rows)
    (goal,) = section.goals
    assert (goal.target, goal.measured) == (10.0, section.rows[1]["times faster"])


def test_a_window_larger_than_the_composite_repeats_it(monkeypatch):
    monkeypatch.setattr(measured, "HOURS", 0.0)
    (whole,) = window_mmh((1000, 700))
    assert whole.shape == (1000, 700)
    np.testing.assert_array_equal(whole[900:], whole[:100])


@pytest.mark.long
def test_a_scan_is_followed_to_the_last_baseline(tmp_path):
    row = _numbers(visible.newest_scan(tmp_path, SETTING))
    assert 0 < row["scan stored, s"] < row["forecast, s"] < row["all, s"]
    assert row["leads"] == 30
    assert row["file, MB"] > 0.1
    assert row["baselines, MB"] > 0
