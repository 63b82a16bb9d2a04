"""Fields of a series on the training grid, each decoded and resized once: in memory, or in files."""

import hashlib
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field, FloatField
from core.errors import ConfigError
from core.files import write_atomically
from training.datasets.radar_series import IN_MEMORY_BYTES, RadarSeries

BLOCK: Final = 64
"""Fields per file: those of a window are in one or two files."""


class ResizedFields:
    """The fields of one series that windows need, resized at their first use.

    Few fields of a small series stay in memory; otherwise each block of them is kept as float16 in a file, written
    atomically, so that an archive is decoded once for all runs, epochs and worker processes.

    Args:
        series: the fields of the source.
        shape: rows and columns of the training grid.
        folder: for the files.
        needed: indices of the fields, ascending.
    """

    def __init__(self, series: RadarSeries, shape: tuple[int, int], folder: Path, needed: NDArray[np.int64]) -> None:
        self.series, self.shape, self.needed = series, shape, needed
        few = series.is_small and len(needed) * shape[0] * shape[1] * 4 <= IN_MEMORY_BYTES
        name = "" if few else f"{series.path.name}-{_key(series, needed)}-{shape[0]}x{shape[1]}"
        self.folder = None if few else folder / name
        self._blocks: dict[int, FloatField] = {}

    def fields_mmh(self, indices: list[int]) -> Float32Field:
        """Return fields by their indices in the series, mm/h, row 0 in the north, NaN where not observed."""
        places = np.searchsorted(self.needed, indices).tolist()
        blocks = {number: self._block(number) for number in {place // BLOCK for place in places}}
        return np.stack([blocks[place // BLOCK][place % BLOCK] for place in places]).astype(np.float32)

    def wet_shares(self, threshold_mmh: float) -> NDArray[np.float64]:
        """Return, for every needed field, the share of observed cells at or above a rate; 0 if none is observed."""
        shares: list[float] = []
        for number in range(-(-len(self.needed) // BLOCK)):
            for field_HW in self._block(number):
                observed = int(np.isfinite(field_HW).sum())
                shares.append(int((field_HW >= threshold_mmh).sum()) / observed if observed else 0.0)
        return np.array(shares)

    def _block(self, number: int) -> FloatField:
        if self.folder is not None:
            path = self.folder / f"{number:06d}.npy"
            return cached_array(path, lambda: self._resized(number).astype(np.float16))
        if number not in self._blocks:
            self._blocks[number] = self._resized(number)
        return self._blocks[number]

    def _resized(self, number: int) -> Float32Field:
        indices = self.needed[number * BLOCK : (number + 1) * BLOCK]
        chunks = indices // self.series.source.time_chunk
        fields: list[Float32Field] = []
        for chunk in np.unique(chunks):
            here = indices[chunks == chunk]
            decoded = self.series.fields_mmh(slice(int(here[0]), int(here[-1]) + 1))
            fields += [resize(decoded[i - here[0]], (self.shape[1], self.shape[0])) for i in here]
        return np.stack(fields)


def resize(field_HW: FloatField, size: tuple[int, int]) -> Float32Field:
    """Resize bilinearly, centre-aligned, without anti-aliasing; NaN spreads to every cell that it contributes to.

    Args:
        field_HW: of any float type.
        size: columns and rows, as OpenCV orders them.
    """
    field_HW = np.ascontiguousarray(field_HW, np.float32)
    return np.asarray(cv2.resize(field_HW, size, interpolation=cv2.INTER_LINEAR), np.float32)


def cached_array(path: Path, make: Any) -> NDArray[Any]:
    """Return the array of a file, memory-mapped; computed and written atomically if the file does not exist yet.

    Raises:
        ConfigError: the cache is not writable.
    """
    if not path.is_file():
        array = make()
        try:
            write_atomically(path, lambda temporary: _save(temporary, array))
        except OSError as err:
            raise ConfigError(
                f"the cache {path.parent} is not writable ({err}); expected a folder with free space, "
                "--set cache=FOLDER selects another"
            ) from err
    return np.asarray(np.load(path, mmap_mode="r"))


def cache_folder(given: Path | None, data: Path) -> Path:
    """Return the folder for decoded frames: the given one, else `.cache` in the data folder."""
    return given if given is not None else (data if is_plain_folder(data) else data.parent) / ".cache"


def is_plain_folder(data: Path) -> bool:
    """Return whether a path is a folder of files and not a Zarr store."""
    return data.is_dir() and not ((data / "zarr.json").exists() or (data / ".zgroup").exists())


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def _key(series: RadarSeries, needed: NDArray[np.int64]) -> str:
    """Return a name for the present fields: a series that has grown or was rewritten has another one."""
    files = "".join(
        f"{one.path.stat().st_mtime_ns if one.path.is_file() else 0} {one.fingerprint()['sha256']}"
        for one in series.parts or (series,)
    )
    return hashlib.sha256(series.minutes.tobytes() + needed.tobytes() + files.encode()).hexdigest()[:12]
