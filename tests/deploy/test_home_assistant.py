"""The integration of Home Assistant: its files as Home Assistant and HACS want them, and its own tests."""

import asyncio
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import aiohttp
import pytest
import yaml

from tests.environments import ROOT, python_with
from tests.service.api_support import GRID, fill, service_at
from tests.service.live import served

FOLDER = ROOT / "deploy" / "home_assistant"
PART = FOLDER / "custom_components" / "nowcast"
RAINY = 40, 24
"""Grid cell with rain at the reference time."""


def document(name: str) -> Any:
    return json.loads((PART / name).read_text("utf-8"))


def keys(tree: Any, prefix: str = "") -> set[str]:
    """The paths of all texts of a translation."""
    if not isinstance(tree, dict):
        return {prefix}
    return {path for name, part in tree.items() for path in keys(part, f"{prefix}/{name}")}


def test_the_manifest_has_what_a_custom_integration_needs():
    manifest = document("manifest.json")
    assert list(manifest) == ["domain", "name", *sorted(set(manifest) - {"domain", "name"})]
    assert manifest["domain"] == PART.name
    needed = {"codeowners", "config_flow", "documentation", "iot_class", "issue_tracker", "requirements", "version"}
    assert needed <= set(manifest)
    assert manifest["integration_type"] in ("service", "hub", "device")
    assert manifest["iot_class"] in ("local_polling", "cloud_polling", "local_push", "cloud_push")
    assert all(manifest[name].startswith("https://") for name in ("documentation", "issue_tracker"))
    assert [int(part) for part in manifest["version"].split(".")] >= [0, 3, 0]
    hacs = json.loads((FOLDER / "hacs.json").read_text("utf-8"))
    assert {"name", "homeassistant"} <= set(hacs)
    assert [path.name for path in (FOLDER / "custom_components").iterdir() if path.is_dir()] == [PART.name]


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_text_is_translated(language):
    assert keys(document(f"translations/{language}.json")) == keys(document("strings.json"))
    if language == "en":
        assert document("translations/en.json") == document("strings.json")


def test_everything_that_the_code_names_has_a_text():
    texts, code = document("strings.json"), {path.name: path.read_text("utf-8") for path in PART.glob("*.py")}
    services = yaml.safe_load((PART / "services.yaml").read_text("utf-8"))
    assert set(services) == set(texts["services"]) == set(document("icons.json")["services"])
    for service in services:
        assert f'"{service}"' in code["weather.py"]
    sensors = {line.split('"')[1] for line in code["sensor.py"].splitlines() if line.strip().startswith('key="')}
    assert sensors == set(texts["entity"]["sensor"])
    assert set(document("icons.json")["entity"]["sensor"]) <= sensors
    for error in texts["config"]["error"]:
        assert f'"{error}"' in code["config_flow.py"]
    for step in texts["config"]["step"]:
        assert f"async_step_{step}(" in code["config_flow.py"]


def test_the_integration_imports_nothing_but_home_assistant():
    allowed = (
        "homeassistant",
        "voluptuous",
        "aiohttp",
        ".",
        "typing",
        "datetime",
        "dataclasses",
        "collections",
        "logging",
        "itertools",
    )
    for path in PART.glob("*.py"):
        for line in path.read_text("utf-8").splitlines():
            if line.startswith(("import ", "from ")):
                assert line.split()[1].startswith(allowed), f"{path.name}: {line}"


@pytest.mark.parametrize("error", [aiohttp.ClientPayloadError(), TimeoutError(), json.JSONDecodeError("", "", 0)])
def test_an_answer_that_cannot_be_read_is_an_error_of_the_service(error, monkeypatch):
    package = ModuleType("nowcast_part")  # `__init__` imports Home Assistant
    package.__path__ = [str(PART)]
    monkeypatch.setitem(sys.modules, "nowcast_part", package)
    api = importlib.import_module("nowcast_part.api")
    answer = SimpleNamespace(status=200, json=AsyncMock(side_effect=error), read=AsyncMock(side_effect=error))
    session = MagicMock()
    session.get.return_value.__aenter__ = AsyncMock(return_value=answer)
    client = api.NowcastApi(session, "http://127.0.0.1", None, 51.0, 10.0)
    for request in (client.point, lambda: client.picture("id", 30)):
        with pytest.raises(api.NowcastApiError, match=type(error).__name__):
            asyncio.run(request())


@pytest.mark.long
def test_its_own_tests_pass_against_a_running_service(tmp_path: Path):
    python = python_with(FOLDER / "requirements_test.txt")
    service = service_at(tmp_path / "home")
    fill(service)
    service.forecast_stored()
    row, col = RAINY
    lon, lat = GRID.to_lon_lat(GRID.x_centres_m[col : col + 1], GRID.y_centres_m[row : row + 1])
    with served(service) as url:
        environment = {**os.environ, "NOWCAST_URL": url, "NOWCAST_PLACE": f"{float(lat[0]):.4f},{float(lon[0]):.4f}"}
        done = subprocess.run(
            [str(python), "-m", "pytest"], cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=600
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout
