"""Tiles: the right cells at the right place, observed and forecast, and what is not known."""

import io
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from core.colours import HATCH, NO_DATA, RAIN_COLOURS
from core.frame import RadarFrame
from core.times import iso
from service.queries.maps import HATCH_NO_DATA, cells_of, tile_png, tile_view
from service.queries.observed import HeldFrames
from tests.service.api_support import GRID, REFERENCE, STEP, fill, frames_at, running, service_at
from tests.waiting import PATIENCE_S

ZOOM = 7
RATE = "rainfall_rate"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = service_at(tmp_path_factory.mktemp("home"))
    fill(service)
    service.forecast_stored()
    with running(service) as client:
        yield client


def tile_of(lat: float, lon: float, zoom: int = ZOOM) -> tuple[int, int, int, int]:
    """Return column, row, and the pixel of the place within the tile."""
    x = (lon + 180) / 360 * 2**zoom
    y = (1 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2 * 2**zoom
    return int(x), int(y), int(x % 1 * 256), int(y % 1 * 256)


def pixel(client: TestClient, layer: str, time: str, row: int, col: int) -> tuple[int, ...]:
    lon_HW, lat_HW = GRID.lon_lat_HW()
    x, y, across, down = tile_of(float(lat_HW[row, col]), float(lon_HW[row, col]))
    answer = client.get(f"/tiles/{layer}/{time}/{ZOOM}/{x}/{y}.png")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
    colour = Image.open(io.BytesIO(answer.content)).convert("RGBA").getpixel((across, down))
    assert isinstance(colour, tuple)
    return colour


def class_of(rate_mmh: float) -> tuple[int, ...]:
    return [(0, 0, 0, 0), *(colour for _, colour in RAIN_COLOURS)][sum(rate_mmh >= edge for edge, _ in RAIN_COLOURS)]


def test_an_observed_and_a_forecast_shower_lie_where_they_are(client):
    (frame,) = frames_at([REFERENCE])
    observed_mmh = float(frame.rate_mmh_HW[40, 20])
    assert pixel(client, RATE, iso(REFERENCE), 40, 20) == class_of(observed_mmh)
    assert pixel(client, RATE, iso(REFERENCE + STEP), 40, 23) == class_of(observed_mmh)  # `Shift`: 3 columns a step
    assert pixel(client, RATE, iso(REFERENCE), 50, 50) == (0, 0, 0, 0)


def test_what_no_radar_sees_is_neither_dry_nor_rain(client):
    assert pixel(client, RATE, iso(REFERENCE), 4, 4) in (NO_DATA, HATCH_NO_DATA)


def test_probabilities_have_colours_of_their_own(client):
    colour = pixel(client, "probability_of_exceedance_0.5", iso(REFERENCE + STEP), 40, 23)
    assert colour[3] == 255
    assert colour not in {colour for _, colour in RAIN_COLOURS}


def test_rising_lines_lie_over_what_is_not_known():
    view = tile_view(ZOOM, *tile_of(51.0, 10.0)[:2])
    rate_HW = np.full(GRID.shape, 1.5, np.float32)
    known_HW = np.ones(GRID.shape, bool)
    known_HW[:, GRID.width // 2 :] = False
    tile = np.asarray(
        Image.open(io.BytesIO(tile_png(rate_HW, cells_of(view, GRID), RAIN_COLOURS, known_HW))).convert("RGBA")
    )
    unknown_HW = ~known_HW.reshape(-1)[cells_of(view, GRID)]
    lines_HW = (tile == np.array(HATCH)).all(axis=-1)
    assert 0 < unknown_HW.sum() < unknown_HW.size
    assert lines_HW[unknown_HW].mean() == pytest.approx(1 / 8, abs=0.01)
    assert not lines_HW[~unknown_HW].any()


def test_scale_doubles_the_pixels_and_the_answer_is_kept_by_its_tag(client):
    x, y, *_ = tile_of(51.0, 10.0)
    path = f"/tiles/{RATE}/{iso(REFERENCE)}/{ZOOM}/{x}/{y}.png"
    large = client.get(path, params={"scale": 2})
    assert Image.open(io.BytesIO(large.content)).size == (512, 512)
    assert client.get(path, params={"scale": 2}, headers={"If-None-Match": large.headers["etag"]}).status_code == 304


def test_a_tile_of_a_scan_that_was_replaced_is_drawn_again(tmp_path):
    service = service_at(tmp_path)
    fill(service)
    service.forecast_stored()
    x, y, *_ = tile_of(51.0, 10.0)
    path = f"/tiles/{RATE}/{iso(REFERENCE)}/{ZOOM}/{x}/{y}.png"
    with running(service) as client:
        first = client.get(path)
        service.store.put(RadarFrame(REFERENCE, GRID, np.full(GRID.shape, 7.5, np.float32), "RY"))
        second = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert second.status_code == 200
    assert second.content != first.content


def test_two_requests_for_one_scan_read_it_once(tmp_path, monkeypatch):
    service = service_at(tmp_path)
    fill(service)
    frames, (scan, *_), load, loaded = HeldFrames(), service.store.scans(), service.store.load, []
    is_loading, may_go = Event(), Event()

    def slow(one):
        loaded.append(one)
        is_loading.set()
        assert may_go.wait(PATIENCE_S)
        return load(one)

    monkeypatch.setattr(service.store, "load", slow)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(frames.read, service.store, scan)
        assert is_loading.wait(PATIENCE_S)
        second = pool.submit(frames.read, service.store, scan)
        wait([second], timeout=0.2)
        may_go.set()
        assert second.result() is first.result()
    assert len(loaded) == 1


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        (f"{RATE}/{iso(REFERENCE)}/3/8/0", 422, "x and y below 2**z, got 3/8/0"),
        (f"{RATE}/{iso(REFERENCE)}/15/0/0", 422, "zoom level of 0 to 14"),
        (f"{RATE}/soon/3/0/0", 422, "time"),
        (f"{RATE}/2020-01-01T00:00Z/3/0/0", 404, "no scan of RY at 2020-01-01T00:00:00Z"),
        (f"{RATE}/2030-01-01T00:00Z/3/0/0", 404, "expected a lead of"),
        (f"snow/{iso(REFERENCE + STEP)}/3/0/0", 404, "expected one of rainfall_rate"),
        (f"snow/{iso(REFERENCE)}/3/0/0", 404, "expected one of rainfall_rate"),
    ],
)
def test_a_wrong_tile_is_a_clear_error(client, path: str, status: int, expected: str):
    answer = client.get(f"/tiles/{path}.png")
    assert answer.status_code == status
    assert expected in answer.json()["detail"]
