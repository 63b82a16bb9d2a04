"""KNMI's own HDF5 composites (`RAD_NL25_...`): accumulations and reflectivity on a projection in kilometres."""

import re
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

import h5py
import numpy as np
from pyproj import Proj
from pyproj.exceptions import CRSError

from core.arrays import Float32Field, FloatField
from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import Grid
from core.grid_checks import checked_grid
from core.units import MARSHALL_PALMER_ZR, rate_from_depth
from ingest.readers.base import READERS, OtherFormatError, ProductError, Reader, limits_of, rate_field
from ingest.readers.hdf5 import check_parts, is_hdf5, is_knmi, opened, scalar, text
from ingest.readers.odim_grid import KILOMETRES, TOLERANCE_CELLS, in_metres
from ingest.readers.timing import FrameTimes, lead_minutes

NUMBER: Final = r"([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
FORMULA: Final = re.compile(rf"GEO\s*=\s*{NUMBER}\s*\*\s*PV\s*(?:\+\s*)?{NUMBER}?")
TIME: Final = re.compile(r"(\d{2}-[A-Za-z]{3}-\d{4});(\d{2}:\d{2}:\d{2})(?:\.\d+)?")
UNIT: Final = re.compile(r"\[([^\]]*)\]")
RATE, DEPTH, DBZ = "MM/H", "MM", "DBZ"
FORECAST_MARK: Final = "FM"
"""Part of the product's name of a forecast: `RAD_NL25_PCP_FM`."""


def read_knmi_hdf5(file: BinaryIO) -> list[RadarFrame]:
    """Read the images of a composite: accumulations in mm over the product's interval, rates, or reflectivity.

    `calibration_out_of_image` and `calibration_missing_data` are not observed; only a count of 0 that reflectivity
    states as missing is no echo, since KNMI writes dry cells so. Reflectivity is converted with Z = 200 R^1.6, as KNMI
    does. Radars that are not operational are the missing ones.

    Raises:
        OtherFormatError: not of KNMI.
        FrameError: damaged, polar scans, another quantity, or a calibration, time or grid that is not understood.
    """
    with opened(file) as root:
        if not is_knmi(root):
            raise OtherFormatError("HDF5 file without KNMI's overview")
        check_parts(file, root)
        images = sorted((name for name in root if re.fullmatch(r"image\d{1,4}", name)), key=lambda name: int(name[5:]))
        if not images or "geographic" not in root:
            raise ProductError("KNMI HDF5 file: expected a composite with image1 and geographic, got other groups")
        limits_of(file).check_frames(len(images))
        grid = _grid(root)
        limits_of(file).check_cells(*grid.shape)
        return [_frame(root, root[name], grid) for name in images]


def _attribute(group: Any, name: str) -> Any:
    if name not in group.attrs:
        raise FrameError(f"KNMI HDF5 file without {group.name}/{name}")
    return scalar(group.attrs[name])


def _number(group: Any, name: str) -> float:
    value = _attribute(group, name)
    try:
        number = float(text(value) if isinstance(value, bytes | str) else value)
    except (TypeError, ValueError) as err:
        raise FrameError(f"{group.name}/{name}: expected a number, got {value!r}") from err
    if not np.isfinite(number):
        raise FrameError(f"{group.name}/{name}: expected a finite number, got {number}")
    return number


def _part(root: Any, path: str) -> Any:
    part = root.get(path)
    if not isinstance(part, h5py.Group):
        raise FrameError(f"KNMI HDF5 file without the group {path}")
    return part


def _time(group: Any, name: str) -> datetime:
    stated = text(_attribute(group, name))
    found = TIME.fullmatch(stated)
    try:
        if not found:
            raise ValueError("another layout")
        return datetime.strptime(f"{found[1]} {found[2]}", "%d-%b-%Y %H:%M:%S").replace(tzinfo=UTC)
    except ValueError as err:
        raise FrameError(f"{group.name}/{name}: expected a time such as 22-JUN-2021;20:00:00, got {stated!r}") from err


def _frame(root: Any, image: Any, grid: Grid) -> RadarFrame:
    overview = _part(root, "overview")
    product = text(image.attrs.get("image_product_name", "") or _attribute(overview, "product_group_name")).upper()
    start, end = (_time(overview, f"product_datetime_{which}") for which in ("start", "end"))
    reference = None
    if FORECAST_MARK in product.split("_"):
        reference = start
        start = end = _time(image, "image_datetime_valid")
    parameter = text(_attribute(image, "image_geo_parameter")).upper()
    unit = (UNIT.findall(parameter) or [""])[-1].strip()
    if unit not in (RATE, DEPTH, DBZ) or "HEIGHT" in parameter:
        raise ProductError(
            f"{image.name}: expected rain in [{DEPTH}] or [{RATE}] or reflectivity in [{DBZ}], got {parameter}"
        )
    minutes = (end - start).total_seconds() / 60
    if unit == DEPTH and minutes <= 0:
        raise FrameError(f"{image.name}: expected an end after the start of the accumulation, got {start} to {end}")
    return RadarFrame(
        end,
        grid,
        _rates(image, grid.shape, unit, minutes),
        product,
        interval_minutes=0.0 if unit == DBZ else minutes,
        lead_minutes=lead_minutes(FrameTimes(end, start, reference=reference, product=product)),
        missing_radars=_missing(root),
    )


def _rates(image: Any, shape: tuple[int, int], unit: str, minutes: float) -> Float32Field:
    calibration = _part(image, "calibration")
    formula = text(_attribute(calibration, "calibration_formulas"))
    found = FORMULA.fullmatch(formula.strip())
    if not found:
        raise FrameError(f"{calibration.name}: expected a formula GEO = a * PV + b, got {formula!r}")
    missing, outside = (_number(calibration, f"calibration_{name}") for name in ("missing_data", "out_of_image"))
    data = image.get("image_data")
    if not isinstance(data, h5py.Dataset) or data.shape != shape or data.dtype.kind not in "ui":
        got = f"{data.dtype} {data.shape}" if isinstance(data, h5py.Dataset) else "nothing"
        raise FrameError(f"{image.name}/image_data: expected whole numbers of shape {shape}, got {got}")
    counts_HW = data[()]
    value_HW: FloatField = counts_HW * float(found[1]) + float(found[2] or 0.0)
    if unit == DBZ:
        value_HW = np.asarray(MARSHALL_PALMER_ZR.rate_mmh(value_HW))
    elif unit == DEPTH:
        value_HW = rate_from_depth(value_HW, minutes)
    if unit == DBZ and missing == 0 and outside != 0:
        value_HW = np.where(counts_HW == 0, 0.0, value_HW)
    else:
        value_HW = np.where(counts_HW == missing, np.nan, value_HW)
    return rate_field(np.where(counts_HW == outside, np.nan, value_HW))


def _grid(root: Any) -> Grid:
    """Return the grid by offsets, sizes and number of pixels, if the stated corners agree.

    Raises:
        FrameError: a missing attribute, an unknown unit or projection, or corners that contradict it.
    """
    where = _part(root, "geographic")
    stated = text(_attribute(_part(where, "map_projection"), "projection_proj4_params"))
    unit = {part.strip().upper() for part in text(_attribute(where, "geo_dim_pixel")).split(",")}
    if unit not in ({"KM"}, {"M"}):
        raise FrameError(f"{where.name}/geo_dim_pixel: expected KM,KM or M,M, got {', '.join(sorted(unit))}")
    factor = KILOMETRES if unit == {"KM"} else 1.0
    rows, cols = (int(_number(where, f"geo_number_{name}")) for name in ("rows", "columns"))
    pixel_x, pixel_y = (_number(where, f"geo_pixel_size_{axis}") * factor for axis in "xy")
    if not (pixel_x > 0 and pixel_y < 0 and rows > 0 and cols > 0):
        raise FrameError(
            f"{where.name}: expected rows from the north and columns from the west, got {pixel_x} x {pixel_y}"
        )
    west = _number(where, "geo_column_offset") * pixel_x
    north = _number(where, "geo_row_offset") * pixel_y
    grid = checked_grid(Grid(in_metres(stated), west, north, pixel_x, -pixel_y, rows, cols))
    _check_corners(where, grid)
    return grid


def _check_corners(where: Any, grid: Grid) -> None:
    """Compare the four corners of the file (SW, NW, NE, SE) with those of the grid."""
    corners = np.asarray(where.attrs.get("geo_product_corners", ()), np.float64).ravel()
    if corners.size != 8 or not np.isfinite(corners).all():
        raise FrameError(f"{where.name}/geo_product_corners: expected four pairs of lon and lat, got {corners.size}")
    west, south, east, north = grid.extent_m
    try:
        x, y = Proj(grid.crs)(corners[::2], corners[1::2])
    except CRSError as err:
        raise FrameError(f"projection: expected one that PROJ knows, got {grid.crs!r}: {err}") from err
    off_x, off_y = np.abs(x - [west, west, east, east]), np.abs(y - [south, north, north, south])
    if not (max(off_x) < TOLERANCE_CELLS * grid.pixel_x_m and max(off_y) < TOLERANCE_CELLS * grid.pixel_y_m):
        raise FrameError(
            f"{where.name}/geo_product_corners: expected the corners of {grid.height} x {grid.width} pixels, got "
            f"places up to {max(off_x):.0f} m and {max(off_y):.0f} m from these"
        )


def _missing(root: Any) -> tuple[str, ...]:
    """Return the names of the radars that the file states as not operational."""
    radars = (root[name].attrs for name in root if re.fullmatch(r"radar\d{1,3}", name))
    return tuple(
        sorted(
            text(radar["radar_name"])
            for radar in radars
            if "radar_name" in radar and not scalar(radar.get("radar_operational", 1))
        )
    )


READERS.register("knmi-hdf5")(Reader(is_hdf5, read_knmi_hdf5))
