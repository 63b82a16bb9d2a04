"""Bad input: a problem document with the right status that names what was expected and found; nothing is stored."""

import asyncio
import bz2
import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Message

from core.errors import TooLargeError
from core.grid import RADOLAN_900
from service.api.uploads import read_body
from service.forecasts.nowcast import NowcastService
from tests.service.api_support import (
    REFERENCE,
    STEP,
    fill,
    lead_times,
    netcdf,
    running,
    service_at,
    stored_state,
    window_times,
)

PROBLEM = "application/problem+json"
SMALL_LIMITS: dict[str, Any] = {
    "upload_max_bytes": 200_000,
    "upload_max_unpacked_bytes": 10_000_000,
    "upload_max_frames": 8,
    "grid_max_cells": 72 * 60,
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> NowcastService:
    made = service_at(tmp_path_factory.mktemp("home"), **SMALL_LIMITS)
    fill(made)
    made.forecast_stored()
    return made


@pytest.fixture(scope="module")
def client(service: NowcastService) -> Iterator[TestClient]:
    with running(service) as client:
        yield client


@pytest.fixture(autouse=True)
def _nothing_stored_changes_and_the_server_goes_on(service: NowcastService, client: TestClient) -> Iterator[None]:
    before = stored_state(service)
    yield
    assert stored_state(service) == before
    assert client.get("/nowcast/latest").status_code == 200


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return netcdf(tmp_path_factory.mktemp("good"), window_times())


def refused(answer, status: int, *words: str) -> dict[str, Any]:
    """The problem document of an answer, which has to be one and to say these words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    body: dict[str, Any] = json.loads(answer.text)
    assert body["status"] == status
    assert body["type"]
    assert body["title"]
    assert body["instance"]
    for word in words:
        assert word in body["detail"], body["detail"]
    return body


def post_frames(client: TestClient, *files: tuple[str, bytes], **data: str):
    return client.post("/nowcast", files=[("frames", file) for file in files], data=data)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_cut_file(client, good, part):
    refused(post_frames(client, ("five.nc", good[: int(len(good) * part)])), 422, "five.nc", "cut")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_cut_packed_file(client, good, pack):
    refused(post_frames(client, ("five.nc.gz", pack(good)[:-400])), 422, "five.nc.gz")


def test_empty_file(client):
    refused(post_frames(client, ("empty.nc", b"")), 422, "empty.nc", "0 bytes", "expected")


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n" + bytes(500), b"%PDF-1.7\n" + b"x" * 500, b"time,rain\n12:00,3\n", bytes(9000)]
)
def test_foreign_file(client, content):
    refused(post_frames(client, ("rain.nc", content)), 422, "rain.nc", "expected")


def test_a_foreign_file_under_a_radar_file_s_name(client):
    refused(
        post_frames(client, ("raa01-ry_10000-2406011200-dwd---bin.gz", gzip.compress(b"no radar"))), 422, "raa01-ry"
    )


def test_a_product_that_is_no_rain_rate_is_refused_by_name(client):
    header = b"RE011200100000624BY1620146VS 3SW   2.13.1PR E-03INT  60GP 900x 900VV 060MF 00000000MS  0<>\x03"
    refused(post_frames(client, ("RE2406011200_060", header + bytes(900 * 900 * 2))), 413)  # larger than the limit here
    refused(post_frames(client, ("RE2406011200_060.gz", gzip.compress(header + bytes(900 * 900 * 2)))), 422, "RE")


def test_cut_radolan_file(client, shared_data: Path):
    content = (shared_data / "radolan/raa01-ry_10000-2509212320-dwd---bin.bz2").read_bytes()
    refused(post_frames(client, ("ry.bz2", content[: len(content) // 2])), 422, "ry.bz2")


@pytest.mark.parametrize("minutes", [15, 20, 60])
def test_frames_that_are_not_30_minutes_apart(client, tmp_path, minutes):
    times = [REFERENCE - timedelta(minutes=minutes) * index for index in reversed(range(5))]
    refused(
        post_frames(client, ("five.nc", netcdf(tmp_path, times))),
        409,
        f"{minutes} minutes apart",
        "30 minutes",
        "expected",
    )


def test_too_few_frames(client, tmp_path):
    answer = post_frames(client, ("four.nc", netcdf(tmp_path, window_times(count=4))))
    refused(answer, 409, "4 frames", "5", "expected")


def test_two_grids_in_one_request(client, tmp_path):
    other = RADOLAN_900.resized(60, 60)
    files = [("a.nc", netcdf(tmp_path, window_times()[:4])), ("b.nc", netcdf(tmp_path, [REFERENCE], grid=other))]
    refused(post_frames(client, *files), 409, "72 x 60", "60 x 60", "expected frames on one grid")


def test_observations_on_another_grid(client, good, tmp_path):
    other = netcdf(tmp_path, lead_times(), grid=RADOLAN_900.resized(60, 60))
    answer = client.post("/nowcast", files=[("frames", ("a.nc", good)), ("observations", ("b.nc", other))])
    refused(answer, 409, "72 x 60", "60 x 60")


def test_two_products_in_one_request(client, tmp_path):
    files = [
        ("a.nc", netcdf(tmp_path, window_times()[:4])),
        ("b.nc", netcdf(tmp_path, [REFERENCE], product="RV")),
    ]
    refused(post_frames(client, *files), 409, "RV", "RY", "expected frames of one product")


def test_an_upload_over_the_byte_limit_with_its_length_in_the_header(client):
    body = refused(post_frames(client, ("big.nc", bytes(300_000))), 413, "at most 200000")
    assert body["title"] == "Too large"


def test_an_upload_over_the_byte_limit_is_not_read_on(service):
    read: list[bytes] = []

    async def receive() -> Message:
        start = b'--b\r\nContent-Disposition: form-data; name="frames"; filename="big.nc"\r\n\r\n'
        read.append(start if not read else bytes(1_000))
        return {"type": "http.request", "body": read[-1], "more_body": True}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(TooLargeError, match="at most 200000"):
        asyncio.run(read_body(request, service.settings))
    assert len(read) == 201


def test_too_many_frames(client, tmp_path):
    refused(post_frames(client, ("nine.nc", netcdf(tmp_path, window_times(count=9)))), 413, "8", "expected")
    files = [(f"{i}.nc", netcdf(tmp_path, window_times(count=3))) for i in range(3)]
    refused(post_frames(client, *files), 413, "8", "expected")


def test_too_many_files(client):
    refused(post_frames(client, *((f"{i}.nc", b"x") for i in range(20))), 413)


def test_too_many_cells(client, tmp_path):
    large = netcdf(tmp_path, window_times(), grid=RADOLAN_900.resized(100, 100))
    refused(post_frames(client, ("large.nc", large)), 413, "10000 cells", "4320")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_decompression_bomb(client, pack):
    bomb = pack(bytes(20_000_000))
    assert len(bomb) < SMALL_LIMITS["upload_max_bytes"]
    refused(post_frames(client, ("bomb", bomb)), 413, "bomb", "limit of 10,000,000 bytes")


@pytest.mark.parametrize(
    "name", ["defualt", "persistance", "no such thing", "../../etc/passwd", "/etc", "", " ", "é" * 100]
)
def test_unknown_model(client, good, name):
    refused(client.post("/nowcast", json={"model": name}), 404, "unknown model")
    if name:
        refused(post_frames(client, ("five.nc", good), model=name), 404, "unknown model")
        refused(client.get("/verification", params={"model": name}), 404, "unknown model")


def test_unknown_model_names_the_near_ones(client):
    refused(client.post("/nowcast", json={"model": "persistance"}), 404, "did you mean persistence?")


@pytest.mark.parametrize(
    ("lat", "lon"),
    [("91", "10"), ("-90.01", "10"), ("50", "360.5"), ("50", "-181"), ("nan", "10"), ("50", "inf"), ("1e999", "0")],
)
def test_a_coordinate_that_is_not_on_earth(client, lat, lon):
    refused(
        client.get("/nowcast/latest/point", params={"lat": lat, "lon": lon}),
        422,
        "expected lat within -90 to 90",
        "got",
    )


@pytest.mark.parametrize("params", [{}, {"lat": "50"}, {"lat": "north", "lon": "10"}, {"lat": "", "lon": ""}])
def test_a_place_that_is_no_pair_of_numbers(client, params):
    body = refused(client.get("/nowcast/latest/point", params=params), 422)
    assert {error["field"] for error in body["errors"]} <= {"lat", "lon"}


@pytest.mark.parametrize("lead", ["45", "0", "-30", "180", "999999999999999999999"])
def test_a_lead_that_does_not_exist(client, lead):
    refused(client.get(f"/nowcast/latest/image/{lead}.png"), 404, lead, "30, 60, 90, 120, 150")


def test_a_lead_that_is_no_number(client):
    refused(client.get("/nowcast/latest/image/soon.png"), 422, "soon")


def test_an_input_picture_that_does_not_exist(client):
    refused(client.get("/nowcast/latest/observed/5.png"), 404, "0 to 4")
    refused(client.get("/nowcast/latest/observed/-1.png"), 422)


@pytest.mark.parametrize("part", ["", "/point?lat=50&lon=10", "/image/30.png", "/file.nc", "/observations.nc", "/map"])
def test_unknown_and_bad_ids(client, part):
    unknown = str(uuid4())
    refused(client.get(f"/nowcast/{unknown}{part}"), 404, unknown)
    refused(client.get(f"/nowcast/4711{part}"), 422, "4711", "UUID")


def test_observations_that_are_not_there_yet(client):
    refused(client.get("/nowcast/latest/observations.nc"), 404, "2024-06-01 12:00")


@pytest.mark.parametrize("content", [b"{", b"{'model': 1}", b"\xff\xfe", b"[" * 50_000, b'{"a": 1} tail'])
def test_bad_json(client, content):
    answer = client.post("/nowcast", content=content, headers={"Content-Type": "application/json"})
    refused(answer, 422, "JSON", "expected")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"reference_time": "yesterday"}, "reference_time"),
        ({"model": None}, "model"),
        ({"model": 3}, "model"),
        ({"verify": "perhaps"}, "verify"),
        ({"modell": "default"}, "modell"),
        ([1, 2], "body"),
        ("text", "body"),
    ],
)
def test_json_that_does_not_fit(client, values, field):
    body = refused(client.post("/nowcast", json=values), 422, field)
    assert body["errors"][0]["field"] == field


def test_json_null(client):
    answer = client.post("/nowcast", content=b"null", headers={"Content-Type": "application/json"})
    refused(answer, 422, "body")


def test_json_that_is_too_long(client):
    refused(client.post("/nowcast", json={"model": "x" * 100_000}), 413)


@pytest.mark.parametrize(
    "time",
    [
        "1900-01-01T00:00:00Z",
        "2030-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_a_reference_time_without_scans(client, time):
    answer = client.post("/nowcast", json={"reference_time": time})
    assert answer.status_code in (404, 409, 422), answer.text
    refused(answer, answer.status_code)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "application/octet-stream"]
)
def test_a_body_of_another_kind(client, kind):
    refused(client.post("/nowcast", content=b"{}", headers={"Content-Type": kind}), 415, kind, "expected")


def test_a_body_without_a_type(client):
    refused(client.post("/nowcast", content=b"{}"), 415)


@pytest.mark.parametrize("kind", ["text/html", "image/png", "application/json;q=0", "nonsense"])
def test_a_format_that_is_not_offered(client, kind):
    refused(client.get("/nowcast/latest", headers={"Accept": kind}), 406, "application/json, application/netcdf")
    refused(client.post("/nowcast", json={}, headers={"Accept": kind}), 406, kind)


@pytest.mark.parametrize(
    ("files", "data", "word"),
    [
        ([], {"model": "default"}, "frames"),
        ([("frame", ("a.nc", b"x"))], {}, "'frame'"),
        ([("observations", ("a.nc", b"x"))], {}, "frames"),
        ([("model", ("a.nc", b"x"))], {}, "model"),
        ([("observations", ("a.nc", b"x"))], {"frames": "a.nc"}, "text"),
    ],
)
def test_a_form_that_does_not_fit(client, files, data, word):
    files = files or [("", ("", b""))]
    refused(client.post("/nowcast", files=files, data=data), 422, word, "expected")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no form",
        b"--b\r\n\r\n\r\n--b--",
        b'--b\r\nContent-Disposition: form-data; name="frames"; filename="a.nc"\r\n\r\ncut',
    ],
)
def test_a_form_that_does_not_parse(client, content):
    refused(client.post("/nowcast", content=content, headers={"Content-Type": "multipart/form-data; boundary=b"}), 422)


def test_a_form_without_a_boundary(client):
    refused(client.post("/nowcast", content=b"x", headers={"Content-Type": "multipart/form-data"}), 422, "boundary")


def test_observations_at_no_lead(client, good, tmp_path):
    far = netcdf(tmp_path, [REFERENCE + 20 * STEP])
    answer = client.post("/nowcast", files=[("frames", ("a.nc", good)), ("observations", ("b.nc", far))])
    refused(answer, 409, "22:00", "12:30")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"period_hours": "0"}, "period_hours"),
        ({"period_hours": "nan"}, "period_hours"),
        ({"period_hours": "x"}, "period_hours"),
    ],
)
def test_a_period_that_is_none(client, params, field):
    assert refused(client.get("/verification", params=params), 422)["errors"][0]["field"] == field


def test_a_time_or_limit_of_scans_that_is_none(client):
    refused(client.get("/scans", params={"start": "noon"}), 422, "start")
    refused(client.get("/scans", params={"limit": "0"}), 422, "limit")


def test_addresses_and_methods_that_there_are_not(client):
    refused(client.get("/nowcasts"), 404, "/nowcasts")
    refused(client.get("/page/secret.js"), 404)
    refused(client.get("/page/..%2fapp.py"), 404)
    answer = client.delete("/nowcast")
    refused(answer, 405, "DELETE", "POST")
    assert answer.headers["allow"] == "GET, POST"
    refused(client.put("/nowcast"), 405, "expected GET, POST")


def test_a_job_that_nobody_gave_out(client):
    refused(client.get(f"/jobs/{uuid4()}"), 404)
    refused(client.get("/jobs/4711"), 422, "job_id")
