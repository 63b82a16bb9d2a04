"""POST /nowcast: a forecast from the ingested scans (JSON) or from uploaded frames (multipart)."""

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
from service.api.uploads import Upload, decoded, read_body
from service.api.views import forecast_out
from service.forecasts.nowcast import StoredForecast
from service.schemas.forecasts import ForecastOut, NowcastRequest
from service.schemas.listings import JobOut
from service.telemetry.metrics import REFUSED, STAGE_SECONDS, timed

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
                            "description": "radar files of any supported format, or one NetCDF with five times or more",
                        },
                        "observations": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "the frames that followed: scored in the same answer",
                        },
                        "model": {"type": "string", "default": "default", "description": "a name of GET /models"},
                    },
                }
            },
        }
    }
}


async def place_of(backend: BackendDep) -> AsyncIterator[None]:
    """A place among the requests that are taken on, before anything of the body is read."""
    async with backend.admission.place():
        yield


async def body_of(
    request: Request, backend: BackendDep, _place: Annotated[None, Depends(place_of)]
) -> NowcastRequest | Upload:
    """The request's body, read while it streams; everything after it runs in a thread."""
    try:
        with timed(STAGE_SECONDS, "receive"), fail_after(backend.settings.upload_receive_s):
            return await read_body(request, backend.settings)
    except ClientDisconnect as err:
        REFUSED.labels("client_gone").inc()
        raise ClientDisconnectedError("the client went away before its body was whole") from err
    except TimeoutError as err:
        raise InputError(
            f"the body was not whole after {backend.settings.upload_receive_s:g} s; it was due by then"
        ) from err


def wanted_type(request: Request) -> str:
    """The media type of the answer, settled before any work is done."""
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
        202: {"model": JobOut, "description": "`Prefer: respond-async` was granted; `Location` is the job to follow"},
    },
)
async def make_nowcast(media_type: TypeDep, body: BodyDep, backend: BackendDep, request: Request) -> Response:
    """The same input and model version give the same id, computed once.

    With `Prefer: respond-async` the JSON form may get 202 and a job; the header `Preference-Applied` says so. A client
    that goes away before its forecast was begun leaves the queue; one that goes later finds it under the same id.
    """
    async with while_present(request):
        return await backend.admission.run(partial(_made, media_type, body, backend, request))


def _made(media_type: str, body: NowcastRequest | Upload, backend: Backend, request: Request) -> Response:
    known_model(backend.service, body.model)
    if isinstance(body, Upload):
        return _answer(request, backend, _from_upload(backend, body), media_type, verify=True)
    if jobs.is_preferred(request) and jobs.is_possible(backend.settings):
        reference = iso(body.reference_time) if body.reference_time else None
        key = caller_of(request).key
        return jobs.accepted(jobs.enqueue(reference, body.model, backend, key.id if key else None))
    forecast = backend.service.forecast_stored(body.reference_time, body.model, with_baselines=body.verify)
    answer = _answer(request, backend, forecast, media_type, verify=body.verify)
    if not body.verify:
        backend.service.baselines.schedule(forecast)
    return answer


def _from_upload(backend: Backend, upload: Upload) -> StoredForecast:
    with timed(STAGE_SECONDS, "decode"):
        frames, observations = decoded(upload, backend.settings)
    if upload.observations and not observations:
        raise InputError("the files in `observations` hold no frame; the frames that followed were due")
    return backend.service.forecast_upload(frames, observations, upload.model)


def _answer(request: Request, backend: Backend, forecast: StoredForecast, media_type: str, *, verify: bool) -> Response:
    if media_type == NETCDF:
        return file_answer(request, forecast, forecast.path, lifetime_s=SHORTEST_S)
    answer = forecast_out(backend, forecast, verify=verify)
    return Response(
        answer.model_dump_json(),
        media_type=JSON,
        headers={"Content-Location": answer.links.self, "Cache-Control": "no-store", "Vary": "Accept"},
    )
