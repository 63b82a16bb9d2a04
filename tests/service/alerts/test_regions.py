"""The operator's own regions: from the GeoJSON file to the rule, its alert and its CAP document."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pyproj import Transformer

from core.errors import ConfigError
from core.settings import Settings
from service import alerter
from service.access.keybook import KeyBook
from service.alerts.cells import AreaCells
from service.alerts.evaluation import evaluate
from service.alerts.events import events_of
from service.alerts.regions import Regions
from service.alerts.rulebook import rule_book
from tests.service.alerts.playing import play, rainy_world
from tests.service.api_support import running, service_at
from tests.service.conftest import CENTRE_GRID

CREDIT = "Districts: © Example Agency, CC BY 4.0"


def ring(west: float, south: float, size: float) -> list[list[float]]:
    east, north = west + size, south + size
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def written(folder: Path, *features: dict[str, Any], **members: Any) -> Path:
    file = folder / "districts.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": list(features), **members}))
    return file


def districts(folder: Path) -> Path:
    """Two districts of the test grid, one of two parts, and one that replaces a state."""
    corners = CENTRE_GRID.corners_lon_lat()
    west, south = min(lon for lon, _ in corners), min(lat for _, lat in corners)
    whole = {"type": "Polygon", "coordinates": [ring(west, south, 8.0)]}
    parts = {"type": "MultiPolygon", "coordinates": [[ring(west, south, 0.2)], [ring(west + 0.3, south, 0.1)]]}
    return written(
        folder,
        {"type": "Feature", "id": "06633", "properties": {"name": "Kassel"}, "geometry": whole},
        {"type": "Feature", "properties": {"id": "06611", "name": "Kassel, Stadt"}, "geometry": parts},
        {"type": "Feature", "properties": {"id": "DE-BY"}, "geometry": parts},
        attribution=CREDIT,
    )


def rule_of(region: str) -> dict[str, Any]:
    return {"name": "District", "region": region, "quantity": "rate", "threshold": 0.1, "probability": 0.3}


def test_a_district_of_the_operator_s_file_gets_alerts_and_cap_documents(tmp_path, open_world):
    file = districts(tmp_path)
    world = rainy_world(open_world, regions=file, cap_sender="rain@example.org")
    settings, regions = world.service.settings, Regions(file)
    boss = {"X-API-Key": KeyBook.from_settings(settings).create("Boss", "admin")}
    with running(service_at(settings.home, regions=file, cap_sender="rain@example.org")) as client:
        listed = client.get("/rules/regions").json()
        names = {one["region"]: one["name"] for one in listed["regions"]}
        assert (len(names), names["06611"], names["DE-BY"], names["DE-BE"]) == (18, "Kassel, Stadt", "DE-BY", "Berlin")
        assert listed["attribution"].endswith(CREDIT)
        made = client.post("/rules", json={**rule_of("06633"), "public": True}, headers=boss)
        assert made.status_code == 201, made.text
        assert client.post("/rules", json=rule_of("06000")).status_code == 404
        book = rule_book(settings)
        for forecast in play(world, 0, 9):
            evaluate(book, forecast, AreaCells(regions), "rates", world.now)
        events = events_of(book.engine, made.json()["rule_id"], 10)
        assert events
        assert {event["region"] for event in events} == {"06633"}
        document = ET.fromstring(client.get(f"/alerts/cap/{events[-1]['event_id']}.xml").content)
        found = {element.tag.partition("}")[2]: element.text for element in document.iter()}
        assert (found["areaDesc"], found["value"]) == ("Kassel", "06633")


def test_a_region_of_several_parts_has_the_cells_of_all(tmp_path):
    regions = Regions(districts(tmp_path))
    cells = AreaCells(regions).of(CENTRE_GRID, {name: ("region", name) for name in ("06611", "06633")})
    of_parts, of_whole = (set(found.tolist()) for found in cells)
    assert of_parts < of_whole
    columns = {cell % CENTRE_GRID.width for cell in of_parts}
    assert columns != set(range(min(columns), max(columns) + 1)), "a gap between the two parts"


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (
            [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring(9, 50, 1)]}}],
            "id",
        ),
        ([{"type": "Feature", "id": "a", "geometry": {"type": "Point", "coordinates": [9, 50]}}], "got a Point"),
        ([{"type": "Feature", "id": "a", "geometry": None}], "feature 1"),
        ([{"type": "Feature", "id": "a"}], "geometry"),
        (["no feature"], "feature 1"),
        (
            [{"type": "Feature", "id": "a", "geometry": {"type": "Polygon", "coordinates": [ring(9, 50, 1)]}}] * 2,
            "there",
        ),
        (
            [{"type": "Feature", "id": "a", "geometry": {"type": "Polygon", "coordinates": [ring(3e5, 5e6, 1e4)]}}],
            "expected longitudes within",
        ),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_process_of_rules_with_its_feature(tmp_path, monkeypatch, features, words):
    settings = Settings(home=tmp_path, regions=written(tmp_path, *features))
    monkeypatch.setattr(alerter, "get_settings", lambda: settings)
    monkeypatch.setattr(alerter, "start_telemetry", lambda part, settings: None)
    with pytest.raises(SystemExit, match=r"cannot start: NOWCAST_REGIONS: .*districts\.geojson") as ended:
        alerter.check_start()
    assert words in str(ended.value)
    with pytest.raises(ConfigError):
        len(Regions(settings.regions).names)


def test_another_document_than_a_collection_is_named(tmp_path):
    for text in ("[]", '{"type": "FeatureCollection"}', '{"features": 3}', "no JSON"):
        (tmp_path / "x.geojson").write_text(text)
        with pytest.raises(ConfigError, match=r"NOWCAST_REGIONS: expected a GeoJSON FeatureCollection .*x\.geojson"):
            len(Regions(tmp_path / "x.geojson").names)


@pytest.mark.long
def test_the_command_of_the_docs_makes_such_a_file_of_official_boundaries(tmp_path):
    """A file with the columns and the projection of the federal agency's VG250: ARS, GEN, EPSG:25832."""
    program = shutil.which("ogr2ogr")
    if program is None:
        pytest.skip("no ogr2ogr on this machine (Debian: apt-get install gdal-bin)")
    metres = Transformer.from_crs(4326, 25832, always_xy=True)
    outline = [list(metres.transform(*point)) for point in ring(9.2, 51.2, 0.4)]
    (tmp_path / "vg250_krs.geojson").write_text(
        json.dumps(
            {
                "type": "FeatureCollection",
                "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}},
                "features": [
                    {
                        "type": "Feature",
                        "properties": {"ARS": "06633", "GEN": "Kassel", "GF": 4},
                        "geometry": {"type": "MultiPolygon", "coordinates": [[outline]]},
                    }
                ],
            }
        )
    )
    text = (Path(__file__).parents[3] / "docs/api/rules.md").read_text()
    (command,) = [line for line in text.replace("\\\n", "").splitlines() if line.startswith("ogr2ogr ")]
    subprocess.run(command.replace("VG250_KRS.shp", "vg250_krs.geojson").replace("VG250_KRS", "vg250_krs"),
                   shell=True, check=True, cwd=tmp_path)  # fmt: skip
    regions = Regions(tmp_path / "districts.geojson")
    assert regions.names["06633"] == "Kassel"
    polygon = regions.find("06633")
    assert polygon is not None
    assert polygon.bounds == pytest.approx((9.2, 51.2, 9.6, 51.6), abs=0.01)
