"""TaxiBJ as the file of windows that OpenSTL and SimVP use: `dataset.npz`, ready cut, scaled to -1 to 1."""

import zlib
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError

FILE: Final = "dataset.npz"
CELLS: Final = (2, 32, 32)
Windows = NDArray[np.float32]


def windows_file(data: Path | None) -> Path | None:
    """Return the file of windows: the path itself, or in a folder; None if there is none."""
    if data is None:
        return None
    places = [data] if data.suffix == ".npz" else [data / FILE, data / "taxibj" / FILE]
    return next((path for path in places if path.is_file()), None)


def read_windows(path: Path, part: str) -> Windows:
    """Return the windows of a part, (N, T, 2, 32, 32) with values 0 to 1: inputs and the frames after them together.

    Args:
        path: the file.
        part: train or test.

    Raises:
        ConfigError: not a file of this layout.
    """
    names = [f"X_{part}", f"Y_{part}"]
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            frames_NTCHW = np.concatenate([np.asarray(file[name], np.float32) for name in names], axis=1)
    except (OSError, KeyError, ValueError, EOFError, BadZipFile, zlib.error) as err:
        what = " ".join(str(err).split())
        raise ConfigError(
            f"{path.name}: expected the arrays {' and '.join(names)} of TaxiBJ's windows, {what}"
        ) from err
    if frames_NTCHW.ndim != 5 or frames_NTCHW.shape[2:] != CELLS:
        raise ConfigError(f"{path.name}: expected windows (N, T, 2, 32, 32), got {frames_NTCHW.shape}")
    lowest, highest = float(frames_NTCHW.min()), float(frames_NTCHW.max())
    if lowest < -1 - 1e-6 or highest > 1 + 1e-6:
        raise ConfigError(f"{path.name}: expected values of -1 to 1, got {lowest:g} to {highest:g}")
    return ((frames_NTCHW + 1) / 2).clip(0, 1)
