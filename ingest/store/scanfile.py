"""One radar frame as one CF-NetCDF file whose global attributes carry all that the catalogue knows."""

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

from core.cf import NETCDF_C, RATE, rate_dataset, write_dataset
from core.errors import NoDataError
from core.frame import RadarFrame, iso, utc
from core.grid import Grid
from ingest.store.quality import Facts, facts_of

CLUTTER: Final = "clutter"


@dataclass(frozen=True)
class ScanHeader:
    """What a scan's file says of itself without its field; `issued_at` is the age of the file that it came in."""

    product: str
    valid_time: datetime
    received_at: datetime
    sha256: str
    grid_key: str
    coverage: float
    missing_radars: tuple[str, ...]
    issued_at: datetime
    facts: Facts

    def row(self) -> dict[str, Any]:
        """The header as the catalogue's columns, but for the path."""
        values = asdict(self)
        facts = values.pop("facts")
        return {**values, **facts}


def frame_sha256(frame: RadarFrame) -> str:
    """The identity of a frame's content, whatever file it came in (gz, bz2, tar)."""
    told = [
        frame.product,
        iso(frame.valid_time),
        frame.interval_minutes,
        frame.lead_minutes,
        frame.grid.key,
        frame.missing_radars,
    ]
    digest = hashlib.sha256(json.dumps(told).encode())
    digest.update(np.ascontiguousarray(frame.rate_mmh_HW).data)
    if frame.clutter_HW is not None:
        digest.update(np.packbits(frame.clutter_HW).data)
    return digest.hexdigest()


def header_of(frame: RadarFrame, sha256: str, received_at: datetime, issued_at: datetime | None = None) -> ScanHeader:
    """The header that `write_scan` gives a frame's file; one whose file has no age was issued when it came."""
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
        "product": frame.product,
        "valid_time": iso(frame.valid_time),
        "interval_minutes": float(frame.interval_minutes),
        "lead_minutes": int(frame.lead_minutes),
        "missing_radars": ",".join(frame.missing_radars),
        "radar_coverage": header.coverage,
        "received_at": iso(header.received_at),
        "issued_at": iso(header.issued_at),
        "content_sha256": header.sha256,
        "grid_key": header.grid_key,
        "grid": json.dumps(frame.grid.to_dict()),
        **asdict(header.facts),
    }
    dataset = rate_dataset(
        frame.rate_mmh_HW[np.newaxis],
        [frame.valid_time],
        frame.grid,
        reference_time=frame.reference_time if frame.is_forecast else None,
        attributes=attributes,
    )
    if frame.clutter_HW is not None:
        flags_THW = frame.clutter_HW[np.newaxis].astype(np.int8)
        told = {"long_name": "flagged as clutter by the source", "flag_values": np.array([0, 1], np.int8)}
        dataset[CLUTTER] = (
            ("time", "y", "x"),
            flags_THW,
            {**told, "flag_meanings": "none clutter", "grid_mapping": "crs"},
        )
        dataset[CLUTTER].encoding = {"zlib": True, "complevel": 1}
    write_dataset(dataset, path)


def read_scan(path: Path) -> RadarFrame:
    """The frame of a stored file.

    Raises:
        NoDataError: the file is gone or is not one of ours.
    """
    try:
        with NETCDF_C, xr.open_dataset(path, engine="netcdf4", decode_times=False, cache=False) as dataset:
            told: dict[str, Any] = dict(dataset.attrs)
            rate_mmh_HW = dataset[RATE].values[0]
            clutter_HW = dataset[CLUTTER].values[0] == 1 if CLUTTER in dataset.variables else None
        return RadarFrame(
            valid_time=utc(told["valid_time"]),
            grid=Grid.from_dict(json.loads(told["grid"])),
            rate_mmh_HW=np.asarray(rate_mmh_HW, np.float32),
            product=told["product"],
            interval_minutes=float(told["interval_minutes"]),
            lead_minutes=int(told["lead_minutes"]),
            missing_radars=_names(told["missing_radars"]),
            clutter_HW=clutter_HW,
        )
    except (OSError, KeyError, ValueError, IndexError) as err:
        raise NoDataError(f"stored scan {path.name} cannot be read: {type(err).__name__}: {err}") from err


def read_header(path: Path) -> ScanHeader:
    """The header of a stored file, in about a millisecond.

    Raises:
        NoDataError: the file is gone or is not one of ours.
    """
    try:
        with NETCDF_C, netCDF4.Dataset(path) as dataset:
            told = {name: dataset.getncattr(name) for name in dataset.ncattrs()}
        return ScanHeader(
            product=told["product"],
            valid_time=utc(told["valid_time"]),
            received_at=utc(told["received_at"]),
            sha256=told["content_sha256"],
            grid_key=told["grid_key"],
            coverage=float(told["radar_coverage"]),
            missing_radars=_names(told["missing_radars"]),
            issued_at=utc(told.get("issued_at", told["received_at"])),
            facts=_facts(told) or facts_of(read_scan(path).rate_mmh_HW),
        )
    except (OSError, KeyError, ValueError) as err:
        raise NoDataError(f"stored scan {path.name} cannot be read: {type(err).__name__}: {err}") from err


def safe_name(name: str) -> str:
    """A name from outside as one part of a path: no separators, no leading dot, not too long, still distinct."""
    safe = re.sub(r"[^A-Za-z0-9_.+-]", "_", name).lstrip(".")[:80] or "_"
    return safe if safe == name else f"{safe}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _facts(told: Mapping[str, Any]) -> Facts | None:
    """The field's figures; None in a file of an earlier version."""
    if "field_digest" not in told:
        return None
    wet_fraction, wet_mean_mmh, max_mmh = (float(told[name]) for name in ("wet_fraction", "wet_mean_mmh", "max_mmh"))
    return Facts(wet_fraction, wet_mean_mmh, max_mmh, str(told["field_digest"]))


def _names(joined: str) -> tuple[str, ...]:
    return tuple(filter(None, joined.split(",")))
