"""One radar frame as one CF-NetCDF file, whose global attributes contain the whole catalogue row."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import netCDF4
import numpy as np
import xarray as xr

from core.cf import NETCDF_C, RATE, rate_dataset, reading_own, write_dataset
from core.errors import InputError, NoDataError, UnavailableError
from core.files import DamagedFileError
from core.frame import RadarFrame
from core.records import RecordCodec
from core.shared_files import refresh
from core.times import iso
from ingest.store.quality import QualityFacts, facts_of

CLUTTER: Final = "clutter"


class LostScanError(NoDataError):
    """A stored file is missing, or its content is not what was written."""


CLUTTER_ATTRIBUTES: Final = {
    "long_name": "flagged as clutter by the source",
    "flag_values": np.array([0, 1], np.int8),
    "flag_meanings": "none clutter",
    "grid_mapping": "crs",
}


@dataclass(frozen=True)
class ScanHeader:
    """Header of a scan's file; `issued_at` is the modification time of the file in which the scan arrived."""

    product: str
    valid_time: datetime
    received_at: datetime
    sha256: str
    grid_key: str
    coverage: float
    missing_radars: tuple[str, ...]
    issued_at: datetime
    facts: QualityFacts


HEADER: Final = RecordCodec(
    ScanHeader, names={"coverage": "radar_coverage", "sha256": "content_sha256"}, flatten=("facts",), error=NoDataError
)
FRAME: Final = RecordCodec(RadarFrame, omit=("rate_mmh_HW", "clutter_HW"), error=NoDataError)
"""The two records of a file's global attributes; they share product, valid time and missing radars."""


def frame_sha256(frame: RadarFrame) -> str:
    """Return the identity of a frame's content, independent of its file's compression (gz, bz2, tar)."""
    identity = [
        frame.product,
        iso(frame.valid_time),
        frame.interval_minutes,
        frame.lead_minutes,
        frame.grid.key,
        frame.missing_radars,
    ]
    digest = hashlib.sha256(json.dumps(identity).encode())
    digest.update(np.ascontiguousarray(frame.rate_mmh_HW).data)
    if frame.clutter_HW is not None:
        digest.update(np.packbits(frame.clutter_HW).data)
    return digest.hexdigest()


def header_of(frame: RadarFrame, sha256: str, received_at: datetime, issued_at: datetime | None = None) -> ScanHeader:
    """Return the header of a frame's file; without `issued_at`, the frame was issued when it was received."""
    return ScanHeader(
        product=frame.product,
        valid_time=frame.valid_time,
        received_at=received_at,
        sha256=sha256,
        grid_key=frame.grid.key,
        coverage=frame.coverage,
        missing_radars=frame.missing_radars,
        issued_at=issued_at or received_at,
        facts=facts_of(frame.rate_mmh_HW),
    )


def write_scan(frame: RadarFrame, path: Path, header: ScanHeader) -> None:
    """Write a frame, whole or not at all."""
    attributes = {
        "title": f"radar composite {frame.product}",
        "history": f"{iso(header.received_at)} radar file stored as CF-NetCDF",
        **FRAME.to_attributes(frame),
        **HEADER.to_attributes(header),
        "missing_radars": ",".join(frame.missing_radars),
    }
    dataset = rate_dataset(
        frame.rate_mmh_HW[np.newaxis],
        [frame.valid_time],
        frame.grid,
        reference_time=frame.reference_time if frame.is_forecast else None,
        attributes=attributes,
    )
    if frame.clutter_HW is not None:
        dataset[CLUTTER] = (("time", "y", "x"), frame.clutter_HW[np.newaxis].astype(np.int8), CLUTTER_ATTRIBUTES)
        dataset[CLUTTER].encoding = {"zlib": True, "complevel": 1}
    write_dataset(dataset, path, shuffle=False, checksum=True)


def read_scan(path: Path, received_at: datetime | None = None) -> RadarFrame:
    """Read the frame of a stored file.

    Args:
        path: of the file.
        received_at: of its row; a copy from before is fetched again, as ingest of another machine has replaced it.

    Raises:
        LostScanError: the file is missing, damaged or not a scan.
        UnavailableError: it cannot be read now.
    """
    if received_at is not None:
        refresh(path, received_at.timestamp())
    try:
        with (
            reading_own(path),
            NETCDF_C,
            xr.open_dataset(path, engine="netcdf4", decode_times=False, cache=False) as dataset,
        ):
            attributes = _listed(dataset.attrs)
            rate_mmh_HW = np.asarray(dataset[RATE].values[0], np.float32)
            clutter_HW = dataset[CLUTTER].values[0] == 1 if CLUTTER in dataset.variables else None
        return FRAME.from_attributes(attributes, rate_mmh_HW=rate_mmh_HW, clutter_HW=clutter_HW)
    except (OSError, KeyError, ValueError, IndexError, TypeError, NoDataError, InputError) as err:
        raise _unreadable(path, err) from err


def read_header(path: Path) -> ScanHeader:
    """Read the header of a stored file, in about a millisecond.

    Raises:
        LostScanError: the file is missing, damaged or not a scan.
        UnavailableError: it cannot be read now.
    """
    try:
        with reading_own(path), NETCDF_C, netCDF4.Dataset(path) as dataset:
            attributes = _listed({name: dataset.getncattr(name) for name in dataset.ncattrs()})
        if "field_digest" not in attributes:  # a file from before the catalogue kept the field's figures
            attributes |= asdict(facts_of(read_scan(path).rate_mmh_HW))
        return HEADER.from_attributes({"issued_at": attributes.get("received_at"), **attributes})
    except (OSError, KeyError, ValueError, TypeError, NoDataError) as err:
        raise _unreadable(path, err) from err


def safe_name(name: str) -> str:
    """Return an external name as one part of a path: no separators, no leading dot, short, still distinct."""
    safe = re.sub(r"[^A-Za-z0-9_.+-]", "_", name).lstrip(".")[:80] or "_"
    return safe if safe == name else f"{safe}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _listed(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes with the names of the radars, joined by commas in a file, as JSON."""
    names = [name for name in str(attributes["missing_radars"]).split(",") if name]
    return {**attributes, "missing_radars": json.dumps(names)}


def _unreadable(path: Path, err: Exception) -> NoDataError | UnavailableError:
    """Return the error of an unreadable file; one of the system (no memory, no free handle) passes."""
    text, reason = f"stored scan {path.name} cannot be read", f"{type(err).__name__}: {err}"
    if isinstance(err, OSError) and not isinstance(err, DamagedFileError | FileNotFoundError):
        return UnavailableError(text, private=reason)
    return LostScanError(f"{text}: {reason}")
