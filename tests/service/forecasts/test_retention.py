"""What is deleted of forecasts and exports, what never is, and that counts, catalogue and readers do not mind."""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

import ingest.store.retention
from core.errors import NoDataError
from core.settings import Settings
from ingest.store.locks import DiskFullError
from service.forecasts.exports import exported
from service.forecasts.retention import IN_USE, Clocks, ForecastRetention, KeepForecasts, mark_used, sweep_forecasts
from service.tasks.queue import SWEEP, schedule
from service.telemetry.metrics import DELETED_FILES
from tests.service.conftest import START, World, rain

DAY = timedelta(days=1)
HOURS = range(2, 13, 2)
FOR_EVER = KeepForecasts(400 * DAY, 10**12, 400 * DAY, 10**12)
NOTHING = KeepForecasts(timedelta(0), 10**12, 400 * DAY, 10**12)


def put_times(world: World, at: datetime) -> None:
    """As if every file had been written and read then."""
    for path in world.home.glob("forecasts/*/*/*/*"):
        os.utime(path, (at.timestamp(), at.timestamp()))


@pytest.fixture
def world(open_world: Callable[..., World]) -> World:
    """Half a day of scans with a forecast every two hours, all of them scored; no file was read since."""
    made = open_world()
    made.put(*[rain(minutes) for minutes in range(0, 15 * 60 + 1, 30)])
    for hours in HOURS:
        made.now = START + timedelta(hours=hours, minutes=3)
        made.service.forecast_stored(START + timedelta(hours=hours))
    made.service.verify_observed()
    made.now = START + timedelta(hours=15)
    put_times(made, made.now - timedelta(hours=1))
    return made


def sweep(world: World, keep: KeepForecasts, later: timedelta = timedelta(0)) -> dict[str, int]:
    newest = world.store.latest()
    assert newest is not None
    clocks = Clocks(world.now + later, newest.valid_time)
    return ForecastRetention(world.service.catalogue, keep).sweep(clocks, world.service.unverified())


def hours_of(world: World) -> list[int]:
    return sorted({(one.reference_time - START) // timedelta(hours=1) for one in world.service.list(limit=1000)})


def in_line(world: World) -> bool:
    """Check that catalogue and files agree."""
    before = world.service.list(limit=1000)
    files = {path.stem for path in world.home.glob("forecasts/*/*/*/*.nc") if len(path.suffixes) == 1}
    known = {one.id for one in before} | {one.inputs_path.stem for one in before}
    world.service.catalogue.rebuild()
    return files == known and world.service.list(limit=1000) == before


def test_nothing_goes_that_no_rule_names(world):
    assert sweep(world, FOR_EVER, later=399 * DAY) == {}
    assert hours_of(world) == list(HOURS)


def test_old_windows_go_whole_and_the_newest_hours_and_all_counts_stay(world, caplog):
    caplog.set_level(logging.INFO)
    counts = world.service.rolling(24 * 400)
    version, before = world.service.catalogue.version, DELETED_FILES.labels("forecasts")._value.get()
    assert sweep(world, NOTHING) == {"forecasts": 2 * 4}  # of two windows: forecast, both baselines, inputs
    assert hours_of(world) == [6, 8, 10, 12]
    assert in_line(world)
    assert world.service.rolling(24 * 400) == counts
    assert world.service.catalogue.version != version, "who holds the latest looks again"
    assert "deleting 8 files" in caplog.text
    assert DELETED_FILES.labels("forecasts")._value.get() == before + 8
    assert sweep(world, NOTHING) == {}
    assert world.service.verify_observed() == 0
    assert world.service.baselines.missing() == []


def test_ages_count_from_the_newest_scan_and_the_newest_forecast_stays_whatever_its_age(world):
    days = KeepForecasts(3 * DAY, 10**12, 400 * DAY, 10**12)
    assert sweep(world, days, later=30 * DAY) == {}, "the source is frozen"
    clocks = Clocks(world.now + 30 * DAY, world.now + 30 * DAY)
    ForecastRetention(world.service.catalogue, days).sweep(clocks)
    assert hours_of(world) == [6, 8, 10, 12], "scans without a forecast"


def test_what_is_still_to_be_verified_stays(open_world):
    world = open_world()
    world.put(*[rain(minutes) for minutes in range(0, 15 * 60 + 1, 30)])
    for hours in (2, 12):
        world.service.forecast_stored(START + timedelta(hours=hours))
    world.now = START + timedelta(hours=15)
    put_times(world, START)
    assert sweep(world, KeepForecasts(timedelta(0), 0, timedelta(0), 0)) == {}
    assert world.service.verify_observed() > 0
    put_times(world, START)
    assert sweep(world, NOTHING) == {"forecasts": 4}
    assert hours_of(world) == [12]


def test_too_many_bytes_take_the_oldest_first(world):
    sizes = sum(path.stat().st_size for path in world.home.glob("forecasts/*/*/*/*.nc"))
    assert sweep(world, KeepForecasts(400 * DAY, sizes, 400 * DAY, 10**12)) == {}
    assert sweep(world, KeepForecasts(400 * DAY, sizes - 1, 400 * DAY, 10**12)) == {"thinned": 2}
    thinned = sum(path.stat().st_size for path in world.home.glob("forecasts/*/*/*/*.nc"))
    assert sweep(world, KeepForecasts(400 * DAY, thinned - 5000, 400 * DAY, 10**12)) == {"thinned": 2}
    assert hours_of(world) == list(HOURS)
    thinned = sum(path.stat().st_size for path in world.home.glob("forecasts/*/*/*/*.nc"))
    assert sweep(world, KeepForecasts(400 * DAY, thinned - 1, 400 * DAY, 10**12)) == {"forecasts": 2}
    assert hours_of(world) == [4, 6, 8, 10, 12]
    assert sweep(world, KeepForecasts(400 * DAY, 0, 400 * DAY, 10**12)) == {"forecasts": 2}
    assert hours_of(world) == [6, 8, 10, 12]


def test_exports_go_when_long_unused_and_those_of_the_newest_stay(world):
    first, last = world.service.list(limit=1000, end=START + 2 * timedelta(hours=1))[0], world.service.latest()
    paths = [exported(first, "tif"), exported(first, "h5", lead_minutes=60), exported(first, "nc", source=True)]
    of_newest = exported(last, "tif")
    put_times(world, world.now - timedelta(hours=1))
    days = KeepForecasts(400 * DAY, 10**12, 2 * DAY, 10**12)
    assert sweep(world, days, later=1 * DAY) == {}
    in_two_days = world.now + 2 * DAY
    os.utime(paths[0], (in_two_days.timestamp(), paths[0].stat().st_mtime))
    assert sweep(world, days, later=2 * DAY) == {"exports": 2}
    assert [path.is_file() for path in [*paths, of_newest, first.path]] == [True, False, False, True, True]
    assert exported(first, "nc", source=True).is_file(), "written again for the next request"


def test_exports_of_too_many_bytes_go_except_those_in_use(world):
    first = world.service.list(limit=1000, end=START + 2 * timedelta(hours=1))[0]
    path, other = exported(first, "tif"), exported(first, "h5")
    put_times(world, world.now - timedelta(hours=1))
    os.utime(other, (world.now.timestamp(), other.stat().st_mtime))
    keep = KeepForecasts(400 * DAY, 10**12, 400 * DAY, 0)
    assert sweep(world, keep) == {"exports": 1}
    assert (path.is_file(), other.is_file()) == (False, True)
    assert sweep(world, keep, later=IN_USE * 2) == {"exports": 1}


def test_a_file_that_somebody_reads_now_stays_with_its_forecast(world):
    first = world.service.list(limit=1000, end=START + 2 * timedelta(hours=1))[0]
    written = first.path.stat().st_mtime_ns
    mark_used(first.path)
    assert first.path.stat().st_mtime_ns == written
    assert first.path.stat().st_atime > datetime.now(UTC).timestamp() - 60
    os.utime(first.path, (world.now.timestamp(), written / 1e9))
    assert sweep(world, NOTHING) == {"forecasts": 4}
    assert hours_of(world) == [2, 6, 8, 10, 12]
    mark_used(first.path.with_name("gone.nc"))  # is no failure


def test_an_upload_counts_from_when_it_was_made_and_keeps_the_inputs_that_it_shares(world, window_frames):
    upload = world.service.forecast_upload(window_frames)
    first = world.service.list(limit=1000, origin="scans", end=START + 2 * timedelta(hours=1))[0]
    assert upload.inputs_path == first.inputs_path
    put_times(world, START)
    assert sweep(world, NOTHING) == {"forecasts": 2 * 4 - 1}
    assert upload.inputs_path.is_file()
    assert sweep(world, NOTHING, later=7 * timedelta(hours=1)) == {"forecasts": 4}
    assert not upload.inputs_path.is_file()
    with pytest.raises(NoDataError):
        world.service.get(upload.id)
    assert hours_of(world) == [6, 8, 10, 12]


def test_a_sweep_that_was_broken_off_leaves_no_row_without_a_file_and_the_next_ends_it(world, monkeypatch):
    def ended(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest.store.retention, "delete_files", ended)
        with pytest.raises(KeyboardInterrupt):
            sweep(world, NOTHING)
    assert hours_of(world) == [6, 8, 10, 12]
    assert all(one.path.is_file() for one in world.service.list(limit=1000))
    days = KeepForecasts(timedelta(hours=12), 10**12, 400 * DAY, 10**12)
    assert sweep(world, days) == {}, "their own day was over an hour ago"
    clocks = Clocks(world.now + 2 * DAY, world.now + 2 * DAY)
    unverified = [one.inputs_sha256 for one in world.service.list(limit=1000)]
    assert ForecastRetention(world.service.catalogue, days).sweep(clocks, unverified) == {"leftovers": 8}
    assert in_line(world)


def test_with_a_full_disk_the_files_go_first(world, monkeypatch):
    forget, calls = world.service.catalogue.forget, []

    def full_once(ids):
        calls.append(len(ids))
        if len(calls) == 1:
            raise DiskFullError("no room")
        forget(ids)

    monkeypatch.setattr(world.service.catalogue, "forget", full_once)
    assert sweep(world, NOTHING) == {"forecasts": 8}
    assert calls == [6, 6]
    assert in_line(world)


def test_parts_of_a_killed_writer_go_after_an_hour(world):
    parts = [world.service.latest().path.with_name(".x.nc.abc.part"), world.service.catalogue.folder / ".again/.y.part"]
    for part in parts:
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(b"half")
        os.utime(part, (world.now.timestamp(), world.now.timestamp()))
    assert sweep(world, FOR_EVER) == {}
    assert sweep(world, FOR_EVER, later=timedelta(hours=2)) == {"parts": 2}
    assert not any(part.exists() for part in parts)


def test_the_settings_rule_and_the_schedule_asks(open_world, tmp_path):
    settings = Settings(home=tmp_path, forecasts_keep_days=3, forecasts_max_bytes=4, exports_keep_days=1)
    assert KeepForecasts.of(settings) == KeepForecasts(3 * DAY, 4, 1 * DAY, 5 * 2**30)
    assert [one["task"] for one in schedule(settings).values()].count(SWEEP) == 1
    world = open_world(exports_keep_days=0)
    world.put(*[rain(minutes) for minutes in range(0, 121, 30)])
    world.now = datetime.now(UTC)
    upload = world.service.forecast_upload([rain(minutes) for minutes in range(0, 121, 30)])
    exported(upload, "tif")
    assert sweep_forecasts(world.service) == {}
    assert sweep_forecasts(world.service, datetime.now(UTC) + 2 * IN_USE) == {"exports": 1}


def bytes_of(world: World, pattern: str = "*") -> int:
    return sum(path.stat().st_size for path in world.home.glob(f"forecasts/*/*/*/{pattern}"))


def test_too_many_bytes_take_scored_baselines_and_members_first(world):
    """Their scores stay, they are not made again, and each can be requested again."""
    counts = world.service.rolling(24 * 400)
    oldest = world.service.list(limit=1000, end=START + timedelta(hours=2), model="fading")[0]
    members = oldest.path.with_name(f"{oldest.id}.members.nc")
    members.write_bytes(b"x" * 5000)
    put_times(world, world.now - timedelta(hours=1))
    before = bytes_of(world)
    assert sweep(world, KeepForecasts(400 * DAY, before, 400 * DAY, 0)) == {}, "members are no export"
    assert sweep(world, KeepForecasts(400 * DAY, before - 1, 400 * DAY, 10**12)) == {"thinned": 3}
    assert (members.is_file(), oldest.path.is_file(), oldest.inputs_path.is_file()) == (False, True, True)
    assert in_line(world)
    assert world.service.baselines.missing() == []
    assert world.service.verify_observed() == 0
    assert world.service.rolling(24 * 400) == counts
    assert sweep(world, KeepForecasts(400 * DAY, bytes_of(world), 400 * DAY, 10**12)) == {}
    put_times(world, world.now - timedelta(hours=1))
    limit = bytes_of(world) - oldest.path.stat().st_size // 2
    sweep(world, KeepForecasts(400 * DAY, limit, 400 * DAY, 10**12))
    assert bytes_of(world) <= limit
    assert hours_of(world) == list(HOURS), "the next window's baselines were enough"
    again = world.service.forecast_stored(oldest.reference_time, "persistence")
    assert again.path.is_file()


def test_then_forecasts_between_half_hours_go_before_the_oldest_ones(open_world):
    world = open_world()
    world.put(*[rain(minutes) for minutes in range(0, 5 * 60 + 1, 15)])
    times = [START + timedelta(minutes=minutes) for minutes in (120, 135, 150, 165)]
    for time in times:
        world.service.forecast_stored(time, with_baselines=False)
    world.put(*[rain(minutes) for minutes in range(58 * 60, 60 * 60 + 1, 30)])
    world.now = START + timedelta(hours=60)
    world.service.forecast_stored(with_baselines=False)  # the newest hours are others
    put_times(world, world.now - timedelta(hours=1))
    left = []
    for _ in times:
        sweep(world, KeepForecasts(400 * DAY, bytes_of(world) - 1, 400 * DAY, 10**12))
        left.append(sorted(one.reference_time for one in world.service.list(limit=1000, end=times[-1])))
    assert left == [times[::1][:1] + times[2:], [times[0], times[2]], [times[2]], []]
