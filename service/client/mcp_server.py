"""`nowcast mcp`: the forecast as tools of the Model Context Protocol, for assistants; a client of the REST interface.

Every answer begins with the status and age of its data, and all parts of one answer are of the same forecast.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import typer
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from core.command import errors_in_one_line
from core.settings import settings_from_environment
from service.client.client import AsyncClient
from service.client.connection import ServiceError
from service.client.forecast import AsyncForecast
from service.schemas.minutes import MinuteOut
from service.schemas.scores import MeanScoreOut
from service.schemas.sentence import Language

INSTRUCTIONS: Final = """Rain of the next two and a half hours from weather radar, with probabilities and a record.
Say how old the data are (`data_age_minutes`), and pass on `warning`. A rate that is null is not known, not dry.
These are forecasts of a model and no official warnings."""
RAIN_MMH: Final = 0.1
SHOWN_SCORES: Final = ("csi", "pod", "far", "brier")
STEP_MINUTES: Final = 15
"""Leads of an area, which has much to say of each, are this far apart."""

Latitude = Annotated[float, Field(description="degrees north", ge=-90, le=90)]
Longitude = Annotated[float, Field(description="degrees east", ge=-180, le=360)]
Lang = Annotated[Language, Field(description="language of the sentences")]


class Freshness(BaseModel):
    """The forecast behind an answer, and how old its data are."""

    status: Literal["ok", "degraded", "stale"]
    data_age_minutes: float = Field(description="age of the newest radar scan")
    reference_time: datetime = Field(description="time of the newest radar scan")
    forecast_id: str
    warning: str | None = Field(description="to be passed on: old data, invented weather, missing radars")


class PlaceAnswer(Freshness):
    """The rain at a place: now and in the next two and a half hours."""

    lat: float
    lon: float
    radar_coverage: str
    summary: str
    next_hour: str | None = Field(description="depth of the next hour in words")
    minutes: list[MinuteOut]


class AreaTime(BaseModel):
    """The rain in an area at one time."""

    valid_time: datetime
    lead_minutes: int
    mean_mmh: float | None
    max_mmh: float | None
    total_mm: float | None = Field(description="mean depth since the reference time")
    largest_cell_probability: float | None = Field(description="of 0.1 mm/h, of the likeliest grid cell")


class AreaAnswer(Freshness):
    """The rain in an area."""

    area_km2: float
    radar_coverage: str
    leads: list[AreaTime]


class SkillAnswer(Freshness):
    """How good the forecasts of the last hours were, next to persistence and extrapolation."""

    period_hours: float
    scores: list[MeanScoreOut] = Field(description="means over all lead times; from few cells `enough` is false")
    empty_because: str | None


class NowcastTools:
    """The tools; each method is one, and its docstring is what an assistant reads.

    Args:
        client: of the service.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def place(
        self,
        latitude: Latitude,
        longitude: Longitude,
        language: Lang = "en",
        time_zone: Annotated[str, Field(description="IANA name; `auto` is that of the place")] = "auto",
    ) -> PlaceAnswer:
        """Return when it rains at a place in the next two and a half hours, how much, and how likely."""
        with _refusals():
            forecast = await self._client.latest()
            (found,) = await forecast.minutes([(latitude, longitude)], lang=language, tz=time_zone)
        fields = {name: getattr(found, name) for name in PlaceAnswer.model_fields if hasattr(found, name)}
        return PlaceAnswer(**(fields | _freshness(forecast)))

    async def area(
        self,
        polygon: Annotated[
            str, Field(description="WKT, longitude before latitude: POLYGON((13 52, 14 52, 14 53, 13 52))")
        ],
    ) -> AreaAnswer:
        """Return the rain in an area, such as a district or catchment: mean, maximum, depth, probability."""
        with _refusals():
            forecast = await self._client.latest()
            found = await forecast.area(polygon)
        leads = [_area_lead(lead) for lead in found.leads if lead.lead_minutes % STEP_MINUTES == 0]
        return AreaAnswer(
            area_km2=found.area_km2, radar_coverage=found.radar_coverage, leads=leads, **_freshness(forecast)
        )

    async def picture(
        self,
        lead_minutes: Annotated[int, Field(description="of the map: minutes ahead, a lead of the forecast")] = 30,
        latitude: Latitude | None = None,
        longitude: Longitude | None = None,
        language: Lang = "en",
    ) -> list[Any]:
        """Return a map of the rain in some minutes, or, with latitude and longitude, bars of the rain at that place."""
        with _refusals():
            forecast = await self._client.latest()
            if latitude is not None and longitude is not None:
                png = await self._client.point_picture(latitude, longitude, forecast.id, lang=language)
            elif latitude is None and longitude is None:
                png = await forecast.picture(lead_minutes)
            else:
                raise ToolError("latitude, longitude: expected both or none")
        return [Image(data=png, format="png"), Freshness(**_freshness(forecast)).model_dump_json()]

    async def skill(
        self, period_hours: Annotated[float, Field(description="back from now: 24, 168 or 720", gt=0)] = 24
    ) -> SkillAnswer:
        """Return how good recent forecasts were: scores by threshold, next to persistence and extrapolation."""
        with _refusals():
            forecast = await self._client.latest()
            found = await self._client.verification(period_hours, mask="all")
        means = [one for one in found.means if one.mean == "pooled" and one.score in SHOWN_SCORES]
        return SkillAnswer(
            period_hours=found.period_hours,
            scores=means,
            empty_because=found.empty_because,
            **_freshness(forecast),
        )


def build_server(client: AsyncClient) -> MCPServer[Any]:
    """Return the server with its four tools."""
    tools = NowcastTools(client)
    server: MCPServer[Any] = MCPServer("nowcast", title="Precipitation nowcast", instructions=INSTRUCTIONS)
    reads = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)
    for tool, is_structured in ((tools.place, True), (tools.area, True), (tools.picture, False), (tools.skill, True)):
        server.add_tool(tool, annotations=reads, structured_output=is_structured)
    return server


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    http: Annotated[bool, typer.Option("--http", help="streamable HTTP at /mcp instead of standard input")] = False,
    host: Annotated[str, typer.Option(help="address of --http; who reaches it uses your API key")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port of --http", min=0, max=65535)] = 8001,
) -> None:
    """Serve the forecast to assistants by the Model Context Protocol.

    The service is that of NOWCAST_CLIENT_URL, with the API key of NOWCAST_CLIENT_KEY.
    """
    with errors_in_one_line(OSError):
        settings = settings_from_environment()
        key = settings.client_key.get_secret_value() if settings.client_key else None
        server = build_server(AsyncClient(settings.client_url, key, patience_s=10))
        if http:
            server.run("streamable-http", host=host, port=port, stateless_http=True)
        else:
            server.run("stdio")


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn an error of the service into one that the assistant reads."""
    try:
        yield
    except ServiceError as err:
        raise ToolError(str(err)) from err


def _freshness(forecast: AsyncForecast) -> dict[str, Any]:
    answer = forecast.answer
    age_minutes = round(answer.data_age_s / 60, 1)
    warnings = [
        text
        for text, holds in (
            ("INVENTED WEATHER: no real radar data", answer.invented),
            (f"OLD DATA: the newest radar scan is {age_minutes:g} minutes old", answer.stale),
            ("radars are missing: " + ", ".join(answer.missing_radars), bool(answer.missing_radars)),
        )
        if holds
    ]
    return {
        "status": answer.status,
        "data_age_minutes": age_minutes,
        "reference_time": answer.reference_time,
        "forecast_id": forecast.id,
        "warning": "; ".join(warnings) or None,
    }


def _area_lead(lead: Any) -> AreaTime:
    chances = [
        one.largest for one in lead.cell_probabilities if math.isclose(one.threshold_mmh, RAIN_MMH, rel_tol=1e-6)
    ]
    return AreaTime(
        valid_time=lead.valid_time,
        lead_minutes=lead.lead_minutes,
        mean_mmh=lead.mean_mmh,
        max_mmh=lead.max_mmh,
        total_mm=lead.total_mm,
        largest_cell_probability=chances[0] if chances else None,
    )


if __name__ == "__main__":
    app()
