"""CF rain rates in Zarr stores of version 2 and 3: packed as one zip file, or as a folder."""

import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import xarray as xr
from zarr.storage import LocalStore, ZipStore

from core.errors import FrameError
from core.frame import RadarFrame
from ingest.readers.base import READERS, OtherFormatError, Reader, ReadLimits, limits_of
from ingest.readers.cf_netcdf import frames_of
from ingest.readers.zarr_memory import decoded, loaded

ZIP: Final = b"PK\x03\x04"
METADATA: Final = (".zgroup", ".zarray", ".zmetadata", "zarr.json")
GROUPS: Final = (".zgroup", ".zmetadata", "zarr.json")
CODECS: Final = frozenset(
    (
        *("blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "bytes", "crc32", "crc32c", "adler32", "fletcher32"),
        *("shuffle", "delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype", "transpose"),
        *("sharding_indexed", "vlen-utf8", "scale_offset", "cast_value"),
    )
)
"""Codecs that decode numbers and text; others, such as `pickle`, run what a file contains."""

BLOCK_BYTES: Final = 2**20
ZIP_ERRORS: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(ValueError, RuntimeError, NotImplementedError, KeyError),
)
"""What `zipfile` raises on damaged archives: it translates only some of the errors to its own."""


def matches(head: bytes) -> bool:
    """Return whether the file begins as a zip archive."""
    return head.startswith(ZIP)


def read_cf_zarr(file: BinaryIO) -> list[RadarFrame]:
    """Read every time of the rain rate of a zipped store, as `read_cf_netcdf` does of a NetCDF file.

    Raises:
        OtherFormatError: a zip archive of something else.
        FrameError: damaged, with codecs that are not known, or as `read_cf_netcdf`.
        TooLargeError: more frames or bytes than the limits.
    """
    limits = limits_of(file)
    content = _unzipped(file, limits)
    root = root_of(list(content))
    check_codecs({name: value for name, value in content.items() if name.rpartition("/")[2] in METADATA})
    with loaded(content, root, limits) as dataset:
        return _frames(dataset, limits)


def read_folder(folder: Path, limits: ReadLimits) -> list[RadarFrame]:
    """Read every time of the rain rate of a store in a folder.

    Raises:
        FrameError: not a Zarr store, or as `read_cf_zarr`.
        TooLargeError: more frames or bytes than the limits.
    """
    with open_path(folder) as dataset:
        limits.take_bytes(dataset.nbytes, f"Zarr store {folder.name}")
        return _frames(dataset, limits)


def open_path(path: Path) -> xr.Dataset:
    """Open the data set of a store lazily, a folder or one zip file.

    Raises:
        FrameError: not a Zarr store, damaged, or with codecs that are not known.
    """
    if path.is_dir():
        _check_folder(path)
        return open_store(LocalStore(path, read_only=True))
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            root = root_of(names)
            check_codecs({name: archive.read(name) for name in names if name.rpartition("/")[2] in METADATA})
    except ZIP_ERRORS as err:
        raise FrameError(f"{path.name}: expected a whole zip archive of a Zarr store, got {err}") from err
    return open_store(ZipStore(path, read_only=True), root)


def is_store(folder: Path) -> bool:
    """Return whether a folder is the root of a Zarr store."""
    return folder.is_dir() and any((folder / name).is_file() for name in GROUPS)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is no store, or one with codecs that are not known."""
    if not is_store(folder):
        raise FrameError(f"{folder.name}: expected a file or a Zarr store, got a folder")
    paths = [folder / name for name in METADATA]
    paths += [path for name in METADATA for path in folder.glob(f"*/{name}")]
    check_codecs({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()})


def open_store(store: Any, root: str = "") -> xr.Dataset:
    """Open the CF data set of a store lazily; a fill value of 0 that no packing explains is taken as dry.

    Raises:
        FrameError: damaged, or times that are not decoded.
    """
    try:
        stored = xr.open_zarr(store, group=root or None, consolidated=False, chunks=None, decode_cf=False)
        return decoded(stored)
    except Exception as err:  # zarr, its codecs and xarray raise anything on damaged stores
        raise FrameError(f"Zarr store does not open: {type(err).__name__}: {err}") from err


def check_codecs(metadata: Mapping[str, bytes]) -> None:
    """Refuse codecs that are not known before anything is decoded.

    Raises:
        FrameError: such a codec, or metadata that do not parse.
    """
    for name, content in metadata.items():
        try:
            found = set(_codecs(json.loads(content)))
        except (ValueError, RecursionError) as err:
            raise FrameError(f"Zarr metadata {name} do not parse: {err}") from err
        if unknown := sorted(found - CODECS):
            raise FrameError(f"Zarr metadata {name}: expected known codecs, got {', '.join(unknown)}")


def root_of(names: list[str]) -> str:
    """Return the path of the outermost group within a zip archive.

    Raises:
        OtherFormatError: no group of Zarr.
    """
    groups = [name.rpartition("/")[0] for name in names if name.rpartition("/")[2] in GROUPS]
    if not groups:
        raise OtherFormatError("a zip archive without a Zarr store")
    return min(groups, key=lambda path: (path.count("/") + bool(path), path))


def _frames(dataset: xr.Dataset, limits: ReadLimits) -> list[RadarFrame]:
    try:
        return frames_of(dataset, limits)
    except (ValueError, RuntimeError, KeyError, OSError, TypeError) as err:
        raise FrameError(f"Zarr store is damaged: {type(err).__name__}: {err}") from err


def _unzipped(file: BinaryIO, limits: ReadLimits) -> dict[str, bytes]:
    content = dict[str, bytes]()
    try:
        with zipfile.ZipFile(file) as archive:
            root_of(archive.namelist())  # nothing of another archive is unpacked
            for member in archive.infolist():
                if member.is_dir() or member.filename.startswith("__MACOSX/"):
                    continue
                blocks = []
                with archive.open(member) as opened:
                    while block := opened.read(BLOCK_BYTES):
                        limits.take_bytes(len(block), member.filename)
                        blocks.append(block)
                content[member.filename] = b"".join(blocks)
    except ZIP_ERRORS as err:
        raise FrameError(f"the zip archive is cut or damaged: {err or type(err).__name__}") from err
    return content


def _codecs(node: Any) -> Iterator[str]:
    """Yield the names of all codecs in the metadata of a group or an array, attributes left out."""
    if isinstance(node, list):
        for one in node:
            yield from _codecs(one)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in ("compressor", "filters", "codecs", "index_codecs"):
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    yield str(one.get("id") or one.get("name") or "").removeprefix("numcodecs.")
                    yield from _codecs(one.get("configuration"))
                elif one is not None:
                    yield str(one)
        elif key != "attributes" and not key.endswith(".zattrs"):
            yield from _codecs(value)


READERS.register("cf-zarr")(Reader(matches, read_cf_zarr))
