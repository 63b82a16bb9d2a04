"""The tools of `nowcast mcp`, called by the official client: in process, and by standard input and HTTP."""

import asyncio
import base64
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from mcp import Client as McpClient
from mcp import StdioServerParameters

from service.client import AsyncClient
from service.client.mcp_server import build_server
from service.forecasts.nowcast import NowcastService
from service.process.broker import free_port
from tests import asking
from tests.end_to_end.stack import process_environment
from tests.service.api_support import NOW, fill, service_at
from tests.service.live import served
from tests.waiting import wait_until

WKT = "POLYGON((9.2 50.3, 11.1 50.4, 10.4 51.9, 9.2 50.3))"
PLACE = {"latitude": 51.0, "longitude": 9.5}


class Clock:
    """A clock of the service that a test moves."""

    now = NOW

    def __call__(self) -> Any:
        return self.now


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[str]:
    service: NowcastService = service_at(tmp_path_factory.mktemp("home"), clock=clock)
    fill(service)
    service.forecast_stored()
    with served(service) as address:
        yield address


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@asynccontextmanager
async def tools_of(url: str) -> AsyncIterator[McpClient]:
    async with AsyncClient(url, patience_s=0) as client, McpClient(build_server(client)) as opened:
        yield opened


def called(url: str, name: str, **arguments: Any) -> Any:
    async def call() -> Any:
        async with tools_of(url) as tools:
            return await tools.call_tool(name, arguments)

    return asyncio.run(call())


def test_the_four_tools_say_what_they_do_and_only_read(url):
    async def listed() -> Any:
        async with tools_of(url) as tools:
            return (await tools.list_tools()).tools, tools.instructions

    found, instructions = asyncio.run(listed())
    assert [tool.name for tool in found] == ["place", "area", "picture", "skill"]
    assert all(tool.description and tool.annotations.read_only_hint for tool in found)
    assert "data_age_minutes" in instructions
    assert found[0].input_schema["properties"]["latitude"]["maximum"] == 90


@pytest.mark.parametrize(
    ("name", "arguments"), [("place", PLACE), ("area", {"polygon": WKT}), ("skill", {"period_hours": 48})]
)
def test_every_answer_has_status_and_age(url, name, arguments):
    answer = called(url, name, **arguments)
    assert not answer.is_error, answer.content
    found = answer.structured_content
    assert (found["status"], found["data_age_minutes"], found["warning"]) == ("ok", 3.0, None)
    assert found["reference_time"] == "2024-06-01T12:00:00Z"


def test_a_place_is_the_service_s_own_minutes(url):
    asked: dict[str, Any] = {"lat": 51.0, "lon": 9.5, "lang": "de", "tz": "auto"}
    expected = asking.get(f"{url}/nowcast/latest/minutes", params=asked).json()
    found = called(url, "place", **PLACE, language="de").structured_content
    assert found["minutes"] == expected["minutes"]
    assert found["summary"] == expected["summary"]
    assert found["forecast_id"] == expected["forecast_id"]


def test_an_area_has_its_leads(url):
    expected = asking.get(f"{url}/nowcast/latest/area", params={"polygon": WKT}).json()
    found = called(url, "area", polygon=WKT).structured_content
    assert [lead["mean_mmh"] for lead in found["leads"]] == [lead["mean_mmh"] for lead in expected["leads"]]
    chances = [lead["cell_probabilities"][0]["largest"] for lead in expected["leads"]]
    assert [lead["largest_cell_probability"] for lead in found["leads"]] == chances


def test_a_picture_is_a_png_with_its_age(url):
    latest = asking.get(f"{url}/nowcast/latest").json()["forecast_id"]
    expected = {
        "map": asking.get(f"{url}/nowcast/{latest}/image/60.png").content,
        "place": asking.get(f"{url}/nowcast/{latest}/point.png", params={"lat": 51.0, "lon": 9.5}).content,
    }
    for kind, arguments in (("map", {"lead_minutes": 60}), ("place", PLACE)):
        image, text = called(url, "picture", **arguments).content
        assert (image.type, image.mime_type) == ("image", "image/png")
        assert base64.b64decode(image.data) == expected[kind]
        assert '"data_age_minutes":3.0' in text.text


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("area", {"polygon": "POLYGON((1 2))"}, "WKT"),
        ("picture", {"lead_minutes": 7}, "7"),
        ("picture", {"latitude": 51.0}, "expected both or none"),
        ("place", {**PLACE, "time_zone": "Mars/Base"}, "Mars/Base"),
        ("place", {"latitude": 95, "longitude": 0}, "latitude"),
    ],
)
def test_a_mistake_is_an_error_that_the_assistant_reads(url, name, arguments, text):
    answer = called(url, name, **arguments)
    assert answer.is_error
    assert text in answer.content[0].text


def test_a_service_that_is_gone_is_an_error_that_the_assistant_reads():
    answer = called("http://127.0.0.1:1", "place", **PLACE)
    assert answer.is_error
    assert "no response" in answer.content[0].text


def test_old_data_have_a_warning(url, clock, monkeypatch):
    monkeypatch.setattr(clock, "now", NOW + timedelta(hours=2))
    found = called(url, "place", **PLACE).structured_content
    assert (found["status"], found["data_age_minutes"]) == ("stale", 123.0)
    assert "OLD DATA" in found["warning"]


@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.long
def test_the_command_serves_the_tools(url, transport):
    environment = {**process_environment(), "NOWCAST_CLIENT_URL": url}

    async def asked(target: Any) -> Any:
        async with McpClient(target) as tools:
            return await tools.call_tool("place", PLACE)

    command = [sys.executable, "-m", "service.command", "mcp"]
    if transport == "stdio":
        answer = asyncio.run(asked(StdioServerParameters(command=command[0], args=command[1:], env=environment)))
    else:
        answer = asyncio.run(_over_http(asked, command, environment))
    assert answer.structured_content["status"] == "ok"


async def _over_http(asked: Any, command: list[str], environment: dict[str, str]) -> Any:
    port = free_port("127.0.0.1")
    process = await asyncio.create_subprocess_exec(*command, "--http", "--port", str(port), env=environment)
    try:
        await asyncio.to_thread(wait_until, lambda: listens(port), "MCP server")
        return await asked(f"http://127.0.0.1:{port}/mcp")
    finally:
        process.terminate()
        await process.wait()
