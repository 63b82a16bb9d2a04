"""The sums of a replayed day: from the stored files by another library, over restarts, periods and versions."""

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

import netCDF4
import numpy as np
import pytest
import xarray as xr
from scores.categorical import BinaryContingencyManager
from sqlalchemy import delete, select

from ingest.store.database import reading
from service.forecasts.periods import Period, counts_over, sums_over
from service.forecasts.probabilities import read_probabilities
from service.forecasts.records import StoredForecast
from service.forecasts.tables import ScoredLeadRow, ScoreSumsRow
from tests.service.conftest import START, Fading, rain, world_opener
from verification.counts import Counts
from verification.scores.fss import FSS
from verification.sums import PPM

LAST_MINUTE = 600
FIVE = (30, 60, 90, 120, 150)


def later(minutes: float):
    return START + timedelta(minutes=minutes)


def hole(minutes: float):
    """Rain of a time, with a hole that moves: the masks of forecast and observation are not the same."""
    frame = rain(minutes)
    rate_mmh_HW = frame.rate_mmh_HW.copy()
    row = int(minutes / 30)
    rate_mmh_HW[row : row + 5, 8:14] = np.nan
    return replace(frame, rate_mmh_HW=rate_mmh_HW)


def play(opened, *, until=LAST_MINUTE):
    """A day as it comes: scans, a forecast from each, and twice the task that scores; the service is opened anew."""
    world = opened()
    for minutes in range(0, until + 1, 30):
        world.put(hole(minutes))
        world.now = later(minutes + 2)
        if minutes >= 120:
            world.service.forecast_stored(later(minutes))
        if minutes % 90 == 0:
            world.service.verify_observed()
            assert world.service.verify_observed() == 0
            now, world = world.now, opened()
            world.now = now
    world.service.verify_observed()
    return world


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A day that no test changes, on the scans' own grid."""
    return play(world_opener(tmp_path_factory.mktemp("played") / "home"))


@pytest.fixture
def day(played, tmp_path):
    """The same day in a folder of its own."""
    shutil.copytree(played.home, tmp_path / "home")
    world = world_opener(tmp_path / "home")()
    world.now = played.now
    return world


def rows(world, *families):
    """The stored sums of some families with what was scored, without the numbers that the database gave."""
    lead, sums = ScoredLeadRow, ScoreSumsRow
    query = select(lead.__table__, sums.__table__).join(sums, sums.scored_lead == lead.id)
    with reading(world.service.catalogue.engine) as connection:
        found = connection.execute(query.where(sums.family.in_(families))).mappings().all()
    return sorted(str({key: one[key] for key in one if key not in ("id", "scored_lead")}) for one in found)


def forget(world):
    with world.service.catalogue.engine.begin() as connection:
        connection.execute(delete(ScoreSumsRow))
        connection.execute(delete(ScoredLeadRow))


def pairs(world):
    """Each scored (model, lead): the forecasts' and observed fields from the files, where all models have a value."""
    windows: dict[datetime, list[StoredForecast]] = {}
    for forecast in world.service.list(origin="scans", limit=1000):
        windows.setdefault(forecast.reference_time, []).append(forecast)
    scans = {scan.valid_time: scan for scan in world.store.scans()}
    found: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    for time, forecasts in windows.items():
        for index, lead in enumerate(FIVE):
            scan = scans.get(time + timedelta(minutes=lead))
            if scan is None:
                continue
            with xr.open_dataset(scan.path) as file:
                observed_HW = file.rainfall_rate.values.squeeze()
            fields = {}
            for forecast in forecasts:
                with xr.open_dataset(forecast.path) as file:
                    fields[forecast.model] = file.rainfall_rate.values[index]
            seen_HW = np.isfinite(observed_HW) & np.all([np.isfinite(field) for field in fields.values()], axis=0)
            for model, field in fields.items():
                pair = (np.where(seen_HW, field, np.nan), np.where(seen_HW, observed_HW, np.nan))
                found.setdefault((model, lead), []).append(pair)
    return found


def test_the_counts_of_a_day_equal_those_of_the_library_scores_exactly(played):
    world = played  # nothing but the files is between us and the library
    found = pairs(world)
    assert {model for model, _ in found} == {"fading", "persistence", "extrapolation"}
    thresholds = world.service.settings.thresholds_mmh
    mine = {
        (row.model, row.lead_minutes, row.threshold_mmh): tuple(vars(row.sums).values())
        for row in counts_over(world.service.catalogue.engine, Period(START, later(LAST_MINUTE)))
    }
    expected = {}
    for ((model, lead), some), threshold in product(found.items(), thresholds):
        forecast, observed = (xr.DataArray(np.stack(side)) for side in zip(*some, strict=True))
        event, seen = (x.where(x.isnull(), x >= np.float32(threshold)) for x in (forecast, observed))
        counts = BinaryContingencyManager(event, seen).get_counts()
        names = ("tp_count", "fn_count", "fp_count", "tn_count")
        expected[model, lead, threshold] = tuple(int(counts[name]) for name in names)
    assert mine == expected
    assert sum(hits for hits, *_ in mine.values()) > 1000
    assert any(one != other for one, other in zip(mine.values(), list(mine.values())[1:], strict=False))


def test_fractions_are_summed_before_the_ratio(played):
    world = played
    found = pairs(world)
    engine = world.service.catalogue.engine
    table = sums_over(engine, Period(START, later(LAST_MINUTE)), family="fss")
    assert len(table) == 3 * 5 * len(world.service.settings.thresholds_mmh) * 2
    for row in table:
        assert row.threshold_mmh is not None
        assert row.window_km is not None
        score = FSS.of_km(row.threshold_mmh, row.window_km, 1000.0)
        forecast, observed = (np.stack(side) for side in zip(*found[row.model, row.lead_minutes], strict=True))
        expected = score.totals(forecast, observed)
        assert row.sums.windows == expected.windows
        assert row.sums.difference == pytest.approx(expected.difference, rel=1e-12)
        assert row.sums.worst == pytest.approx(expected.worst, rel=1e-12)
        assert not row.sums.worst or score.value(row.sums) == pytest.approx(score.value(expected), rel=1e-12)
    of_days = [FSS(1.0, 5).totals(f[None], o[None]) for f, o in found["persistence", 150]]
    mean = np.mean([FSS().value(one) for one in of_days])
    (pooled,) = [
        r for r in table if (r.model, r.lead_minutes, r.threshold_mmh, r.window_km) == ("persistence", 150, 1.0, 17.0)
    ]
    assert FSS().value(pooled.sums) != pytest.approx(mean, rel=1e-3)


def test_a_day_scored_at_once_has_the_rows_of_a_day_scored_in_steps(day):
    before = [rows(day, "counts"), rows(day, "fss", "rate-mae")]
    forget(day)
    assert day.service.verify_observed() == len([row for row in before[0] if "'mask': 'all'" in row])
    assert [rows(day, "counts"), rows(day, "fss", "rate-mae")] == before
    assert day.service.verify_observed() == 0


@pytest.mark.parametrize("cut_short", [{"within_s": 0}, {"gives_way": lambda: True}], ids=["time", "a new scan"])
def test_a_task_that_is_cut_short_continues_with_the_next_call(day, cut_short):
    before = rows(day, "counts")
    forget(day)
    calls = 0
    while day.service.verify_observed(**cut_short):
        calls += 1
    assert calls > 5
    assert rows(day, "counts") == before


def test_any_period_holds_the_valid_times_after_its_start_up_to_its_end(played):
    engine = played.service.catalogue.engine
    whole = counts_over(engine, Period(later(0), later(600)))
    parts = [counts_over(engine, Period(later(a), later(b))) for a, b in ((0, 300), (300, 450), (450, 600))]
    sums: dict[tuple[object, ...], Counts] = {}
    for row in (row for part in parts for row in part):
        key = (row.model, row.version, row.lead_minutes, row.threshold_mmh)
        sums[key] = sums[key] + row.sums if key in sums else row.sums
    assert sums == {(r.model, r.version, r.lead_minutes, r.threshold_mmh): r.sums for r in whole}
    assert counts_over(engine, Period(later(600), later(9000))) == []


def test_versions_are_separate_and_each_has_its_own_baselines(open_world):
    world = open_world()
    world.put(*(rain(minutes) for minutes in range(0, LAST_MINUTE + 1, 30)))
    for minutes in (120, 150, 180):
        world.service.forecast_stored(later(minutes))
    world = open_world(Fading(version="2"))
    for minutes in (180, 210):
        world.service.forecast_stored(later(minutes))
    world.service.verify_observed()
    engine, cells = world.service.catalogue.engine, 40 * 40 - 4 * 4
    whole = Period(START, later(LAST_MINUTE), "fading")

    def totals(period):
        some = [row for row in counts_over(engine, period) if (row.lead_minutes, row.threshold_mmh) == (30, 1.0)]
        return [(row.model, row.version, row.sums.total / cells) for row in some]

    assert totals(whole) == [
        ("fading", "1", 3),
        ("fading", "2", 2),
        ("persistence", "1", 4),
        ("extrapolation", totals(whole)[3][1], 4),
    ]
    assert [(model, n) for model, _, n in totals(replace(whole, version="2"))] == [
        ("fading", 2),
        ("persistence", 2),
        ("extrapolation", 2),
    ]
    assert totals(replace(whole, version="3")) == []


def add_probabilities(forecast, thresholds, probability_NTHW):
    """What a probabilistic model writes into its file."""
    with netCDF4.Dataset(forecast.path, "a") as file:
        file.createDimension("threshold", len(thresholds))
        file.createVariable("threshold", "f4", ("threshold",))[:] = thresholds
        dimensions = ("threshold", "time", "y", "x")
        file.createVariable("probability_of_exceedance", "f4", dimensions, fill_value=np.nan)[:] = probability_NTHW


def test_probabilities_of_a_forecast_file_are_counted_by_bin(open_world, rain):
    world = open_world()
    world.put(*(rain(minutes) for minutes in range(0, 121, 30)))
    forecast = world.service.forecast_stored()
    assert read_probabilities(forecast.path) is None
    shape = forecast.rate_mmh_THW.shape
    probability_NTHW = np.random.default_rng(1).random((2, *shape), np.float32)
    probability_NTHW[:, :, 5, 5], probability_NTHW[0, 0, 6, 6] = np.nan, 1.0
    add_probabilities(forecast, (0.1, 5.0), probability_NTHW)
    world.put(rain(150), rain(180))
    world.service.verify_observed()
    once = rows(world, "reliability", "brier", "crps")
    world.service.verify_observed()
    assert rows(world, "reliability", "brier", "crps") == once
    table = sums_over(world.service.catalogue.engine, Period(START, later(600)), family="reliability", mask="all")
    assert {row.lead_minutes for row in table} == {30, 60}
    assert {row.threshold_mmh for row in table} == {0.1, 5.0}
    world.service.verification_of(forecast)
    observed_THW = xr.open_dataset(forecast.observations_path).rainfall_rate.load().values
    for number, threshold in enumerate((0.1, 5.0)):
        p, o = probability_NTHW[number, 0], observed_THW[0]
        valid = np.isfinite(p) & np.isfinite(o)
        (bins,) = [row.sums for row in table if (row.lead_minutes, row.threshold_mmh) == (30, threshold)]
        for number in range(10):
            last = number == 9
            inside = valid & (p >= number / 10) & ((p <= 1) if last else (p < (number + 1) / 10))
            assert bins.cells[number] == inside.sum()
            assert bins.events[number] == (inside & (o >= np.float32(threshold))).sum()
            ppm = float(p[inside].sum(dtype=np.float64)) * PPM
            assert bins.probability_ppm[number] == pytest.approx(ppm, abs=bins.cells[number])
            assert bins.probability_ppm[number] / PPM / bins.cells[number] == pytest.approx(p[inside].mean(), abs=1e-5)
    events = sum(sum(row.sums.events) for row in table if row.threshold_mmh == 0.1)
    assert events > 0
