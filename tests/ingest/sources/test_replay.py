"""Playing radar files into the watched folder, against a clock of the test's own."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from core.errors import ConfigError
from ingest.readers import read_frames
from ingest.sources.history import history_is_stored
from ingest.sources.replay import HISTORY, PlayedScan, day_start, invented, play, recorded
from ingest.store.live import Store
from ingest.synthetic import weather, write_weather
from ingest.writers.radolan import ry_file_name

START = datetime(2026, 6, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Clock:
    """A clock that advances only by waits."""

    def __init__(self, now: datetime):
        self.now = now
        self.waits: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += timedelta(seconds=seconds)


def scans(*minutes: float) -> Iterator[PlayedScan]:
    for minute in minutes:
        yield PlayedScan(START + minute * MINUTE, f"{minute}", Path.touch)


def test_history_is_written_at_once_and_then_time_runs_faster(tmp_path: Path):
    clock = Clock(START + timedelta(days=1))
    history = HISTORY / MINUTE
    played = play(scans(0, 60, history, history + 5, history + 15), tmp_path, 20, clock=clock, wait=clock.wait)
    assert played == 5
    assert clock.waits == [15, 30]
    assert len(list(tmp_path.glob("[0-9]*"))) == 5


def test_the_schedule_waits_until_the_history_is_stored(tmp_path: Path):
    clock = Clock(START + timedelta(days=1))
    inbox, home = tmp_path / "inbox", tmp_path / "home"
    inbox.mkdir()
    play(scans(0, 60, 120), inbox, 20, clock=clock, wait=clock.wait)
    assert not history_is_stored(home, inbox)
    play(scans(0, 120, 200), inbox, 20, clock=clock, wait=clock.wait)
    assert not history_is_stored(home, inbox)
    store = Store(home)
    store.put(next(weather(START + 120 * MINUTE, 0)))
    assert not history_is_stored(home, inbox)
    store.put(next(weather(START, 0)))
    assert history_is_stored(home, inbox)


def test_a_long_gap_is_cut_to_an_hour(tmp_path: Path):
    clock = Clock(START + timedelta(days=400))
    play(scans(0, 500, 500 + 1e5), tmp_path, 60, clock=clock, wait=clock.wait)
    assert clock.waits == [60, 60]


def test_a_replay_stands_still_until_the_forecast_of_its_last_scan_is_there_and_does_not_catch_up(tmp_path: Path):
    clock = Clock(START + timedelta(days=1))
    slow_s: dict[float, float] = {0: 40.0, 5: 40.0, 10: 1.0, 15: 1.0}
    written_at: dict[float, float] = {}
    held: list[datetime] = []

    def hold(scan_time: datetime) -> None:
        held.append(scan_time)
        clock.now += timedelta(seconds=slow_s[(scan_time - START) / MINUTE])

    def noted(minute: float) -> PlayedScan:
        def write(_: Path) -> None:
            written_at[minute] = (clock.now - START).total_seconds() - 86_400

        return PlayedScan(START + minute * MINUTE, f"{minute}", write)

    play(map(noted, (0, 5, 10, 15, 20)), tmp_path, 20, START, hold=hold, clock=clock, wait=clock.wait)
    assert held == [START + minute * MINUTE for minute in (0, 5, 10, 15)]
    assert written_at == {0: 0, 5: 40, 10: 80, 15: 95, 20: 110}  # a forecast of 1 s fits into the 15 s of a step


def test_scans_of_one_time_wait_once(tmp_path: Path):
    clock = Clock(START + timedelta(days=1))
    held: list[datetime] = []
    play(scans(0, 5, 5, 10), tmp_path, 20, START, hold=held.append, clock=clock, wait=clock.wait)
    assert held == [START, START + 5 * MINUTE]


def test_no_scan_is_played_before_its_time(tmp_path: Path):
    clock = Clock(START + 4 * MINUTE)
    play(scans(0, 5, 10), tmp_path, 1000, START, clock=clock, wait=clock.wait)
    assert clock.waits == pytest.approx([60, 300])


def test_time_lost_in_writing_is_made_up(tmp_path: Path):
    clock = Clock(START + timedelta(days=1))

    def slow(target: Path) -> None:
        clock.now += timedelta(seconds=2)

    play(
        (PlayedScan(START + n * MINUTE, "x", slow) for n in range(3)), tmp_path, 10, START, clock=clock, wait=clock.wait
    )
    assert clock.waits == [4, 4]


def test_recorded_files_are_played_by_the_time_in_them_byte_for_byte(tmp_path: Path, capsys):
    folder, inbox = tmp_path / "recorded", tmp_path / "inbox"
    later, earlier = (write_weather(folder, START + n * 5 * MINUTE, 0)[0] for n in (1, 0))
    later.rename(folder / "a.gz")
    (folder / "broken.gz").write_bytes(b"no radar file")
    (folder / ".hidden").write_bytes(b"")
    found = list(recorded(folder))
    assert [(scan.name, scan.valid_time) for scan in found] == [
        (earlier.name, START),
        ("a.gz", START + 5 * MINUTE),
    ]
    assert "left out broken.gz: " in capsys.readouterr().out
    inbox.mkdir()
    play(found, inbox, 1)
    assert (inbox / "a.gz").read_bytes() == (folder / "a.gz").read_bytes()


def test_a_folder_without_radar_files_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="expected radar files of a known format, got none"):
        next(recorded(tmp_path))


def test_the_synthetic_day_resumes_after_a_restart(tmp_path: Path):
    first = list(islice(invented(tmp_path, START), 2))
    first[0].write(tmp_path / first[0].name)
    (again,) = islice(invented(tmp_path, START), 1)
    assert again.valid_time == first[1].valid_time == START + 5 * MINUTE
    assert again.name == ry_file_name(again.valid_time)
    again.write(tmp_path / again.name)
    (frame,) = read_frames(tmp_path / again.name)
    (expected,) = weather(again.valid_time, 0)
    assert (frame.valid_time, frame.provider) == (again.valid_time, None)  # no one is credited with it
    np.testing.assert_allclose(frame.rate_mmh_HW, expected.rate_mmh_HW, rtol=1e-5)


def test_a_whole_day_is_past_before_the_present_is_reached():
    now = datetime(2026, 3, 1, 0, 0, 1, tzinfo=UTC)
    assert day_start(now) == datetime(2026, 2, 28, tzinfo=UTC)
