"""Scores equal counts from the files alone, are entered once, and survive restarts."""

from collections import OrderedDict
from datetime import timedelta
from typing import Any

import numpy as np
import xarray as xr

import service.forecasts.netcdf
import service.forecasts.observed
import service.forecasts.products
import service.forecasts.scoring
from core.units import THRESHOLDS_MMH
from service.forecasts.netcdf import read_packed
from service.forecasts.observed import Observations
from service.forecasts.records import read_rate
from service.forecasts.scoring import scores_at
from verification.counts import Counts

MODELS = ("fading", "persistence", "extrapolation")


def count_by_hand(forecast_path, observations_path, others):
    """Counts from the files alone, in another way than the project's: cell by cell sums of booleans."""
    with xr.open_dataset(forecast_path) as forecast, xr.open_dataset(observations_path) as observed:
        made, seen = forecast.rainfall_rate.values, observed.rainfall_rate.values
        leads = forecast.forecast_period.values.astype(int)
        np.testing.assert_array_equal(forecast.time.values, observed.time.values)
    valid = np.isfinite(made) & np.isfinite(seen)
    for path in others:
        with xr.open_dataset(path) as other:
            valid &= np.isfinite(other.rainfall_rate.values)
    table = {}
    for index, lead in enumerate(leads):
        if not np.isfinite(seen[index]).any():
            continue
        f, o = made[index][valid[index]], seen[index][valid[index]]
        for threshold in THRESHOLDS_MMH:
            yes, event = f >= np.float32(threshold), o >= np.float32(threshold)
            table[int(lead), threshold] = tuple(
                int(both.sum()) for both in (yes & event, ~yes & event, yes & ~event, ~yes & ~event)
            )
    return table


def test_an_upload_is_scored_in_the_same_answer(world, window_frames, later_frames):
    forecast = world.service.forecast_upload(window_frames, later_frames)
    verification = world.service.verification_of(forecast)
    assert verification.kind == "this_forecast"
    assert len(verification.scores) == 3 * 5 * len(THRESHOLDS_MMH)
    assert tuple(dict.fromkeys(row.model for row in verification.scores)) == MODELS
    files = {one.model: one.path for one in world.service.list(origin="upload")}
    for model in MODELS:
        expected = count_by_hand(files[model], forecast.observations_path, files.values())
        mine = {
            (row.lead_minutes, row.threshold_mmh): tuple(vars(row.sums).values())
            for row in verification.scores
            if row.model == model
        }
        assert mine == expected
    assert any(row.sums.hits for row in verification.scores)
    assert verification.cells == dict.fromkeys((30, 60, 90, 120, 150), 40 * 40 - 4 * 4)


def test_hits_and_misses_of_the_three_agree(world, window_frames, later_frames):
    rows = world.service.verification_of(world.service.forecast_upload(window_frames, later_frames)).scores
    for lead in (30, 60, 90, 120, 150):
        for threshold in THRESHOLDS_MMH:
            some = [row.sums for row in rows if (row.lead_minutes, row.threshold_mmh) == (lead, threshold)]
            assert len(some) == 3
            assert len({counts.hits + counts.misses for counts in some}) == 1
            assert len({counts.total for counts in some}) == 1


def test_only_observed_leads_are_scored(world, window_frames, later_frames):
    forecast = world.service.forecast_upload(window_frames, later_frames[1:3])
    rows = world.service.verification_of(forecast).scores
    assert {row.lead_minutes for row in rows} == {60, 90}
    with xr.open_dataset(forecast.observations_path) as observed:
        assert np.isfinite(observed.rainfall_rate).any(("y", "x")).values.tolist() == [False, True, True, False, False]
        assert observed.coverage.values[0].max() == 0


def test_uploads_never_enter_the_rolling_scores(world, window_frames, later_frames):
    world.service.forecast_upload(window_frames, later_frames)
    world.now += timedelta(hours=4)
    assert world.service.verify_observed() == 0
    assert world.service.rolling() == []


def test_without_observations_there_is_nothing_before_the_first_score(world, window_frames):
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    assert forecast.observations_path is None
    assert world.service.verification_of(forecast) is None
    assert world.service.verify_observed() == 0


def test_scans_are_scored_on_arrival_and_once(open_world, window_frames, later_frames):
    world = open_world()
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    per_lead = 3 * len(THRESHOLDS_MMH)
    world.put(later_frames[0])
    assert world.service.verify_observed() == per_lead
    assert world.service.verify_observed() == 0
    world.put(*later_frames[1:3])
    world = open_world()
    assert world.service.verify_observed() == 2 * per_lead
    world.put(*later_frames[3:])
    assert world.service.verify_observed() == 2 * per_lead
    assert world.service.verify_observed() == 0
    world.now += timedelta(hours=3)
    verification = world.service.verification_of(forecast)
    assert verification.kind == "this_forecast"
    assert world.service.rolling() == list(verification.scores)
    expected = count_by_hand(forecast.path, forecast.observations_path, [])
    mine = {
        (row.lead_minutes, row.threshold_mmh): tuple(vars(row.sums).values())
        for row in verification.scores
        if row.model == "fading"
    }
    assert mine == expected


def test_the_observations_file_grows_with_the_scans(world, window_frames, later_frames):
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    for number in (1, 2):
        world.put(later_frames[number - 1])
        rows = world.service.verification_of(forecast).scores
        assert len({row.lead_minutes for row in rows}) == number
        assert forecast.observations_path.is_file()


def test_a_scan_two_minutes_off_is_an_observation_and_three_are_not(world, window_frames, rain):
    world.put(*window_frames)
    world.service.forecast_stored()
    world.put(rain(153))
    assert world.service.verify_observed() == 0
    world.put(rain(148))
    assert world.service.verify_observed() == 3 * len(THRESHOLDS_MMH)


def test_another_product_is_not_an_observation(world, window_frames, rain):
    world.put(*window_frames)
    world.service.forecast_stored()
    world.put(rain(150, product="RW"))
    assert world.service.verify_observed() == 0


def test_rolling_pools_the_last_hours_exactly(world, rain):
    world.put(*(rain(minutes) for minutes in range(0, 301, 30)))
    start = rain(0).valid_time
    ids = [world.service.forecast_stored(start + timedelta(minutes=m)).id for m in (120, 150)]
    world.service.verify_observed()
    world.now = start + timedelta(minutes=300)
    singles = [world.service.verification_of(world.service.get(name)).scores for name in ids]
    for row in world.service.rolling():
        same = [
            one.sums
            for scores in singles
            for one in scores
            if (one.model, one.lead_minutes, one.threshold_mmh) == (row.model, row.lead_minutes, row.threshold_mmh)
        ]
        assert len(same) == 2
        assert row.sums == sum(same, Counts())
    world.now = start + timedelta(minutes=300, hours=23)
    recent = world.service.rolling()  # valid times after minute 240 of the day before, so 270 and 300
    assert {row.lead_minutes for row in recent} == {120, 150}
    world.now += timedelta(hours=2)
    assert world.service.rolling() == []
    assert world.service.rolling(hours=48)


def test_rolling_of_a_model_compares_the_same_forecasts(world, rain):
    world.put(*(rain(minutes) for minutes in range(0, 301, 30)))
    start = rain(0).valid_time
    world.service.forecast_stored(start + timedelta(minutes=120))
    world.service.forecast_stored(start + timedelta(minutes=150), "persistence")
    world.service.verify_observed()
    world.now = start + timedelta(minutes=300)
    totals = {row.model: row.sums.total for row in world.service.rolling(model="fading") if row.lead_minutes == 30}
    assert len(set(totals.values())) == 1
    assert set(totals) == set(MODELS)
    of_all = {row.model: row.sums.total for row in world.service.rolling() if row.lead_minutes == 30}
    assert of_all["persistence"] == 2 * of_all["fading"]


class Crowded(OrderedDict[Any, Any]):
    """What is held while other threads load fields: each look is followed by an eviction."""

    def __contains__(self, key):
        found = super().__contains__(key)
        self.clear()
        return found

    def get(self, key, default=None):
        found = super().get(key, default)
        self.clear()
        return found


def test_a_field_that_another_thread_evicts_is_returned(world, window_frames):
    world.put(*window_frames)
    forecast, scan = world.service.forecast_stored(with_baselines=False), world.service.store.scans()[0]
    observations = Observations(world.service.store)
    observations._held = Crowded()
    first, second = (observations.field(forecast, scan) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_scan_whose_file_was_missing_is_looked_for_again(world, window_frames):
    world.put(*window_frames)
    forecast, scan = world.service.forecast_stored(with_baselines=False), world.service.store.scans()[0]
    observations, content = Observations(world.service.store), scan.path.read_bytes()
    scan.path.unlink()
    assert observations.field(forecast, scan) is None
    scan.path.write_bytes(content)
    assert observations.field(forecast, scan) is not None


def test_observations_outlive_the_scans_that_they_are_of(world, rain):
    world.put(*(rain(minutes) for minutes in range(0, 241, 30)))
    forecast = world.service.forecast_stored(rain(120).valid_time, with_baselines=False)
    observations = Observations(world.service.store)
    kept = observations.keep(forecast)
    assert [bool(source) for source in kept] == [True] * 4 + [False]
    observations.scans(forecast)[0].path.unlink()
    world.put(rain(270))
    assert observations.keep(forecast) == kept
    assert np.isfinite(read_rate(forecast.observations_path)[:4]).any(axis=(1, 2)).all()


def test_a_new_forecast_shows_its_model_s_last_day(world, rain):
    world.put(*(rain(minutes) for minutes in range(0, 181, 30)))
    world.now = rain(181).valid_time
    world.service.forecast_stored(rain(150).valid_time)
    world.service.verify_observed()
    newest = world.service.forecast_stored()
    verification = world.service.verification_of(newest)
    assert verification.kind == "rolling_24h"
    assert {(row.model, row.lead_minutes) for row in verification.scores} == {(model, 30) for model in MODELS}
    assert newest.observations_path is None
    upload = world.service.forecast_upload([rain(minutes) for minutes in range(5, 126, 30)])
    assert world.service.verification_of(upload).kind == "rolling_24h"


def test_huge_sums_survive_the_database(world, window_frames, later_frames):
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    world.put(later_frames[0])
    world.service.verify_observed()
    with world.service.catalogue.engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE score_sums SET value_3 = {2**40}, value_0 = {2**33 + 1} WHERE family = 'counts'"
        )
    world.now += timedelta(hours=1)
    row = world.service.rolling(model=forecast.model)[0]
    assert (row.sums.correct_negatives, row.sums.hits) == (2**40, 2**33 + 1)


def test_leads_between_the_quarters_of_an_hour_have_fewer_scores():
    assert [lead for lead in range(5, 65, 5) if scores_at(lead) is None] == [15, 30, 45, 60]
    assert scores_at(5) == ("counts", "rate-mae", "brier")


def test_one_lead_is_scored_from_its_chunk_alone(world, window_frames, later_frames, monkeypatch):
    read: list[tuple[str, tuple[int, ...] | None]] = []

    def counted(path, name, leads=None, **given):
        read.append((name, None if leads is None else tuple(leads)))
        return read_packed(path, name, leads, **given)

    monkeypatch.setattr(service.forecasts.netcdf, "read_packed", counted)
    monkeypatch.setattr(service.forecasts.products, "read_packed", counted)
    world.put(*window_frames)
    world.service.forecast_stored()
    world.put(later_frames[2])
    read.clear()
    assert world.service.verify_observed() == 3 * len(THRESHOLDS_MMH)
    assert {leads for name, leads in read if name in ("rainfall_rate", "known")} == {(2,)}


def test_counts_of_a_forecast_are_kept_until_a_scan_is_added(world, window_frames, later_frames, monkeypatch):
    world.put(*window_frames, *later_frames[:2])
    forecast = world.service.forecast_stored(window_frames[-1].valid_time)
    first = world.service.verification_of(forecast)
    with monkeypatch.context() as patch:
        patch.setattr(service.forecasts.scoring, "sums_of", None)  # counting anew would fail
        assert world.service.verification_of(forecast) == first
    world.put(later_frames[2])
    again = world.service.verification_of(forecast)
    assert len(again.scores) == len(first.scores) / 2 * 3
    (kept,) = forecast.path.parent.glob("*.counts.json")
    kept.write_text("{")
    assert world.service.verification_of(forecast) == again
