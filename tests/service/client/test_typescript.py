"""The TypeScript client is made from the OpenAPI document, compiles, and drives a running service."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from tests.environments import ROOT
from tests.service.api_support import fill, netcdf, service_at, window_times
from tests.service.live import served
from tests.waiting import PATIENCE_S

SOURCE = ROOT / "service" / "client" / "typescript"
DOCUMENT: dict[str, Any] = create_app().openapi()
OPERATIONS = [operation for verbs in DOCUMENT["paths"].values() for operation in verbs.values()]


def test_ids_of_operations_are_names_of_methods():
    ids = [operation["operationId"] for operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert [one for one in ids if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", one)] == []
    expected = {"getPoint", "makeNowcast", "createRule", "getEdrPosition", "getEdrPositionOfInstance", "getMinutes"}
    assert expected <= set(ids)


def test_the_document_has_the_form_of_uploads_next_to_json():
    body = DOCUMENT["paths"]["/nowcast"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}


def test_the_source_names_operations_that_exist():
    source = (SOURCE / "src" / "index.ts").read_text("utf-8")
    called = set(re.findall(r'api\.(GET|POST|PUT|DELETE)\("([^"]+)"', source))
    there = {(verb.upper(), path) for path, verbs in DOCUMENT["paths"].items() for verb in verbs}
    assert called - there == set()
    assert len(called) >= 10


def test_an_operation_with_several_media_types_is_read_as_a_document():
    """The type of its content is one of several, which does not compile as the one of JSON."""
    source = (SOURCE / "src" / "index.ts").read_text("utf-8")
    as_one = re.findall(r'(?:found|answered)\(this\.api\.(GET|POST|PUT|DELETE)\("([^"]+)"', source)
    assert len(as_one) >= 4
    for verb, path in as_one:
        answers = DOCUMENT["paths"][path][verb.lower()]["responses"]
        content: dict[str, Any] = next(
            (one.get("content", {}) for code, one in answers.items() if code.startswith("2")), {}
        )
        assert set(content) <= {"application/json"}, path


@pytest.mark.long
def test_the_client_compiles_and_drives_a_service(tmp_path: Path):
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine")
    folder = tmp_path / "client"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (folder / "openapi.json").write_text(json.dumps(DOCUMENT), "utf-8")
    for command in (["npm", "ci"], ["npm", "run", "build"]):
        done = run(command, folder)
        assert done.returncode == 0, done.stdout + done.stderr
    service = service_at(tmp_path / "home")
    fill(service)
    service.forecast_stored()
    (tmp_path / "frames").mkdir()
    netcdf(tmp_path / "frames", window_times())
    (frames,) = (tmp_path / "frames").iterdir()
    with served(service) as url:
        done = run(["node", "test/client.mjs", url, str(frames)], folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["latest"] == str(service.latest().id)
    assert found["points"] == [[51.0, 5], [52.52, 5]]
    assert (found["one"], len(found["summary"])) == (1, 2)
    assert found["area"] > 10
    assert (found["json"], found["upload"], found["hours"]) == ("persistence", "upload", 48)
    assert (found["rules"], found["after"]) == ([1, "More rain", 0, 0], 0)
    assert found["refused"]["status"] == 422
    assert "lat" in found["refused"]["message"]


def run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S)
