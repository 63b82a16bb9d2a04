"""Damaged and missing files of forecasts: set aside, made again once, and no other window waits for them."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from unittest.mock import Mock

import numpy as np
import pytest

from core.errors import NoDataError, UnavailableError
from core.files import DamagedFileError
from ingest.store.repair import repair
from service.forecasts.fields import FIELDS
from service.forecasts.healing import MOST
from service.forecasts.maker import Maker
from service.forecasts.products import read_forecast
from service.forecasts.records import StoredForecast
from service.forecasts.retention import sweep_forecasts
from service.inference.inputs import ModelInput
from tests.ingest.store.test_healing import flip
from tests.service.conftest import START

MINUTES = range(0, 301, 30)


def filled(open_world, rain):
    world = open_world()
    world.put(*(rain(minutes) for minutes in MINUTES))
    return world


def test_a_damaged_forecast_is_made_again_alike(open_world, rain):
    world = filled(open_world, rain)
    forecast = world.service.forecast_stored(START + timedelta(hours=2))
    whole = forecast.rate_mmh_THW
    flip(forecast.path, forecast.path.stat().st_size // 2)
    with pytest.raises(DamagedFileError):
        read_forecast(forecast.path)
    with pytest.raises(UnavailableError, match="set aside"), world.service.healing.noticing():
        FIELDS.read(forecast)
    assert world.service.catalogue.find(forecast.id) is None
    assert list((world.home / "quarantine").glob(f"*{forecast.id}.nc"))
    assert world.service.baselines.make_again() == 1
    again = world.service.get(forecast.id)
    np.testing.assert_array_equal(again.rate_mmh_THW, whole)
    assert world.service.baselines.make_again() == 0


def test_a_forecast_that_is_whole_is_never_set_aside(open_world, rain):
    world = filled(open_world, rain)
    forecast = world.service.forecast_stored(START + timedelta(hours=2))
    reported = DamagedFileError(forecast.path, "as another process saw it before it was made again")
    assert not world.service.healing.set_aside(reported)
    assert world.service.get(forecast.id).path.is_file()
    assert not list((world.home / "quarantine").glob("*"))


def test_the_newest_forecast_that_is_whole_is_the_latest(open_world, rain):
    world = filled(open_world, rain)
    before = world.service.forecast_stored(START + timedelta(hours=3))
    newest = world.service.forecast_stored(START + timedelta(hours=4))
    newest.path.unlink()
    assert world.service.latest().id == before.id
    flip(before.path, 900)
    with pytest.raises(UnavailableError), world.service.healing.noticing():
        FIELDS.read(world.service.latest())
    with pytest.raises(NoDataError):
        world.service.latest()


def test_one_damaged_window_keeps_no_other_from_being_verified(open_world, rain):
    world = filled(open_world, rain)
    times = [START + timedelta(hours=hours) for hours in (2, 2.5, 3)]
    bad, missing, good = (world.service.forecast_stored(time) for time in times)
    clean = filled_counts(world, good)
    flip(bad.path, bad.path.stat().st_size // 2)
    missing.path.unlink()
    assert world.service.verify_observed() > 0
    assert world.service._scoring.book.scored_leads(good) == clean
    assert world.service.baselines.make_again() == 2
    world.service.verify_observed()
    for one in (bad, missing):
        assert world.service._scoring.book.scored_leads(one), one.reference_time
        assert world.service.get(one.id).path.is_file()


def filled_counts(world, forecast) -> set[int]:
    """The leads of a forecast whose scans are stored."""
    return {forecast.lead_minutes[index] for index in world.service._scoring._observations.scans(forecast)}


def lost(world, hours: float = 2):
    """A forecast whose file is lost, and is noted to be made again."""
    forecast = world.service.forecast_stored(START + timedelta(hours=hours))
    forecast.path.unlink()
    world.service.healing.lose(forecast)
    return forecast


def failing(error: BaseException, monkeypatch, world, calls: int) -> int:
    """Number of those calls that tried to make a forecast again, each of which failed with the error."""
    make_again = Mock(side_effect=error)
    with monkeypatch.context() as patch:
        patch.setattr(Maker, "make_again", make_again)
        for _ in range(calls):
            with suppress(type(error)):
                assert world.service.baselines.make_again() == 0
    return make_again.call_count


def test_a_lost_forecast_waits_for_the_disk_and_is_begun_again_after_a_kill(open_world, rain, monkeypatch):
    world = filled(open_world, rain)
    forecast = lost(world)
    assert failing(UnavailableError("the disk is full"), monkeypatch, world, MOST + 2) == MOST + 2
    assert failing(KeyboardInterrupt(), monkeypatch, world, MOST - 1) == MOST - 1
    assert world.service.baselines.make_again() == 1
    assert world.service.get(forecast.id).path.is_file()


def test_a_forecast_that_ends_each_process_is_given_up(open_world, rain, monkeypatch, caplog):
    world = filled(open_world, rain)
    lost(world)
    assert failing(KeyboardInterrupt(), monkeypatch, world, MOST + 2) == MOST
    assert f"{MOST} attempts ended with their process" in caplog.text
    assert world.service.baselines.make_again() == 0


def test_one_that_cannot_be_made_keeps_no_other_from_being_made(open_world, rain, monkeypatch, caplog):
    world = filled(open_world, rain)
    bad, good = sorted((lost(world, 2), lost(world, 3)), key=lambda forecast: forecast.id)
    make = Maker.make_again

    def partly(maker: Maker, inputs: ModelInput, forecast: StoredForecast) -> StoredForecast:
        if forecast.id == bad.id:
            raise ValueError("expected rates, got none")
        return make(maker, inputs, forecast)

    monkeypatch.setattr(Maker, "make_again", partly)
    assert world.service.baselines.make_again() == 1
    assert world.service.get(good.id).path.is_file()
    assert "expected rates, got none" in caplog.text
    assert world.service.baselines.make_again() == 0


@pytest.mark.parametrize("harm", ["flip", "delete"])
def test_a_lost_input_is_built_anew_from_the_scans(open_world, rain, harm):
    world = filled(open_world, rain)
    time = START + timedelta(hours=2)
    forecast = world.service.forecast_stored(time)
    expected = {one.id: one.rate_mmh_THW for one in world.service.list()}
    inputs = forecast.inputs_path.read_bytes()
    baselines = [one for one in world.service.list() if one.id != forecast.id]
    world.service.catalogue.forget([one.id for one in baselines])
    for one in baselines:
        one.path.unlink()
    if harm == "flip":
        flip(forecast.inputs_path, forecast.inputs_path.stat().st_size // 2)
    else:
        forecast.inputs_path.unlink()
    assert world.service.baselines.backfill() == 1
    assert len(list((world.home / "quarantine").glob("*inputs-*.nc"))) == (harm == "flip")
    assert forecast.inputs_path.read_bytes() == inputs
    made = {one.id: one.rate_mmh_THW for one in world.service.list()}
    assert made.keys() == expected.keys()
    for name, rate_mmh_THW in made.items():
        np.testing.assert_array_equal(rate_mmh_THW, expected[name])


def test_a_damaged_input_costs_the_baselines_of_its_window_alone(open_world, rain):
    world = filled(open_world, rain)
    bad = world.service.forecast_stored(START + timedelta(hours=2), with_baselines=False)
    good = world.service.forecast_stored(START + timedelta(hours=3), with_baselines=False)
    flip(bad.inputs_path, bad.inputs_path.stat().st_size // 2)
    world.put(replace(rain(30), rate_mmh_HW=rain(30).rate_mmh_HW + 1))  # its window cannot be built anew
    world.service.verify_observed()
    assert not bad.inputs_path.exists()
    assert world.service._scoring.book.scored_leads(bad)
    assert world.service._scoring.book.scored_leads(good)
    assert len(world.service.catalogue.select(inputs_sha256=bad.inputs_sha256)) == 1
    assert len(world.service.catalogue.select(inputs_sha256=good.inputs_sha256)) == 3


def test_forecasts_are_entered_again_after_another_process_repaired_the_catalogue(open_world, rain):
    world = filled(open_world, rain)
    forecast = world.service.forecast_stored(START + timedelta(hours=2))
    database = world.home / "catalogue.sqlite"
    database.write_bytes(b"\x5a" * database.stat().st_size)
    assert repair(world.store.engine, world.home, world.now)
    assert world.service.get(forecast.id).id == forecast.id
    assert len(world.service.catalogue.select()) == 3
    assert not repair(world.store.engine, world.home, world.now)


def test_a_stray_folder_fails_no_sweep_and_stays(open_world, rain):
    world = filled(open_world, rain)
    stray = world.home / "forecasts" / "copy" / "of" / "mine" / "x.nc"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    sweep_forecasts(world.service, world.now + timedelta(days=400))
    assert stray.is_file()
