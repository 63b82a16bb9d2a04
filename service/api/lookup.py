"""What a request names: a forecast, places, and no parameter that the operation lacks."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, WithJsonSchema

from core.errors import InputError, shown
from core.settings import Settings
from service.api.backend import BackendDep
from service.api.errors import documented
from service.forecasts.catalogue import Version
from service.forecasts.nowcast import NowcastService, StoredForecast
from service.queries.cells import checked_place

LATEST: Final = "latest"
SURE_S: Final = 1.0
"""Seconds for which a catalogue lookup is reused while the catalogue's version is unchanged."""

MOST: Final = 256
MOST_PLACES: Final = 100

ForecastId = Annotated[
    str,
    PathParameter(description="`latest`, or the id of a forecast", examples=["latest"]),
]
ProbabilityOf = Annotated[
    float | None,
    Query(
        gt=0,
        allow_inf_nan=False,
        description="threshold in mm/h whose exceedance probability is returned; one of `probability_thresholds_mmh`",
        examples=[0.5],
    ),
]


@dataclass(frozen=True)
class CachedForecast:
    """A catalogue lookup and when it was made."""

    forecast: StoredForecast
    version: Version
    at_s: float


class RecentForecasts:
    """Cache of recently requested forecasts, so that most requests need no catalogue query."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, CachedForecast] = OrderedDict()

    def held(self, service: NowcastService, wanted: str) -> StoredForecast | None:
        """Return the forecast if its lookup is still valid; checking takes a file's modification time and no query."""
        known = self._known.get(wanted)
        if known is None or time.monotonic() - known.at_s > SURE_S or known.version != service.catalogue.version:
            return None
        return known.forecast

    def find(self, service: NowcastService, wanted: str) -> StoredForecast:
        """Return the forecast with an id, or the latest one, from the catalogue.

        Raises:
            InputError: neither `latest` nor a UUID.
            NoDataError: it is not stored.
        """
        # read before the query, so that a change during it invalidates the lookup
        version, at_s = service.catalogue.look(), time.monotonic()
        forecast = service.latest() if wanted == LATEST else service.get(str(_uuid(wanted)))
        self._known[wanted] = CachedForecast(forecast, version, at_s)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return forecast


def needs_no_query(settings: Settings) -> bool:
    """Return whether a forecast's age is known without the catalogue; the clock of a replay is its newest scan."""
    return settings.source_kind != "replay"


async def chosen_forecast(forecast_id: ForecastId, backend: BackendDep, request: Request) -> StoredForecast:
    """Return the forecast that the path names, from the cache if its lookup is still valid.

    Raises:
        InputError: neither `latest` nor a UUID.
        NoDataError: it is not stored.
    """
    recent: RecentForecasts = request.app.state.recent
    held = recent.held(backend.service, forecast_id)
    return await run_in_threadpool(recent.find, backend.service, forecast_id) if held is None else held


async def place(
    lat: Annotated[
        float,
        Query(
            description="latitude in degrees north", json_schema_extra={"minimum": -90, "maximum": 90}, examples=[52.52]
        ),
    ],
    lon: Annotated[
        float,
        Query(
            description="longitude in degrees east; 180 to 360 are those of the western hemisphere",
            json_schema_extra={"minimum": -180, "maximum": 360},
            examples=[13.4],
        ),
    ],
) -> tuple[float, float]:
    """Return latitude and longitude in degrees.

    Raises:
        InputError: not a place on Earth.
    """
    return checked_place(lat, lon)


def _degrees(values: object) -> object:
    """Return the numbers of a repeated parameter, each of which may hold several, separated by commas.

    Raises:
        ValueError: one is not a number.
    """
    if not isinstance(values, list):
        return values
    parts = [part for value in values for part in str(value).split(",")]
    try:
        return [float(part) for part in parts]
    except ValueError as err:
        raise ValueError("expected a number of degrees for each place") from err


async def places(
    lat: Annotated[
        list[Annotated[float, WithJsonSchema({"type": "number", "minimum": -90, "maximum": 90})]],
        BeforeValidator(_degrees),
        Query(
            description="latitude in degrees north; several places: repeated, or separated by commas",
            examples=[[52.52]],
            min_length=1,
            max_length=MOST_PLACES,
        ),
    ],
    lon: Annotated[
        list[Annotated[float, WithJsonSchema({"type": "number", "minimum": -180, "maximum": 360})]],
        BeforeValidator(_degrees),
        Query(
            description="longitude in degrees east, one for each latitude; 180 to 360 are those of the western "
            "hemisphere",
            examples=[[13.4]],
            min_length=1,
            max_length=MOST_PLACES,
        ),
    ],
) -> list[tuple[float, float]]:
    """Return latitude and longitude of some places in degrees.

    Raises:
        InputError: not places on Earth, or another number of latitudes than of longitudes.
    """
    if len(lat) != len(lon):
        raise InputError(f"lat, lon: expected as many latitudes as longitudes, got {len(lat)} and {len(lon)}")
    return [await place(*each) for each in zip(lat, lon, strict=True)]


ForecastDep = Annotated[StoredForecast, Depends(chosen_forecast)]
PlacesDep = Annotated[list[tuple[float, float]], Depends(places)]


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as err:
        raise InputError(f"forecast id: expected `latest` or a UUID, got {shown(text)}") from err


async def only_known_parameters(request: Request) -> None:
    """Check that the operation has every query parameter of the request.

    Raises:
        InputError: it lacks one.
    """
    if not request.scope["query_string"]:
        return
    route: APIRoute = request.scope["route"]
    known = tuple(dict.fromkeys(_names(route.dependant)))
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        expected = f"one of {', '.join(known)}" if known else "no query parameter"
        raise InputError(f"query parameter: expected {expected}, got {shown(unknown[0])}")


STRICT: Final[dict[str, Any]] = {"dependencies": [Depends(only_known_parameters)], "responses": documented(422)}
"""Arguments of `include_router` for the operations of this service; interfaces of other standards ignore more names."""


def _names(dependant: Dependant) -> list[str]:
    """Return the names of the query parameters of a function and of all that it depends on."""
    names = [name for each in dependant.dependencies for name in _names(each)]
    return [*(field.alias for field in dependant.query_params), *names]
