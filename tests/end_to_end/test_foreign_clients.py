"""Clients that were written for other services drive ours, by another host alone."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import asking
from tests.environments import node_modules, python_with
from tests.service.api_support import GRID, fill, service_at
from tests.service.live import served
from tests.service.page.browser import browser_at, chromium
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.long

FOLDER = Path(__file__).parent / "foreign"
ROW, COL = 40, 24
LEAFLET = "leaflet@1.9.4"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    service = service_at(tmp_path_factory.mktemp("foreign"), cors_origins=("*",))
    fill(service)
    service.forecast_stored(with_baselines=False)
    with served(service) as address:
        yield address


@pytest.fixture(scope="module")
def place() -> dict[str, float]:
    """A place with rain."""
    lon, lat = GRID.to_lon_lat(GRID.x_centres_m[COL : COL + 1], GRID.y_centres_m[ROW : ROW + 1])
    return {"lat": round(float(lat[0]), 4), "lon": round(float(lon[0]), 4)}


@pytest.fixture(scope="module")
def point(url: str, place: dict[str, float]) -> dict[str, Any]:
    found: dict[str, Any] = asking.get(f"{url}/nowcast/latest/point", params=place).json()
    assert found["observed"]["rate_mmh"] > 1
    return found


@pytest.fixture(scope="module")
def understood(url: str, place: dict[str, float]) -> Callable[[str], Any]:
    """What a client understood, by its name."""
    python = python_with(FOLDER / "clients.txt")

    def run(name: str) -> Any:
        command = [str(python), str(FOLDER / "clients.py"), name, url, str(place["lat"]), str(place["lon"])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def rates(point: dict[str, Any]) -> list[float]:
    return [round(rate, 2) for rate in (point["observed"]["rate_mmh"], *(one["rate_mmh"] for one in point["series"]))]


def test_pymetno_reads_the_depth_of_the_hour(understood, point):
    found = understood("pymetno")
    assert found["fetched"] is True
    now, half, hour = rates(point)[:3]
    assert found["current"]["precipitation"] == pytest.approx((now + 2 * half + hour) / 4, abs=0.011)
    assert found["current"]["condition"] == "rainy"


def test_metno_locationforecast_reads_every_time_and_asks_again_after_expires(understood, point):
    found = understood("metno_locationforecast")
    assert found["updates"] == ["Data-Modified", "Data-Not-Expired", "Data-Not-Modified"]
    assert (found["rates"], found["units"]) == (rates(point), "mm/h")
    assert len(found["times"]) == 6
    assert found["symbol"] in ("lightrain", "rain", "heavyrain")


def test_open_meteo_reads_quarters_of_an_hour_and_errors(understood, point):
    found = understood("open_meteo")
    assert found["times"][0] == "2024-06-01T12:15:00"
    assert len(found["depths"]) == len(found["times"]) == 10
    now, half = rates(point)[:2]
    middle = (now + half) / 2
    assert found["depths"][:2] == pytest.approx([(now + middle) / 8, (middle + half) / 8], abs=0.006)
    assert found["chances"][1] == round(100 * point["series"][0]["probabilities"][0]["probability"])
    assert found["place"] == [point["lat"], point["lon"]]
    assert "snowfall" in found["error"]


def test_openmeteo_requests_is_refused_with_a_reason(understood):
    assert "format: expected json, got" in understood("openmeteo_requests")["error"]


def test_the_radar_document_is_that_of_bright_sky(understood):
    found = understood("brightsky")
    assert [len(found["records"]), len(found["bbox"])] == [5, 4]
    assert set(found["position"]) == {"x", "y"}


def test_leaflet_shows_past_and_forecast_frames_of_rainviewer(url, place):
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    script = node_modules(LEAFLET) / "leaflet" / "dist" / "leaflet.js"
    maps = asking.get(f"{url}/public/weather-maps.json").json()["radar"]
    with browser_at(path) as browser:
        page = browser.new_page()
        page.set_content((FOLDER / "leaflet.html").read_text("utf-8"))
        page.add_style_tag(path=script.with_suffix(".css"))
        page.add_script_tag(path=script)
        shown = page.evaluate("([host, lat, lon]) => window.show(host, lat, lon)", [url, place["lat"], place["lon"]])
    assert (shown["past"], shown["nowcast"]) == (len(maps["past"]), len(maps["nowcast"])) == (5, 5)
    assert shown["failed"] == 0
    assert shown["loaded"] >= 9 * 10
