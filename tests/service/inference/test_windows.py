"""A forecast starts from the window that ingest keeps ready, but only if that was made of the very scans of now."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from core.errors import NoDataError


@pytest.fixture
def ready(world, window_frames):
    """A store with five scans and the ready window of `default`, and a service that records what it reads."""
    world.put(*window_frames)
    path = world.store.write_windows("default", world.model.pixel_m)
    assert path
    read = []
    load, window = world.store.load, world.store.window

    def counted_load(scan):
        read.append(scan)
        return load(scan)

    def counted_window(*args, **named):
        read.append(args)
        return window(*args, **named)

    world.store.load, world.store.window = counted_load, counted_window
    world.path, world.read = path, read
    return world


def test_no_scan_is_read_and_the_forecast_is_the_same(ready, open_world):
    forecast = ready.service.forecast_stored(with_baselines=False)
    assert ready.read == []
    rate_mmh_THW = forecast.rate_mmh_THW
    ready.path.unlink()
    forecast.path.unlink()
    again = ready.service.forecast_stored()
    assert ready.read
    assert replace(again, issued_at=forecast.issued_at) == forecast
    np.testing.assert_array_equal(again.rate_mmh_THW, rate_mmh_THW)


def test_a_re_issued_scan_is_never_served_from_an_old_window(ready, window_frames):
    before = ready.service.forecast_stored()
    changed = window_frames[2].rate_mmh_HW + np.float32(1)
    ready.put(replace(window_frames[2], rate_mmh_HW=changed))
    after = ready.service.forecast_stored()
    assert ready.read, "the window is made of the scans again"
    assert after.id != before.id
    ready.read.clear()
    ready.store.write_windows("default", ready.model.pixel_m)
    ready.read.clear()
    assert ready.service.forecast_stored().id == after.id
    assert ready.read == []


def test_a_better_scan_for_a_time_makes_the_window_old(world, window_frames, rain):
    world.put(*window_frames[:2], rain(62), *window_frames[3:])
    world.store.write_windows("default", world.model.pixel_m)
    before = world.service.forecast_stored()
    assert before.status == "degraded"
    world.put(window_frames[2])
    assert world.service.forecast_stored().status == "ok"


@pytest.mark.parametrize(
    "changed", [{"sources": "[]"}, {"sources": json.dumps(["0" * 64] * 5)}, {"nominal_times": "[]"}]
)
def test_a_window_without_its_scans_is_not_used(ready, changed):
    with safe_open(ready.path, framework="numpy") as file:
        metadata = file.metadata()
    save_file(load_file(ready.path), ready.path, {**metadata, **changed})
    ready.service.forecast_stored()
    assert ready.read


def test_a_window_of_other_cells_or_too_few_fields_is_not_used(ready, open_world):
    ready.model.pixel_m = 400.0
    ready.model.input_steps = 6
    assert ready.service.forecast_stored().method == "extrapolation"
    assert ready.read
    ready.model.input_steps = 5
    ready.read.clear()
    ready.path.write_bytes(b"cut")
    ready.service.forecast_stored()
    assert ready.read


def test_a_baseline_starts_from_the_scheduled_model_s_window(ready):
    ready.service.predictor.forecaster("persistence").pixel_m = ready.model.pixel_m
    ready.service.forecast_stored(model="persistence")
    assert ready.read == []


def models_of(world) -> set[str]:
    return {forecast.model for forecast in world.service.list()}


def test_baselines_may_come_after_the_answer(world, window_frames):
    world.put(*window_frames)
    forecast = world.service.forecast_stored(with_baselines=False)
    assert models_of(world) == {"fading"}
    assert [one.id for one in world.service.baselines.missing()] == [forecast.id]
    world.service.baselines.compute(forecast)
    assert world.service.baselines.missing() == []
    late = {one.model: one for one in world.service.list()}
    assert set(late) == {"fading", "persistence", "extrapolation"}
    for one in late.values():
        one.path.unlink()
    assert {one.id for one in [world.service.forecast_stored()]} == {forecast.id}
    at_once = {one.model: one for one in world.service.list()}
    assert {name: one.id for name, one in at_once.items()} == {name: one.id for name, one in late.items()}


def test_a_process_that_ended_in_between_loses_nothing(world, open_world, window_frames, later_frames):
    world.put(*window_frames[:3], *window_frames[4:])  # a bridged gap, which the baselines say too
    world.service.forecast_stored(with_baselines=False)
    restarted = open_world()
    assert restarted.service.baselines.backfill() == 1
    assert models_of(restarted) == {"fading", "persistence", "extrapolation"}
    for one in restarted.service.list():
        assert (one.status, one.input_times[3]) == ("degraded", None)
        assert "bridged linearly" in one.notes[0]
    assert restarted.service.baselines.backfill() == 0


def test_baselines_that_another_process_has_begun_are_left_to_it(world, window_frames):
    world.put(*window_frames)
    forecast = world.service.forecast_stored(with_baselines=False)
    begun = {forecast.id}
    world.service.baselines.claim = lambda one: one.id not in begun
    assert world.service.baselines.backfill() == 0
    assert models_of(world) == {"fading"}
    begun.clear()
    assert world.service.baselines.backfill() == 1


def test_nothing_is_verified_without_its_baselines(world, window_frames, later_frames):
    world.put(*window_frames)
    world.service.forecast_stored(with_baselines=False)
    world.put(*later_frames)
    world.now = later_frames[-1].valid_time
    world.service.verify_observed()
    assert {row.model for row in world.service.rolling()} == {"fading", "persistence", "extrapolation"}


def test_uploads_and_windows_of_other_times_owe_their_own(world, window_frames, rain):
    world.put(*window_frames, rain(125), *(rain(minutes) for minutes in range(5, 96, 30)))
    first = world.service.forecast_stored(window_frames[-1].valid_time, with_baselines=False)
    second = world.service.forecast_stored(with_baselines=False)
    world.service.baselines.compute(first)
    assert [one.id for one in world.service.baselines.missing()] == [second.id]
    assert world.service.baselines.missing(since=second.reference_time.replace(year=2030)) == []


def test_without_kept_inputs_and_their_scans_nothing_can_be_made_up(world, window_frames, caplog):
    world.put(*window_frames)
    forecast = world.service.forecast_stored(with_baselines=False)
    forecast.inputs_path.unlink()
    changed = window_frames[2].rate_mmh_HW + np.float32(1)
    world.put(replace(window_frames[2], rate_mmh_HW=changed))
    assert [one.id for one in world.service.baselines.missing()] == [forecast.id]
    for _ in range(2):
        world.service.baselines.backfill()
        assert world.service.baselines.missing() == [], "it is tried once"
    assert caplog.text.count("the stored scans do not give them again") == 1
    assert models_of(world) == {"fading"}
    with pytest.raises(NoDataError):
        world.service.latest("persistence")
