import math
import time

import pytest

from benchmarks.timing import compare, geometric_mean, typical_seconds


@pytest.fixture
def clock(monkeypatch):
    """Time that only work takes: each call of `work(n)` moves it by n seconds."""

    class Clock:
        now = 0.0

        def work(self, *durations_s):
            left = iter(durations_s)

            def run():
                self.now += next(left)

            return run

    held = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: held.now)
    return held


def test_the_first_pair_warms_up_and_the_medians_are_of_the_others(clock):
    result = compare("work", ("ours", clock.work(9, 1, 2, 4)), ("theirs", clock.work(9, 3, 8, 4)), runs=3)
    assert (result.ours_s, result.theirs_s, result.runs) == (2, 4, 3)
    assert result.ratio == 3  # of 3 / 1, 8 / 2 and 4 / 4: not the ratio of the medians


def test_a_slow_first_pair_counts_and_one_more_is_run(clock):
    result = compare("work", ("ours", clock.work(10, 20)), ("theirs", clock.work(30, 20)), runs=7)
    assert (result.ours_s, result.theirs_s, result.ratio, result.runs) == (15, 25, 2, 2)


def test_the_sides_take_turns(clock):
    order = []

    def side(name):
        def run():
            order.append(name)
            clock.now += 1

        return run

    compare("work", ("ours", side("a")), ("theirs", side("b")), runs=2)
    assert "".join(order) == "ababab"


def test_one_side_alone_is_timed_like_a_pair(clock):
    assert typical_seconds(clock.work(7, 1, 5, 2), runs=3) == 2
    assert typical_seconds(clock.work(30), runs=3) == 30


def test_the_mean_of_ratios_is_the_geometric_one():
    assert math.isclose(geometric_mean([2, 8]), 4)
