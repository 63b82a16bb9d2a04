"""leaflet-timedimension in Chromium plays the map service, and goes on without an error when a new run is there."""

import io
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Response

from core.times import iso
from tests.environments import node_modules
from tests.service.api_support import GRID, REFERENCE, STEP, fill, lead_times, service_at, window_times
from tests.service.live import served
from tests.service.page.browser import Clock, browser_at, chromium
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.long

PACKAGES = ("leaflet@1.9.4", "leaflet-timedimension@1.1.1", "iso8601-js-period@0.2.1")
SCRIPTS = (
    "leaflet/dist/leaflet.js",
    "iso8601-js-period/iso8601.js",
    "leaflet-timedimension/dist/leaflet.timedimension.min.js",
)
HTML = Path(__file__).parent / "foreign" / "timedimension.html"
LATER = REFERENCE + STEP
LEFT = "net::ERR_ABORTED"
"""Of a tile that the map has left before it was there."""


def place_of(row: int, col: int) -> list[float]:
    lon, lat = GRID.to_lon_lat(GRID.x_centres_m[col : col + 1], GRID.y_centres_m[row : row + 1])
    return [float(lat[0]), float(lon[0])]


def all_seen(page: Page, expected: list[str]) -> None:
    page.wait_for_function("(times) => times.every((one) => state.seen.includes(one))", arg=expected)


def times_of(*runs: Any) -> list[str]:
    """The times of the scans and leads of runs."""
    return sorted({iso(time) for run in runs for time in (*window_times(run), *lead_times(run))})


def opened(page: Page, modules: Path) -> tuple[list[str], list[Response]]:
    """Load the page's scripts; gives its errors and the answers it gets, as they come."""
    errors, answers = list[str](), list[Response]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("requestfailed", lambda one: errors.append(f"{one.url}: {one.failure}") if one.failure != LEFT else None)
    page.on("response", lambda one: answers.append(one))
    page.set_content(HTML.read_text("utf-8"))
    for name in SCRIPTS:
        page.add_script_tag(path=modules / name)
    return errors, answers


@pytest.mark.parametrize("version", ["1.1.1", "1.3.0"])
def test_a_player_of_maps_goes_on_over_a_change_of_run(version, tmp_path):
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    modules, clock = node_modules(*PACKAGES), Clock()
    service = service_at(tmp_path, clock=clock)
    fill(service)
    service.forecast_stored()
    with served(service) as url, browser_at(path) as browser:
        page = browser.new_page()
        page.set_default_timeout(1000 * PATIENCE_S)  # each time is shown once all of its tiles are there
        errors, answers = opened(page, modules)
        page.evaluate("([host, version, at]) => play(host, version, ...at)", [url, version, place_of(40, 24)])
        page.wait_for_function("state.times.length > 0")
        first = page.evaluate("state.times")
        assert first == times_of(REFERENCE)
        all_seen(page, first)

        clock.later(minutes=30)
        fill(service, LATER)
        assert service.forecast_stored().reference_time == LATER
        page.evaluate("(at) => again(...at)", place_of(42, 26))
        all_seen(page, first)  # the list of the run before: every time of it has still a map

        page.evaluate("([host, version]) => renew(host, version)", [url, version])
        both = times_of(REFERENCE, LATER)
        page.wait_for_function("(count) => state.times.length == count", arg=len(both))
        assert page.evaluate("state.times") == both
        all_seen(page, both)
        page.evaluate("player.stop()")
        page.wait_for_load_state("networkidle")
        state = page.evaluate("state")
        maps = [one for one in answers if "request=GetMap" in one.url]
        newest = [
            one.body() for one in maps if time_of(one) == lead_times(LATER)[-1].strftime("%Y-%m-%dT%H:%M:%S.000Z")
        ]
        assert {(one.status, one.headers["content-type"]) for one in maps} == {(200, "image/png")}
    assert (errors, state["failed"]) == ([], [])
    assert state["loaded"] >= 3 * len(first)
    assert any(np.asarray(Image.open(io.BytesIO(one)).convert("RGBA"))[..., 3].any() for one in newest)


def time_of(answer: Response) -> str:
    return parse_qs(urlsplit(answer.url).query).get("time", [""])[0]
