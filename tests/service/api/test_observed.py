"""The frames of the last two hours over HTTP: a place, a picture, and what is missing."""

import csv
import io
from datetime import timedelta

import numpy as np
import pytest
from PIL import Image

from core.colours import NO_DATA, colours
from core.frame import RadarFrame
from service.queries.observed import HeldFrames, recent_scans
from tests.service.api_support import GRID, NOW, REFERENCE, rain_THW, running, service_at

LON_HW, LAT_HW = GRID.lon_lat_HW()
WET = 41, 22
CORNER = 2, 3
OUTAGE = 30, 40
TIMES = [REFERENCE + timedelta(minutes=5) * step for step in range(-30, 1)]
"""Two and a half hours, every 5 minutes."""


def fields():
    rate_mmh_THW = rain_THW(TIMES)
    rate_mmh_THW[-3:, 28:32, 38:42] = np.nan
    return rate_mmh_THW


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    made = service_at(tmp_path_factory.mktemp("home"))
    for time, rate_mmh_HW in zip(TIMES, fields(), strict=True):
        made.store.put(RadarFrame(time, GRID, rate_mmh_HW, "RY"))
    hourly = RadarFrame(REFERENCE, GRID, rain_THW([REFERENCE])[0], "RW", interval_minutes=60)
    made.store.put(hourly)
    return made


def at(*cell):
    return {"lat": float(LAT_HW[cell]), "lon": float(LON_HW[cell])}


def test_a_place_has_the_last_two_hours_as_they_were_observed(client):
    body = client.get("/observed/point", params=at(*WET)).json()
    assert (body["product"], body["newest"], body["radar_coverage"]) == ("RY", "2024-06-01T12:00:00Z", "ok")
    assert (body["data_age_s"], body["stale"]) == ((NOW - REFERENCE).total_seconds(), False)
    expected = fields()[-25:, *WET]
    assert [one["rate_mmh"] for one in body["series"]] == pytest.approx(expected.tolist(), abs=1e-4)
    assert body["series"][0]["valid_time"] == "2024-06-01T10:00:00Z"
    assert len({one["rate_mmh"] for one in body["series"]}) > 5


def test_what_is_not_observed_is_null_with_its_reason(client):
    corner = client.get("/observed/point", params=at(*CORNER)).json()
    assert corner["radar_coverage"] == "no coverage"
    assert {one["rate_mmh"] for one in corner["series"]} == {None}
    outage = client.get("/observed/point", params=at(*OUTAGE)).json()
    assert outage["radar_coverage"] == "temporarily unavailable"
    assert [one["rate_mmh"] is None for one in outage["series"]] == [False] * 22 + [True] * 3
    assert client.get("/observed/point?lat=40&lon=-74").json()["radar_coverage"] == "no coverage"


def test_several_places_zones_and_tables(client):
    both = {"lat": f"{LAT_HW[WET]},{LAT_HW[CORNER]}", "lon": f"{LON_HW[WET]},{LON_HW[CORNER]}", "tz": "Europe/Berlin"}
    wet, corner = client.get("/observed/point", params=both).json()
    assert wet["series"][-1]["valid_time"] == wet["newest"] == "2024-06-01T14:00:00+02:00"
    rows = list(
        csv.DictReader(io.StringIO(client.get("/observed/point", params=both, headers={"Accept": "text/csv"}).text))
    )
    assert [row["rate_mmh"] for row in rows] == [
        "" if one["rate_mmh"] is None else str(one["rate_mmh"]) for body in (wet, corner) for one in body["series"]
    ]


def test_the_list_leads_to_the_pictures(client):
    body = client.get("/observed").json()
    assert [frame["valid_time"] for frame in body["frames"]] == [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in TIMES[-25:]]
    assert (body["grid"]["height"], body["grid"]["width"]) == GRID.shape
    picture = client.get(body["frames"][-1]["href"])
    assert picture.headers["content-type"] == "image/png"
    pixels_HWC = np.asarray(Image.open(io.BytesIO(picture.content)).convert("RGBA"))
    scale = pixels_HWC.shape[0] // GRID.height
    np.testing.assert_array_equal(pixels_HWC[::scale, ::scale], colours(fields()[-1]))
    assert tuple(pixels_HWC[0, 0]) == NO_DATA
    assert client.get("/observed/image").content == picture.content
    held = {"If-None-Match": picture.headers["etag"]}
    assert client.get("/observed/image", headers=held).status_code == 304
    assert client.get(body["frames"][0]["href"], headers=held).status_code == 200


@pytest.mark.parametrize(("time", "status"), [("2024-06-01T11:58:00Z", 404), ("2024-06-01T09:55:00Z", 404), ("x", 422)])
def test_a_time_without_a_frame_is_named(client, time, status):
    answer = client.get("/observed/image", params={"time": time})
    assert answer.status_code == status
    assert "time" in answer.json()["detail"]


def test_without_a_scan_it_is_not_found(tmp_path):
    with running(service_at(tmp_path)) as client:
        for path in ("/observed", "/observed/point?lat=51&lon=10", "/observed/image"):
            assert client.get(path).status_code == 404


def test_old_frames_are_stale(tmp_path):
    service = service_at(tmp_path, clock=lambda: NOW + timedelta(hours=1))
    service.store.put(RadarFrame(REFERENCE, GRID, rain_THW([REFERENCE])[0], "RY"))
    with running(service) as client:
        assert client.get("/observed/point", params=at(*WET)).json()["stale"] is True


def test_held_frames_are_read_once_and_bounded_by_bytes(service, monkeypatch):
    scans = recent_scans(service.store)
    loaded = []
    load = service.store.load

    def counted(scan):
        loaded.append(scan)
        return load(scan)

    monkeypatch.setattr(service.store, "load", counted)
    frames = HeldFrames(most_bytes=3 * 72 * 60 * 4)
    for scan in [*scans[:3], *scans[:3]]:
        np.testing.assert_array_equal(frames.read(service.store, scan).rate_mmh_HW, load(scan).rate_mmh_HW)
    assert len(loaded) == 3
    frames.read(service.store, scans[3])
    frames.read(service.store, scans[0])
    assert len(loaded) == 5
