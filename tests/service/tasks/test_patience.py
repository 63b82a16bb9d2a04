"""Scores give way to the forecasts of new scans, but not for ever."""

from types import SimpleNamespace
from typing import Any

import pytest

from service.tasks import forecasts
from service.tasks.forecasts import Patience


def test_what_is_less_urgent_waits_for_a_minute_at_most():
    time = [0.0]
    patience = Patience(60.0, lambda: time[0])
    for now, is_urgent, expected in (
        (10.0, True, True),
        (59.0, True, True),
        (60.0, True, False),
        (100.0, True, True),
        (110.0, False, False),
        (169.0, True, True),
        (171.0, True, False),
    ):
        time[0] = now
        assert patience.gives_way(is_urgent) is expected, now


@pytest.mark.parametrize(
    ("waits", "patience_s", "expected"), [(True, 60.0, False), (False, 60.0, True), (True, 0.0, True)]
)
def test_no_score_and_no_baseline_is_computed_while_a_scan_waits(monkeypatch, waits, patience_s, expected):
    done: list[str] = []
    missing = SimpleNamespace(id="a")

    def scored(_seconds: float) -> int:
        done.append("scores")
        return 3

    made: Any = SimpleNamespace(
        schedule=SimpleNamespace(pending=lambda: [1] if waits else []),
        verified_since=lambda: None,
        verify_observed=scored,
        baselines=SimpleNamespace(
            make_again=lambda: done.append("again"),
            missing=lambda since, limit: [missing],
            compute=lambda forecast: done.append("baselines"),
        ),
    )
    monkeypatch.setattr(forecasts, "service", lambda: made)
    monkeypatch.setattr(forecasts, "record_rain_times", lambda service, seconds: done.append("times"))
    monkeypatch.setattr(forecasts, "record", lambda part: done.append(f"record of {part}"))
    monkeypatch.setattr(forecasts, "is_first", lambda name, within_s: True)
    for name in ("scores_patience", "baselines_patience"):
        monkeypatch.setattr(forecasts, name, Patience(patience_s))
    assert forecasts.verify_task.run() == (3 if expected else 0)
    assert forecasts.make_baselines_task.run() == ("a" if expected else None)
    assert done == (["again", "scores", "times", "record of verification", "baselines"] if expected else [])
