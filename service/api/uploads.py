"""Request bodies: counted while they stream in, decoded only once they are whole and small enough."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from core.errors import InputError, MediaTypeError, TooLargeError
from core.frame import RadarFrame
from core.settings import Settings
from ingest.sandbox.pool import DecodeLimits, UploadedFile, decoder_pool
from service.inference.request_scope import current_scope
from service.schemas.forecasts import NowcastRequest

JSON_MAX_BYTES: Final = 64 * 1024
FILE_FIELDS: Final = ("frames", "observations")
TEXT_FIELDS: Final = ("model",)
BODIES_DUE: Final = "application/json, or multipart/form-data with the files `frames`, was due"


@dataclass(frozen=True)
class Upload:
    """The multipart form of POST /nowcast, not decoded yet."""

    frames: tuple[UploadedFile, ...]
    observations: tuple[UploadedFile, ...]
    model: str


class WholeForm(MultiPartParser):
    """The form, if its last boundary came: without it a cut upload would pass as one of fewer files."""

    ended = False

    def on_end(self) -> None:
        """The last boundary."""
        self.ended = True

    async def parse(self) -> FormData:
        """The fields and files.

        Raises:
            MultiPartException: not a whole form.
        """
        form = await super().parse()
        if not self.ended:
            for file in self._files_to_close_on_error:
                file.close()
            raise MultiPartException("it ends before its last boundary; a whole form was due")
        return form


async def read_body(request: Request, settings: Settings) -> NowcastRequest | Upload:
    """Read either form of the body of POST /nowcast.

    Raises:
        MediaTypeError: another kind of body.
        TooLargeError: more bytes than the limit; the rest is not read.
        InputError: a form without frames, or with fields that there are not.
        RequestValidationError: JSON that does not parse or does not fit.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request, settings)
    content = b"".join([chunk async for chunk in _counted(request, JSON_MAX_BYTES)])
    if kind == "application/json" or (kind.endswith("+json") and kind.startswith("application/")):
        return _parsed(content)
    if kind or content:
        raise MediaTypeError(f"a body of type {kind or 'unknown'} came; {BODIES_DUE}")
    return NowcastRequest()  # nothing at all was sent: the newest scans and the default model


def decoded(upload: Upload, settings: Settings) -> tuple[list[RadarFrame], list[RadarFrame]]:
    """The frames and the observations of an upload, in the files' order, decoded in another process.

    Raises:
        FrameError: a file is no radar file that we read, or decoding it took too long or broke.
        TooLargeError: more bytes, frames or cells than the limits, found before they are decoded.
        BusyError: no decoder was free within the request's time.
        ClientDisconnectedError: the client has disconnected.
    """
    limits = DecodeLimits(
        max_bytes=settings.upload_max_unpacked_bytes,
        max_frames=settings.upload_max_frames,
        max_cells=settings.grid_max_cells,
        limit_s=settings.upload_decode_s,
        memory_bytes=settings.upload_decode_bytes,
    )
    wait_s = current_scope().remaining_s("a decoder was free")
    frames, observations = decoder_pool().decode((upload.frames, upload.observations), limits, wait_s=wait_s)
    return frames, observations


async def _counted(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body in pieces, until it is over the limit."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > max_bytes:
        raise TooLargeError(f"a body of {told} bytes was announced; at most {max_bytes} were due")
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > max_bytes:
            raise TooLargeError(f"{received} bytes and more came; at most {max_bytes} were due")
        yield chunk


def _parsed(content: bytes) -> NowcastRequest:
    try:
        values = json.loads(content or b"{}")
    except (ValueError, RecursionError) as err:
        raise InputError(f'a body that is no JSON came ({err}); an object like {{"model": "default"}} was due') from err
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
            f"the multipart body does not parse: {err.message}"
        ) from err
    try:
        _check_fields(form)
        frames, observations = [await _files(form, name) for name in FILE_FIELDS]
    finally:
        await form.close()
    if not frames:
        raise InputError("no file came in the field `frames`; radar files or one NetCDF were due")
    return Upload(frames, observations, str(form.get("model") or "default"))


def _check_fields(form: FormData) -> None:
    due = ", ".join((*FILE_FIELDS, *TEXT_FIELDS))
    for name, value in form.multi_items():
        if name not in (*FILE_FIELDS, *TEXT_FIELDS):
            raise InputError(f"the form has a field {name!r}; {due} were due")
        if name in FILE_FIELDS and not isinstance(value, UploadFile):
            raise InputError(f"the field {name!r} holds text; a file was due (curl: -F {name}=@FILE)")
        if name in TEXT_FIELDS and isinstance(value, UploadFile):
            raise InputError(f"the field {name!r} holds a file; text was due")


async def _files(form: FormData, name: str) -> tuple[UploadedFile, ...]:
    files = [file for file in form.getlist(name) if isinstance(file, UploadFile)]
    return tuple([UploadedFile(file.filename or name, await file.read()) for file in files])
