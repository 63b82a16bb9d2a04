"""A replay that waits for slow forecasts, with a clock of the test's own."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.settings import Settings
from service.forecasts.pace import ReplayPace, pace_words, replay_state
from service.replay import pace_of
from tests.service.api_support import REFERENCE, fill, service_at

START = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass
class SlowForecaster:
    """Forecasts that are there some seconds after their scan, by a clock that advances only by waits."""

    seconds: list[float]
    now_s: float = 0.0
    began_s: dict[datetime, float] = field(default_factory=dict)

    def is_settled(self, scan_time: datetime) -> bool:
        began_s = self.began_s.setdefault(scan_time, self.now_s)
        return self.now_s - began_s >= self.seconds[len(self.began_s) - 1]

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


def paced(home: Path, seconds: list[float], lines: list[str]) -> ReplayPace:
    slow = SlowForecaster(seconds)
    return ReplayPace(home, 20, slow.is_settled, 120, lines.append, clock=lambda: slow.now_s, wait=slow.wait)


def test_a_slow_forecast_slows_the_replay_down_in_words(tmp_path: Path):
    lines: list[str] = []
    hold = paced(tmp_path, [50, 40, 40, 3], lines)
    states = []
    for step in range(4):
        hold(START + step * timedelta(minutes=5))
        states.append(replay_state(tmp_path))
    slow = "slowed down to 7.5 minutes per minute because a forecast takes 40 s (20 minutes per minute were asked for)"
    assert states == ["ok", slow, slow, "ok"]  # the first one waits for the start of all processes: no pace to speak of
    assert lines == ["waiting for the first forecast", slow, "20 minutes per minute again"]


def test_a_forecast_that_never_comes_does_not_stop_the_replay_for_good(tmp_path: Path):
    lines: list[str] = []
    hold = paced(tmp_path, [1, 1e9], lines)
    hold(START)
    hold(START + timedelta(minutes=5))
    assert lines[-1] == "no forecast of the scan of 2026-06-01T00:05:00Z within 120 s; the replay goes on"
    assert replay_state(tmp_path) == lines[-1]


@pytest.mark.parametrize(("speed", "forecast_s", "is_full"), [(20, 15, True), (20, 16, True), (20, 17, False)])
def test_a_forecast_within_a_step_does_not_slow_down(speed: float, forecast_s: float, is_full: bool):
    assert (pace_words(speed, forecast_s) == "ok") is is_full


def test_a_scan_is_settled_once_it_and_its_forecast_are_stored(tmp_path: Path):
    service = service_at(tmp_path, source_kind="replay")
    settings: Settings = service.settings
    is_settled = pace_of(settings, 20).is_settled
    assert not is_settled(REFERENCE)
    fill(service)
    assert not is_settled(REFERENCE)
    service.forecast_stored(scheduled=True)
    assert is_settled(REFERENCE)
    assert not is_settled(REFERENCE + timedelta(minutes=5))


def test_only_the_newest_scan_of_a_replay_is_scheduled(tmp_path: Path):
    service = service_at(tmp_path, source_kind="replay", refuse_after_s=10_800)
    fill(service)
    assert [time for time, _ in service.schedule.pending()] == [REFERENCE]
