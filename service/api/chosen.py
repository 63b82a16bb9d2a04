"""What a request names: a forecast, and a place on Earth."""

from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool

from core.errors import InputError
from service.api.backend import BackendDep
from service.api.recent import Recent
from service.forecasts.nowcast import Forecast

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


async def chosen_forecast(forecast_id: ForecastId, backend: BackendDep, request: Request) -> Forecast:
    """The forecast that the path names, from memory where the catalogue has nothing new.

    Raises:
        InputError: neither `latest` nor a UUID.
        NoDataError: it is not stored.
    """
    recent: Recent = request.app.state.recent
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
        raise InputError(f"lat {lat}, lon {lon} is not on Earth; lat -90 to 90 and lon -180 to 180 were due")
    return lat, lon


ForecastDep = Annotated[Forecast, Depends(chosen_forecast)]
PlaceDep = Annotated[tuple[float, float], Depends(place)]
