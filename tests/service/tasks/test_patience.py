"""Scores give way to the forecasts of new scans, but not for ever."""

from collections.abc import Callable
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
        (20.0, False, False),
        (59.0, True, True),
        (60.0, True, False),
        (61.0, True, False),
    ):
        time[0] = now
        assert patience.gives_way(is_urgent) is expected, now
    patience.had_its_time()
    assert patience.gives_way(True)
    time[0] = 121.0
    assert not patience.gives_way(True)


class Made:
    """A service that notes what is done; a scan waits for its forecast from the beginning, or arrives meanwhile."""

    def __init__(self, *, waits: bool, arrives: bool = False) -> None:
        self.done: list[str] = []
        self.waits, self.arrives = waits, arrives
        self.schedule = self.baselines = self

    def pending(self) -> list[int]:
        return [1] if self.waits else []

    def newest_is_pending(self) -> bool:
        return self.waits

    def verified_since(self) -> None:
        return None

    def make_again(self) -> None:
        self.done.append("again")

    def missing(self, since: None, limit: int) -> list[Any]:
        return [SimpleNamespace(id="a", inputs_sha256="0", lead_minutes=[5])]

    def compute(self, forecast: object) -> None:
        self.done.append("baselines")

    def verify_observed(self, _seconds: float, gives_way: Callable[[], bool]) -> int:
        self.waits = self.waits or self.arrives
        self.done.append("some scores" if gives_way() else "scores")
        return 3


@pytest.fixture
def in_worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[Made, float], Made]:
    def opened(made: Made, patience_s: float) -> Made:
        monkeypatch.setattr(forecasts, "service", lambda: made)
        monkeypatch.setattr(forecasts, "record_rain_times", lambda service, seconds: made.done.append("times"))
        monkeypatch.setattr(forecasts, "record", lambda part: made.done.append(f"record of {part}"))
        monkeypatch.setattr(forecasts, "is_first", lambda name, within_s: True)
        for name in ("scores_patience", "baselines_patience"):
            monkeypatch.setattr(forecasts, name, Patience(patience_s))
        return made

    return opened


@pytest.mark.parametrize(
    ("waits", "patience_s", "expected"), [(True, 60.0, False), (False, 60.0, True), (True, 0.0, True)]
)
def test_no_score_and_no_baseline_is_computed_while_a_scan_waits(in_worker, waits, patience_s, expected):
    made = in_worker(Made(waits=waits), patience_s)
    assert forecasts.verify_task.run() == (3 if expected else 0)
    assert forecasts.make_baselines_task.run() == ("a" if expected else None)
    assert made.done == (["again", "scores", "times", "record of verification", "baselines"] if expected else [])


def test_a_verification_is_cut_short_by_a_new_scan_but_not_for_more_than_a_minute(in_worker):
    made, time = in_worker(Made(waits=False, arrives=True), 60.0), [0.0]
    forecasts.scores_patience.clock = lambda: time[0]
    forecasts.scores_patience.had_its_time()
    cut_short = ["again", "some scores", "record of verification"]
    for now, expected in ((30.0, cut_short), (59.0, cut_short), (60.0, ["again", "scores", "times", cut_short[-1]])):
        time[0], made.waits, made.done = now, False, []
        assert forecasts.verify_task.run() == 3
        assert made.done == expected, now
    assert forecasts.scores_patience.gives_way(True), "the next minute begins with the whole verification"
