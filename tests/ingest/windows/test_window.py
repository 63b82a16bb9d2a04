"""The window's policy: what stands for which time, what is bridged, what is refused, and that all of it is reported."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConflictError
from core.frame import RadarFrame
from core.grid import RADOLAN_900
from ingest.windows.regrid import bilinear
from ingest.windows.window import build_window, observations_at

T0 = datetime(2026, 6, 1, 12, tzinfo=UTC)
GRID = RADOLAN_900.resized(4, 6)


def minutes(number):
    return timedelta(minutes=number)


def frame(minute, **changes):
    """A frame whose values are drawn by its time."""
    values = np.random.default_rng(minute + 10_000).gamma(0.5, 4.0, GRID.shape).astype(np.float32)
    given = {"valid_time": T0 + minutes(minute), "grid": GRID, "rate_mmh_HW": values, "product": "RY"}
    return RadarFrame(**{**given, **changes})


def series(*at):
    return [frame(minute) for minute in at]


FULL = (-120, -90, -60, -30, 0)


def assert_same(one, other):
    np.testing.assert_array_equal(one.rate_mmh_THW, other.rate_mmh_THW)
    for name in ("reference_time", "nominal_times", "input_times", "status", "notes", "missing_radars", "model_usable"):
        assert getattr(one, name) == getattr(other, name)


def test_five_scans_in_time_are_the_window():
    window = build_window(series(*FULL))
    assert (window.status, window.notes, window.model_usable, window.product) == ("ok", (), True, "RY")
    assert window.reference_time == T0
    assert window.nominal_times == window.input_times == tuple(T0 + minutes(minute) for minute in FULL)
    np.testing.assert_array_equal(window.rate_mmh_THW, [frame(minute).rate_mmh_HW for minute in FULL])


def test_a_five_minute_stream_gives_every_sixth_scan():
    window = build_window(series(*range(-180, 1, 5)))
    assert_same(window, build_window(series(*FULL)))


def test_a_past_reference_time_ignores_later_scans():
    window = build_window(series(*range(-180, 1, 5)), T0 - minutes(30))
    assert window.input_times == tuple(T0 + minutes(minute - 30) for minute in FULL)
    assert window.status == "ok"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([*range(-150, 0, 5)]), unique=True).flatmap(lambda at: st.permutations([*at, 0])),
    st.randoms(use_true_random=False),
)
def test_order_and_duplicates_make_no_difference(at, random):
    def outcome(frames):
        try:
            return build_window(frames)
        except ConflictError as err:
            return str(err)

    frames = series(*at)
    sorted_once = outcome(sorted(frames, key=lambda each: each.valid_time))
    doubled = [*frames, *random.sample(frames, len(frames) // 2)]
    for other in (outcome(frames), outcome(doubled)):
        if isinstance(sorted_once, str):
            assert other == sorted_once
        else:
            assert_same(other, sorted_once)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(range(-150, 1, 5))))
def test_every_set_of_scans_has_the_outcome_of_the_policy(at):
    """The policy once more, by brute force over the whole minutes of each slot."""
    near = {slot: min((m for m in at if abs(m - slot) <= 5), key=lambda m: (abs(m - slot), m), default=None)
            for slot in FULL}  # fmt: skip
    missing = [slot for slot, found in near.items() if found is None]
    if near[0] is None or len(missing) > 3:
        with pytest.raises(ConflictError) as refused:
            build_window(series(*at), T0)
        if at:
            assert all(f"{T0 + minutes(slot):%Y-%m-%dT%H:%M:%SZ}" in str(refused.value) for slot in missing)
        return
    window = build_window(series(*at), T0)
    assert window.input_times == tuple(None if m is None else T0 + minutes(m) for m in near.values())
    assert window.model_usable == (not missing or (len(missing) == 1 and missing[0] != -120))
    assert (window.status == "ok") == (near == {slot: slot for slot in FULL})
    assert len(window.notes) == sum(found != slot for slot, found in near.items())
    empty = np.isnan(window.rate_mmh_THW).all(axis=(1, 2))
    assert empty.any() != window.model_usable
    assert empty.tolist() == [found is None and not window.model_usable for found in near.values()]


@pytest.mark.parametrize("gap", [-90, -60, -30])
def test_one_missing_inner_frame_is_bridged_in_time(gap):
    window = build_window(series(*(minute for minute in FULL if minute != gap)))
    expected = (frame(gap - 30).rate_mmh_HW + frame(gap + 30).rate_mmh_HW) / 2
    index = FULL.index(gap)
    np.testing.assert_allclose(window.rate_mmh_THW[index], expected, rtol=1e-6)
    assert (window.status, window.model_usable, window.input_times[index]) == ("degraded", True, None)
    assert len(window.notes) == 1
    assert "bridged" in window.notes[0]
    assert f"{T0 + minutes(gap):%Y-%m-%dT%H:%M:%SZ}" in window.notes[0]


def test_a_bridge_weighs_its_ends_by_their_real_times():
    window = build_window(series(-120, -85, -30, 0))  # -60 is 25 minutes after one end and 30 before the other
    expected = frame(-85).rate_mmh_HW * (30 / 55) + frame(-30).rate_mmh_HW * (25 / 55)
    np.testing.assert_allclose(window.rate_mmh_THW[2], expected, rtol=1e-5)
    assert len(window.notes) == 2


def test_a_bridge_is_not_observed_where_either_end_is_not():
    holes = frame(-90).rate_mmh_HW.copy()
    holes[1, 2] = np.nan
    window = build_window([frame(-90, rate_mmh_HW=holes), *series(-120, -30, 0)])
    assert np.isnan(window.rate_mmh_THW[2, 1, 2])
    assert np.isfinite(window.rate_mmh_THW[2]).sum() == holes.size - 1


@pytest.mark.parametrize("there", [(-120, -60, 0), (-90, -60, -30, 0), (-30, 0), (-120, 0)])
def test_a_larger_gap_leaves_only_extrapolation(there):
    window = build_window(series(*there))
    assert (window.model_usable, window.status) == (False, "degraded")
    assert len(window.notes) == 5 - len(there)
    for index, minute in enumerate(FULL):
        assert np.isnan(window.rate_mmh_THW[index]).all() == (minute not in there)


def test_a_missing_reference_scan_is_refused_by_its_time():
    with pytest.raises(ConflictError, match="2026-06-01T12:00:00Z"):
        build_window(series(-150, -120, -90, -60, -30, 30), T0)


def test_one_scan_alone_is_refused_with_all_missing_times():
    with pytest.raises(ConflictError) as refused:
        build_window(series(0))
    for expected in (
        "10:00:00Z",
        "10:30:00Z",
        "11:00:00Z",
        "11:30:00Z",
        "got 1 frames",
        "expected frames spaced 30 minutes apart",
    ):
        assert expected in str(refused.value)


def test_no_frames_are_refused():
    with pytest.raises(ConflictError, match="0 frames"):
        build_window([])


def test_a_shifted_scan_is_used_and_noted():
    window = build_window(series(-120, -95, -60, -30, 0))
    assert (window.status, window.model_usable) == ("degraded", True)
    assert window.input_times[1] == T0 - minutes(95)
    assert window.nominal_times[1] == T0 - minutes(90)
    assert "2026-06-01T10:30:00Z" in window.notes[0]
    assert "2026-06-01T10:25:00Z" in window.notes[0]


def test_the_nearest_scan_is_taken_and_of_two_the_earlier():
    assert build_window(series(-120, -95, -88, -60, -30, 0)).input_times[1] == T0 - minutes(88)
    assert build_window(series(-120, -95, -85, -60, -30, 0)).input_times[1] == T0 - minutes(95)


def test_a_scan_never_serves_two_times():
    window = build_window(series(-20, -10, -5, 0), cadence_minutes=5)  # -15 could borrow -10 or -20
    assert window.input_times[1] is None
    assert "bridged" in window.notes[0]


def test_the_last_of_two_frames_of_one_time_counts():
    newer = np.full(GRID.shape, 7, np.float32)
    window = build_window([*series(*FULL), frame(-60, rate_mmh_HW=newer)])
    np.testing.assert_array_equal(window.rate_mmh_THW[2], newer)


def test_radars_that_any_scan_lacks_are_named():
    frames = series(-120, -30, 0)
    lacking = [frame(-90, missing_radars=("ess", "boo")), frame(-60, missing_radars=("boo",))]
    assert build_window([*frames, *lacking]).missing_radars == ("ess", "boo")


def test_mixed_products_are_refused_by_name():
    with pytest.raises(ConflictError, match="RV, RY"):
        build_window([*series(-120, -90, -60, -30), frame(0, product="RV")])


def test_two_grids_are_refused():
    other = GRID.resized(5, 5)
    odd = frame(0, grid=other, rate_mmh_HW=np.zeros(other.shape, np.float32))
    with pytest.raises(ConflictError, match=r"expected frames on one grid, got 4 x 6 .* and 5 x 5"):
        build_window([*series(-120, -90, -60, -30), odd])


@pytest.mark.parametrize("strict", [False, True])
def test_forecast_frames_are_refused(strict):
    with pytest.raises(ConflictError, match="30 minutes ahead"):
        build_window([*series(*FULL), frame(30, lead_minutes=30)], strict=strict)


def test_strict_takes_what_is_complete():
    assert_same(build_window(series(*FULL), strict=True), build_window(series(*FULL)))
    assert build_window(series(-120, -91, -60, -30, 0), strict=True).status == "degraded"


@pytest.mark.parametrize(
    ("at", "phrases"),
    [
        ((-90, -60, -30, 0), ["4 frames", "expected at least 5"]),
        ((-120, -90, -30, 0, 0), ["4 frames of different times"]),
        ((-150, -120, -90, -30, 0), ["11:00:00Z", "got 5 frames", "30 to 60 minutes apart"]),
        (
            (-20, -15, -10, -5, 0),
            ["10:00:00Z", "11:30:00Z", "5 minutes apart", "expected frames spaced 30 minutes apart"],
        ),
    ],
)
def test_strict_refuses_gaps_and_names_what_it_found(at, phrases):
    with pytest.raises(ConflictError) as refused:
        build_window(series(*at), strict=True)
    for words in phrases:
        assert words in str(refused.value)


def test_observations_stand_at_their_times_on_the_asked_grid():
    coarse = GRID.resized(2, 3)
    observed_THW = observations_at(series(30, 60), coarse, [T0 + minutes(m) for m in (60, 90, 30, 28)])
    np.testing.assert_array_equal(observed_THW[0], bilinear(frame(60).rate_mmh_HW[None], 2, 3)[0])
    np.testing.assert_array_equal(observed_THW[2], bilinear(frame(30).rate_mmh_HW[None], 2, 3)[0])
    assert np.isnan(observed_THW[[1, 3]]).all()
    near_THW = observations_at(series(30), coarse, [T0 + minutes(28)], tolerance_minutes=2)
    np.testing.assert_array_equal(near_THW[0], observed_THW[2])


def test_observations_are_no_forecasts():
    with pytest.raises(ConflictError, match=r"lead time 0"):
        observations_at([frame(30, lead_minutes=30)], GRID, [T0])


def test_no_observations_are_all_nan():
    assert np.isnan(observations_at([], GRID, [T0])).all()


def test_five_equal_scans_of_rain_are_a_stuck_source():
    fixed = frame(0).rate_mmh_HW
    window = build_window([frame(minute, rate_mmh_HW=fixed) for minute in FULL])
    assert window.status == "degraded"
    assert ["identical rain" in note for note in window.notes] == [True]
