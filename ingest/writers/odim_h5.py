"""Writing of ODIM_H5 composites as DWD does since 2025: all frames in one file, or one file per frame."""

import io
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import h5py
import numpy as np

from core.arrays import Float32Field
from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import Grid
from ingest.radar_sites import DWD_RADARS
from ingest.readers.odim_h5 import DWD_ORIGIN

QUANTUM_MMH: Final = 0.01
NO_DATA: Final = 2**32 - 1
UNDETECT: Final = 0
LARGEST_COUNT: Final = 2**32 - 2
OWN_SOURCE: Final = "CMT:ms-rnn-nowcast"
DWD_SOURCE: Final = f"{DWD_ORIGIN},CTY:616,CMT:invented weather, not made by Deutscher Wetterdienst"
"""DWD as the originating centre, so that readers interpret the radars' names as DWD's."""

Attributes = dict[str, Any]


def odim_bytes(
    frames: Sequence[RadarFrame],
    *,
    quantum_mmh: float = QUANTUM_MMH,
    source: str = OWN_SOURCE,
    how: Mapping[str, str] | None = None,
) -> bytes:
    """Return a whole ODIM_H5 file (2.4, object COMP) of rain rates, `dataset1` to `datasetN` in the given order.

    The counts are uint32 with `gain` = the quantum and `offset` 0: dry is `undetect`, not observed is `nodata`, and a
    reader that applies gain and offset to `undetect` still gets 0. wradlib reads all data sets, pysteps only the first:
    write one file per frame for pysteps.

    Args:
        frames: at least one, all on one grid; forecasts all of one reference time.
        quantum_mmh: rate of one count, to which rates are rounded; a wet cell stays wet.
        source: originating centre in ODIM's notation.
        how: further attributes of the file.

    Raises:
        FrameError: no frame, two grids or reference times, or a grid in degrees.
    """
    first = _first(frames)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="earliest", track_order=False) as root:
        _put(root, {"Conventions": "ODIM_H5/V2_4"})
        _put(root.create_group("what"), _what(first, source))
        _put(root.create_group("where"), _where(first.grid))
        _put(root.create_group("how"), {**_how(first, source), **(how or {})})
        for number, frame in enumerate(frames, start=1):
            _put_frame(root.create_group(f"dataset{number}"), frame, quantum_mmh)
    return buffer.getvalue()


def odim_file_name(frame: RadarFrame) -> str:
    """Return DWD's file name of a frame: RY by its time, others by their reference time and lead time."""
    time = frame.reference_time
    if frame.product == "RY" and not frame.is_forecast:
        return f"raa01-ry_10000-{time:%y%m%d%H%M}-dwd---bin.hdf5"
    return f"composite_{frame.product.lower()}_{time:%Y%m%d_%H%M}_{frame.lead_minutes:03d}-hd5"


def counts_of(rate_mmh_HW: Float32Field, quantum_mmh: float) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """Return rates as counts: NaN is `nodata`, 0 is `undetect`, and every wet cell is at least 1."""
    with np.errstate(invalid="ignore"):
        counts_HW = np.clip(np.rint(rate_mmh_HW.astype(np.float64) / quantum_mmh), 1, LARGEST_COUNT)
    counts_HW = np.where(rate_mmh_HW > 0, counts_HW, UNDETECT)
    return np.where(np.isnan(rate_mmh_HW), NO_DATA, counts_HW).astype(np.uint32)


def _first(frames: Sequence[RadarFrame]) -> RadarFrame:
    if not frames:
        raise FrameError("ODIM file: expected at least one frame, got none")
    first = frames[0]
    for frame in frames[1:]:
        if not frame.grid.same_place(first.grid):
            raise FrameError("ODIM file: expected frames on one grid, got two grids")
    if len({frame.reference_time for frame in frames}) > 1 and any(frame.is_forecast for frame in frames):
        raise FrameError("ODIM file: expected forecasts of one reference time, got several")
    if first.grid.projection.is_geographic:
        raise FrameError("ODIM file: expected a grid in metres, got one in degrees")
    return first


def _what(frame: RadarFrame, source: str) -> Attributes:
    time = frame.reference_time
    when = {"date": f"{time:%Y%m%d}", "time": f"{time:%H%M%S}"}
    return {"object": "COMP", "version": "H5rad 2.4", **when, "source": source}


def _where(grid: Grid) -> Attributes:
    """Write size, cell size and corners; the corners are the outer edges of the corner cells, as ODIM defines them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PROJ text says less than WKT: ODIM has no other
        projdef = grid.crs if grid.crs.startswith("+proj") else grid.projection.to_proj4()
    corners = dict(zip(("UL", "UR", "LR", "LL"), grid.corners_lon_lat(), strict=True))
    places = {
        f"{name}_{axis}": float(place[i]) for name, place in corners.items() for i, axis in enumerate(("lon", "lat"))
    }
    cells = {"xsize": np.uint64(grid.width), "ysize": np.uint64(grid.height)}
    return {"projdef": projdef, **cells, "xscale": grid.pixel_x_m, "yscale": grid.pixel_y_m, **places}


def _how(frame: RadarFrame, source: str) -> Attributes:
    """Write the missing radars and whose data they are; a file with DWD as its source also lists the radars used."""
    stated = {"simulated": str(frame.is_forecast), **({"provider": frame.provider} if frame.provider else {})}
    if DWD_ORIGIN not in source:
        return {"missing_nodes": ",".join(frame.missing_radars), **stated}
    used, missing = (",".join(f"'de{site}'" for site in sites) for sites in (_used(frame), frame.missing_radars))
    return {"nodes": used, "missing_nodes": missing, **stated}


def _used(frame: RadarFrame) -> list[str]:
    return sorted(DWD_RADARS.keys() - set(frame.missing_radars))


def _put_frame(group: Any, frame: RadarFrame, quantum_mmh: float) -> None:
    start, end = frame.valid_time - timedelta(minutes=frame.interval_minutes), frame.valid_time
    attributes = {"product": "MAX", "prodname": frame.product, **_day_time("start", start), **_day_time("end", end)}
    _put(group.create_group("what"), attributes)
    _put(group.create_group("how"), {"simulated": str(frame.is_forecast)})
    data = group.create_group("data1")
    scale = {"gain": quantum_mmh, "offset": 0.0, "nodata": float(NO_DATA), "undetect": float(UNDETECT)}
    _put(data.create_group("what"), {"quantity": "RATE", **scale})
    counts_HW = counts_of(frame.rate_mmh_HW, quantum_mmh)
    field = data.create_dataset("data", data=counts_HW, compression="gzip", compression_opts=4, shuffle=True)
    _put(field, {"CLASS": "IMAGE", "IMAGE_VERSION": "1.2"})


def _day_time(which: str, time: datetime) -> Attributes:
    return {f"{which}date": f"{time:%Y%m%d}", f"{which}time": f"{time:%H%M%S}"}


def _put(holder: Any, attributes: Attributes) -> None:
    """Write attributes with ODIM's types: text of fixed length, real numbers of eight bytes."""
    for name, value in attributes.items():
        holder.attrs[name] = np.bytes_(value.encode()) if isinstance(value, str) else value
