"""The window at the source's own cadence: its spacing, and what happens to missing scans."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core.errors import ConflictError, NoDataError
from core.frame import RadarFrame
from core.grid import RADOLAN_SPHERE, Grid
from ingest.store.live import Store
from ingest.store.recent import recent_scans, recent_window
from ingest.windows.series import cadence_of, series_window, upload_window

GRID = Grid(RADOLAN_SPHERE, 0.0, -4_000_000.0, 1000.0, 1000.0, 3, 4)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def scan(minutes: float, product: str = "RY", grid: Grid = GRID) -> RadarFrame:
    """A field whose rate is the number of minutes after 8:00."""
    return RadarFrame(at(minutes), grid, np.full(grid.shape, 240 + minutes, np.float32), product)


def scans(*minutes: float, product: str = "RY") -> list[RadarFrame]:
    return [scan(minute, product) for minute in minutes]


def stuck(count: int, rate_mmh: float) -> list[RadarFrame]:
    """Two hours of scans of which the newest `count` are equal."""
    frozen = [
        replace(scan(0), valid_time=at(-5 * age), rate_mmh_HW=np.full(GRID.shape, rate_mmh, np.float32))
        for age in range(count)
    ]
    for frame in frozen:
        frame.rate_mmh_HW[0, 0] = np.nan
    return [*scans(*every(5)[:-count]), *frozen]


def every(cadence: int, back: int = 120) -> list[float]:
    return list(range(-back, 1, cadence))


def rates(window) -> list[float]:
    return [float(field_HW[0, 0]) for field_HW in window.rate_mmh_THW]


@pytest.mark.parametrize("cadence", [5, 6, 10, 15, 20, 30, 60])
def test_a_complete_series_is_the_window_at_its_own_cadence(cadence):
    window = series_window(scans(*every(cadence)))
    assert (window.cadence_minutes, window.status, window.notes) == (cadence, "ok", ())
    assert window.model_usable
    assert window.nominal_times == tuple(at(minutes) for minutes in every(cadence))
    assert window.input_times == window.nominal_times
    assert rates(window) == [240 + minutes for minutes in every(cadence)]


@pytest.mark.parametrize(
    ("minutes", "cadence"),
    [
        ([0, 5, 10, 20, 25], 5),  # a gap
        ([0, 10, 20, 30, 35, 40, 45], 5),  # a source that changed to 5 minutes
        ([0, 5, 10, 15, 30, 45, 60, 75], 15),  # and one that changed to 15 minutes
        ([0, 2.5, 5, 7.5, 10], 5),
        ([0, 1, 2, 3, 4, 5, 6], 5),
        ([0, 2, 4, 6, 8], 6),
        ([0, 7.5, 15, 22.5], 15),
        ([0, 4.9, 10.1, 15, 20.2], 5),  # times of the sweeps' starts
        ([0, 5.5, 10, 15.5, 20, 25.5, 30], 5),  # every second one 30 s late
        ([0, 5.5, 10, 15.5, 20, 25.5, 31, 35], 5),
        ([0, 5.5, 16, 20.5, 25.5, 31, 35], 5),  # and one missing
        ([0, 10.5, 20, 30.5, 40, 50.5, 60], 10),
        ([0, 0, 15], 15),
        ([0, 45], 45),
        ([0], None),
        ([], None),
    ],
)
def test_the_newest_spacings_are_the_cadence(minutes, cadence):
    assert cadence_of([at(minute) for minute in minutes]) == cadence


def test_a_change_of_the_source_s_cadence_is_followed_within_four_scans():
    slower = series_window(scans(*range(-120, -59, 5), -45, -30, -15, 0))
    assert (slower.cadence_minutes, slower.status) == (15, "ok")
    faster = series_window(scans(*range(-120, -14, 15), -10, -5, 0))
    assert faster.cadence_minutes == 5
    assert faster.status == "degraded"
    assert faster.model_usable


@pytest.mark.parametrize("gaps", [[-5], [-60], [-115], [-10, -30, -90]])
def test_single_missing_fields_are_bridged_in_time_and_noted(gaps):
    window = series_window(scans(*(minutes for minutes in every(5) if minutes not in gaps)))
    assert rates(window) == pytest.approx([240 + minutes for minutes in every(5)])
    assert window.input_times.count(None) == len(gaps)
    assert window.status == "degraded"
    assert len(window.notes) == len(gaps)
    assert all("bridged linearly in time" in note for note in window.notes)
    assert window.model_usable


def test_a_longer_gap_is_left_empty_in_one_note():
    window = series_window(scans(*every(5, 45)[:-7], -5, 0))
    missing = [
        time
        for time, field_HW in zip(window.nominal_times, window.rate_mmh_THW, strict=True)
        if np.isnan(field_HW).all()
    ]
    assert missing == [at(minutes) for minutes in (*range(-120, -45, 5), *range(-30, -5, 5))]
    assert window.notes == (
        "no scan for 2026-06-01T10:00:00Z to 2026-06-01T11:10:00Z (15 fields 5 minutes apart): left empty",
        "no scan for 2026-06-01T11:30:00Z to 2026-06-01T11:50:00Z (5 fields 5 minutes apart): left empty",
    )
    assert window.model_usable


def blank(minutes: float) -> RadarFrame:
    return replace(scan(minutes), rate_mmh_HW=np.full(GRID.shape, np.nan, np.float32))


def test_a_scan_without_an_observed_cell_counts_as_missing():
    frames = [blank(minutes) if minutes in (-60, -100, -95) else scan(minutes) for minutes in every(5)]
    window = upload_window(frames)
    assert window.notes == (
        "no observed cell in the scan of 2026-06-01T10:20:00Z to 2026-06-01T11:00:00Z (3 scans): taken as missing",
        "no scan for 2026-06-01T11:00:00Z: bridged linearly in time",
        "no scan for 2026-06-01T10:20:00Z to 2026-06-01T10:25:00Z (2 fields 5 minutes apart): left empty",
    )
    assert rates(window)[12] == pytest.approx(180)
    assert (window.input_times[12], window.status, window.model_usable) == (None, "degraded", True)


def test_blank_scans_of_the_last_half_hour_leave_only_a_baseline():
    window = upload_window([scan(minutes) if minutes in (-60, 0) else blank(minutes) for minutes in every(5, 60)])
    assert not window.model_usable


def test_a_blank_newest_scan_is_noted_and_bridges_nothing():
    window = series_window([*scans(*every(5)[:-2]), blank(0)])
    assert window.notes == (
        "no scan for 2026-06-01T11:55:00Z: left empty",
        "no observed cell in the newest scan, 2026-06-01T12:00:00Z: the forecast is empty",
    )
    assert (window.input_times[-1], window.status) == (at(0), "degraded")


@pytest.mark.parametrize(
    ("minutes", "usable"),
    [
        ([-5, 0], True),
        ([-30, -25, 0], True),
        ([-40, -35, 0], False),  # one field in the last half hour
        ([-60, 0], True),  # hourly: the last two
        ([-90, -60, -30, 0], True),
    ],
)
def test_two_fields_of_the_last_half_hour_make_a_model_usable(minutes, usable):
    window = series_window(scans(*minutes))
    assert window.model_usable is usable


def test_a_cold_start_with_two_scans_is_a_degraded_window_of_full_length():
    window = series_window(scans(-5, 0))
    assert len(window.nominal_times) == 25
    assert (window.status, window.input_times.count(None)) == ("degraded", 23)
    assert np.isnan(window.rate_mmh_THW[:23]).all()


@pytest.mark.parametrize("minutes", [[], [0]])
def test_less_than_two_scans_are_refused(minutes):
    with pytest.raises(ConflictError, match="expected at least 2 frames"):
        series_window(scans(*minutes))


def test_a_missing_reference_scan_is_refused():
    with pytest.raises(ConflictError, match=r"spaced 5 minutes apart up to 2026-06-01T12:00:00Z"):
        series_window(scans(*every(5)[:-1]), at(0))


def test_a_past_reference_time_ignores_later_scans():
    window = series_window(scans(*every(10), 5, 10, 15), at(0))
    assert (window.reference_time, window.cadence_minutes) == (at(0), 10)


def test_of_two_scans_of_one_time_the_last_counts():
    again = replace(scan(-5), rate_mmh_HW=np.full(GRID.shape, 7, np.float32))
    assert rates(series_window([*scans(*every(5)), again]))[-2] == 7


def test_scans_off_their_times_are_noted_beyond_half_a_minute():
    off = series_window(scans(-20, -15, -9, -4.8, 0))
    assert off.notes[0] == "1 scans are up to 1.0 minutes off their nominal times"
    assert not any("off their" in note for note in series_window(scans(-20, -15, -9.8, -4.8, 0)).notes)


@pytest.mark.parametrize("cadence", [5, 10, 15, 30, 60])
def test_an_upload_of_five_frames_is_whole_at_any_cadence(cadence):
    window = upload_window(scans(*range(-4 * cadence, 1, cadence)))
    assert (len(window.nominal_times), window.cadence_minutes, window.status) == (5, cadence, "ok")


def test_an_upload_takes_the_frames_of_two_hours_and_notes_gaps():
    window = upload_window(scans(*(minutes for minutes in every(5, 180) if minutes != -50)))
    assert len(window.nominal_times) == 25
    assert window.notes == ("no scan for 2026-06-01T11:10:00Z: bridged linearly in time",)


@pytest.mark.parametrize(
    ("minutes", "phrase"),
    [
        ([-15, -10, -5, 0], "at least 5 frames equally spaced, got 4"),
        ([0, 0, 0, 0, 0, 0], "got 1 frames"),
        ([-120, -110, -95, -60, 0], "spaced 15 minutes apart .* got 3 of 5 frames"),
        ([], "got 0 frames"),
    ],
)
def test_an_upload_of_too_few_frames_in_time_is_refused(minutes, phrase):
    with pytest.raises(ConflictError, match=phrase):
        upload_window(scans(*minutes))


def test_two_products_or_grids_are_refused():
    for other in (scan(-5, "YW"), scan(-5, grid=replace(GRID, width=5))):
        with pytest.raises(ConflictError, match="expected frames o"):
            series_window([scan(-10), other, scan(0)])


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_store_gives_the_product_that_has_most_scans(store):
    for frame in [*scans(*every(5)), *scans(*every(10), product="YW"), *scans(-110, -50, 10, product="RW")]:
        store.put(frame)
    window = recent_window(store, at(0))
    assert (window.product, window.cadence_minutes, window.status) == ("RY", 5, "ok")
    for frame in scans(*every(5), product="AA"):
        store.put(frame)
    assert recent_window(store, at(0)).product == "RY", "of equals the preferred one"


def test_hourly_sums_never_fill_the_window_of_a_cold_start(store):
    for frame in [*scans(-120, -60, 0, product="RW"), *scans(-5, 0)]:
        store.put(frame)
    assert recent_window(store, at(0)).product == "RY"
    assert {one.product for one in recent_scans(store, at(-60))} == {"RW"}


def test_a_damaged_file_is_a_gap(store, caplog):
    for frame in scans(*every(5)):
        store.put(frame)
    store.scans()[-3].path.write_bytes(b"cut")
    window = recent_window(store, at(0))
    assert window.input_times[-3] is None
    assert "bridged" in window.notes[0]
    assert "taken as missing" in caplog.text


def test_no_scan_near_the_time_is_no_data(store):
    for frame in scans(*every(5)):
        store.put(frame)
    with pytest.raises(NoDataError, match="no scan within 5 minutes"):
        recent_window(store, at(30))


@pytest.mark.parametrize(
    ("count", "rate_mmh", "noted"), [(3, 2.0, True), (7, 2.0, True), (2, 2.0, False), (7, 0.0, False)]
)
def test_a_stuck_source_is_noted_and_degrades_the_window(count, rate_mmh, noted):
    window = series_window(stuck(count, rate_mmh))
    since = f"{at(-5 * (count - 1)):%H:%M}"
    assert window.status == ("degraded" if noted else "ok")
    assert len(window.notes) == noted
    assert all(f"the {count} newest scans, since" in note and since in note for note in window.notes)
    assert window.model_usable
