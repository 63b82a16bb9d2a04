"""The page: served whole by the service alone, and its script finds what it names."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from core.colours import RAIN_COLOURS
from core.grid import DE1200, RADOLAN_900, Grid
from service.api.places import CITIES, cities_of, graticule, map_cities, to_picture
from tests.service.api_support import NOW, REFERENCE, STEP, fill, frames_at, running, service_at

PAGE = Path(__file__).resolve().parents[3] / "service" / "page" / "static"
HTML, CSS, JS = ((PAGE / name).read_text() for name in ("index.html", "page.css", "page.js"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = service_at(tmp_path_factory.mktemp("home"), invented=True)
    fill(service)
    service.forecast_stored()
    with running(service) as client:
        yield client


def test_the_page_and_its_parts_are_served(client):
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for part in re.findall(r'(?:src|href)="(page/[^"]+)"', page.text):
        assert client.get(f"/{part}").status_code == 200
    assert {"page/page.css", "page/page.js"} <= set(re.findall(r'(?:src|href)="([^"]+)"', page.text))


def test_nothing_comes_from_elsewhere():
    for text in (HTML, CSS, JS):
        addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", text)) - {"http://www.w3.org"}  # SVG's name
        assert not addresses
    assert "@import" not in CSS
    assert "url(" not in CSS


def test_the_script_names_only_elements_that_there_are():
    ids = set(re.findall(r'\bid="([^"]+)"', HTML))
    assert set(re.findall(r'\$\("([^"]+)"\)', JS)) <= ids


def test_the_page_shows_what_it_has_to():
    for word in ("Observed", "Forecast", "UTC", "Play", "Missing radars", "Notes", "Model", "mm/h", "CSI", "HSS"):
        assert word in HTML
    assert "first forecast" in JS


def test_every_field_that_the_script_reads_is_in_the_answer(client):
    forecast = client.get("/nowcast/latest").json()
    used = set(re.findall(r"\bforecast\.(\w+)", JS)) - {"kind"}
    assert used <= set(forecast)
    lead = forecast["leads"][0]
    assert set(re.findall(r"\blead\.(\w+)", JS)) <= set(lead)
    assert set(re.findall(r"\bpicture\.(\w+)", JS)) <= set(forecast["links"]["pictures"][0])
    assert set(re.findall(r"state\.map\.(\w+)", JS)) <= set(client.get(forecast["links"]["map"]).json())


def test_the_pictures_of_a_probability_that_the_script_requests_exist(client):
    forecast = client.get("/nowcast/latest").json()
    assert "?probability_of=${state.probabilityOf}" in JS
    for threshold_mmh in forecast["probability_thresholds_mmh"]:
        for picture in (one for one in forecast["links"]["pictures"] if one["kind"] == "forecast"):
            answer = client.get(f"{picture['href']}?probability_of={threshold_mmh}")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    legend = client.get(forecast["links"]["map"]).json()["probability_legend"]
    assert set(re.findall(r"step\.(\w+)", JS)) <= {*legend[0], "from_mmh"}


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


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to parse the script with")
def test_the_script_parses():
    done = subprocess.run(["node", "--check", str(PAGE / "page.js")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


STAND_INS = """
const fs = require("fs");
const [page, answer] = process.argv.slice(2).map((path) => fs.readFileSync(path, "utf8"));
const nodes = {};
const $ = (id) => (nodes[id] ??= { parentElement: {}, classList: { toggle: (n, on) => (nodes[id].on = on) }, value: "",
  replaceChildren: (...all) => (nodes[id].all = all) });
const element = (name, attributes = {}, ...children) => ({ name, ...attributes, children });
const state = { forecast: { model: { name: "default" }, verification: null } };
const get = async () => JSON.parse(answer);
const line = String.fromCharCode(10);
const text = (one) => (one.children ? one.children.map(text).join(one.name === "tr" ? "|" : line) : String(one));
const part = page.slice(page.indexOf("/* ---------- scores"), page.indexOf("/* ---------- start"));
eval(`${part};(async () => {
  await showScores();
  $("threshold").value = "0.5"; drawScores();
  console.log(JSON.stringify({ text: $("scores").all.map(text).join(line), schedule: $("schedule").textContent,
    warned: $("schedule").on }));
})()`);
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the script with")
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
    (tmp_path / "run.js").write_text(STAND_INS)
    command = ["node", tmp_path / "run.js", PAGE / "page.js", tmp_path / "answer.json"]
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
