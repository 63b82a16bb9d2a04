"""POST /nowcast: a forecast from ingested scans (JSON) or from uploaded frames (multipart)."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Final

from anyio import fail_after
from fastapi import APIRouter, Depends, Request, Response
from starlette.requests import ClientDisconnect

from core.errors import ClientDisconnectedError, InputError
from core.times import iso
from service.api import jobs
from service.api.access import caller_of
from service.api.admission import while_present
from service.api.backend import Backend, BackendDep
from service.api.caching import SHORTEST_S
from service.api.errors import documented
from service.api.files import FIELD_ANSWERS, file_answer
from service.api.models import known_model
from service.api.negotiate import JSON, NETCDF, chosen_type
from service.api.uploads import read_body
from service.api.views import forecast_out
from service.forecasts.nowcast import StoredForecast
from service.forecasts.uploads import Upload, forecast_of_upload
from service.schemas.forecasts import ForecastOut, NowcastRequest
from service.schemas.listings import JobOut
from service.telemetry.metrics import REFUSED
from service.telemetry.stages import stage

router = APIRouter(tags=["forecasts"])

BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "content": {
            JSON: {
                "schema": NowcastRequest.model_json_schema(),
                "examples": {
                    "newest": {"summary": "from the newest scans", "value": {}},
                    "past": {
                        "summary": "from the scans of a past time",
                        "value": {"reference_time": "2024-06-01T12:00:00Z", "model": "default", "verify": True},
                    },
                },
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["frames"],
                    "properties": {
                        "frames": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "radar files of any supported format, or one NetCDF with five or more times",
                        },
                        "observations": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "frames after the reference time, to verify the forecast with",
                        },
                        "model": {"type": "string", "default": "default", "description": "a name from GET /models"},
                        "members": {
                            "type": "boolean",
                            "default": False,
                            "description": "make the ensemble members too, before the response",
                        },
                    },
                }
            },
        }
    }
}


async def admitted(backend: BackendDep) -> AsyncIterator[None]:
    """Hold a place of the admission control, before any of the body is read."""
    async with backend.admission.place():
        yield


async def body_of(
    request: Request, backend: BackendDep, _admitted: Annotated[None, Depends(admitted)]
) -> NowcastRequest | Upload:
    """Return the request's body, read as a stream; everything after it runs in a thread."""
    try:
        with (
            backend.admission.reception(caller_of(request).name),
            stage("receive"),
            fail_after(backend.settings.upload_receive_s),
        ):
            return await read_body(request, backend.settings)
    except ClientDisconnect as err:
        REFUSED.labels("client_gone").inc()
        raise ClientDisconnectedError("the client disconnected before its body was complete") from err
    except TimeoutError as err:
        raise InputError(f"expected the complete body within {backend.settings.upload_receive_s:g} s") from err


def wanted_type(request: Request) -> str:
    """Return the media type of the response, chosen before any work is done."""
    return chosen_type(request.headers.get("accept"))


BodyDep = Annotated[NowcastRequest | Upload, Depends(body_of)]
TypeDep = Annotated[str, Depends(wanted_type)]


@router.post(
    "/nowcast",
    summary="Make a forecast",
    response_model=ForecastOut,
    openapi_extra=BODY,
    responses={
        **documented(404, 406, 409, 413, 415, 422),
        200: FIELD_ANSWERS[200],
        202: {"model": JobOut, "description": "`Prefer: respond-async` was applied; `Location` is the job to follow"},
    },
)
async def make_nowcast(media_type: TypeDep, body: BodyDep, backend: BackendDep, request: Request) -> Response:
    """Make a forecast. The same input and model version give the same id and are computed once.

    With `Prefer: respond-async` the answer may be 202 and a job; `Preference-Applied` confirms it. If the client
    disconnects before its forecast has started, the request leaves the queue; a forecast that has started is completed
    and stored.
    """
    async with while_present(request):
        return await backend.admission.run(partial(_made, media_type, body, backend, request))


def _made(media_type: str, body: NowcastRequest | Upload, backend: Backend, request: Request) -> Response:
    known_model(backend.service, body.model)
    if jobs.is_preferred(request) and jobs.is_possible(backend.settings):
        key = caller_of(request).key
        return jobs.accepted(jobs.enqueue(_wanted(body), body.model, backend, key.id if key else None))
    if isinstance(body, Upload):
        return _answer(request, backend, forecast_of_upload(backend.service, body), media_type, verify=True)
    forecast = backend.service.forecast_stored(body.reference_time, body.model, with_baselines=body.verify)
    answer = _answer(request, backend, forecast, media_type, verify=body.verify)
    if not body.verify:
        backend.service.baselines.schedule(forecast)
    return answer


def _wanted(body: NowcastRequest | Upload) -> Upload | str | None:
    """Return what a job starts from: the upload, or the reference time of stored scans; None is the newest one."""
    if isinstance(body, Upload):
        return body
    return iso(body.reference_time) if body.reference_time else None


def _answer(request: Request, backend: Backend, forecast: StoredForecast, media_type: str, *, verify: bool) -> Response:
    if media_type == NETCDF:
        return file_answer(request, forecast, forecast.path, lifetime_s=SHORTEST_S)
    answer = forecast_out(backend, forecast, verify=verify)
    return Response(
        answer.model_dump_json(),
        media_type=JSON,
        headers={"Content-Location": answer.links.self, "Cache-Control": "no-store", "Vary": "Accept"},
    )
