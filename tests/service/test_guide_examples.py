"""Every example of the developer's guide, run against a service with a small store."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, StrictUndefined

from tests import asking
from tests.end_to_end.stack import process_environment
from tests.service.api_support import fill, service_at
from tests.service.live import served
from tests.waiting import PATIENCE_S

API = Path(__file__).parents[2] / "docs" / "api"
PAGES = sorted(path.name for path in API.glob("*.md"))
ADDRESS = "http://127.0.0.1:8000"
FAILING = 'curl() { command curl --fail-with-body --max-time 60 "$@" && echo; }\n'


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """A service with a forecast."""
    service = service_at(tmp_path_factory.mktemp("home"))
    fill(service)
    service.forecast_stored()
    with served(service) as url:
        yield url


def blocks(page: str, language: str) -> list[str]:
    """The code of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", (API / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    """The output of a command that succeeds."""
    done = subprocess.run(
        command, cwd=folder, env=process_environment(), capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")])
def test_the_requests_of_a_page(page, address, tmp_path):
    script = "".join(blocks(page, "bash")).replace(ADDRESS, address)
    output = run(["bash", "-euo", "pipefail", "-c", FAILING + script], tmp_path)
    files = re.findall(r"curl .*-o (\S+)", script)
    assert all((tmp_path / name).stat().st_size > 100 for name in files)
    assert len(output.splitlines()) >= script.count("curl ") - len(files) > 0 or files


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_of_a_page(page, address, tmp_path):
    code = "\n".join(blocks(page, "python")).replace(ADDRESS, address).replace("Client()", f"Client({address!r})")
    output = run([sys.executable, "-c", code], tmp_path)
    assert output.strip() or len(list(tmp_path.glob("*.png"))) == 2


def test_home_assistant_finds_every_value(address):
    _of_the_component, sensors, automation, _headers = blocks("home_assistant.md", "yaml")
    configuration: dict[str, Any] = yaml.safe_load(sensors)
    (rest,), (camera,) = configuration["rest"], configuration["camera"]
    answer = asking.get(rest["resource"].replace(ADDRESS, address)).json()
    templates = Environment(undefined=StrictUndefined, autoescape=False)
    entities = rest["sensor"] + rest["binary_sensor"]
    values = [templates.from_string(one["value_template"]).render(value_json=answer) for one in entities]
    assert "" not in values
    assert asking.get(camera["still_image_url"].replace(ADDRESS, address)).content.startswith(b"\x89PNG")
    names = {f"sensor.{one['name'].lower().replace(' ', '_')}" for one in rest["sensor"]}
    assert set(re.findall(r"(?<!binary_)sensor\.\w+", automation)) <= names
