"""Request bodies of POST /nowcast: size-checked as a stream, and returned only when complete."""

import json
from collections.abc import AsyncGenerator
from typing import Any, Final

from anyio import fail_after
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from core.errors import InputError, MediaTypeError, TooLargeError, shown
from core.settings import Settings
from ingest.sandbox.pool import UploadedFile
from service.forecasts.uploads import Upload
from service.schemas.forecasts import NowcastRequest

JSON_MAX_BYTES: Final = 64 * 1024
STALLED_S: Final = 10.0
"""Longest time without a byte of a body that is not complete."""

FILE_FIELDS: Final = ("frames", "observations")
TEXT_FIELDS: Final = ("model", "members")
ACCEPTED_BODIES: Final = "application/json, or multipart/form-data with the files `frames`"


class WholeForm(MultiPartParser):
    """Multipart parser that requires the final boundary; a truncated upload would else pass as one of fewer files."""

    ended = False

    def on_end(self) -> None:
        """Note that the final boundary was found."""
        self.ended = True

    async def parse(self) -> FormData:
        """Return the fields and files.

        Raises:
            MultiPartException: invalid or truncated form.
        """
        form = await super().parse()
        if not self.ended:
            for file in self._files_to_close_on_error:
                file.close()
            raise MultiPartException("the form ends before its final boundary")
        return form


async def read_body(request: Request, settings: Settings) -> NowcastRequest | Upload:
    """Read the body of POST /nowcast, either JSON or a form.

    Raises:
        MediaTypeError: another media type.
        TooLargeError: larger than the limit; the rest is not read.
        InputError: a form without frames, or with unknown fields.
        RequestValidationError: invalid JSON, or invalid values.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request, settings)
    content = b"".join([chunk async for chunk in _counted(request, JSON_MAX_BYTES)])
    if kind == "application/json" or (kind.endswith("+json") and kind.startswith("application/")):
        return _parsed(content)
    if kind or content:
        raise MediaTypeError(f"Content-Type: expected {ACCEPTED_BODIES}, got {kind or 'none'}")
    return NowcastRequest()  # an empty request: the newest scans and the default model


async def _counted(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yield the body in pieces, up to the size limit."""
    limit = "" if max_bytes == JSON_MAX_BYTES else " (NOWCAST_UPLOAD_MAX_BYTES)"
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise TooLargeError(f"body: expected at most {max_bytes} bytes{limit}, got Content-Length: {announced}")
    received, chunks = 0, request.stream()
    while True:
        try:
            with fail_after(STALLED_S):
                chunk = await anext(chunks, None)
        except TimeoutError as err:
            raise InputError(f"body: expected more bytes within {STALLED_S:g} s, got {received} and no more") from err
        if chunk is None:
            return
        received += len(chunk)
        if received > max_bytes:
            raise TooLargeError(f"body: expected at most {max_bytes} bytes{limit}, got {received} or more")
        yield chunk


def _parsed(content: bytes) -> NowcastRequest:
    try:
        values = json.loads(content or b"{}")
    except (ValueError, RecursionError) as err:
        raise InputError(
            f'body: expected a JSON object such as {{"model": "default"}}, got invalid JSON: {err}'
        ) from err
    try:
        return NowcastRequest.model_validate(values)
    except ValidationError as err:
        errors: list[Any] = [{**each, "loc": ("body", *each["loc"])} for each in err.errors(include_url=False)]
        raise RequestValidationError(errors) from err


async def _read_form(request: Request, settings: Settings) -> Upload:
    parser = WholeForm(
        request.headers,
        _counted(request, settings.upload_max_bytes),
        max_files=2 * settings.upload_max_frames,
        max_fields=8,
        max_part_size=JSON_MAX_BYTES,
    )
    try:
        form = await parser.parse()
    except MultiPartException as err:
        raise (TooLargeError if "Too many" in err.message else InputError)(
            f"expected a complete multipart form: {err.message}"
        ) from err
    try:
        _check_fields(form)
        frames, observations = [await _files(form, name) for name in FILE_FIELDS]
    finally:
        await form.close()
    if not frames:
        raise InputError("frames: expected radar files or one NetCDF file, got none")
    return Upload(frames, observations, str(form.get("model") or "default"), _true_or_false(form, "members"))


def _check_fields(form: FormData) -> None:
    known = ", ".join((*FILE_FIELDS, *TEXT_FIELDS))
    for name, value in form.multi_items():
        if name not in (*FILE_FIELDS, *TEXT_FIELDS):
            raise InputError(f"form: expected the fields {known}, got {shown(name)}")
        if name in FILE_FIELDS and not isinstance(value, UploadFile):
            raise InputError(f"{name}: expected a file, got text (curl: -F {name}=@FILE)")
        if name in TEXT_FIELDS and isinstance(value, UploadFile):
            raise InputError(f"{name}: expected text, got a file")


def _true_or_false(form: FormData, name: str) -> bool:
    value = str(form.get(name) or "false").strip().lower()
    if value not in ("true", "false"):
        raise InputError(f"{name}: expected true or false, got {shown(value)}")
    return value == "true"


async def _files(form: FormData, name: str) -> tuple[UploadedFile, ...]:
    files = [file for file in form.getlist(name) if isinstance(file, UploadFile)]
    return tuple([UploadedFile(file.filename or name, await file.read()) for file in files])
