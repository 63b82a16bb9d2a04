"""A forecast at places over HTTP: now, quantiles, the next rain in minutes, zones, tables, several places."""

import csv
import io
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from starlette.concurrency import run_in_threadpool
from starlette.testclient import TestClient

from core.distribution import quantile_mmh
from service.api import points
from service.forecasts.fields import FIELDS
from service.forecasts.member_maker import make_members
from service.forecasts.members import members_path
from service.queries.rain import member_rain, rain_minutes
from service.schemas.places import PointOut
from tests.service.api_support import CHANCES_MMH, GRID, REFERENCE, fill, rain_THW, running, service_at

LON_HW, LAT_HW = GRID.lon_lat_HW()
WET = 41, 26
CORNER = 2, 3
LEADS = (5, 10, 15, 20)


@pytest.fixture(scope="module")
def client(service):
    service.forecast_stored()
    with running(service) as client:
        yield client


def at(*cell, **more):
    return {"lat": float(LAT_HW[cell]), "lon": float(LON_HW[cell]), **more}


def point(client: TestClient, *cell, **more):
    answer = client.get("/nowcast/latest/point", params=at(*cell, **more))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_documents_have_the_fields_of_the_schema(client):
    for body in (
        point(client, *WET),
        point(client, *CORNER),
        client.get("/nowcast/latest/point?lat=40&lon=-74").json(),
    ):
        document = PointOut.model_validate(body)
        assert set(body) == set(PointOut.model_fields)
        assert document.model_dump(mode="json") == body


def test_a_place_begins_with_the_newest_scan(client):
    for cell in (WET, (40, 20), (70, 5)):
        observed = point(client, *cell)["observed"]
        assert observed["valid_time"] == "2024-06-01T12:00:00Z"
        assert observed["rate_mmh"] == pytest.approx(float(rain_THW([REFERENCE])[0][cell]), rel=1e-6, abs=0.01)
    assert point(client, *CORNER)["observed"]["rate_mmh"] is None


def test_quantiles_are_those_of_the_probabilities_and_ascend(client):
    for lead in point(client, *WET)["series"]:
        probability_K = np.array([one["probability"] for one in lead["probabilities"]])
        for q, name in ((0.1, "q10"), (0.5, "q50"), (0.9, "q90")):
            assert lead[name] == pytest.approx(float(quantile_mmh(probability_K, CHANCES_MMH, q)), rel=0.02, abs=0.002)
        assert lead["q10"] <= lead["q50"] <= lead["q90"]
    assert any(lead["q90"] > lead["q50"] > 0 for lead in point(client, *WET)["series"])


def test_a_place_without_radar_is_null_everywhere(client):
    body = point(client, *CORNER)
    assert body["radar_coverage"] == "no coverage"
    assert body["next_rain"] is body["motion"] is body["amounts"] is None
    for lead in body["series"]:
        assert {lead[name] for name in ("rate_mmh", "known", "q10", "q50", "q90")} == {None}


def test_a_place_whose_coordinates_are_swapped_is_noted(client):
    lat, lon = 51.0, 10.0
    assert "notes" in client.get(f"/nowcast/latest/point?lat={lat}&lon={lon}").json()
    notes = client.get(f"/nowcast/latest/point?lat={lon}&lon={lat}").json()["notes"]
    assert notes == ["the place is outside the grid; swapped, as lat 51 and lon 10, it would be inside"]
    assert client.get("/nowcast/latest/point?lat=-51&lon=-10").json()["notes"] == ["the place is outside the grid"]
    answer = client.get("/nowcast/latest/point?lat=120&lon=30")
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith("got lat=120.0, lon=30.0; did you mean lat=30, lon=120?")


def test_a_baseline_has_no_quantiles(client, service):
    baseline = service.forecast_stored(model="persistence")
    body = client.get(f"/nowcast/{baseline.id}/point", params=at(*WET)).json()
    assert {lead["q50"] for lead in body["series"]} == {None}
    assert body["next_rain"]["basis"] == "rates"
    assert body["next_rain"]["end_probability"] is None


@pytest.mark.parametrize(
    ("observed", "rates", "expected"),
    [
        (0.0, (0.0, 0.2, 0.3, 0.0), (10, 0.6, 20, 0.8)),
        (0.5, (0.0, 0.2, 0.3, 0.0), (0, 1.0, 5, 0.7)),  # rain now is certain and ends at the first dry lead
        (None, (0.2, 0.2, 0.3, 0.4), (5, 0.3, None, None)),
        (0.0, (0.0, None, 0.3, 0.0), None),  # what precedes is unknown
        (0.0, (0.2, None, 0.3, 0.0), (5, 0.3, None, None)),
        (0.09, (0.0,) * 4, None),
    ],
)
def test_the_next_rain_in_minutes_by_hand(observed, rates, expected):
    rain = rain_minutes(LEADS, rates, (0.3, 0.6, 0.5, 0.2), observed)
    if expected is None:
        assert rain is None
        return
    assert rain is not None
    found = (rain.start_minutes, rain.start_probability, rain.end_minutes, rain.end_probability)
    assert found == pytest.approx(expected)
    assert rain.basis == "probabilities"


def test_times_are_in_the_zone_that_was_asked_for(client):
    utc, berlin = point(client, *WET), point(client, *WET, tz="Europe/Berlin")
    assert (utc["time_zone"], berlin["time_zone"]) == ("UTC", "Europe/Berlin")
    assert utc["series"][0]["valid_time"] == "2024-06-01T12:30:00Z"
    assert berlin["series"][0]["valid_time"] == "2024-06-01T14:30:00+02:00"
    assert berlin["reference_time"] == berlin["observed"]["valid_time"] == "2024-06-01T14:00:00+02:00"
    assert berlin["next_rain_start"].endswith("+02:00")


@pytest.mark.parametrize("name", ["Mars", "Europe", "../etc/passwd", "", "Europe/Berlin\x00"])
def test_a_zone_that_does_not_exist_is_named(client, name):
    answer = client.get("/nowcast/latest/point", params=at(*WET, tz=name))
    assert answer.status_code == 422
    assert "tz: expected an IANA time zone" in answer.json()["detail"]


@pytest.mark.parametrize("separated", [True, False])
def test_several_places_are_answered_in_their_order(client, separated):
    cells = [WET, CORNER, (40, 20)]
    lats, lons = ([float(axis_HW[cell]) for cell in cells] for axis_HW in (LAT_HW, LON_HW))
    params = (
        {"lat": ",".join(map(str, lats)), "lon": ",".join(map(str, lons))} if separated else {"lat": lats, "lon": lons}
    )
    body = client.get("/nowcast/latest/point", params=params).json()
    assert body == [{**point(client, *cell), "data_age_s": body[0]["data_age_s"]} for cell in cells]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"lat": "51,52", "lon": "9"}, "as many latitudes as longitudes, got 2 and 1"),
        ({"lat": "51,", "lon": "9,10"}, "lat"),
        ({"lat": "51,95", "lon": "9,10"}, "got lat=95"),
        ({"lat": ",".join(["51"] * 101), "lon": ",".join(["9"] * 101)}, "100"),
    ],
)
def test_places_that_do_not_fit_together_are_refused(client, params, words):
    answer = client.get("/nowcast/latest/point", params=params)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_table_has_a_row_for_each_place_and_time(client):
    params = {"lat": [float(LAT_HW[WET]), float(LAT_HW[CORNER])], "lon": [float(LON_HW[WET]), float(LON_HW[CORNER])]}
    answer = client.get("/nowcast/latest/point", params=params, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [int(row["lead_minutes"]) for row in rows] == [0, 30, 60, 90, 120, 150] * 2
    wet = point(client, *WET)
    for row, lead in zip(rows[1:6], wet["series"], strict=True):
        assert float(row["rate_mmh"]) == lead["rate_mmh"]
        assert row["known"] == "true"
        assert [float(row[f"probability_{mmh:g}"]) for mmh in CHANCES_MMH] == [
            one["probability"] for one in lead["probabilities"]
        ]
    assert {row["rate_mmh"] + row["known"] + row["q50"] for row in rows[6:]} == {""}
    times = [row["valid_time"] for row in rows[:6]]
    assert all(first < second for first, second in pairwise(times))


def test_a_table_and_a_document_have_validators_of_their_own(client):
    tags = {
        client.get("/nowcast/latest/point", params=at(*WET, **more), headers={"Accept": kind}).headers["etag"]
        for more in ({}, {"tz": "Europe/Berlin"})
        for kind in ("application/json", "text/csv")
    }
    assert len(tags) == 4
    assert client.get("/nowcast/latest/point", params=at(*WET), headers={"Accept": "image/png"}).status_code == 406


def test_a_response_without_members_is_not_kept_once_they_are_made(tmp_path):
    service = service_at(tmp_path, clock=lambda: datetime.now(UTC))
    fill(service)
    forecast = service.forecast_stored()
    with running(service) as client:
        for path, more in (("point", at(*WET)), ("area", {"polygon": "POLYGON((9 50, 11 50, 10 52, 9 50))"})):
            before = client.get(f"/nowcast/{forecast.id}/{path}", params=more)
            assert int(before.headers["cache-control"].split("=")[1]) <= 10
            make_members(forecast, 3)
            held = {"If-None-Match": before.headers["etag"]}
            after = client.get(f"/nowcast/{forecast.id}/{path}", params=more, headers=held)
            assert after.status_code == 200
            assert after.json() != before.json()
            assert int(after.headers["cache-control"].split("=")[1]) > 10
            members_path(forecast).unlink()


def test_the_event_loop_reads_no_file_of_members(tmp_path, monkeypatch):
    service = service_at(tmp_path)
    fill(service)
    forecast = service.forecast_stored()
    make_members(forecast, 3)
    FIELDS.read(forecast)
    in_threads = []

    async def counted(made, *arguments):
        in_threads.append(arguments)
        return await run_in_threadpool(made, *arguments)

    monkeypatch.setattr(points, "run_in_threadpool", counted)
    with running(service) as client:
        found = [client.get(f"/nowcast/{forecast.id}/point", params=at(*WET)).json()["next_rain"] for _ in range(3)]
    assert found[0] == found[1] == found[2]
    assert found[0]["basis"] == "members"
    assert len(in_threads) == 1


def test_the_next_rain_from_members_by_hand():
    members_ML = np.zeros((5, 4), np.float32)
    members_ML[0, 1:3] = 1.0  # +10 to +15, dry at +20
    members_ML[1, 2:] = 1.0  # from +15 on, no end
    members_ML[2, 0] = 1.0  # +5, dry at +10
    rain = member_rain(members_ML, LEADS, 0.0)
    assert rain is not None
    assert (rain.start_minutes, rain.end_minutes, rain.basis) == (10, 15, "members")
    assert (rain.start_probability, rain.end_probability) == pytest.approx((0.6, 0.6))
    now = member_rain(members_ML, LEADS, 0.5)
    assert now is not None
    assert (now.start_minutes, now.start_probability, now.end_minutes, now.end_probability) == (0, 1.0, 5, 0.8)


def test_showers_that_come_at_any_time_are_no_certain_rain_at_one():
    """Every member rains once, each at another time: the probability is that of rain about the start."""
    minutes = tuple(range(5, 151, 5))
    members_ML = np.eye(30, dtype=np.float32)[::3]
    rain = member_rain(members_ML, minutes, 0.0)
    assert rain is not None
    assert (rain.start_minutes, rain.start_probability) == pytest.approx((65, 0.3))  # those at 50, 65 and 80 minutes
    assert member_rain(np.concatenate([members_ML, np.zeros_like(members_ML)]), minutes, 0.0) is None
