"""Sources of small archives: event files on a small grid, RADOLAN files, tar archives of them."""

import gzip
import io
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from core import cf
from core.grid import RADOLAN_SPHERE, Grid
from ingest.writers.radolan import ry_bytes, ry_file_name

START = datetime(2024, 6, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)
SMALL = Grid(RADOLAN_SPHERE, -100_000.0, -4_000_000.0, 1000.0, 1000.0, 6, 5, "small")


def small_rates(count: int, seed: int = 0) -> np.ndarray:
    """Rates with dry and unobserved cells."""
    random = np.random.default_rng(seed)
    rate_mmh_THW = random.gamma(0.3, 3.0, (count, *SMALL.shape)).round(2).astype(np.float32)
    rate_mmh_THW[random.random(rate_mmh_THW.shape) < 0.2] = np.nan
    return rate_mmh_THW


def write_event(path: Path, rate_mmh_THW: np.ndarray, start: datetime, step: timedelta = STEP) -> Path:
    """A CF NetCDF file as the readers know it."""
    times = [start + step * number for number in range(len(rate_mmh_THW))]
    attributes = {"product": "TEST", "interval_minutes": 5.0}
    path.parent.mkdir(parents=True, exist_ok=True)
    cf.write_dataset(cf.rate_dataset(rate_mmh_THW, times, SMALL, attributes=attributes), path)
    return path


def ry_scan(number: int, *, start: datetime = START) -> tuple[str, bytes, np.ndarray]:
    """Name, gzipped bytes and rates of an RY file with a wet corner whose rate identifies its number."""
    rate_mmh_HW = np.zeros((900, 900), np.float32)
    rate_mmh_HW[:9] = np.nan
    rate_mmh_HW[20 : 40 + number, 30:60] = np.float32(0.12) * (number + 1)
    valid_time = start + STEP * number
    name = ry_file_name(valid_time)
    return name, gzip.compress(ry_bytes(rate_mmh_HW, valid_time), 1, mtime=0), rate_mmh_HW


def tar_bytes(files: dict[str, bytes], mode: Literal["w", "w:gz", "w:bz2"] = "w") -> bytes:
    """A tar archive, compressed by the mode (w:gz, w:bz2)."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, inside in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(inside)
            archive.addfile(member, io.BytesIO(inside))
    return content.getvalue()


def read_archive(path: Path) -> xr.Dataset:
    """An archive in memory."""
    with xr.open_zarr(path, chunks=None) as dataset:
        loaded: xr.Dataset = dataset.load()
    return loaded
