"""The standard test set of Moving MNIST: `mnist_test_seq.npy`, 10,000 clips of 20 frames (Srivastava et al. 2015)."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError

FILE: Final = "mnist_test_seq.npy"
STANDARD_DIGITS: Final = 2
"""Digits of a clip."""


def standard_test_file(data: Path | None) -> Path | None:
    """Return the file of the standard test set: the path itself, or in a folder; None if there is none."""
    if data is None:
        return None
    path = data if data.suffix == ".npy" else data / FILE
    return path if path.is_file() else None


def read_clips(path: Path, *, steps: int, size: int) -> NDArray[np.uint8]:
    """Return the clips (T, N, H, W), memory-mapped, 0 to 255.

    Args:
        path: the file.
        steps: frames that a sample needs.
        size: edge of a frame.

    Raises:
        ConfigError: another layout, shorter clips, or frames of another size.
    """
    try:
        clips_TNHW: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise ConfigError(f"{path.name}: expected an array of clips, got {' '.join(str(err).split())}") from err
    expected = f"{path.name}: expected 8-bit frames (T, clips, {size}, {size}) with T of at least {steps}"
    if clips_TNHW.ndim != 4 or clips_TNHW.dtype != np.uint8:
        raise ConfigError(f"{expected}, got {clips_TNHW.shape} of {clips_TNHW.dtype}")
    if clips_TNHW.shape[2:] != (size, size) or len(clips_TNHW) < steps:
        raise ConfigError(f"{expected}, got {clips_TNHW.shape}; the paper's size is 64")
    return clips_TNHW
