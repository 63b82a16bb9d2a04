"""The source files, divided into units of work: each is done by one process, and done once."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import ConfigError
from ingest.readers.cf_zarr import is_store
from ingest.readers.rydl import rydl_keys

FILES_PER_UNIT: Final = 64
RYDL_KEYS_PER_UNIT: Final = 512
LARGE_BYTES: Final = 8 * 2**20
"""A file of at least this size, or an archive by its name, is a unit of its own."""

ARCHIVE_ENDS: Final = (".tar", ".tgz", ".tbz", ".tar.gz", ".tar.bz2")


@dataclass(frozen=True)
class Unit:
    """Files that one process reads in order.

    Attributes:
        files: paths below the source folder.
        keys: of a file of many fields, the names of the fields of this unit; empty: all.
        size_bytes: of the files together, or of the unit's share.
        id: digest of the files' names, sizes and times of change: a changed file is another unit.
    """

    files: tuple[str, ...]
    keys: tuple[str, ...]
    size_bytes: int
    id: str


def find_units(root: Path) -> list[Unit]:
    """Return the units of a folder, or of one file, in the order of names.

    Raises:
        ConfigError: no such path, or no file in it.
    """
    if not root.exists():
        raise ConfigError(f"--source {root}: expected a folder of radar files or archives, got nothing there")
    units = list(_units(root))
    if not units:
        raise ConfigError(f"--source {root}: expected radar files or archives of them, got an empty folder")
    return units


def base_folder(root: Path) -> Path:
    """Return the folder that the units' paths are relative to."""
    return root if root.is_dir() and not is_store(root) else root.parent


def _units(root: Path) -> Iterator[Unit]:
    base = base_folder(root)
    small: list[Path] = []
    for path in [root] if root.is_file() or is_store(root) else _files(root):
        if path.is_dir():
            yield _unit((path,), base, (), path.stat().st_size)
        elif path.name.lower().endswith(ARCHIVE_ENDS) or path.stat().st_size >= LARGE_BYTES:
            yield from _of_large(path, base)
        else:
            small.append(path)
    for at in range(0, len(small), FILES_PER_UNIT):
        some = tuple(small[at : at + FILES_PER_UNIT])
        yield _unit(some, base, (), sum(path.stat().st_size for path in some))


def _files(root: Path) -> list[Path]:
    """Return the visible files at any depth, sorted; a Zarr store counts as one."""
    found: list[Path] = []
    for name, folders, files in os.walk(root):
        here = Path(name)
        stores = [inside for inside in folders if is_store(here / inside)]
        folders[:] = [inside for inside in folders if inside not in stores and not inside.startswith(".")]
        found += [here / inside for inside in (*stores, *files) if not inside.startswith(".")]
    return sorted(path for path in found if path.is_dir() or path.is_file())


def _of_large(path: Path, base: Path) -> Iterator[Unit]:
    keys = rydl_keys(path)
    size = path.stat().st_size
    if not keys:
        yield _unit((path,), base, (), size)
    for at in range(0, len(keys), RYDL_KEYS_PER_UNIT):
        some = tuple(keys[at : at + RYDL_KEYS_PER_UNIT])
        yield _unit((path,), base, some, size * len(some) // len(keys))


def _unit(paths: tuple[Path, ...], base: Path, keys: tuple[str, ...], size_bytes: int) -> Unit:
    names = tuple(path.relative_to(base).as_posix() for path in paths)
    digest = hashlib.sha256(repr((names, keys)).encode())
    for path in paths:
        about = path.stat()
        digest.update(f"{about.st_size} {about.st_mtime_ns}".encode())
    return Unit(names, keys, size_bytes, digest.hexdigest()[:20])
