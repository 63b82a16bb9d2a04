"""From frames to a stored forecast: once, with its age, its baselines and its reasons."""

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from core.errors import ConflictError, NoDataError, UnknownNameError
from core.grid import Grid
from ingest.windows.regrid import bilinear
from service.forecasts.packing import rounded_rate
from service.forecasts.records import read_rate


def test_forecast_from_scans(world, window_frames, reference_time):
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    assert UUID(forecast.id).version == 5
    assert (forecast.status, forecast.origin, forecast.method) == ("ok", "scans", "fading")
    assert (forecast.requested_model, forecast.model, forecast.version) == ("default", "fading", "1")
    assert forecast.reference_time == reference_time
    assert forecast.lead_minutes == (30, 60, 90, 120, 150)
    assert forecast.valid_times[0] == reference_time + timedelta(minutes=30)
    assert forecast.input_times == tuple(frame.valid_time for frame in window_frames)
    assert forecast.grid.shape == (40, 40)  # 20 cells of 2 km are fewer than a model wants, so the source's stay
    assert forecast.path.parent == world.home / "forecasts/2024/06/01"
    newest = window_frames[-1].rate_mmh_HW
    np.testing.assert_array_equal(forecast.rate_mmh_THW[0], rounded_rate(newest / 2))
    np.testing.assert_array_equal(forecast.rate_mmh_THW[4], rounded_rate(newest / 32))
    np.testing.assert_array_equal(read_rate(forecast.inputs_path)[-1], newest)


def test_forecast_is_on_the_model_s_grid(open_world, rain):
    world = open_world()
    world.model.pixel_m = 2500.0
    source = Grid(rain(0).grid.crs, -100_000.0, -4_200_000.0, 1000.0, 1000.0, 200, 180, "wider")
    frames = [rain(minutes, grid=source) for minutes in range(0, 121, 30)]
    world.put(*frames)
    forecast = world.service.forecast_stored()
    assert forecast.grid.shape == (80, 72)
    assert forecast.grid.extent_m == source.extent_m
    expected = bilinear(frames[-1].rate_mmh_HW[None], 80, 72)[0] / 2
    np.testing.assert_array_equal(forecast.rate_mmh_THW[0], rounded_rate(expected))


def test_same_input_and_version_is_computed_once(world, open_world, window_frames):
    world.put(*window_frames)
    first = world.service.forecast_stored()
    written = first.path.stat().st_mtime_ns
    again = world.service.forecast_stored()
    assert again == first
    assert (world.model.calls, first.path.stat().st_mtime_ns) == (1, written)
    restarted = open_world()
    assert restarted.service.forecast_stored() == first
    assert restarted.model.calls == 0
    newer = open_world(replace(world.model, version="2"))
    assert newer.service.forecast_stored().id != first.id


def test_another_input_is_another_forecast(world, window_frames, rain):
    world.put(*window_frames)
    first = world.service.forecast_stored()
    changed = rain(90).rate_mmh_HW.copy()
    changed[30, 30] += 1
    world.put(replace(rain(90), rate_mmh_HW=changed))
    assert world.service.forecast_stored().id != first.id


def test_many_callers_compute_once(world, window_frames):
    world.put(*window_frames)
    found = []
    threads = [threading.Thread(target=lambda: found.append(world.service.forecast_stored().id)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert world.model.calls == 1


def test_a_lost_file_is_made_again(world, window_frames):
    world.put(*window_frames)
    first = world.service.forecast_stored()
    first.path.unlink()
    with pytest.raises(NoDataError, match=first.id):
        world.service.get(first.id)
    assert world.service.forecast_stored().id == first.id
    assert first.path.is_file()


def test_baselines_are_stored_with_every_forecast(world, window_frames):
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    together = world.service.list(origin="scans")
    assert {one.model for one in together} == {"fading", "persistence", "extrapolation"}
    assert {one.inputs_sha256 for one in together} == {forecast.inputs_sha256}
    covered = [np.isfinite(one.rate_mmh_THW) for one in together]
    assert all(np.array_equal(covered[0], other) for other in covered[1:])
    assert world.service.latest().id == forecast.id
    assert world.service.latest("persistence").model == "persistence"
    forecast_again = world.service.forecast_stored(model="persistence")
    assert forecast_again == world.service.latest("persistence")


def test_age_makes_a_forecast_stale(world, window_frames):
    world.put(*window_frames)
    forecast = world.service.forecast_stored()
    assert world.service.data_age_s(forecast) == 180
    world.now += timedelta(minutes=7)
    assert world.service.latest().status == "ok"  # 600 s
    world.now += timedelta(seconds=1)
    assert world.service.latest().status == "stale"
    assert world.service.get(forecast.id).status == "stale"


def test_replay_counts_age_by_its_own_clock(open_world, window_frames, rain):
    world = open_world(source_kind="replay")
    world.put(*window_frames)
    world.now += timedelta(days=1000)
    forecast = world.service.forecast_stored(scheduled=True)
    assert (forecast.status, world.service.data_age_s(forecast)) == ("ok", 0)
    world.put(rain(135))
    assert world.service.get(forecast.id).status == "stale"
    assert world.service.data_age_s(forecast) == 900


def test_old_scans_serve_requests_but_no_schedule(world, window_frames):
    world.put(*window_frames)
    world.now += timedelta(days=2)
    with pytest.raises(NoDataError, match="172980 s old; a scheduled forecast starts from one of at most 1200 s"):
        world.service.forecast_stored(scheduled=True)
    assert world.service.schedule.pending() == []
    assert world.service.forecast_stored().status == "stale"


def test_pending_lists_new_scans_until_they_are_forecast(world, window_frames, rain, reference_time):
    assert world.service.schedule.pending() == []
    assert not world.service.schedule.newest_is_pending()
    world.put(*window_frames, rain(115), rain(95))
    earlier = reference_time - timedelta(minutes=5)
    assert world.service.schedule.pending() == [(reference_time, "default"), (earlier, "default")]
    assert world.service.schedule.newest_is_pending()
    world.service.forecast_stored(reference_time, scheduled=True)
    assert world.service.schedule.pending() == [(earlier, "default")]
    assert not world.service.schedule.newest_is_pending()
    world.put(rain(125))
    assert world.service.schedule.newest_is_pending()
    world.now += timedelta(days=1)
    assert not world.service.schedule.newest_is_pending(), "too old for a forecast"


def test_nothing_stored(world):
    with pytest.raises(NoDataError, match="no scan is stored yet"):
        world.service.forecast_stored()
    with pytest.raises(NoDataError, match="no forecast from stored scans exists yet"):
        world.service.latest()
    with pytest.raises(NoDataError, match="no forecast of persistence"):
        world.service.latest("persistence")
    with pytest.raises(NoDataError, match="3fa85f64"):
        world.service.get("3fa85f64-5717-4562-b3fc-2c963f66afa6")


def test_unknown_model(world, window_frames):
    world.put(*window_frames)
    for make in (world.service.forecast_stored, lambda model: world.service.forecast_upload(window_frames, (), model)):
        with pytest.raises(UnknownNameError, match="nonsense"):
            make(model="nonsense")
    assert world.service.list() == []


def test_a_bridged_gap_is_degraded_and_reported(world, window_frames):
    world.put(*(frame for frame in window_frames if frame is not window_frames[2]))
    forecast = world.service.forecast_stored()
    assert (forecast.status, forecast.method) == ("degraded", "fading")
    assert forecast.input_times[2] is None
    assert "bridged linearly" in forecast.notes[0]


def test_a_wider_gap_falls_back_to_extrapolation(world, window_frames):
    world.put(*window_frames[2:])
    forecast = world.service.forecast_stored()
    assert (forecast.status, forecast.method, forecast.model) == ("degraded", "extrapolation", "fading")
    assert forecast.notes[-1] == "forecast by extrapolation"
    assert world.model.calls == 0
    np.testing.assert_array_equal(forecast.rate_mmh_THW, world.service.latest("extrapolation").rate_mmh_THW)


def test_too_few_scans_are_a_conflict_that_names_the_times(world, window_frames):
    world.put(window_frames[-1])
    with pytest.raises(ConflictError, match="2024-06-01T10:00:00Z"):
        world.service.forecast_stored()


def test_upload_is_never_refused_for_its_age(world, window_frames, reference_time):
    world.now += timedelta(days=3000)
    forecast = world.service.forecast_upload(window_frames)
    assert (forecast.status, forecast.origin, forecast.reference_time) == ("stale", "upload", reference_time)
    assert world.service.data_age_s(forecast) == 3000 * 86400 + 180
    assert world.service.forecast_upload(list(reversed(window_frames))).id == forecast.id
    assert world.model.calls == 1


def test_an_upload_stays_apart_from_scans(world, window_frames):
    upload = world.service.forecast_upload(window_frames)
    with pytest.raises(NoDataError):
        world.service.latest()
    assert world.store.scans() == []
    assert world.service.schedule.pending() == []
    world.put(*window_frames)
    stored = world.service.forecast_stored()
    assert stored.id != upload.id
    np.testing.assert_array_equal(stored.rate_mmh_THW, upload.rate_mmh_THW)


def test_uploads_that_make_no_window(world, window_frames, later_frames, rain):
    other = Grid(rain(0).grid.crs, 0.0, -4_200_000.0, 1000.0, 1000.0, 40, 40, "elsewhere")
    too_few, uneven = window_frames[1:], [*window_frames[:4], rain(105)]
    two_grids = [*window_frames[:4], rain(120, grid=other)]
    two_products = [*window_frames[:4], rain(120, product="RX")]
    for frames, reason in (
        (too_few, "4 frames"),
        (uneven, "minutes apart"),
        (two_grids, "expected frames on one grid"),
        (two_products, "RX, RY"),
        ([], "0 frames"),
    ):
        with pytest.raises(ConflictError, match=reason):
            world.service.forecast_upload(frames)
    with pytest.raises(ConflictError, match="expected one grid in a request, got two"):
        world.service.forecast_upload(window_frames, [rain(150, grid=other)])
    with pytest.raises(ConflictError, match="expected observed frames, got a forecast"):
        world.service.forecast_upload(window_frames, [replace(later_frames[0], lead_minutes=30)])
    assert world.service.list() == []


def test_observations_at_no_lead_are_a_conflict(world, window_frames, rain):
    with pytest.raises(ConflictError, match=r"one of the leads 2024-06-01T12:30:00Z.*, got 2024-06-01T12:10:00Z"):
        world.service.forecast_upload(window_frames, [rain(130)])


def test_a_reference_time_is_that_of_a_scan(world, window_frames, reference_time):
    world.put(*window_frames)
    forecast_again = world.service.forecast_stored(reference_time + timedelta(minutes=4, seconds=59))
    assert forecast_again.reference_time == reference_time
    assert forecast_again == world.service.forecast_stored()


@pytest.mark.parametrize(
    "time", ["2024-06-01T12:05:01Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "0001-01-01T05:00:00+14:00"]
)
def test_a_reference_time_without_a_scan(world, window_frames, time):
    world.put(*window_frames)
    with pytest.raises(NoDataError, match=r"no scan within 5 minutes of .*the newest is RY of 2024-06-01T12:00:00Z"):
        world.service.forecast_stored(datetime.fromisoformat(time))
