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
"""So long an answer of the catalogue holds while its version is the same."""

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
        description="mm/h: the probability of at least this rate; one of `probability_thresholds_mmh`",
        examples=[0.5],
    ),
]


@dataclass(frozen=True)
class CachedForecast:
    """What the catalogue said."""

    forecast: StoredForecast
    version: Version
    at_s: float


class RecentForecasts:
    """The forecasts that were asked for lately."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, CachedForecast] = OrderedDict()

    def held(self, service: NowcastService, wanted: str) -> StoredForecast | None:
        """The forecast where the catalogue's answer still holds: one look at a file's time, and no query."""
        known = self._known.get(wanted)
        if known is None or time.monotonic() - known.at_s > SURE_S or known.version != service.catalogue.version:
            return None
        return known.forecast

    def find(self, service: NowcastService, wanted: str) -> StoredForecast:
        """The forecast of an id, or the latest one.

        Raises:
            InputError: neither `latest` nor a UUID.
            NoDataError: it is not stored.
        """
        version, at_s = service.catalogue.version, time.monotonic()  # before the query: what comes after is not known
        forecast = service.latest() if wanted == LATEST else service.get(str(_uuid(wanted)))
        self._known[wanted] = CachedForecast(forecast, version, at_s)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return forecast


def needs_no_query(settings: Settings) -> bool:
    """Whether a forecast's age can be told without the catalogue: a replay's clock is its newest scan."""
    return settings.source_kind != "replay"


async def chosen_forecast(forecast_id: ForecastId, backend: BackendDep, request: Request) -> StoredForecast:
    """The forecast that the path names, from memory where the catalogue has nothing new.

    Raises:
        InputError: neither `latest` nor a UUID.
        NoDataError: it is not stored.
    """
    recent: RecentForecasts = request.app.state.recent
    held = recent.held(backend.service, forecast_id)
    return await run_in_threadpool(recent.find, backend.service, forecast_id) if held is None else held


async def place(
    lat: Annotated[
        float, Query(description="degrees north", json_schema_extra={"minimum": -90, "maximum": 90}, examples=[52.52])
    ],
    lon: Annotated[
        float, Query(description="degrees east", json_schema_extra={"minimum": -180, "maximum": 180}, examples=[13.4])
    ],
) -> tuple[float, float]:
    """A place on Earth.

    Raises:
        InputError: it is none.
    """
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise InputError(f"expected lat within -90 to 90 and lon within -180 to 180 degrees, got lat={lat}, lon={lon}")
    return lat, lon


ForecastDep = Annotated[StoredForecast, Depends(chosen_forecast)]
PlaceDep = Annotated[tuple[float, float], Depends(place)]


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as err:
        raise InputError(f"forecast id: expected `latest` or a UUID, got {shown(text)}") from err
