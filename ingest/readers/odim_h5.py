"""ODIM_H5 composites (EUMETNET OPERA data information model 2.x), as DWD writes RV, RW and RY since 2025."""

from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

import numpy as np
from pyproj import Proj
from pyproj.exceptions import CRSError

from core.arrays import Float32Field, FloatField
from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import Grid, known
from core.units import DWD_ZR, rate_from_depth
from ingest.radar_sites import dwd_site, missing_dwd_radars
from ingest.readers.base import READERS, OtherFormatError, ProductError, Reader, limits_of, rate_field
from ingest.readers.hdf5 import check_parts, is_hdf5, opened, text
from ingest.readers.timing import FrameTimes, lead_minutes

QUANTITIES: Final = ("RATE", "ACRR", "DBZH")
"""Rain rate in mm/h, accumulation in mm from start to end, reflectivity in dBZ; the first one present is read."""

OBJECTS: Final = ("COMP", "IMAGE")
DWD_ORIGIN: Final = "ORG:78"
"""Originating centre of DWD (WMO common code table C-1: 78 is Offenbach)."""


def read_odim_h5(file: BinaryIO) -> list[RadarFrame]:
    """Read the fields of a composite, one frame per data set; row 0 is the northern one in the file, too.

    `nodata` is not observed, `undetect` is exactly 0 mm/h (gain and offset would give -0.001). ACRR becomes the mean
    rate from start to end; DBZH is converted with DWD's Z-R relation. The valid time is the end of the interval, the
    lead time counts from the file's nominal time (`what/date`, `what/time`).

    Raises:
        OtherFormatError: an HDF5 file without ODIM's groups.
        FrameError: damaged, corners that contradict the size, or a quantity other than rain.
    """
    with opened(file) as root:
        _check_kind(root)
        check_parts(file, root)
        names = sorted(
            (name for name in root if name[:7] == "dataset" and name[7:].isdigit()), key=lambda n: int(n[7:])
        )
        limits_of(file).check_frames(len(names))
        if not names:
            raise FrameError("ODIM file without dataset1")
        for name in names:
            limits_of(file).check_cells(*_grid(root, root[name]).shape)
        return [_frame(root, root[name]) for name in names]


def _check_kind(root: Any) -> None:
    conventions = text(root.attrs.get("Conventions", ""))
    if not conventions.startswith("ODIM_H5") and not ("what" in root and "object" in root["what"].attrs):
        raise OtherFormatError(f"HDF5 file with the conventions {conventions!r}, not ODIM_H5")
    kind = text(_attribute("object", root, "what"))
    if kind not in OBJECTS:
        raise ProductError(f"ODIM what/object: expected one of {', '.join(OBJECTS)}, got {kind}")


def _frame(root: Any, dataset: Any) -> RadarFrame:
    data, quantity = _data(dataset)
    reference_time = _time(("date", "time"), root, "what")
    has_end = "what" in dataset and "enddate" in dataset["what"].attrs
    valid_time = _time(("enddate", "endtime"), dataset, "what") if has_end else reference_time
    has_start = "what" in dataset and "startdate" in dataset["what"].attrs
    start_time = _time(("startdate", "starttime"), dataset, "what") if has_start else valid_time
    interval_minutes = (valid_time - start_time).total_seconds() / 60
    if interval_minutes < 0 or (quantity == "ACRR" and interval_minutes == 0):
        raise FrameError(f"{quantity}: expected an end after the start, got {start_time} to {valid_time}")
    grid, product = _grid(root, dataset), _product(dataset, quantity)
    return RadarFrame(
        valid_time,
        grid,
        _rate(data, quantity, grid, interval_minutes),
        product,
        interval_minutes=0.0 if quantity == "DBZH" else interval_minutes,
        lead_minutes=lead_minutes(FrameTimes(valid_time, start_time, reference_time, product=product)),
        missing_radars=_missing(root, valid_time),
    )


def _data(dataset: Any) -> tuple[Any, str]:
    """Return the group of the preferred quantity (with its `what`), and the quantity."""
    found = {
        text(_attribute("quantity", dataset[name], "what", dataset)): dataset[name]
        for name in dataset
        if name[:4] == "data" and name[4:].isdigit()
    }
    for quantity in QUANTITIES:
        if quantity in found:
            return found[quantity], quantity
    raise ProductError(f"{dataset.name}: expected {', '.join(QUANTITIES)}, got {', '.join(sorted(found)) or 'no data'}")


def _rate(group: Any, quantity: str, grid: Grid, interval_minutes: float) -> Float32Field:
    data = group.get("data")
    if data is None or data.shape != grid.shape or data.dtype.kind not in "uif":
        got = "nothing" if data is None else f"{data.dtype} {data.shape}"
        raise FrameError(f"{group.name}/data: expected numbers of shape {grid.shape}, got {got}")
    scale = {name: _number(name, group, "what", group.parent) for name in ("gain", "offset", "nodata", "undetect")}
    raw_HW = data[()]
    undetect_HW, nodata_HW = raw_HW == scale["undetect"], raw_HW == scale["nodata"]
    value_HW: FloatField = np.where(undetect_HW | nodata_HW, np.nan, raw_HW * scale["gain"] + scale["offset"])
    if quantity == "ACRR":
        value_HW = rate_from_depth(value_HW, interval_minutes)
    elif quantity == "DBZH":
        value_HW = DWD_ZR.rate_mmh(value_HW)
    return rate_field(np.where(undetect_HW & ~nodata_HW, 0.0, value_HW))


def _grid(root: Any, dataset: Any) -> Grid:
    def number(name: str) -> float:
        return _number(name, dataset, "where", root)

    projdef = text(_attribute("projdef", dataset, "where", root))
    cols, rows, pixel_x_m, pixel_y_m = (number(name) for name in ("xsize", "ysize", "xscale", "yscale"))
    try:
        project = Proj(projdef)
        corners = {name: project(number(f"{name}_lon"), number(f"{name}_lat")) for name in ("UL", "UR", "LR", "LL")}
    except CRSError as err:
        raise FrameError(f"projdef: expected a projection that PROJ knows, got {projdef!r}: {err}") from err
    west_m, north_m = corners["UL"]
    east_m, south_m = west_m + cols * pixel_x_m, north_m - rows * pixel_y_m
    expected = {"UR": (east_m, north_m), "LR": (east_m, south_m), "LL": (west_m, south_m)}
    for name, place in expected.items():
        off_m = np.abs(np.subtract(corners[name], place))
        if not (off_m < (pixel_x_m, pixel_y_m)).all():
            raise FrameError(
                f"corner {name} is {off_m[0]:.0f} m and {off_m[1]:.0f} m from where UL and {rows:g} x {cols:g} cells "
                f"of {pixel_x_m:g} m place it; expected less than a cell"
            )
    return known(Grid(projdef, west_m, north_m, pixel_x_m, pixel_y_m, int(rows), int(cols)))


def _product(dataset: Any, quantity: str) -> str:
    """Return the product: `RV_top_view` is RV; without a product name it is the quantity."""
    name = text(dataset["what"].attrs.get("prodname", "")) if "what" in dataset else ""
    return name.split("_")[0].upper() or quantity


def _missing(root: Any, valid_time: datetime) -> tuple[str, ...]:
    """Return the radars that the file lists as missing; for DWD also those absent from its list of used radars."""
    how = root["how"].attrs if "how" in root else {}
    is_dwd = DWD_ORIGIN in text(root["what"].attrs.get("source", ""))
    stated, used = (text(how.get(name, "")).split(",") for name in ("missing_nodes", "nodes"))
    missing = {dwd_site(name) if is_dwd else name.strip(" '\"") for name in stated}
    if is_dwd:
        missing.update(missing_dwd_radars(used, valid_time))
    return tuple(sorted(missing - {""}))


def _time(names: tuple[str, str], group: Any, part: str) -> datetime:
    digits = "".join(text(_attribute(name, group, part)) for name in names)
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as err:
        raise FrameError(f"{group.name}/{part}: expected a time yyyymmdd and HHMMSS, got {digits!r}") from err


def _number(name: str, group: Any, part: str, outer: Any) -> float:
    value = _attribute(name, group, part, outer)
    try:
        number = float(value)
    except (TypeError, ValueError) as err:
        raise FrameError(f"ODIM attribute {part}/{name}: expected a number, got {value!r}") from err
    if not np.isfinite(number):
        raise FrameError(f"ODIM attribute {part}/{name}: expected a finite number, got {number}")
    return number


def _attribute(name: str, group: Any, part: str, outer: Any = None) -> Any:
    """Return an attribute of a group's `what` or `where`, else of the enclosing group, as ODIM defines it."""
    for holder in (group, outer):
        if holder is not None and part in holder and name in holder[part].attrs:
            return holder[part].attrs[name]
    raise FrameError(f"ODIM file without {group.name.rstrip('/')}/{part}/{name}")


READERS.register("odim-h5")(Reader(is_hdf5, read_odim_h5))
