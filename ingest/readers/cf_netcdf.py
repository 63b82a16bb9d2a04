"""CF-NetCDF rain rates (NetCDF4 and NetCDF3), read through xarray."""

import io
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

import h5py
import xarray as xr

from core.cf_reading import find_grid, find_rain, is_amount, mmh_per_unit, unstated_marks, values_of
from core.cf_times import intervals_of, periods_of, references_of, time_name
from core.errors import FrameError
from core.frame import RadarFrame
from core.times import iso
from ingest.plausibility import masked_rates
from ingest.readers.base import READERS, OtherFormatError, Reader, ReadLimits, limits_of
from ingest.readers.containers import credit_of
from ingest.readers.hdf5 import MAGIC, check_parts, field_group, is_hdf5, is_knmi, is_odim, opened
from ingest.readers.radklim import radklim_product
from ingest.readers.timing import SLACK_S, FrameTimes, lead_minutes

NETCDF3_STARTS: Final = (b"CDF\x01", b"CDF\x02")


def matches(head: bytes) -> bool:
    """Return whether the file begins as HDF5 (NetCDF4) or classic NetCDF."""
    return is_hdf5(head) or head.startswith(NETCDF3_STARTS)


def read_cf_netcdf(file: BinaryIO) -> list[RadarFrame]:
    """Read every time of the file's rain rate as a frame, with the rows reversed where they run from the south.

    Where `time` has bounds, the rate is the mean between them and the later bound is the valid time; otherwise the
    global attribute `interval_minutes` is the interval, and 0 without it. `forecast_reference_time` determines the lead
    time. The global attributes `product` and `missing_radars` are used; without `product` the variable's name is the
    product. The provider is `provider`, as stored scans have it, else `institution`, else `source`.

    Raises:
        OtherFormatError: an HDF5 file of ODIM or KNMI.
        FrameError: damaged, or without a rain rate, unit, grid or time, or values below 0.
        TooLargeError: more frames or bytes than the limits.
    """
    content = file.read()
    is_netcdf4 = is_hdf5(content)
    group = _checked_hdf5(file) if is_netcdf4 else None
    with _dataset(content, group, is_netcdf4=is_netcdf4) as dataset:
        if not is_netcdf4:
            limits_of(file).take_bytes(dataset.nbytes, "NetCDF file")
        return frames_of(dataset, limits_of(file))


def frames_of(dataset: xr.Dataset, limits: ReadLimits) -> list[RadarFrame]:
    """Return every time of a data set's rain as a frame.

    Raises:
        FrameError: without a rain rate, unit, grid or time, or values below 0.
        TooLargeError: more frames or cells than the limits.
    """
    rain = find_rain(dataset)
    count = rain.shape[0] if rain.ndim == 3 else 1
    limits.check_frames(count)
    limits.check_cells(*rain.shape[-2:])
    if count == 0:
        raise FrameError(f"{rain.name}: expected at least one field, got none")
    return _frames(dataset, rain, limits)


def open_netcdf(path: Path) -> xr.Dataset:
    """Open a NetCDF file lazily, at the one group that has its fields; any error of netCDF-C and xarray passes."""
    group = None
    with path.open("rb") as file:
        if is_hdf5(file.read(len(MAGIC))):
            with h5py.File(path, "r") as root:
                group = field_group(root)
    return xr.open_dataset(path, engine="netcdf4", group=group, decode_timedelta=False, cache=False)


def _checked_hdf5(file: BinaryIO) -> str | None:
    """Return the group of the fields, None for the root."""
    file.seek(0)
    with opened(file) as root:
        if is_odim(root) or is_knmi(root):
            raise OtherFormatError("HDF5 file of ODIM or KNMI, not CF")
        check_parts(file, root)
        return field_group(root)


def _dataset(content: bytes, group: str | None, *, is_netcdf4: bool) -> xr.Dataset:
    options: dict[str, Any] = {"engine": "scipy"}
    if is_netcdf4:  # an HDF5 file without dimensions opens too; a later check names what it lacks
        options = {"engine": "h5netcdf", "phony_dims": "access", "group": group}
    try:
        return xr.open_dataset(io.BytesIO(content), decode_timedelta=False, cache=False, **options)
    except Exception as err:  # h5netcdf, SciPy and xarray's time decoding raise anything on damaged files
        raise FrameError(f"NetCDF file does not open: {type(err).__name__}: {err}") from err


def _frames(dataset: xr.Dataset, rain: xr.DataArray, limits: ReadLimits) -> list[RadarFrame]:
    """Return a frame per time; fields that are not rain rates are left out and noted, unless all of them are so."""
    grid, south_first = find_grid(dataset, rain)
    product, starts_ends = product_and_intervals(dataset, rain)
    leads = leads_of(dataset, [end for _, end in starts_ends])
    rain = rain.expand_dims(time_name(rain)) if rain.ndim == 2 else rain
    rows = slice(None, None, -1 if south_first else 1)
    missing_radars = tuple(str(dataset.attrs.get("missing_radars", "")).replace(",", " ").split())
    marks = unstated_marks(rain)
    provider = credit_of(*(str(dataset.attrs.get(name, "")) for name in ("provider", "institution", "source")))
    frames, refused = [], None
    for number, (start, end) in enumerate(starts_ends):
        minutes = (end - start).total_seconds() / 60
        try:
            rate_mmh_HW, note = masked_rates(values_of(rain, number)[rows], mmh_per_unit(rain, minutes), marks)
        except FrameError as err:
            limits.leave_out(f"{rain.name} of {iso(end)}", err)
            refused = refused or err
            continue
        limits.note(note, f"{rain.name} of {iso(end)}")
        frame = RadarFrame(end, grid, rate_mmh_HW, product, interval_minutes=minutes, lead_minutes=leads[number])
        frames.append(replace(frame, missing_radars=missing_radars, provider=provider))
    if refused and not frames:
        raise refused
    return frames


def leads_of(dataset: xr.Dataset, ends: list[datetime]) -> list[int]:
    """Return the lead time of each field in minutes, 0 for observations.

    Raises:
        FrameError: the stated times contradict each other, or a reference time is after the valid time.
    """
    leads = []
    references, periods = references_of(dataset, len(ends)), periods_of(dataset, len(ends))
    for end, reference, period in zip(ends, references, periods, strict=True):
        if reference is not None and (reference - end).total_seconds() >= SLACK_S:
            raise FrameError(f"forecast_reference_time: expected one before the valid time {end}, got {reference}")
        leads.append(lead_minutes(FrameTimes(end, reference=reference, stated_lead_minutes=period)))
    return leads


def product_and_intervals(dataset: xr.Dataset, rain: xr.DataArray) -> tuple[str, list[tuple[datetime, datetime]]]:
    """Return the product's name, and the start and end of each field; those of RADKLIM by its own layout.

    Raises:
        FrameError: no time per field.
    """
    starts_ends = intervals_of(dataset, time_name(rain))
    count = rain.shape[0] if rain.ndim == 3 else 1
    if len(starts_ends) != count:
        raise FrameError(f"{len(starts_ends)} times for {count} fields of {rain.name}")
    product = str(dataset.attrs.get("product", rain.name)).upper()
    if is_amount(rain) and (radklim := radklim_product([end for _, end in starts_ends], rain)):
        product, minutes = radklim
        starts_ends = [(end - timedelta(minutes=minutes), end) for _, end in starts_ends]
    return product, starts_ends


READERS.register("cf-netcdf")(Reader(matches, read_cf_netcdf))
