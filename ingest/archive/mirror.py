"""Some years of a public Zarr store as a store of their own: its chunks are copied as they are and renumbered."""

import json
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
import zarr

from core.errors import NoDataError, UnavailableError
from core.files import write_bytes_atomically
from ingest.archive.download import Downloader
from ingest.archive.partial import RemoteFile
from ingest.archive.plans import FetchPlan, Years
from ingest.archive.settings import ZarrStore
from ingest.archive.zarr_metadata import ZarrLayout, parse_metadata

SAMPLES: Final = 20
"""Number of chunks whose size is requested, to estimate the size of all."""


@dataclass(frozen=True)
class Mirror:
    """A copy that is being downloaded.

    Attributes:
        plan: the chunks of its fields.
        folder: its path until all chunks are there.
        archive: its path afterwards.
    """

    plan: FetchPlan
    folder: Path
    archive: Path

    def finish(self) -> None:
        """Consolidate the metadata and rename the copy to its final path."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata")  # not part of Zarr 3, but all read it
            zarr.consolidate_metadata(str(self.folder))
        self.folder.rename(self.archive)


def plan_mirror(remote: ZarrStore, years: Years, out: Path, downloader: Downloader) -> Mirror:
    """Download metadata and coordinates, and determine the chunks of the years.

    Raises:
        NoDataError: no store at the address, or no field in the years.
        UnavailableError: a store with an unknown layout.
    """
    root = remote.root.rstrip("/")
    name = root.rsplit("/", 1)[-1].removesuffix(".zarr")
    archive = out / f"{name}_{years[0]}-{years[1]}.zarr"
    folder, whole = archive.with_suffix(".fetching"), archive.with_suffix(".metadata")
    if archive.exists():
        return Mirror(FetchPlan((), 0), folder, archive)
    layout = _metadata(root, whole, downloader)
    for file in _coordinate_files(layout, root, whole):
        try:
            downloader.fetch(file)
        except NoDataError:
            continue  # such a chunk holds fill values only
    span = _span(layout, whole, years)
    if not folder.exists():
        _write_cut(layout, whole, folder, span)
    files = tuple(_field_files(layout, root, folder, span))
    return Mirror(FetchPlan(files, _estimate(files, downloader), is_estimate=True, may_lack=True), folder, archive)


def _metadata(root: str, whole: Path, downloader: Downloader) -> ZarrLayout:
    """Return the store's metadata, and write them to a local copy without fields."""
    for name in (".zmetadata", "zarr.json"):
        try:
            content = downloader.content(f"{root}/{name}")
        except NoDataError:
            continue
        layout = parse_metadata(content, name, root)
        for path, values in layout.files.items():
            write_bytes_atomically(whole / path, json.dumps(values).encode())
        return layout
    raise NoDataError(f"{root}: expected a Zarr store, got neither .zmetadata nor zarr.json")


def _coordinate_files(layout: ZarrLayout, root: str, whole: Path) -> Iterator[RemoteFile]:
    for one in layout.arrays:
        if not one.is_field:
            for chunk in product(*(range(-(-n // c)) for n, c in zip(one.shape, one.chunks, strict=True))):
                yield RemoteFile(f"{root}/{one.key(chunk)}", whole / one.key(chunk))


def _span(layout: ZarrLayout, whole: Path, years: Years) -> slice:
    """Return the times of the years, widened to whole chunks of the fields."""
    with xr.open_zarr(whole, chunks=None, consolidated=False, zarr_format=layout.zarr_format) as dataset:
        time = dataset["time"].values.astype("datetime64[s]")
    start, stop = np.searchsorted(time, [np.datetime64(f"{years[0]}-01-01"), np.datetime64(f"{years[1] + 1}-01-01")])
    if start == stop:
        raise NoDataError(f"expected fields of {years[0]} to {years[1]}, got {time[0]} to {time[-1]}")
    steps = {one.chunks[0] for one in layout.arrays if one.is_field}
    if len(steps) != 1:
        raise UnavailableError(f"expected fields of one chunk length in time, got {sorted(steps)}")
    step = steps.pop()
    return slice(int(start) // step * step, min(-(-int(stop) // step) * step, len(time)))


def _write_cut(layout: ZarrLayout, whole: Path, folder: Path, span: slice) -> None:
    """Write coordinates and metadata of the copy; the folder appears atomically."""
    fields = [one for one in layout.arrays if one.is_field]
    options: dict[str, Any] = {"chunks": None, "consolidated": False, "zarr_format": layout.zarr_format}
    with xr.open_zarr(whole, decode_cf=False, drop_variables=[one.name for one in fields], **options) as dataset:
        cut = dataset.isel(time=span).load().drop_encoding()
        if "missing_times" in cut.dims and {"units"} <= cut["missing_times"].attrs.keys():
            cut = _cut_missing(cut)
    fresh = folder.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    cut.to_zarr(fresh, mode="w", consolidated=False, zarr_format=layout.zarr_format)
    for one in fields:
        for path, values in one.metadata_files(span.stop - span.start).items():
            write_bytes_atomically(fresh / path, json.dumps(values).encode())
    fresh.rename(folder)


def _cut_missing(cut: xr.Dataset) -> xr.Dataset:
    decoded = xr.decode_cf(cut[["time", "missing_times"]])
    first, last = decoded["time"].values[[0, -1]]
    missing = decoded["missing_times"].values
    return cut.isel(missing_times=np.flatnonzero((missing >= first) & (missing <= last)))


def _field_files(layout: ZarrLayout, root: str, folder: Path, span: slice) -> Iterator[RemoteFile]:
    for one in (array for array in layout.arrays if array.is_field):
        step = one.chunks[0]
        first, end = span.start // step, -(-span.stop // step)
        rest = [range(-(-n // c)) for n, c in zip(one.shape[1:], one.chunks[1:], strict=True)]
        for number, *others in product(range(first, end), *rest):
            there, here = one.key((number, *others)), one.key((number - first, *others))
            yield RemoteFile(f"{root}/{there}", folder / here)


def _estimate(files: tuple[RemoteFile, ...], downloader: Downloader) -> int:
    missing = [file for file in files if not file.is_there]
    chosen = [missing[i] for i in np.unique(np.linspace(0, len(missing) - 1, SAMPLES).astype(int))] if missing else []
    sizes = []
    for file in chosen:
        try:
            sizes.append(downloader.size_bytes(file.url) or 0)
        except NoDataError:
            sizes.append(0)
    return round(np.mean(sizes) * len(missing)) if sizes else 0
