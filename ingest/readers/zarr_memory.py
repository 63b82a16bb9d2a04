"""Zarr stores in memory, read within one thread: the sandbox of uploads may start no thread, and zarr's calls do."""

import asyncio
import base64
import math
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any, Final

import xarray as xr
from zarr.api import asynchronous
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

from core.errors import FrameError, TooLargeError
from ingest.readers.base import ReadLimits

KINDS: Final = "iufbUSMm"
"""Types of arrays that can be coordinates, rain or its attributes' holders."""


class InlineExecutor(ThreadPoolExecutor):
    """Runs what codecs hand to threads in the calling one."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Return the future of a call that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as err:  # whatever a codec raises, as a thread would keep it
            future.set_exception(err)
        return future


def loaded(content: Mapping[str, bytes], root: str, limits: ReadLimits) -> xr.Dataset:
    """Return the CF data set of a store's files, all arrays read.

    Raises:
        FrameError: damaged, or times that are not decoded.
        TooLargeError: more bytes than the limit.
    """
    store = MemoryStore({name: cpu.Buffer.from_bytes(value) for name, value in content.items()}, read_only=True)
    try:
        with closing(asyncio.new_event_loop()) as loop:  # a Runner ends its executor in a thread
            loop.set_default_executor(InlineExecutor(1))
            try:
                return decoded(loop.run_until_complete(_dataset(store, root, limits)))
            finally:  # without it, asyncio logs an error for every damaged store
                loop.run_until_complete(loop.shutdown_asyncgens())
    except (FrameError, TooLargeError, MemoryError):
        raise
    except Exception as err:  # zarr, its codecs and xarray raise anything on damaged stores
        raise FrameError(f"Zarr store does not open: {type(err).__name__}: {err}") from err


def decoded(stored: xr.Dataset) -> xr.Dataset:
    """Return a data set by CF; a fill value of 0 that no packing explains is taken as dry."""
    for variable in stored.variables.values():
        if "scale_factor" not in variable.attrs and variable.attrs.get("_FillValue") == 0:
            del variable.attrs["_FillValue"]  # what Zarr fills in by default, not what CF means by the name
    return xr.decode_cf(stored, decode_timedelta=False)


async def _dataset(store: MemoryStore, root: str, limits: ReadLimits) -> xr.Dataset:
    group = await asynchronous.open_group(store, path=root, mode="r", use_consolidated=False)
    variables: dict[str, Any] = {}
    async for name, array in group.arrays():
        chunk_bytes = math.prod(array.chunks) * array.dtype.itemsize
        limits.take_bytes(max(array.nbytes, chunk_bytes), f"Zarr array {name}")
        if array.dtype.kind in KINDS:
            attributes = dict(array.attrs)
            dims = getattr(array.metadata, "dimension_names", None) or attributes.pop("_ARRAY_DIMENSIONS", ())
            values = await array.getitem(...)
            variables[name] = (tuple(dims), values, attributes | _fill(array, attributes))
    coordinates = {name: value for name, value in variables.items() if value[0] == (name,)}
    fields = {name: value for name, value in variables.items() if name not in coordinates}
    return xr.Dataset(fields, coordinates, dict(group.attrs))


def _fill(array: Any, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `_FillValue` of an array: of version 2 the array's own, of version 3 xarray's attribute."""
    if array.metadata.zarr_format == 2:
        value = array.metadata.fill_value
        return {} if value is None else {"_FillValue": value}
    stated = attributes.get("_FillValue")
    if isinstance(stated, str) and array.dtype.kind == "f":
        (value,) = struct.unpack("<d", base64.standard_b64decode(stated))
        return {"_FillValue": array.dtype.type(value)}
    return {}
