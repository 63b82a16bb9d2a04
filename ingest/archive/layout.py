"""An archive as a Zarr store by the MLCast source-data specification for radar precipitation (0.3.0)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from core import cf
from core.grid import Grid
from ingest.archive.settings import ArchiveSettings, program_version
from ingest.archive.staging import RATE, ZSTD, create_array

EPOCH: Final = "seconds since 1970-01-01T00:00:00"
IDENTIFIER_PARTS: Final = ("country_code", "entity", "physical_variable", "common_name")
RATE_ATTRIBUTES: Final = {
    "standard_name": "rainfall_flux",
    "long_name": "liquid-equivalent rain rate, all phases",
    "units": "kg m-2 h-1",
    "grid_mapping": "crs",
    "_ARRAY_DIMENSIONS": ["time", "y", "x"],
}
"""1 kg m-2 h-1 of water is 1 mm/h; the specification allows a rate only as a flux."""

Int64Times = NDArray[np.int64]


@dataclass(frozen=True)
class FrameTable:
    """The fields of an archive in ascending time.

    Attributes:
        seconds: valid times since 1970, shape (T,).
        observed_fraction, wet_fraction, mean_mmh, max_mmh: of each field, shape (T,); NaN where not defined.
    """

    seconds: Int64Times
    observed_fraction: NDArray[np.float32]
    wet_fraction: NDArray[np.float32]
    mean_mmh: NDArray[np.float32]
    max_mmh: NDArray[np.float32]


def write_store(
    path: Path, grid: Grid, table: FrameTable, *, product: str, build_id: str, settings: ArchiveSettings
) -> None:
    """Write everything of an archive except its fields' chunks, `rainfall_rate/NUMBER.0.0`."""
    missing = missing_seconds(table.seconds)
    dataset = _coordinates(grid, table, missing)
    dataset.attrs = _attributes(product, table, settings, gaps=bool(missing.size)) | {"build_id": build_id}
    names = [str(name) for name in dataset.variables]
    encoding: dict[str, dict[str, Any]] = {name: {"compressors": ZSTD, "_FillValue": None} for name in names}
    encoding["lat"]["chunks"] = encoding["lon"]["chunks"] = grid.shape
    encoding["time"]["chunks"] = encoding["missing_times"]["chunks"] = (2**16,)
    dataset.to_zarr(path, mode="w", zarr_format=2, consolidated=False, encoding=encoding)
    rate = create_array(path / RATE, grid, len(table.seconds))
    rate.attrs.put(RATE_ATTRIBUTES)
    zarr.consolidate_metadata(str(path), zarr_format=2)


def missing_seconds(seconds: Int64Times) -> Int64Times:
    """Return the missing times between the first and the last one, at the shortest step that occurs."""
    if len(seconds) < 2:
        return np.empty(0, np.int64)
    expected = np.arange(seconds[0], seconds[-1] + 1, np.diff(seconds).min())
    return np.asarray(np.setdiff1d(expected, seconds, assume_unique=True), np.int64)


def _coordinates(grid: Grid, table: FrameTable, missing: Int64Times) -> xr.Dataset:
    empty = cf.rate_dataset(np.empty((0, *grid.shape), np.float32), [], grid)
    lon_HW, lat_HW = grid.lon_lat_HW()
    time = {"standard_name": "time", "units": EPOCH, "calendar": "standard"}
    of_field = {
        "observed_fraction": (table.observed_fraction, "share of the cells that are observed", "1"),
        "wet_fraction": (table.wet_fraction, "share of the observed cells with 0.1 mm/h or more", "1"),
        "mean_rate": (table.mean_mmh, "mean over the observed cells", "mm h-1"),
        "max_rate": (table.max_mmh, "maximum over the observed cells", "mm h-1"),
    }
    return xr.Dataset(
        {"crs": empty["crs"]},
        coords={
            "time": ("time", table.seconds, {**time, "axis": "T"}),
            "y": empty["y"],
            "x": empty["x"],
            "lat": (("y", "x"), lat_HW, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": (("y", "x"), lon_HW, {"standard_name": "longitude", "units": "degrees_east"}),
            "missing_times": ("missing_times", missing, {"long_name": "times without a field", **time}),
            **{name: ("time", v, {"long_name": text, "units": unit}) for name, (v, text, unit) in of_field.items()},
        },
    )


def _attributes(product: str, table: FrameTable, settings: ArchiveSettings, *, gaps: bool) -> dict[str, Any]:
    text = settings.text(product)
    parts = IDENTIFIER_PARTS[: text.identifier.count("-") + 1]
    attributes: Mapping[str, Any] = {
        "Conventions": "CF-1.11",
        "title": text.title,
        "institution": text.institution,
        "source": text.source,
        "license": text.license,
        "product": product,
        "mlcast_created_on": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "mlcast_created_by": settings.created_by,
        "mlcast_created_with": settings.created_with.format(version=program_version()),
        "mlcast_dataset_version": settings.dataset_version,
        "mlcast_dataset_validator_version": settings.validator_version,
        "mlcast_dataset_identifier": text.identifier,
        "mlcast_dataset_identifier_format": "-".join(f"{{{part}}}" for part in parts),
    }
    start = datetime.fromtimestamp(int(table.seconds[0]), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return {**attributes, **({"consistent_timestep_start": start} if gaps else {})}
