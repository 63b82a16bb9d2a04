"""RADOLAN RW as ESRI ASCII grids, as in DWD's hourly and RADKLIM archives."""

import io
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import BinaryIO, Final

import numpy as np

from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import Grid, dwd_grid
from core.units import rate_from_depth
from ingest.radar_sites import DWD_CREDIT
from ingest.readers.base import READERS, Reader, limits_of, rate_field

HEADER: Final = ("ncols", "nrows", "xllcorner", "yllcorner", "cellsize", "nodata_value")
INTERVAL_MINUTES: Final = 60.0

MM_PER_UNIT: Final[Mapping[int, float]] = {-1: 0.1, -9999: 1.0}
"""Unit of the numbers by the no-data value: recent grids count 0.1 mm, the RADKLIM reanalysis counts mm."""

_NAME = re.compile(r"(?P<product>[A-Z]{2})_(?:\d{4}\.\d{3}_)?(?P<time>\d{8}[-_]\d{4})")


def matches(head: bytes) -> bool:
    """Return whether the file begins with an ESRI ASCII grid's number of columns."""
    return head[:5].lower() == b"ncols"


def read_radolan_ascii(file: BinaryIO) -> list[RadarFrame]:
    """Read one hourly RW grid; its first row is the northern one.

    The grid holds neither product nor time, so both are taken from the file's name (`RW_20221018-0050.asc`); this is
    the only format whose name matters. The interval is the hour that ends then. No data is -1 with a unit of 0.1 mm, or
    -9999 with mm.

    Raises:
        FrameError: damaged or cut, a name without product and time, or another grid than DWD's.
    """
    product, valid_time = _product_and_time(str(getattr(file, "name", "")))
    lines = file.read().split(b"\n", len(HEADER))
    header = _header(lines[: len(HEADER)])
    grid = _grid(header)
    limits_of(file).check_cells(*grid.shape)
    body = lines[len(HEADER)] if len(lines) > len(HEADER) else b""
    if not body.endswith(b"\n"):
        raise FrameError("the ASCII grid ends within a line: cut")
    try:
        units_HW = np.loadtxt(io.BytesIO(body), np.float64, ndmin=2, comments=None, max_rows=grid.height + 1)
    except ValueError as err:
        raise FrameError(f"the ASCII grid does not parse: {err}") from err
    if units_HW.shape != grid.shape:
        raise FrameError(f"the ASCII grid holds {units_HW.shape} numbers; its header states {grid.shape}")
    units_HW[units_HW == header["nodata_value"]] = np.nan
    depth_mm_HW = units_HW * MM_PER_UNIT[int(header["nodata_value"])]
    rate_mmh_HW = rate_field(rate_from_depth(depth_mm_HW, INTERVAL_MINUTES))
    return [RadarFrame(valid_time, grid, rate_mmh_HW, product, interval_minutes=INTERVAL_MINUTES, provider=DWD_CREDIT)]


def _product_and_time(name: str) -> tuple[str, datetime]:
    found = _NAME.search(PurePosixPath(name).name)
    if found is None:
        raise FrameError("an ASCII grid holds no time; expected a file name like RW_20221018-0050.asc")
    if found["product"] != "RW":
        raise FrameError(f"ASCII grid: expected the product RW, got {found['product']}")
    try:
        return "RW", datetime.strptime(found["time"].replace("_", "-"), "%Y%m%d-%H%M").replace(tzinfo=UTC)
    except ValueError as err:
        raise FrameError(f"ASCII grid's name: expected a time yyyymmdd-HHMM, got {found['time']}") from err


def _header(lines: list[bytes]) -> dict[str, float]:
    try:
        pairs = [line.decode("ascii").split() for line in lines]
        header = {key.lower(): float(value) for key, value in pairs}
    except ValueError as err:
        raise FrameError(f"ASCII grid header: expected six lines of a name and a number, got {err}") from err
    if tuple(header) != HEADER:
        raise FrameError(f"ASCII grid header: expected {', '.join(HEADER)}, got {', '.join(header)}")
    if header["nodata_value"] not in MM_PER_UNIT:
        known = " or ".join(f"{value} ({unit} mm)" for value, unit in MM_PER_UNIT.items())
        raise FrameError(f"no-data value: expected {known}, since it implies the unit; got {header['nodata_value']:g}")
    return header


def _grid(header: Mapping[str, float]) -> Grid:
    rows, cols = header["nrows"], header["ncols"]
    if rows != rows // 1 or cols != cols // 1:
        raise FrameError(f"ASCII grid: expected whole numbers of cells, got {rows} x {cols}")
    grid = dwd_grid(int(rows), int(cols), wgs84=False)
    west_m, south_m, _, _ = grid.extent_m
    off_m = max(abs(header["xllcorner"] - west_m), abs(header["yllcorner"] - south_m))
    if not off_m < header["cellsize"] == grid.pixel_x_m:
        raise FrameError(
            f"ASCII grid of {grid.name}: expected the corner at {west_m:.0f}, {south_m:.0f} and cells of "
            f"{grid.pixel_x_m:g} m, got {header['xllcorner']:g}, {header['yllcorner']:g} and {header['cellsize']:g} m"
        )
    return grid


READERS.register("radolan-ascii")(Reader(matches, read_radolan_ascii))
