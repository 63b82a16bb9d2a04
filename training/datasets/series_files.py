"""The files of rain-rate series below a folder: at any depth, packed ones unpacked once into the cache."""

import bz2
import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from core.errors import FrameError
from ingest.readers.cf_zarr import is_store

RYDL_SUFFIXES: Final = (".hdf5", ".h5")
FIELD_SUFFIXES: Final = (".nc", ".nc4", ".zip", *RYDL_SUFFIXES)
TAR_ENDS: Final = (".tar", ".tgz", ".tbz", ".tar.gz", ".tar.bz2")
SINGLE_ENDS: Final = tuple(f"{suffix}{packed}" for suffix in FIELD_SUFFIXES for packed in (".gz", ".bz2"))
BUFFER_BYTES: Final = 2**20
UNPACK_ERRORS: Final = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError)


def series_files(data: Path, cache: Path) -> Iterator[tuple[Path, FrameError | None]]:
    """Yield every file or Zarr store below a path, with the reason if a packed one cannot be unpacked.

    Folders such as RADKLIM's YYYY/MM are searched at any depth, hidden ones are not. The files of an archive are
    unpacked into `cache` once, so that a training reads them in any order.
    """
    for path in [data] if data.is_file() or is_store(data) else _below(data):
        if path.is_dir() or not path.name.lower().endswith((*TAR_ENDS, *SINGLE_ENDS)):
            yield path, None
            continue
        try:
            inside = unpacked(path, cache)
        except UNPACK_ERRORS as err:
            yield path, FrameError(f"{path.name}: damaged archive, or no space for its files: {err}")
            continue
        yield from ((one, None) for one in _below(inside))


def unpacked(path: Path, cache: Path) -> Path:
    """Return the folder of the files of an archive, unpacked at the first call; the folder appears whole."""
    about = path.stat()
    digest = hashlib.sha256(f"{path.resolve()} {about.st_size} {about.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = cache / "unpacked" / f"{path.name}-{digest}"
    if folder.is_dir():
        return folder
    part = folder.with_name(f"{folder.name}.part{os.getpid()}")
    part.mkdir(parents=True)
    try:
        _unpack(path, part)
        part.rename(folder)
    except OSError:
        if not folder.is_dir():  # another process can have been first
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _below(root: Path) -> Iterator[Path]:
    found: list[Path] = []
    for name, folders, files in os.walk(root):
        here = Path(name)
        stores = [inside for inside in folders if is_store(here / inside)]
        folders[:] = [inside for inside in folders if inside not in stores and not inside.startswith(".")]
        wanted = [file for file in files if file.lower().endswith((*FIELD_SUFFIXES, *TAR_ENDS, *SINGLE_ENDS))]
        found += [here / inside for inside in (*stores, *wanted) if not inside.startswith(".")]
    yield from sorted(found)


def _unpack(path: Path, folder: Path) -> None:
    """Write the radar files of an archive into a folder; archives within are unpacked too."""
    if not path.name.lower().endswith(TAR_ENDS):
        opener: Any = gzip.open if path.suffix.lower() == ".gz" else bz2.open
        with opener(path) as single:
            _write(single, folder / path.stem)
        return
    with tarfile.open(path) as archive:
        for member in archive:
            name = "_".join(part for part in PurePosixPath(member.name).parts if part not in ("/", "..", "."))
            inside = archive.extractfile(member) if member.isreg() else None
            if inside is None or not name.lower().endswith((*FIELD_SUFFIXES, *TAR_ENDS, *SINGLE_ENDS)):
                continue
            _write(inside, folder / name)
            if name.lower().endswith((*TAR_ENDS, *SINGLE_ENDS)):
                _unpack(folder / name, folder)
                (folder / name).unlink()


def _write(inside: IO[Any], path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(inside, file, BUFFER_BYTES)
