"""Small radar files that are quick to read: RY in ODIM HDF5 on a grid of 40 x 48 cells, as the DWD names them."""

from datetime import UTC, datetime, timedelta

import numpy as np

from core.frame import RadarFrame
from core.grid import RADOLAN_SPHERE, Grid
from ingest.readers import read_frames
from ingest.writers.odim_h5 import DWD_SOURCE, odim_bytes, odim_file_name

T0 = datetime(2024, 7, 1, tzinfo=UTC)
GRID = Grid(RADOLAN_SPHERE, -200_000.0, -4_200_000.0, 10_000.0, 10_000.0, 40, 48, "small")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def small_frame(step: int, *, seed: int = 0, missing: tuple[str, ...] = ()) -> RadarFrame:
    """Rain that moves with the step, 5 minutes each; a corner is not observed, and more of it without a radar."""
    rows, cols = np.mgrid[0:40, 0:48]
    wave = np.sin((cols - 0.7 * step + seed) / 5) * np.cos((rows + 0.3 * step) / 6)
    rate_mmh_HW = np.maximum(np.round(8 * wave, 2), 0).astype(np.float32)
    rate_mmh_HW[:6, :6] = np.nan
    if missing:
        rate_mmh_HW[30:, 30:] = np.nan
    return RadarFrame(T0 + minutes(5 * step), GRID, rate_mmh_HW, "RY", missing_radars=missing)


def small_file(step: int, *, seed: int = 0, missing: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """Name and bytes of a step's file."""
    frame = small_frame(step, seed=seed, missing=missing)
    return odim_file_name(frame), odim_bytes([frame], source=DWD_SOURCE)


def rate_of(content: bytes) -> np.ndarray:
    """The field of a file."""
    return read_frames(content)[0].rate_mmh_HW
