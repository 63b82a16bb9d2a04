"""Axes of CF variables: found by standard name, axis or unit, brought into the order (time, y, x), and converted."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import xarray as xr
from pyproj import CRS
from pyproj.exceptions import CRSError

from core.arrays import Float64Field
from core.errors import FrameError
from core.grid import Grid, known
from core.grid_checks import grid_from_centres
from core.udunits import converts, unit_factor

PERIOD: Final = "forecast_period"
ROLE_OF_STANDARD_NAME: Final[Mapping[str, str]] = {
    "time": "T",
    **dict.fromkeys(("projection_x_coordinate", "longitude", "grid_longitude", "projection_x_angular_coordinate"), "X"),
    **dict.fromkeys(("projection_y_coordinate", "latitude", "grid_latitude", "projection_y_angular_coordinate"), "Y"),
}
ROLE_OF_NAME: Final[Mapping[str, str]] = {
    **dict.fromkeys(("time", "t", "valid_time"), "T"),
    **dict.fromkeys(("x", "lon", "longitude", "rlon", "easting"), "X"),
    **dict.fromkeys(("y", "lat", "latitude", "rlat", "northing"), "Y"),
}
EXTENDED: Final = re.compile(r"(\S+):((?:\s+[^\s:]+(?=\s|$))*)")
"""One part of a `grid_mapping` as "crs: x y" (CF 1.7)."""

PROJECTION_TEXTS: Final = ("crs_wkt", "spatial_ref", "proj4", "proj4text", "proj4_params", "proj_params", "epsg_code")
"""Attributes with a whole projection as text: CF's, GDAL's and others'; those of CF alone count before the latter."""

_ORIGIN: Final = ("longitude_of_projection_origin", "latitude_of_projection_origin")
_MERIDIAN: Final = ("longitude_of_central_meridian", "latitude_of_projection_origin")
_SCALE: Final = "standard_parallel scale_factor_at_projection_origin"
REQUIRED_PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "albers_conical_equal_area": ("standard_parallel", *_MERIDIAN),
    "azimuthal_equidistant": _ORIGIN,
    "geostationary": (
        "perspective_point_height",
        "longitude_of_projection_origin",
        "sweep_angle_axis fixed_angle_axis",
    ),
    "lambert_azimuthal_equal_area": _ORIGIN,
    "lambert_conformal_conic": ("standard_parallel", *_MERIDIAN),
    "lambert_cylindrical_equal_area": ("longitude_of_central_meridian", _SCALE),
    "mercator": ("longitude_of_projection_origin", _SCALE),
    "oblique_mercator": ("crs_wkt",),  # CF states no angle of the rectified grid: Swiss grids would be turned by 90
    "orthographic": _ORIGIN,
    "polar_stereographic": (
        "straight_vertical_longitude_from_pole",
        "standard_parallel latitude_of_projection_origin",
        _SCALE,
    ),
    "rotated_latitude_longitude": ("grid_north_pole_latitude", "grid_north_pole_longitude"),
    "sinusoidal": ("longitude_of_projection_origin",),
    "stereographic": _ORIGIN,
    "transverse_mercator": _MERIDIAN,
    "vertical_perspective": ("perspective_point_height", *_ORIGIN),
}
"""Parameters of each grid mapping (CF Appendix F), alternatives in one text: PROJ takes 0 or 1 for an absent one."""

DEGREES_EAST: Final = re.compile(r"degrees?_?(?:e|east)", re.IGNORECASE)
DEGREES_NORTH: Final = re.compile(r"degrees?_?(?:n|north)", re.IGNORECASE)


def in_order(variable: xr.DataArray) -> xr.DataArray:
    """Return the variable as (time, y, x) or (y, x) with columns from the west; other dimensions of size 1 fall away.

    Raises:
        FrameError: another dimension is larger, or an axis is missing or there twice.
    """
    dims: dict[str, str] = {}
    others: list[str] = []
    for dim in map(str, variable.dims):
        role = role_of(variable, dim)
        if role is None and variable.sizes[dim] == 1:
            others.append(dim)
        elif role is None or role in dims:
            break
        else:
            dims[role] = dim
    if len(dims) + len(others) != variable.ndim or not {"X", "Y"} <= set(dims):
        raise FrameError(
            f"{variable.name}: expected the dimensions (time, y, x) or (y, x), got {variable.dims}; each needs a "
            "coordinate of one dimension with a standard name"
        )
    wanted = tuple(dims[role] for role in "TYX" if role in dims)
    if variable.dims == wanted and not _from_the_east(variable, dims["X"]):
        return variable
    ordered = variable.isel(dict.fromkeys(others, 0)).transpose(*wanted)
    ordered = ordered.isel({dims["X"]: slice(None, None, -1)}) if _from_the_east(ordered, dims["X"]) else ordered
    ordered.encoding = dict(variable.encoding)
    return ordered


def role_of(variable: xr.DataArray, dim: str) -> str | None:
    """Return "T", "Y" or "X" of a dimension, by its coordinate or else by its name; None for any other.

    A dimension of forecast periods is one of times if another coordinate states the valid times along it, as ecCodes'
    `valid_time(step)`.

    Raises:
        FrameError: the coordinate's standard name and axis contradict each other.
    """
    coordinate = variable.coords.get(dim)
    attributes = {} if coordinate is None else coordinate.attrs
    standard_name, axis = str(attributes.get("standard_name", "")), str(attributes.get("axis", "")).upper()
    role = ROLE_OF_STANDARD_NAME.get(standard_name)
    if role is not None and axis in ("X", "Y", "Z", "T") and axis != role:
        raise FrameError(f"coordinate {dim}: expected axis {role} of {standard_name}, got {axis}")
    if standard_name == PERIOD and valid_time_along(variable, dim):
        return "T"
    if role is not None or standard_name:
        return role
    if axis in ("X", "Y", "Z", "T"):
        return axis if axis != "Z" else None
    units = str(attributes.get("units", ""))
    if coordinate is not None and (np.issubdtype(coordinate.dtype, np.datetime64) or " since " in units):
        return "T"
    if DEGREES_EAST.fullmatch(units) or DEGREES_NORTH.fullmatch(units):
        return "X" if DEGREES_EAST.fullmatch(units) else "Y"
    return ROLE_OF_NAME.get(dim.lower())


def valid_time_along(variable: xr.DataArray, dim: str) -> str | None:
    """Return the one coordinate with the standard name `time` along a dimension of another name; else None."""
    found = [
        str(name)
        for name, coordinate in variable.coords.items()
        if name != dim and coordinate.dims == (dim,) and coordinate.attrs.get("standard_name") == "time"
    ]
    return found[0] if len(found) == 1 else None


def _from_the_east(variable: xr.DataArray, dim: str) -> bool:
    if dim not in variable.coords or variable.sizes[dim] < 2:
        return False
    first, second = (float(value) for value in variable[dim].values[:2])
    return bool(second < first) != bool(_is_longitude(variable[dim]) and abs(second - first) > 180)


def _is_longitude(x: xr.DataArray) -> bool:
    return x.attrs.get("standard_name") == "longitude" or bool(DEGREES_EAST.fullmatch(str(x.attrs.get("units", ""))))


def find_grid(dataset: xr.Dataset, rate: xr.DataArray) -> tuple[Grid, bool]:
    """Return the grid of a variable's last two dimensions, and whether its rows start in the south (then flip them).

    Raises:
        FrameError: no coordinates or no projection, axes that are not regular or of an unknown unit, or no grid on
            Earth.
    """
    y_name, x_name = map(str, rate.dims[-2:])
    for axis in (y_name, x_name):
        if axis not in rate.coords:
            raise FrameError(
                f"dimension {axis} of {rate.name}: expected a coordinate with the centres of the grid cells, got none"
            )
    y, x = rate[y_name], rate[x_name]
    crs = _projection(dataset, rate, x)
    metres_per_unit = _metres_per_unit(crs)
    x_values, y_values = (_centres(axis, crs, metres_per_unit) for axis in (x, y))
    if _from_the_east(rate, x_name):
        raise FrameError(f"coordinate {x_name}: expected columns from the west, got descending values")
    grid = known(grid_from_centres(_in_metres(crs).to_wkt(), x_values, y_values))
    return grid, bool(y_values[1] > y_values[0])


def _centres(axis: xr.DataArray, crs: CRS, metres_per_unit: float) -> Float64Field:
    """Return the centres of cells in degrees, or in metres of the projection."""
    try:
        values = axis.values.astype(np.float64)
    except (TypeError, ValueError) as err:
        raise FrameError(f"coordinate {axis.name}: expected numbers, got {axis.dtype}") from err
    units = axis.attrs.get("units")
    what = f"unit of the coordinate {axis.name}"
    if crs.is_geographic:
        return values * (1.0 if units is None else unit_factor(str(units), "degree", what=what))
    if units is None:  # the projection's own unit; a grid of another unit has no cells of 50 m to 50 km
        return values * metres_per_unit
    height_m = _perspective_height_m(crs) if converts(str(units), "radian") else None
    if height_m is not None:
        return values * unit_factor(str(units), "radian") * height_m
    return values * unit_factor(str(units), "m", what=what)


def _perspective_height_m(crs: CRS) -> float | None:
    """Return the height of a geostationary projection: its coordinates are scan angles times this."""
    operation = crs.coordinate_operation
    if operation is None or "geostationary" not in operation.method_name.lower():
        return None
    heights = [one.value * one.unit_conversion_factor for one in operation.params if "height" in one.name.lower()]
    return float(heights[0]) if heights else None


def _metres_per_unit(crs: CRS) -> float:
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info and not crs.is_geographic else 1.0


def _in_metres(crs: CRS) -> CRS:
    """Return the projection with metres as its unit; DWD's RADKLIM files state theirs in kilometres."""
    if crs.is_geographic or _metres_per_unit(crs) == 1.0:
        return crs
    description: dict[str, Any] = crs.to_json_dict()
    description.pop("id", None)
    for axis in description.get("coordinate_system", {}).get("axis", []):
        axis["unit"] = "metre"
    try:
        return CRS.from_json_dict(description)
    except CRSError as err:
        raise FrameError(f"projection {crs.name}: expected one in metres, got another unit ({err})") from err


def _projection(dataset: xr.Dataset, rate: xr.DataArray, x: xr.DataArray) -> CRS:
    stated = rate.attrs.get("grid_mapping") or rate.encoding.get("grid_mapping")
    name = _mapping_name(stated, rate)
    if name is None or name not in dataset.variables:
        if stated is None and _is_longitude(x):
            return CRS.from_epsg(4326)
        raise FrameError(f"grid_mapping of {rate.name}: expected the name of a CF projection variable, got {stated!r}")
    attributes = dict(dataset[name].attrs)
    try:
        text = next((str(attributes[key]) for key in PROJECTION_TEXTS if attributes.get(key)), None)
        is_cf = "grid_mapping_name" in attributes and not ("crs_wkt" in attributes or "spatial_ref" in attributes)
        absent = _absent(attributes) if is_cf or not text else []
        if absent and not text:
            raise FrameError(
                f"grid mapping {name}: expected the parameters of {attributes.get('grid_mapping_name')}, "
                f"got none of {' and none of '.join(absent)}"
            )
        crs = _of_text(text) if text and (absent or not is_cf) else CRS.from_cf(attributes)
        if crs.is_compound:
            crs = crs.sub_crs_list[0]
        if crs.is_bound and crs.source_crs is not None:
            crs = crs.source_crs
    except (CRSError, KeyError, TypeError, ValueError, AttributeError) as err:
        raise FrameError(f"grid mapping {name} is not a projection known to PROJ: {err}") from err
    if not (crs.is_geographic or crs.is_projected):
        raise FrameError(f"grid mapping {name}: expected a map projection or degrees, got {crs.type_name}")
    _check_degrees(name, crs)
    return crs


def _check_degrees(name: str, crs: CRS) -> None:
    """Refuse a projection whose longitudes are not degrees from Greenwich, as France's old grids in grads from Paris.

    Raises:
        FrameError: another prime meridian or another angle.
    """
    base = crs.geodetic_crs
    meridian = base.prime_meridian if base is not None else None
    units = {axis.unit_name for axis in base.axis_info} if base is not None else set()
    if (meridian is not None and meridian.longitude != 0) or not units <= {"degree"}:
        raise FrameError(
            f"grid mapping {name}: expected degrees from Greenwich, got {', '.join(sorted(units))} from "
            f"{meridian.name if meridian is not None else 'an unknown meridian'}"
        )


def _absent(attributes: Mapping[str, Any]) -> list[str]:
    """Return the parameters of a grid mapping that are not stated, alternatives joined by "or"."""
    wanted = REQUIRED_PARAMETERS.get(str(attributes.get("grid_mapping_name")), ())
    return [one.replace(" ", " or ") for one in wanted if not any(name in attributes for name in one.split())]


@lru_cache(maxsize=32)
def _of_text(text: str) -> CRS:
    return CRS.from_user_input(text)


def _mapping_name(stated: Any, rate: xr.DataArray) -> str | None:
    """Return the variable of a `grid_mapping`, in its extended form ("crs: x y") the one of both axes."""
    if stated is None or ":" not in str(stated):
        return None if stated is None else str(stated)
    axes = set(map(str, rate.dims[-2:]))
    fitting = [name for name, coordinates in EXTENDED.findall(str(stated)) if axes <= set(coordinates.split())]
    return fitting[0] if len(fitting) == 1 else None
