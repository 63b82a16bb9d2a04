"""The page: served whole by the service alone, and its script finds what it names."""

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from core.borders import CITIES
from core.colours import RAIN_COLOURS
from core.grid import DE1200, RADOLAN_900, Grid
from service.api.places import cities_of, graticule, map_cities, outline, to_picture
from tests.service.api_support import NOW, REFERENCE, STEP, fill, frames_at, running, service_at

PAGE = Path(__file__).resolve().parents[3] / "service" / "page"
STATIC = PAGE / "static"
HTML, CSS, BUNDLE, EMBED = ((STATIC / name).read_text() for name in ("index.html", "page.css", "page.js", "embed.html"))
JS = "\n".join(path.read_text() for path in sorted((PAGE / "source").glob("*.js")))
NODE = shutil.which("node")
BEFORE_RAIN_BYTES = 400_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = service_at(tmp_path_factory.mktemp("home"), invented=True)
    fill(service)
    service.forecast_stored()
    with running(service) as client:
        yield client


def test_the_page_and_its_parts_are_served(client):
    page = client.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for part in re.findall(r'(?:src|href)="(page/[^"]+)"', page.text):
        assert client.get(f"/{part}").status_code == 200
    assert {"page/page.css", "page/page.js"} <= set(re.findall(r'(?:src|href)="([^"]+)"', page.text))
    files = set(re.findall(r'"(page/[^"]+)"', JS))
    kept_for_offline = {"page/page.css", "page/page.js", "page/manifest.webmanifest", "page/icon.svg"}
    kept_for_offline.add("page/manifest.de.webmanifest")
    assert files == {"page/basemap.json", "page/places.json", "page/icon-192.png", *kept_for_offline}
    for part in files:
        assert client.get(f"/{part}").content


def test_nothing_comes_from_elsewhere():
    for text in (HTML, CSS, BUNDLE, EMBED, *(path.read_text() for path in STATIC.glob("embed.*s*"))):
        addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", text)) - {"http://www.w3.org"}  # SVG's name
        assert not addresses
    assert "@import" not in CSS
    assert "url(" not in CSS


def test_the_script_names_only_elements_that_there_are():
    ids = set(re.findall(r'\bid="([^"]+)"', HTML + EMBED))
    assert set(re.findall(r'\$\("([^"]+)"\)', JS)) <= ids


def test_what_is_needed_before_the_first_rain_is_small():
    scripts = sum(len(gzip.compress((STATIC / name).read_bytes())) for name in ("index.html", "page.css", "page.js"))
    assert scripts < BEFORE_RAIN_BYTES / 2
    assert re.search(r"refresh\(\)\.then\(async.*?showLand.*?places\(\)", JS, re.DOTALL)  # the large files come later


def test_the_page_shows_what_it_has_to():
    shown = HTML + JS
    for word in ("Observed", "Forecast", "UTC", "Play", "Missing radars", "Notes", "Model", "mm/h", "CSI", "HSS"):
        assert word in shown
    for credit in ("Natural Earth", "GeoNames, CC BY 4.0", "Leaflet"):
        assert credit in HTML
    assert "first forecast" in JS


def test_every_field_that_the_script_reads_is_in_the_answer(client):
    forecast = client.get("/nowcast/latest").json()
    assert set(re.findall(r"\bforecast\.(\w+)", JS)) <= set(forecast)
    assert set(re.findall(r"\blead\.(\w+)", JS)) <= set(forecast["leads"][0])
    assert set(re.findall(r"state\.legend\.(\w+)", JS)) <= set(client.get(forecast["links"]["map"]).json())
    place = (PAGE / "source" / "place.js").read_text()
    point = client.get("/nowcast/latest/point", params={"lat": 51.0, "lon": 10.0}).json()
    assert set(re.findall(r"\bpoint\.(\w+)", place)) <= set(point)
    assert set(re.findall(r"\brow\.(\w+)", place)) <= set(point["series"][0])
    assert "valid_time" in client.get("/scans").json()["scans"][0]


def test_the_tiles_that_the_script_requests_exist(client):
    forecast = client.get("/nowcast/latest").json()
    assert 'PROBABILITY = "probability_of_exceedance_"' in JS
    assert "?run=${run}&scale=2" in JS
    query = {"run": forecast["forecast_id"], "scale": 2}
    layers = [
        "rainfall_rate",
        *(f"probability_of_exceedance_{mmh:g}" for mmh in forecast["probability_thresholds_mmh"]),
    ]
    for layer in layers:
        for lead in forecast["leads"]:
            answer = client.get(f"/tiles/{layer}/{lead['valid_time']}/5/16/10.png", params=query)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    observed = client.get(f"/tiles/rainfall_rate/{forecast['reference_time']}/5/16/10.png", params=query)
    assert observed.status_code == 200
    legend = client.get(forecast["links"]["map"]).json()["probability_legend"]
    assert set(re.findall(r"step\.(\w+)", JS)) <= {*legend[0], "from_mmh"}


@pytest.mark.parametrize("grid", [RADOLAN_900, DE1200, Grid("EPSG:4326", 170.0, 10.0, 1.0, 1.0, 20, 20)])
def test_the_outline_goes_round_the_grid_without_a_jump(grid: Grid):
    lon, lat = np.array(outline(grid)).T
    corners = grid.corners_lon_lat()
    for index, (x, y) in zip((0, 24, 48, 72), corners, strict=True):
        assert ((lon[index] - x + 180) % 360 - 180, lat[index]) == pytest.approx((0, y), abs=0.002)
    assert np.abs(np.diff(lon)).max() < 3


def test_invented_weather_is_called_so(client):
    forecast = client.get("/nowcast/latest").json()
    assert forecast["invented"] is True
    assert "nvented" in client.get(forecast["links"]["map"]).json()["attribution"]


def test_the_legend_is_that_of_the_pictures(client):
    legend = client.get("/nowcast/latest/map").json()["legend"]
    assert [step["from_mmh"] for step in legend] == [rate for rate, _ in RAIN_COLOURS]
    red, green, blue, _ = RAIN_COLOURS[0][1]
    assert legend[0]["colour"] == f"rgba({red}, {green}, {blue}, 1.00)"


@pytest.mark.parametrize("grid", [RADOLAN_900, DE1200, RADOLAN_900.resized(124, 124)])
def test_cities_lie_in_their_cells(grid: Grid):
    at = {city.name: city for city in cities_of(grid)}
    assert {"Hamburg", "Berlin", "Munich", "Cologne", "Frankfurt"} <= set(at)
    assert "Brisbane" not in at
    for city in map_cities(grid):
        assert (int(city.y), int(city.x)) == (at[city.name].row, at[city.name].col)
    assert at["Hamburg"].row < at["Berlin"].row < at["Frankfurt"].row < at["Munich"].row
    assert at["Cologne"].col < at["Frankfurt"].col < at["Hamburg"].col < at["Munich"].col < at["Berlin"].col


def test_graticule_lines_are_at_the_degrees_of_their_labels():
    lines = {line.label: line for line in graticule(RADOLAN_900)}
    assert {"50°N", "10°E"} <= set(lines)
    x, _ = to_picture(RADOLAN_900, [10.0], [50.0])
    assert all(abs(px - float(x[0])) < 0.01 for px, _ in lines["10°E"].points)  # the grid's own meridian is straight
    for line in lines.values():
        assert line.label_at is None or all(0 < v < 900 for v in line.label_at)


@pytest.mark.parametrize(
    "grid",
    [
        Grid("EPSG:4326", -180.0, 90.0, 1.0, 1.0, 180, 360),
        Grid("+proj=laea +lat_0=55 +lon_0=10 +units=m", -1_900_000.0, 2_200_000.0, 4000.0, 4000.0, 1100, 950),
        Grid(
            "+proj=ortho +lat_0=0 +lon_0=0 +a=6371000 +b=6371000",
            -7_000_000.0,
            7_000_000.0,
            100_000.0,
            100_000.0,
            140,
            140,
        ),
    ],
)
def test_any_grid_has_a_map(grid: Grid):
    json.dumps([line.model_dump() for line in graticule(grid)], allow_nan=False)
    assert len(map_cities(grid)) <= len(CITIES)


@pytest.mark.skipif(NODE is None, reason="no node to run the script with")
def test_the_script_s_own_tests():
    command = [str(NODE), "--test", str(Path(__file__).with_name("logic.test.mjs"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not (PAGE / "node_modules").is_dir(), reason="the page's packages are not installed: make page")
def test_the_built_files_are_those_of_the_sources(tmp_path):
    subprocess.run([str(NODE), "build.mjs", str(tmp_path)], cwd=PAGE, check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in STATIC.iterdir()}
    assert [path.name for path in tmp_path.iterdir() if path.read_bytes() != (STATIC / path.name).read_bytes()] == []


@pytest.mark.skipif(NODE is None, reason="no node to run the script with")
def test_both_masks_their_counts_and_missed_forecasts_are_shown(tmp_path):
    clock = [NOW]
    service = service_at(tmp_path / "home", clock=lambda: clock[0])
    fill(service)
    service.forecast_stored(scheduled=True)
    service.store.put(*frames_at([REFERENCE + STEP]))
    clock[0] = NOW + 2 * STEP
    service.verify_observed()
    with running(service) as client:
        answer = client.get("/verification", params={"model": "default"}).json()
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    command = [str(NODE), str(Path(__file__).with_name("scores_run.mjs")), str(tmp_path / "answer.json")]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    lines = shown["text"].splitlines()
    for title, field in (("All observed grid cells", "scores"), ("Grid cells whose rain was", "scores_known")):
        (row,) = [one for one in answer[field] if (one["model"], one["threshold_mmh"]) == ("default", 0.5)]
        start = next(number for number, line in enumerate(lines) if line.startswith(title))
        counts = f"{row['observed_cells']:,} *|{row['cells']:,}"
        assert lines[start + 1].startswith("+30 min|")
        assert lines[start + 1].endswith(counts)
        assert [line.split("|")[0] for line in lines[start + 2 : start + 4]] == ["mean of leads", "leads pooled"]
        assert lines[start + 2].split("|")[1] == f"{row['csi']:.2f}"
    assert "2 forecasts were scheduled in the last 24 hours: 1 of them were not made" in shown["schedule"]
    assert shown["warned"] is True
