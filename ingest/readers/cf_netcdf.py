"""CF-NetCDF rain rates (NetCDF4 and NetCDF3), read through xarray."""

import io
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

import numpy as np
import xarray as xr

from core.cf import find_grid, find_rate, mmh_per_unit, times_of
from core.errors import FrameError
from core.frame import RadarFrame
from ingest.readers.base import READERS, OtherFormatError, Reader, limits_of, rate_field
from ingest.readers.hdf5 import check_parts, is_hdf5, opened, text

NETCDF3_STARTS: Final = (b"CDF\x01", b"CDF\x02")


def matches(head: bytes) -> bool:
    """Return whether the file begins as HDF5 (NetCDF4) or classic NetCDF."""
    return is_hdf5(head) or head.startswith(NETCDF3_STARTS)


def read_cf_netcdf(file: BinaryIO) -> list[RadarFrame]:
    """Read every time of the file's rain rate as a frame, with the rows reversed where they run from the south.

    Where `time` has bounds, the rate is the mean between them and the later bound is the valid time; otherwise the
    global attribute `interval_minutes` is the interval, and 0 without it. `forecast_reference_time` determines the lead
    time. The global attributes `product` and `missing_radars` are used; without `product` the variable's name is the
    product.

    Raises:
        OtherFormatError: an HDF5 file of ODIM.
        FrameError: damaged, or without a rain rate, unit, grid or time, or values below 0.
        TooLargeError: more frames or bytes than the limits.
    """
    content = file.read()
    is_netcdf4 = is_hdf5(content)
    if is_netcdf4:
        _check_hdf5(file)
    with _dataset(content, is_netcdf4=is_netcdf4) as dataset:
        rate = find_rate(dataset)
        if rate.ndim not in (2, 3) or (rate.ndim == 3 and rate.dims[0] != "time"):
            raise FrameError(f"{rate.name}: expected the dimensions (time, y, x) or (y, x), got {rate.dims}")
        limits_of(file).check_frames(rate.shape[0] if rate.ndim == 3 else 1)
        limits_of(file).check_cells(*rate.shape[-2:])
        if not is_netcdf4:
            limits_of(file).take_bytes(dataset.nbytes, "NetCDF file")
        return _frames(dataset, rate.expand_dims("time") if rate.ndim == 2 else rate)


def _check_hdf5(file: BinaryIO) -> None:
    file.seek(0)
    with opened(file) as root:
        if text(root.attrs.get("Conventions", "")).startswith("ODIM_H5"):
            raise OtherFormatError("HDF5 file of ODIM, not CF")
        check_parts(file, root)


def _dataset(content: bytes, *, is_netcdf4: bool) -> xr.Dataset:
    options: dict[str, Any] = {"engine": "scipy"}
    if is_netcdf4:  # an HDF5 file without dimensions opens too; a later check names what it lacks
        options = {"engine": "h5netcdf", "phony_dims": "access"}
    try:
        return xr.open_dataset(io.BytesIO(content), decode_timedelta=False, cache=False, **options)
    except Exception as err:  # h5netcdf, SciPy and xarray's time decoding raise anything on damaged files
        raise FrameError(f"NetCDF file does not open: {type(err).__name__}: {err}") from err


def _frames(dataset: xr.Dataset, rate: xr.DataArray) -> list[RadarFrame]:
    grid, south_first = find_grid(dataset, rate)
    starts_ends = _intervals(dataset)
    if len(starts_ends) != rate.shape[0]:
        raise FrameError(f"{len(starts_ends)} times for {rate.shape[0]} fields of {rate.name}")
    reference = times_of(dataset, "forecast_reference_time") if "forecast_reference_time" in dataset.coords else []
    rows = slice(None, None, -1 if south_first else 1)
    attributes = dataset.attrs
    return [
        RadarFrame(
            end,
            grid,
            rate_field(rate[number].values[rows] * mmh_per_unit(rate)),
            str(attributes.get("product", rate.name)).upper(),
            interval_minutes=(end - start).total_seconds() / 60,
            lead_minutes=max(0, round((end - reference[0]).total_seconds() / 60)) if reference else 0,
            missing_radars=tuple(str(attributes.get("missing_radars", "")).replace(",", " ").split()),
        )
        for number, (start, end) in enumerate(starts_ends)
    ]


def _intervals(dataset: xr.Dataset) -> list[tuple[datetime, datetime]]:
    """Return the start and end of each field's interval, aware UTC."""
    ends = times_of(dataset)
    time = dataset["time"]
    bounds_name = time.attrs.get("bounds") or time.encoding.get("bounds")
    if bounds_name is None:
        minutes = float(dataset.attrs.get("interval_minutes", 0.0))
        return [(datetime.fromtimestamp(end.timestamp() - minutes * 60, UTC), end) for end in ends]
    bounds: Any = dataset[bounds_name].values if bounds_name in dataset.variables else np.empty(0)
    if bounds.shape != (len(ends), 2) or not np.issubdtype(bounds.dtype, np.datetime64):
        raise FrameError(f"time bounds {bounds_name}: expected two CF times per field, got the shape {bounds.shape}")
    seconds = bounds.astype("datetime64[s]").astype(np.int64)
    pairs = [(datetime.fromtimestamp(int(a), UTC), datetime.fromtimestamp(int(b), UTC)) for a, b in seconds]
    if any(start > end for start, end in pairs):
        raise FrameError(f"time bounds {bounds_name} end before they start")
    return pairs


READERS.register("cf-netcdf")(Reader(matches, read_cf_netcdf))
