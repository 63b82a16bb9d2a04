"""GET /radar: radar and forecast fields as Bright Sky answers them.

Fields by https://brightsky.dev/docs: records of `precipitation_5`, the depth of five minutes in 0.01 mm, as lists
or as base64 of two-byte integers, on our own grid (theirs is DWD's 1200 x 1100). Not known is null in lists, -1 else.
"""

import base64
import zlib
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Query

from core.arrays import Float32Field
from core.errors import InputError, shown
from service.api.backend import BackendDep
from service.api.errors import documented
from service.api.views import attribution_text
from service.forecasts.fields import FIELDS
from service.forecasts.nowcast import StoredForecast
from service.foreign.newest import NewestDep
from service.queries.cells import Block, checked_place, swap_hint

router = APIRouter(tags=["interfaces of others"])

PER_MMH: Final = 100 / 12
"""Hundredths of a millimetre in five minutes of 1 mm/h."""

NOT_KNOWN: Final = -1
LATITUDES: Final[dict[str, Any]] = {"minimum": -90, "maximum": 90}
LONGITUDES: Final[dict[str, Any]] = {"minimum": -180, "maximum": 360}
MOST_PLAIN_CELLS: Final = 200_000
Form = Literal["compressed", "bytes", "plain"]


@router.get("/radar", summary="Radar and forecast fields as Bright Sky's API", responses=documented(404, 422))
def read_bright_sky_radar(
    forecast: NewestDep,
    backend: BackendDep,
    bbox: Annotated[
        str | None,
        Query(description="top,left,bottom,right in grid cells from the north-west, inclusive", max_length=60),
    ] = None,
    lat: Annotated[float | None, Query(description="latitude in degrees north", json_schema_extra=LATITUDES)] = None,
    lon: Annotated[float | None, Query(description="longitude in degrees east", json_schema_extra=LONGITUDES)] = None,
    distance: Annotated[int, Query(description="metres from the place to each side", ge=0, le=5_000_000)] = 200_000,
    form: Annotated[
        Form, Query(alias="format", description="compressed and bytes: base64; plain: nested lists")
    ] = "compressed",
) -> dict[str, Any]:
    """Return the newest scan and the leads of the next two hours, whole or in a box."""
    position = _position(forecast, lat, lon, needed=bbox is None)
    block = _block(forecast, bbox, position, distance)
    if form == "plain" and block.cells > MOST_PLAIN_CELLS:
        raise InputError(f"format: expected compressed or bytes for {block.cells} grid cells, got plain")
    corners = block.grid(forecast.grid).corners_lon_lat()
    answer: dict[str, Any] = {
        "radar": _records(forecast, block, form),
        "geometry": {"type": "Polygon", "coordinates": [list(corners[index]) for index in (0, 3, 2, 1)]},
        "attribution": attribution_text(forecast, backend.settings),
        "bbox": [block.top, block.left, block.bottom - 1, block.right - 1],
    }
    if position is not None:
        answer["latlon_position"] = {"x": position[1] - block.left, "y": position[0] - block.top}
    return answer


def _position(
    forecast: StoredForecast, lat: float | None, lon: float | None, *, needed: bool
) -> tuple[int, int] | None:
    """Return the grid cell of a place; None without one, or outside the grid where it is not needed.

    Raises:
        InputError: half a place, one that is not on Earth, or outside the grid.
    """
    if lat is None and lon is None:
        return None
    if lat is None or lon is None:
        raise InputError("lat, lon: expected both or none")
    position = forecast.grid.cell_of(*checked_place(lat, lon))
    if position is None and needed:
        hint = swap_hint(forecast.grid, lat, lon)
        raise InputError(f"lat, lon: expected a place on the grid of the forecast, got one outside of it{hint}")
    return position


def _block(forecast: StoredForecast, bbox: str | None, position: tuple[int, int] | None, distance: int) -> Block:
    height, width = forecast.grid.shape
    if bbox is not None:
        top, left, bottom, right = _whole_numbers(bbox)
    elif position is not None:
        cells = round(distance / forecast.grid.pixel_m)
        top, left, bottom, right = (
            *(position[0] - cells, position[1] - cells),
            *(position[0] + cells, position[1] + cells),
        )
    else:
        return Block(0, height, 0, width)
    found = Block(max(top, 0), min(bottom + 1, height), max(left, 0), min(right + 1, width))
    if found.bottom <= found.top or found.right <= found.left:
        raise InputError(f"bbox: expected cells of the grid of {height} rows and {width} columns, got {shown(bbox)}")
    return found


def _whole_numbers(bbox: str) -> tuple[int, int, int, int]:
    try:
        top, left, bottom, right = (int(part) for part in bbox.split(","))
    except ValueError as err:
        raise InputError(f"bbox: expected four whole numbers top,left,bottom,right, got {shown(bbox)}") from err
    return top, left, bottom, right


def _records(forecast: StoredForecast, block: Block, form: Form) -> list[dict[str, Any]]:
    fields = FIELDS.read(forecast).block(block.slices)
    found = []
    if fields.analysis_mmh_HW is not None:
        found.append((forecast.reference_time, fields.analysis_mmh_HW))
    for lead, time in enumerate(forecast.valid_times):
        if forecast.lead_minutes[lead] <= 120:
            found.append((time, fields.rate_mmh_HW(lead)))
    source = f"{forecast.product}::{forecast.method}::{forecast.reference_time:%Y-%m-%dT%H:%M}"
    return [
        {"timestamp": time.isoformat(), "source": source, "precipitation_5": _shown(rate_HW, form)}
        for time, rate_HW in found
    ]


def _shown(rate_mmh_HW: Float32Field, form: Form) -> Any:
    known_HW = np.isfinite(rate_mmh_HW)
    depth_HW = np.rint(np.where(known_HW, rate_mmh_HW, 0) * PER_MMH)
    if form == "plain":
        rows = zip(depth_HW.tolist(), known_HW.tolist(), strict=True)
        return [[int(depth) if known else None for depth, known in zip(*row, strict=True)] for row in rows]
    packed = np.where(known_HW, np.minimum(depth_HW, 32767), NOT_KNOWN).astype("<i2").tobytes()
    return base64.b64encode(zlib.compress(packed) if form == "compressed" else packed).decode()
