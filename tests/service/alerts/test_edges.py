"""Rules at the edges: probabilities and thresholds met exactly, ends of windows, changes of the clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from service.alerts.conditions import RuleArrays, conditions_of
from service.alerts.machine import Finding, RuleEvent, RuleState, step
from service.alerts.messages import sentence
from service.alerts.rule import AlertRule, checked_definition
from service.alerts.values import AreaValues
from service.forecasts.packing import packed
from service.schemas.rules import RuleIn

MINUTES = np.array([5, 10, 30, 60])
NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
STEPS = 200
"""Steps of the probabilities of a file."""


def rule(**changes: Any) -> AlertRule:
    sent = {"name": "edge", "place": {"lat": 51, "lon": 10}, "quantity": "rate", "threshold": 1.0, **changes}
    return AlertRule.of("1", 1, checked_definition(RuleIn.model_validate(sent)))


def values(probability_L: Any, mmh: float = 1.0, observed_T: Any = (0, 0), depth_mm: float = 0.0) -> AreaValues:
    """Values of one area, with scans 30 minutes apart."""
    probability_LP = np.asarray(probability_L, np.float32)[:, None]
    observed_TP = np.asarray(observed_T, np.float32)[:, None]
    depths_TP = np.array([[0], [depth_mm]], np.float32)
    age_T = np.arange(len(observed_TP))[::-1] * 30
    rate_LP = np.zeros_like(probability_LP)
    sums_P = {5.0: np.zeros(1, np.float32)}
    return AreaValues(MINUTES, rate_LP, {mmh: probability_LP}, True, observed_TP, age_T, depths_TP, sums_P, True)


def in_steps(count: int) -> np.float32:
    """A probability as files hold it."""
    codes = np.array([count], np.uint8)
    return np.float32(packed(codes, {"scale_factor": 0.005, "_FillValue": 255})[0])


@pytest.mark.parametrize("quantity", ["rate", "start", "end"])
def test_a_probability_that_is_the_rule_s_is_enough_and_one_step_less_is_not(quantity):
    wet_T = (2, 2) if quantity == "end" else (0, 0)
    for number in range(1, STEPS + 1):
        one = RuleArrays.of([rule(quantity=quantity, probability=number / STEPS, dry_minutes=0)], [0])
        for count, expected in ((number, True), (number - 1, False)):
            chance = in_steps(STEPS - count if quantity == "end" else count)
            assert conditions_of(one, values([chance] * 4, observed_T=wet_T)).starts_N[0] == expected, (number, count)


def test_a_rate_and_a_depth_that_are_the_threshold_are_seen():
    for rate, expected in ((1.0, True), (0.99, False)):
        found = conditions_of(RuleArrays.of([rule()], [0]), values([0] * 4, observed_T=(0, rate)))
        assert found.seen_N[0] == expected
    deep = RuleArrays.of([rule(quantity="sum_60min", threshold=5.0)], [0])
    for depth, expected in ((5.0, True), (4.999, False)):
        assert conditions_of(deep, values([0] * 4, depth_mm=depth)).seen_N[0] == expected


@pytest.mark.parametrize(
    ("first", "last", "minutes"), [(0, 60, 5), (5, 10, 5), (6, 60, 10), (10, 30, 10), (31, 60, 60), (11, 29, None)]
)
def test_a_window_has_both_its_ends(first, last, minutes):
    one = RuleArrays.of([rule(lead_from_minutes=first, lead_to_minutes=last)], [0])
    found = conditions_of(one, values([0.9] * 4))
    assert found.expected_minutes_N[0] == (minutes or -1)
    assert found.starts_N[0] == (minutes is not None)


@pytest.mark.parametrize(
    ("start", "end", "day", "quiet"),
    [
        # Berlin, 31 March 2024: 02:00 to 03:00 do not exist; 01:00 UTC is 03:00
        ("22:00", "06:30", datetime(2024, 3, 31, tzinfo=UTC), {0: True, 1: True, 4: True, 4.5: False}),
        ("02:00", "03:00", datetime(2024, 3, 31, tzinfo=UTC), {0.9: False, 1: False}),
        # 27 October 2024: 02:00 to 03:00 are there twice, from 00:00 UTC on
        ("22:00", "06:30", datetime(2024, 10, 27, tzinfo=UTC), {0: True, 1: True, 5: True, 5.5: False}),
        ("02:00", "03:00", datetime(2024, 10, 27, tzinfo=UTC), {0: True, 0.9: True, 1: True, 1.9: True, 2: False}),
    ],
)
def test_quiet_hours_are_those_of_the_wall_clock_also_when_it_changes(start, end, day, quiet):
    one = rule(quiet_hours={"start": start, "end": end, "tz": "Europe/Berlin"})
    assert {hours: one.is_quiet(day + timedelta(hours=hours)) for hours in quiet} == quiet


def test_a_sum_is_not_updated_since_its_hour_moves_on():
    one = rule(quantity="sum_60min", threshold=5.0)
    kinds = []
    state = RuleState("1")
    for minutes, chance in ((0, 0.9), (15, 0.9), (30, 0.9), (45, 0.6)):
        state, event = step(one, state, finding(minutes, chance), quiet=False)
        kinds.append(event.kind if event else None)
    assert kinds == ["raised", None, None, "updated"]


@pytest.mark.parametrize(
    ("changes", "kind", "seen", "english", "german"),
    [
        (
            {"quantity": "sum_60min", "threshold": 5.0},
            "raised",
            True,
            "expected by 13:00 UTC",
            "erwartet bis 13:00 UTC",
        ),
        ({}, "raised", True, "expected now", "erwartet jetzt"),
        ({}, "raised", False, "expected at 13:00 UTC", "erwartet um 13:00 UTC"),
        ({"quantity": "end"}, "raised", True, "expected at 13:00 UTC", "erwartet um 13:00 UTC"),
        ({}, "ended", False, "1 mm/h or more: over", "ab 1 mm/h: vorbei"),
        ({"quantity": "start"}, "ended", False, "beginning of rain is not expected", "Regenbeginn wird nicht mehr"),
        ({"quantity": "end"}, "ended", False, "end of the rain is not expected", "Regenende wird nicht mehr erwartet"),
        ({"quantity": "end"}, "ended", True, "the rain has ended", "Der Regen ist zu Ende"),
    ],
)
def test_a_sentence_is_true_of_its_event(changes, kind, seen, english, german):
    for language, words in (("en", english), ("de", german)):
        event = RuleEvent(kind, "condition" if kind == "raised" else "over", "1", NOON)
        found = replace(finding(0, 0.9), seen=seen)
        assert words in sentence(rule(language=language, **changes), event, found, None)


def finding(minutes: int, chance: float) -> Finding:
    time = NOON + timedelta(minutes=minutes)
    return Finding(time, chance, time + timedelta(hours=1), 5.0, True, True, True, False, False)
