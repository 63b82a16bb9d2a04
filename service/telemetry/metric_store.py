"""The files of metrics as prometheus_client maps them into memory, but never sparse, and never one that is damaged.

A write to a mapped page that has no room on a full disk is SIGBUS, which ends the process. So a file has all of its
blocks before it is mapped; without room for them the counts stay in the memory of the process.
"""

import json
import logging
import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from prometheus_client import Metric, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

FIRST_BYTES: Final = 2**20
"""Allocated at once: 64 KiB of the library are doubled again and again otherwise, each time on a fuller disk."""

DAMAGE: Final = (struct.error, ValueError, IndexError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError)

log = logging.getLogger(__name__)
_Dict: Any = MmapedDict
_Collector: Any = MultiProcessCollector


class AllocatedDict(_Dict):  # type: ignore[misc]
    """A file of counts all of whose blocks are on the disk; a damaged one is begun anew.

    Raises:
        OSError: there is no room for it.
    """

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not read_mode:
            path = Path(filename)
            if path.exists() and not is_sound(path):
                log.warning("the metrics of %s are damaged: counted anew", path)
                path.unlink()
            _allocate(path, max(FIRST_BYTES, path.stat().st_size if path.exists() else 0))
        super().__init__(filename, read_mode)

    def _init_value(self, key: str) -> None:
        """Add a count, with room for it before the file grows."""
        while self._used + len(key.encode()) + 40 > self._capacity:
            _allocate(Path(self._fname), 2 * self._capacity)
            self._capacity *= 2
            self._m = mmap.mmap(self._f.fileno(), self._capacity)
        super()._init_value(key)


class SoundCollector(_Collector):  # type: ignore[misc]
    """Sums the files of all processes; one that is damaged is deleted, and its counts begin anew."""

    def collect(self) -> Iterable[Metric]:
        """Return the sums."""
        try:
            return list(super().collect())
        except DAMAGE:
            for path in Path(self._path).glob("*.db"):
                if not is_sound(path):
                    log.warning("the metrics of %s are damaged: left out", path)
                    path.unlink(missing_ok=True)
            return list(super().collect())


def counts_in_files(process: Any) -> Any:
    """Return the library's class of values in files of this process; without room they are in its memory."""
    library: Any = values
    library.MmapedDict = AllocatedDict
    in_files, in_memory = library.MultiProcessValue(process), library.MutexValue

    def made(*arguments: Any, **options: Any) -> Any:
        try:
            return in_files(*arguments, **options)
        except OSError as err:
            log.warning("a metric is counted in memory: %s", err)
            return in_memory(*arguments, **options)

    return made


def is_sound(path: Path) -> bool:
    """Return whether a file of counts can be read."""
    try:
        for key, _, _, _ in _Dict.read_all_values_from_file(str(path)):
            name, sample, labels, text = json.loads(key)
            if not (isinstance(name, str) and isinstance(sample, str) and isinstance(labels, dict) and text):
                return False
    except FileNotFoundError:
        return True
    except (*DAMAGE, OSError):
        return False
    return True


def _allocate(path: Path, size: int) -> None:
    """Give a file all blocks up to a size.

    Raises:
        OSError: the disk has no room.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        os.posix_fallocate(handle, 0, size)
    finally:
        os.close(handle)
