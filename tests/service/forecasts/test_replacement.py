"""A forecast from a partial window is made again when its scans come; the new one replaces it, and counts alone."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from core.errors import ConflictError, NoDataError, UnavailableError
from service.forecasts.records import StoredForecast
from service.forecasts.replacement import MOST_REPLACED
from service.tasks import forecasts as tasks
from tests.service.conftest import START, Fading

EVERY_5 = tuple(range(0, 121, 5))
NOON = START + timedelta(hours=2)


class FiveMinutes(Fading):
    """A model of any scale."""

    any_scale: ClassVar[bool] = True


@pytest.fixture
def world(open_world):
    opened = open_world(FiveMinutes(), lead_minutes=30)
    made, forecast_stored = [], opened.service.forecast_stored

    def later(*args, **named):
        opened.now += timedelta(seconds=1)
        made.append(forecast_stored(*args, **named))
        return made[-1]

    opened.service.forecast_stored = later
    opened.made = made
    return opened


def run(world):
    """Make what the schedule lists, as the worker does; return it: times, and how many forecasts there were."""
    due = world.service.schedule.queued()
    made = []
    for one in due:
        with suppress(ConflictError):  # the first scan of all makes no window
            world.service.forecast_stored(one.reference_time, one.model, scheduled=True)
            made.append((one.reference_time, one.made))
    return made


def counted(world):
    """Counts of the model at 0.5 mm/h, by lead."""
    rows = world.service.rolling(model="fading")
    return [row for row in rows if (row.model, row.threshold_mmh, row.family) == ("fading", 0.5, "counts")]


def put(world, rain, *minutes):
    world.put(*(rain(minute) for minute in minutes))


def test_a_whole_forecast_counts_again_when_the_lost_scan_is_back(world, rain):
    put(world, rain, *EVERY_5)
    while run(world):
        pass
    whole = world.service.latest()
    scan = world.store.scans()[-5]
    scan.path.unlink()
    with pytest.raises(NoDataError):
        world.store.load(scan)
    partial = world.service.forecast_stored(NOON)
    assert (world.service.latest().id, partial.status) == (partial.id, "degraded")
    put(world, rain, 100)
    while run(world):
        pass
    assert world.service.latest().id == whole.id
    assert world.service.latest().issued_at > partial.issued_at
    assert not world.service.schedule.queued()[1:], "the first scan of all alone waits for ever"


def test_a_lost_file_that_is_made_again_replaces_nothing(world, rain):
    put(world, rain, *(minutes for minutes in EVERY_5 if minutes != 100))
    partial = world.service.forecast_stored(NOON)
    put(world, rain, 100)
    whole = world.service.forecast_stored(NOON)
    partial.path.unlink()
    world.service.healing.lose(partial)
    assert world.service.baselines.make_again() == 1
    assert world.service.get(partial.id).issued_at == partial.issued_at
    assert world.service.latest().id == whole.id


@pytest.mark.parametrize(
    "late",
    [(115,), (60,), (0, 5, 10), tuple(range(0, 111, 5)), (90, 95, 100)],
    ids=["bridged", "bridged early", "short start", "cold start", "long gap"],
)
def test_missing_scans_that_come_late_make_a_whole_forecast(world, rain, late):
    put(world, rain, *(minutes for minutes in EVERY_5 if minutes not in late))
    while run(world):
        pass
    partial = world.service.latest()
    assert (partial.reference_time, partial.status) == (NOON, "degraded")
    put(world, rain, *late)
    assert (NOON, 1) in run(world)
    whole = world.service.latest()
    assert (whole.reference_time, whole.status, whole.notes) == (NOON, "ok", ())
    assert whole.id != partial.id
    assert world.service.get(partial.id).notes == partial.notes, "its id is still answered"
    while run(world):
        pass
    assert world.service.latest().id == whole.id


def test_the_window_of_another_model_is_filled_too(open_world, rain):
    world = open_world()
    world.put(*(rain(minutes) for minutes in (0, 30, 60, 120)))
    world.service.forecast_stored(scheduled=True)
    assert world.service.schedule.queued() == []
    world.put(rain(85))  # no scan within 5 minutes, or for another time of the window
    world.put(rain(75))
    world.now += timedelta(seconds=1)
    assert [one.made for one in world.service.schedule.queued()] == [1]
    assert world.service.forecast_stored(scheduled=True).input_times.count(None) == 0
    assert world.service.schedule.queued() == []


def test_the_newest_scan_goes_first_whether_it_is_new_or_made_again(world, rain):
    put(world, rain, *(minutes for minutes in EVERY_5 if minutes != 100))
    while run(world):
        pass
    put(world, rain, 100, 125)
    world.now += timedelta(minutes=5)
    due = world.service.schedule.queued()
    assert [(one.reference_time, one.made) for one in due] == [
        (START + timedelta(minutes=minutes), made) for minutes, made in ((125, 0), (120, 1), (115, 1), (110, 1))
    ]


def test_one_lead_is_counted_once(world, rain):
    put(world, rain, *(minutes for minutes in EVERY_5 if minutes != 115))
    world.service.forecast_stored(scheduled=True)
    put(world, rain, 115)
    world.service.forecast_stored(NOON, scheduled=True)
    put(world, rain, *range(125, 151, 5))
    world.now = START + timedelta(minutes=151)
    world.service.verify_observed()
    rows = counted(world)
    assert [row.lead_minutes for row in rows] == list(range(5, 31, 5))
    assert {row.sums.total for row in rows} == {40 * 40 - 16}
    assert world.service.unverified() == []


def test_a_lead_that_was_counted_before_stays_and_the_others_are_those_of_the_new_one(world, rain):
    put(world, rain, *(minutes for minutes in EVERY_5 if minutes != 115))
    world.service.forecast_stored(scheduled=True)
    put(world, rain, 125)
    world.now = START + timedelta(minutes=126)
    assert world.service.verify_observed() > 0
    put(world, rain, 115)
    world.service.forecast_stored(NOON, scheduled=True)
    put(world, rain, *range(130, 151, 5))
    world.now = START + timedelta(minutes=151)
    world.service.verify_observed()
    rows = counted(world)
    assert {row.sums.total for row in rows} == {40 * 40 - 16}


def test_only_the_current_forecast_has_its_baselines_made(world, rain):
    put(world, rain, *(minutes for minutes in EVERY_5 if minutes != 115))
    world.service.forecast_stored(scheduled=True, with_baselines=False)
    put(world, rain, 115)
    whole = world.service.forecast_stored(NOON, scheduled=True, with_baselines=False)
    assert [one.id for one in world.service.baselines.missing()] == [whole.id]


@pytest.fixture
def two_models(open_world, rain):
    """A model of all scans of two hours, and one of five scans on larger cells."""
    world = open_world(FiveMinutes(), others=[Fading(name="half-hours")], lead_minutes=30)
    put(world, rain, *EVERY_5)
    return world


def baselines_of(world, forecast):
    """Ids of the current baselines of a forecast's window."""
    same = {"inputs_sha256": forecast.inputs_sha256, "origin": "scans"}
    found = world.service.catalogue.select(replaced=False, **same)
    return sorted(one.id for one in found if one.id != forecast.id)


def test_baselines_of_models_with_other_windows_stay_side_by_side(two_models, rain):
    world = two_models
    made: dict[str, list[tuple[StoredForecast, Sequence[StoredForecast]]]] = {}
    for model in ("default", "half-hours", "default", "half-hours"):
        world.now += timedelta(seconds=10)
        forecast = world.service.forecast_stored(NOON, model)
        made.setdefault(model, []).append((forecast, world.service.list(limit=10)))
    native, half_hours = (made[model][0][0] for model in ("default", "half-hours"))
    assert native.inputs_sha256 != half_hours.inputs_sha256
    assert made["half-hours"][0][1] == made["half-hours"][1][1] == made["default"][1][1], "nothing is made again"
    assert len(made["half-hours"][0][1]) == 6
    for forecast in (native, half_hours):
        assert len(baselines_of(world, forecast)) == 2
    newest = world.service.latest("persistence")
    assert newest.inputs_sha256 == half_hours.inputs_sha256, "of one time the one that was issued last"
    put(world, rain, 150)
    world.now = START + timedelta(minutes=151)
    assert world.service.verify_observed() > 0
    for forecast in (native, half_hours):
        for one in world.service.catalogue.select(inputs_sha256=forecast.inputs_sha256, origin="scans"):
            assert world.service._scoring.book.scored_leads(one) == {30}, (one.model, one.cadence_minutes)


def test_baselines_are_replaced_with_the_forecast_of_their_window(two_models, rain):
    world = two_models
    whole = world.service.forecast_stored(NOON)
    world.now += timedelta(seconds=10)
    changed = rain(100)
    world.put(replace(changed, rate_mmh_HW=changed.rate_mmh_HW + 1))
    later = world.service.forecast_stored(NOON)
    assert later.inputs_sha256 != whole.inputs_sha256
    assert baselines_of(world, whole) == []
    assert len(baselines_of(world, later)) == 2


def test_a_baseline_that_is_scheduled_is_replaced_by_a_later_one(open_world, rain):
    world = open_world(model=FiveMinutes(), others=[Fading(name="half-hours")], lead_minutes=30)
    put(world, rain, *(minutes for minutes in EVERY_5 if minutes != 115))
    alone = world.service.forecast_stored(NOON, "persistence", with_baselines=False)
    world.now += timedelta(seconds=10)
    world.service.forecast_stored(NOON, "half-hours")
    assert not world.service.catalogue.is_replaced(alone), "the baseline of another model's window is not its successor"
    put(world, rain, 115)
    world.now += timedelta(seconds=10)
    whole = world.service.forecast_stored(NOON, "persistence", with_baselines=False)
    assert world.service.catalogue.is_replaced(alone)
    assert not world.service.catalogue.is_replaced(whole)


def test_what_a_process_leaves_that_ends_in_between_is_made_again(world, rain, monkeypatch):
    put(world, rain, *(minutes for minutes in EVERY_5 if minutes != 115))
    partial = world.service.forecast_stored(scheduled=True)
    put(world, rain, 115)

    def ends(_forecast):
        raise UnavailableError("killed before the row is written")

    with monkeypatch.context() as patched:
        patched.setattr(world.service.catalogue, "put", ends)
        with pytest.raises(UnavailableError):
            world.service.forecast_stored(NOON, scheduled=True)
    assert world.service.latest().id == partial.id
    assert (NOON, 1) in run(world)
    assert world.service.latest().status == "ok"


def test_scans_that_trickle_in_do_not_take_the_worker(world, rain):
    put(world, rain, 115, 120)
    world.service.forecast_stored(NOON, scheduled=True)
    for minutes in range(40, 111, 5):
        put(world, rain, minutes)
        run(world)
    again = [one for one in world.made if one.reference_time == NOON]
    assert len({one.id for one in again}) == 1 + MOST_REPLACED


def test_a_scan_that_cannot_be_read_is_not_tried_without_end(world, rain, monkeypatch):
    put(world, rain, *(minutes for minutes in EVERY_5 if minutes != 115))
    while run(world):
        pass
    put(world, rain, 115)
    world.store.scans()[-2].path.write_bytes(b"cut")
    held: dict[str, int] = {}
    queued: list[str] = []

    def is_first(name: str, within_s: int) -> bool:
        return name not in held and held.setdefault(name, within_s) is within_s

    monkeypatch.setattr(tasks, "service", lambda: world.service)
    monkeypatch.setattr(tasks, "is_first", is_first)
    monkeypatch.setattr(tasks, "STARTED_AT", datetime.now(UTC))
    monkeypatch.setattr(tasks.make_forecast_task, "apply_async", lambda args, **_: queued.append(args[0]))
    for _ in range(10):
        tasks.cycle_task()
    assert queued[0] == NOON.isoformat(), "the newest first"
    assert len(queued) == len(set(queued)) <= 4
    assert set(held.values()) == {240}


def test_a_look_at_the_schedule_asks_once_for_late_scans_however_many_are_missing(world, rain, monkeypatch):
    put(world, rain, *(minutes for minutes in EVERY_5 if minutes % 30 or not minutes))
    while run(world):
        pass
    partial = [one for one in world.service.list(model="fading", origin="scans") if None in one.input_times]
    assert len(partial) > 2
    asked, scans = [], type(world.store).scans

    def counted_scans(store, **which):
        asked.append(which)
        return scans(store, **which)

    monkeypatch.setattr(type(world.store), "scans", counted_scans)
    world.service.schedule.queued()
    assert len(asked) <= 2, "the scans of the schedule, and those that were missing"
