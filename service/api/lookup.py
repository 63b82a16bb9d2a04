"""The forecast and the place that a request names."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool

from core.errors import InputError, shown
from core.settings import Settings
from service.api.backend import BackendDep
from service.forecasts.catalogue import Version
from service.forecasts.nowcast import NowcastService, StoredForecast

LATEST: Final = "latest"
SURE_S: Final = 1.0
"""Seconds for which a catalogue lookup is reused while the catalogue's version is unchanged."""

MOST: Final = 256

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
        version, at_s = service.catalogue.version, time.monotonic()
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
    if not (-90 <= lat <= 90 and -180 <= lon <= 360):
        raise InputError(f"expected lat within -90 to 90 and lon within -180 to 360 degrees, got lat={lat}, lon={lon}")
    return lat, lon - 360.0 if lon > 180 else lon


ForecastDep = Annotated[StoredForecast, Depends(chosen_forecast)]
PlaceDep = Annotated[tuple[float, float], Depends(place)]


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as err:
        raise InputError(f"forecast id: expected `latest` or a UUID, got {shown(text)}") from err
