"""Old scores are summed to hours and days: exactly, once, whole or not at all, with the same baselines."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import CursorResult, Engine, func, select

import service.forecasts.rollup
import service.tasks.forecasts
from ingest.store.database import reading
from service.forecasts.periods import Period, sums_over
from service.forecasts.rollup import DAYS_AFTER, HOURS_AFTER, roll_up
from service.forecasts.scorebook import Scorebook
from service.forecasts.tables import ScoredLeadRow, ScoreSumsRow
from tests.service.conftest import START
from verification.counts import Counts
from verification.scores.fss import FractionSums
from verification.scores.reliability import ReliabilityBins
from verification.sums import Sums
from verification.table import SumRow

MIDNIGHT = START.replace(hour=0)
STEP = timedelta(minutes=5)
LEADS = (30, 60)


@pytest.fixture
def enter(world, window_frames):
    """Enters random sums of a model and both baselines for one reference time; returns how many counts are new."""
    world.put(*window_frames)
    given = world.service.forecast_stored()
    chance = random.Random(3)

    def number() -> int:
        return chance.randrange(2**40)

    def rows(label: str) -> list[SumRow]:
        found: list[SumRow] = []
        for lead in LEADS:
            sums: list[tuple[str, Sums, float | None, float | None]] = [
                ("counts", Counts(*(number() for _ in range(4))), 0.5, None),
                ("fss", FractionSums(number(), number(), number()), 0.5, 17.0),
                ("reliability", ReliabilityBins(*(tuple(number() for _ in range(10)) for _ in range(3))), 0.5, None),
            ]
            found += [SumRow(label, lead, family, one, mmh, km) for family, one, mmh, km in sums]
        return found

    def entered(time: datetime, *models: str) -> int:
        labels = (*models, "persistence", "extrapolation")
        forecasts = {
            name: replace(given, id=name, model=name, version="1", reference_time=time, lead_minutes=LEADS)
            for name in labels
        }
        return Scorebook(world.service.catalogue.engine).enter(
            forecasts, [row for name in labels for row in rows(name)]
        )

    return entered


@pytest.fixture
def engine(world) -> Engine:
    found: Engine = world.service.catalogue.engine
    return found


def number_of(engine: Engine, table: type[ScoredLeadRow] | type[ScoreSumsRow]) -> int:
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def resolutions(engine: Engine) -> dict[int, int]:
    row = ScoredLeadRow
    with reading(engine) as connection:
        found = connection.execute(select(row.period_minutes, func.count()).group_by(row.period_minutes)).all()
    return {row[0]: row[1] for row in found}


def whole_day(engine: Engine, model: str | None = None) -> list[SumRow]:
    return sums_over(engine, Period(MIDNIGHT, MIDNIGHT + timedelta(days=2), model))


def test_a_day_of_scans_becomes_hours_then_one_day_with_the_same_sums(enter, engine):
    times = [MIDNIGHT + STEP * step for step in range(1, 277)]  # the last valid time is 24:00
    for time in times:
        assert enter(time, "fading") == 3 * len(LEADS)
    before, leads, rows = whole_day(engine), number_of(engine, ScoredLeadRow), number_of(engine, ScoreSumsRow)
    assert leads == len(times) * 3 * len(LEADS)
    last = MIDNIGHT + timedelta(days=1)
    assert roll_up(engine, last + HOURS_AFTER) == leads
    assert whole_day(engine) == before
    assert set(resolutions(engine)) == {60}
    assert number_of(engine, ScoredLeadRow) <= 24 * 3 * len(LEADS)
    assert number_of(engine, ScoreSumsRow) < rows / 11
    assert roll_up(engine, last + HOURS_AFTER) == 0
    assert roll_up(engine, last + DAYS_AFTER) > 0
    assert whole_day(engine) == before
    assert resolutions(engine) == {1440: 3 * len(LEADS)}
    assert number_of(engine, ScoreSumsRow) == 3 * len(LEADS) * 12
    assert roll_up(engine, last + 2 * DAYS_AFTER) == 0


def test_young_scores_stay_and_an_hour_goes_only_when_it_is_over(enter, engine):
    for minutes in (5, 25, 30, 35):  # valid from 00:35 to 01:35
        enter(MIDNIGHT + timedelta(minutes=minutes), "fading")
    now = MIDNIGHT + timedelta(hours=1) + HOURS_AFTER
    assert roll_up(engine, now - timedelta(minutes=1)) == 0
    assert roll_up(engine, now) == 3 * 3  # 00:35, 00:55 and 01:00 of the first lead
    assert resolutions(engine) == {0: 3 * 5, 60: 3}


def test_periods_of_whole_hours_stay_exact(enter, engine):
    for step in range(1, 49):
        enter(MIDNIGHT + STEP * step, "fading")
    hour = timedelta(hours=1)
    periods = [Period(MIDNIGHT + hour * a, MIDNIGHT + hour * b, "fading") for a, b in ((0, 1), (1, 3), (2, 5))]
    before = [sums_over(engine, period) for period in periods]
    roll_up(engine, MIDNIGHT + HOURS_AFTER + timedelta(days=1))
    assert [sums_over(engine, period) for period in periods] == before
    assert all(before)
    half = Period(MIDNIGHT + hour / 2, MIDNIGHT + 3 * hour / 2, "fading")
    assert sums_over(engine, half) == before[0], "an hour belongs to the period that contains its end"


def test_baselines_stay_those_of_the_same_forecasts_as_a_model(enter, engine):
    for step in range(1, 25):
        enter(MIDNIGHT + STEP * step, *(["fading", "rare"] if step % 3 == 0 else ["fading"]))
    before = {model: whole_day(engine, model) for model in ("fading", "rare", None)}
    assert roll_up(engine, MIDNIGHT + HOURS_AFTER + timedelta(days=1)) > 0
    for model, rows in before.items():
        assert whole_day(engine, model) == rows, model


def test_a_crash_changes_nothing_and_the_next_call_goes_on(enter, engine, monkeypatch):
    for step in range(1, 25):
        enter(MIDNIGHT + STEP * step, "fading")
    before, leads = whole_day(engine), number_of(engine, ScoredLeadRow)
    real, calls = service.forecasts.rollup._enter, []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 8:  # in the second hour
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(service.forecasts.rollup, "_enter", killed)
    with pytest.raises(KeyboardInterrupt):
        roll_up(engine, MIDNIGHT + HOURS_AFTER + timedelta(days=1))
    assert whole_day(engine) == before
    assert set(resolutions(engine)) == {0, 60}
    assert 0 < resolutions(engine)[0] < leads
    monkeypatch.setattr(service.forecasts.rollup, "_enter", real)
    assert roll_up(engine, MIDNIGHT + HOURS_AFTER + timedelta(days=1)) > 0
    assert whole_day(engine) == before
    assert set(resolutions(engine)) == {60}


def test_sums_of_a_family_are_new_once_also_where_a_driver_counts_no_rows(enter, engine, monkeypatch):
    enter(MIDNIGHT, "given")
    with reading(engine) as connection:
        lead_id = connection.scalar(select(ScoredLeadRow.id).limit(1)) or 0
    row = SumRow("given", LEADS[0], "counts", Counts(1, 2, 3, 4), 7.0, None)
    book = Scorebook(engine)
    monkeypatch.setattr(CursorResult, "rowcount", -1)  # as psycopg has it after an insert
    assert book.add(lead_id, row)
    assert not book.add(lead_id, row)


def test_late_rows_are_added_to_their_hour(enter, engine):
    now = MIDNIGHT + HOURS_AFTER + timedelta(days=1)
    enter(MIDNIGHT + STEP, "fading")
    roll_up(engine, now)
    enter(MIDNIGHT + 2 * STEP, "fading")
    before = whole_day(engine)
    assert roll_up(engine, now) == 3 * len(LEADS)
    assert whole_day(engine) == before
    assert resolutions(engine) == {60: 3 * len(LEADS)}


def test_the_sweep_rolls_up_by_the_newest_scan_and_no_old_forecast_is_scored_again(world, rain, monkeypatch):
    world.put(*(rain(minutes) for minutes in range(0, 301, 30)))
    world.service.forecast_stored(START + timedelta(minutes=120))
    assert world.service.verify_observed() > 0
    before = sums_over(world.service.catalogue.engine, Period(START, START + timedelta(days=1)))
    world.put(rain(60 * 24 * 8))
    monkeypatch.setattr(service.tasks.forecasts, "service", lambda: world.service)
    service.tasks.forecasts.sweep_task.run()
    assert set(resolutions(world.service.catalogue.engine)) == {60}
    assert world.service.verify_observed() == 0
    assert world.service.unverified() == []
    assert sums_over(world.service.catalogue.engine, Period(START, START + timedelta(days=1))) == before
