"""The record of stated starts and ends of rain: by hand, from a service, and as the interface answers it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from service.forecasts.nowcast import NowcastService
from service.forecasts.observed import Observations
from service.forecasts.rollup import roll_up
from service.queries.point import point_series, rain_at
from service.queries.rain_times import Places, observed_times, read_places, record_rain_times, statements
from tests.service.api_support import NOW, REFERENCE, fill, frames_at, lead_times, running, service_at
from verification.rain_times import BINS, DRY, RainTimes, end_bin, group_of, start_bin, start_bins

LEADS = (5, 10, 15, 20, 25, 30, 35, 40)
WET, NO = 1.0, 0.0


def read(service):
    """The places of the newest forecast, which are all observed."""
    found = read_places(Observations(service.store), service.latest())
    assert found is not None
    return found


def places(rate_L, observed_L, *, now=NO, members_ML=None, known=True):
    """One place."""
    members_MLN = None if members_ML is None else np.array(members_ML, np.float32)[..., None]
    return Places(
        np.array(rate_L, np.float32)[:, None],
        np.full((len(LEADS), 1), known),
        members_MLN,
        np.array([now], np.float32),
        np.array(observed_L, np.float32)[:, None],
    )


def at(found, number):
    """One of several places."""
    return replace(found, **{name: part[..., [number]] for name, part in vars(found).items() if part is not None})


def stated(*arguments, **options):
    return list(statements(places(*arguments, **options), LEADS))


def rain(first, last):
    return [WET if first <= lead <= last else NO for lead in LEADS]


def test_a_start_within_ten_minutes_is_right():
    assert stated(rain(20, 30), rain(30, 40)) == [(start_bin(20, None), True, True), (end_bin(35), False, True)]
    assert stated(rain(20, 30), rain(35, 40))[0] == (start_bin(20, None), False, True)
    assert stated(rain(20, 40), [NO] * 8) == [(start_bin(20, None), False, False)]
    assert stated(rain(20, 30), rain(15, 20)) == [(start_bin(20, None), True, True), (end_bin(35), True, True)]


def test_rain_that_falls_already_has_an_end_and_no_start():
    assert stated(rain(5, 20), rain(5, 30), now=WET) == [(end_bin(25), True, True)]


def test_dry_is_right_where_it_stayed_dry_and_not_stated_where_rain_may_flow_in():
    assert stated([NO] * 8, [NO] * 8) == [(DRY, True, False)]
    assert stated([NO] * 8, rain(40, 40)) == [(DRY, False, True)]
    assert stated([NO] * 8, [NO] * 8, known=False) == []


def test_a_place_that_was_not_observed_throughout_states_nothing():
    assert stated(rain(20, 30), [*rain(20, 30)[:-1], np.nan]) == []
    assert stated([*rain(20, 30)[:-1], np.nan], rain(20, 30)) == []


def test_members_give_the_start_and_its_probability():
    members_ML = [rain(10, 20)] * 3 + [rain(15, 20)] + [[NO] * 8] * 6
    (start, end) = stated(rain(25, 30), rain(10, 20), members_ML=members_ML)
    assert start == (start_bin(10, 0.4), True, True)
    assert end == (end_bin(25), True, True)


def test_bins_are_apart_and_add_up():
    bins = [start_bin(minutes, probability) for minutes in (5, 60, 120, 300) for probability in (0.0, 0.39, 0.99, None)]
    ends = [end_bin(minutes) for minutes in (30, 31, 120, 121)]
    assert len({DRY, *bins, *ends}) == len(bins) + len(ends) + 1
    assert max(ends) == BINS - 1
    assert [group_of(minutes) for minutes in (5, 30, 31, 60, 120, 121, 360)] == [0, 0, 1, 1, 2, 3, 3]
    sums = RainTimes.of([(start_bin(20, 0.5), True, True), (start_bin(20, 0.9), False, True)])
    assert (sums + sums).total(start_bins(0)) == (4, 2, 4)


def test_the_observed_rain_begins_and_ends_with_the_scans():
    wet_L = np.array(rain(10, 15)) > 0
    assert observed_times(wet_L, LEADS, rains_now=False) == (10, 20)
    assert observed_times(wet_L, LEADS, rains_now=True) == (0, 5)
    assert observed_times(wet_L & False, LEADS, rains_now=False) == (None, None)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> NowcastService:
    return scored_service(tmp_path_factory.mktemp("home"))


def scored_service(home: Path) -> NowcastService:
    """A service with one forecast, all of whose leads are observed and scored; and the scans that followed."""
    clock = [NOW]
    service = service_at(home, clock=lambda: clock[0])
    fill(service)
    service.forecast_stored()
    record_rain_times(service, 60)  # nothing is observed yet
    for frame in frames_at(lead_times()):
        service.store.put(frame)
    clock[0] = lead_times()[-1] + timedelta(minutes=3)
    service.verify_observed()
    return service


def test_places_are_those_of_the_forecast_and_of_the_scans(scored):
    """Each place states what the response for it states, and is compared with the scans' own values."""
    forecast = scored.latest()
    found = read(scored)
    rows, cols = (range(step // 2, size, step) for size, step in zip(forecast.grid.shape, (3, 2), strict=True))
    cells = [(row, col) for row in rows for col in cols]
    assert found.rate_mmh_LN.shape == (5, len(cells))
    lon_HW, lat_HW = forecast.grid.lon_lat_HW()
    scans = frames_at(lead_times())
    for number in range(0, len(cells), 7):
        row, col = cells[number]
        series = point_series(forecast, float(lat_HW[row, col]), float(lon_HW[row, col]))
        assert series.cell == (row, col)
        rates = [None if np.isnan(rate) else float(rate) for rate in found.rate_mmh_LN[:, number]]
        assert rates == list(series.rate_mmh)
        seen = [scan.rate_mmh_HW[row, col] for scan in scans]
        np.testing.assert_array_equal(found.observed_mmh_LN[:, number], seen)


def test_the_record_is_counted_once_and_answered(scored):
    assert record_rain_times(scored, 60) == 1
    assert record_rain_times(scored, 60) == 0
    forecast = scored.latest()
    with running(scored) as client:
        answer = client.get("/verification/rain-times", params={"period_hours": 24})
        assert answer.status_code == 200, answer.text
        found = answer.json()
    by_hand = RainTimes.of(statements(read(scored), forecast.lead_minutes))
    assert sum(one["cases"] for one in found["starts"]) == sum(by_hand.total(start_bins(g))[0] for g in range(4)) > 0
    assert found["dry"] == {"cases": by_hand.cases[DRY], "right": by_hand.right[DRY]}
    assert found["dry"]["cases"] >= found["dry"]["right"] > 0
    assert all(one["right"] <= one["rained"] <= one["cases"] for one in found["starts"])
    assert found["empty_because"] is None
    assert (found["within_minutes"], found["model"]) == (10, "default")


def test_a_damaged_input_keeps_no_record_waiting(tmp_path):
    scored = scored_service(tmp_path)
    path = scored.latest().inputs_path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)
    assert record_rain_times(scored, 60) == 0
    assert not path.exists(), "it is set aside"
    assert record_rain_times(scored, 60) == 1


def test_the_record_outlives_the_single_scores(scored):
    day: dict[str, str] = {"period_hours": "24", "end": (REFERENCE + timedelta(hours=4)).isoformat()}
    with running(scored) as client:
        before = client.get("/verification/rain-times", params=day).json()
        roll_up(scored.catalogue.engine, REFERENCE + timedelta(hours=40))
        after = client.get("/verification/rain-times", params=day).json()
        none = client.get("/verification/rain-times", params={"end": "2020-01-01T00:00:00Z"}).json()
    assert (after["starts"], after["ends"], after["dry"]) == (before["starts"], before["ends"], before["dry"])
    assert none["starts"] == []
    assert "stored" in none["empty_because"]


def test_the_stated_start_is_that_of_the_response(scored):
    """At a place of each kind, against the function that answers `next_rain`."""
    forecast = scored.latest()
    found = read(scored)
    lon_HW, lat_HW = forecast.grid.lon_lat_HW()
    rows, cols = (range(step // 2, size, step) for size, step in zip(forecast.grid.shape, (3, 2), strict=True))
    cells, compared = [(row, col) for row in rows for col in cols], 0
    for number, (row, col) in enumerate(cells):
        one = at(found, number)
        starts = [bin_ for bin_, _, _ in statements(one, forecast.lead_minutes) if bin_ in range(1, 25)]
        if starts:
            rain_ = rain_at(forecast, point_series(forecast, float(lat_HW[row, col]), float(lon_HW[row, col])))
            assert rain_ is not None
            assert starts == [start_bin(rain_.start_minutes or 0, None)]
            compared += 1
    assert compared > 0
