"""The one place where an error becomes an RFC 9457 `application/problem+json` response."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from core.errors import InputError, NowcastError, UnavailableError, shown
from core.files import DamagedFileError, damage_in
from service.schemas.forecasts import Problem

log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
REQUEST_ID: Final = "X-Request-ID"
RETRY_AFTER_S: Final = 5

WORDS: Final[Mapping[int, str]] = {
    400: "Invalid input, in the form of that interface; the response names the parameter and what was expected",
    401: "No API key, or an invalid one",
    403: "The API key lacks the required scope",
    404: "The resource does not exist or is not stored (yet)",
    406: "None of the media types in `Accept` is available",
    409: "Readable frames that do not form one window (times, number, grids or products), or a job that has ended",
    413: "More bytes, frames or grid cells than the limit",
    415: "The body is neither JSON nor multipart/form-data",
    422: "Invalid input; the response names the parameter, what was expected and what was found",
    429: "Rate limit exceeded, or too many requests in progress; `Retry-After` gives the time to wait",
    500: "Internal error of the service",
    503: "A component does not respond; `Retry-After` gives the time to wait",
}


class ProblemResponse(JSONResponse):
    """A response with a problem document."""

    media_type = MEDIA_TYPE


def problem(
    request: Request, status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> ProblemResponse:
    """Return the response for one problem; `more` are RFC 9457 extension members."""
    body = Problem(title=title, status=status, detail=detail, instance=request.url.path).model_dump()
    return ProblemResponse({**body, **more}, status, headers=dict(headers or {}))


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route that may answer with these problems."""
    return {status: {"model": Problem, "description": WORDS[status]} for status in (*statuses, 429, 500, 503)}


def handle_errors(app: FastAPI) -> None:
    """Register the handlers that answer errors with problem documents."""
    app.add_exception_handler(NowcastError, _nowcast_error)
    app.add_exception_handler(DamagedFileError, _damaged_file)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


async def _nowcast_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, NowcastError)
    damaged = damage_in(error)
    return await _damaged_file(request, damaged) if damaged else error_answer(request, error)


async def _damaged_file(request: Request, error: Exception) -> ProblemResponse:
    """Set the file aside, so that it is made or fetched again, and ask the client to repeat its request."""
    assert isinstance(error, DamagedFileError)
    healing = request.app.state.backend.service.healing
    try:
        await run_in_threadpool(healing.set_aside, error)
    except UnavailableError as err:
        log.warning("%s; not set aside: %s", error, err)
    return error_answer(request, UnavailableError(f"{error}; it is set aside and made again"))


def error_answer(request: Request, error: NowcastError) -> ProblemResponse:
    """Return the problem document of one of the project's errors."""
    headers: dict[str, str] = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    detail = str(error)
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = str(RETRY_AFTER_S)
        detail = public_reason(error)
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("%s %s: %s", request.method, request.url.path, error)
    elif not isinstance(error, InputError) and error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        headers["Connection"] = "close"  # the rest of the upload is not read
    return problem(request, error.status, error.title, detail, headers=headers)


def public_reason(error: Exception) -> str:
    """Return what clients are sent of an error: nothing of a driver's or the system's message, which may name hosts."""
    if isinstance(error, UnavailableError):
        return error.public
    return str(error) if isinstance(error, NowcastError) else "the log has the reason"


async def _validation_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    errors = [_field_error(each) for each in error.errors()]
    return problem(request, InputError.status, InputError.title, validation_text(error), errors=errors)


def validation_text(error: RequestValidationError) -> str:
    """Return what is wrong with the parameters or the body of a request."""
    errors = [_field_error(each) for each in error.errors()]
    return "; ".join(f"{each['field']}: {each['message']}" for each in errors)


async def _http_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    headers = error.headers or {}
    detail = error.detail
    if status == HTTPStatus.NOT_FOUND:
        detail = f"no resource at {request.url.path}; /docs lists all of them"
    elif status == HTTPStatus.BAD_REQUEST:  # the status that FastAPI gives to a body that does not parse
        return problem(request, InputError.status, InputError.title, f"expected a JSON body: {detail}", headers=headers)
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {**headers, "Allow": _allowed(request) or headers.get("Allow", "GET")}
        detail = f"expected {headers['Allow']} for {request.url.path}, got {request.method}"
    return problem(request, error.status_code, status.phrase, detail, headers=headers)


def _allowed(request: Request) -> str:
    """Return the methods of every operation at the request's path; Starlette names those of the first one only."""
    paths: Mapping[str, Mapping[str, Any]] = request.app.openapi()["paths"]
    here = [verbs for path, verbs in paths.items() if compile_path(path)[0].fullmatch(request.url.path)]
    return ", ".join(sorted({verb.upper() for verbs in here for verb in verbs}))


async def _unexpected(request: Request, error: Exception) -> ProblemResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    detail = "the service failed on this request; its log has the reason under this request id"
    # Starlette sends this response outside of the middleware that adds the header to all others
    headers = {REQUEST_ID: getattr(request.state, "request_id", "")}
    return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error", detail, headers=headers)


def _field_error(error: Mapping[str, Any]) -> dict[str, str]:
    place, *path = error.get("loc", ())
    field = ".".join(str(part) for part in path) or str(place)
    if error["type"] == "missing":
        return {"field": field, "in": str(place), "message": "required, but missing"}
    return {"field": field, "in": str(place), "message": f"{error['msg']}, got {shown(error.get('input'))}"}
