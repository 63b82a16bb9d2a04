"""Ready windows: the newest input frames on a model's grid as one small file, from which a forecast starts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from core.errors import NoDataError
from core.files import write_bytes_atomically
from core.frame import iso, utc
from core.grid import Grid
from ingest.regrid import model_grid, onto
from ingest.window import Window

KEEP_WINDOWS: Final = 12
FRAMES: Final = "frames"


@dataclass(frozen=True)
class ServedModel:
    """What ingest has to know of a model: its name, the size of its cells and the times of its input."""

    name: str
    pixel_m: float
    cadence_minutes: int = 30
    steps: int = 5


@dataclass(frozen=True)
class ReadyWindow:
    """A `Window` on a model's grid, as a file keeps it; NaN is "not observed"."""

    frames_BTCHW: NDArray[np.float32]
    grid: Grid
    source_grid: Grid
    reference_time: datetime
    input_times: tuple[datetime | None, ...]
    product: str
    status: str
    notes: tuple[str, ...]
    missing_radars: tuple[str, ...]


def write_ready(window: Window, pixel_m: float, path: Path) -> None:
    """Put a window on the model's grid and write it, whole or not at all; float32, mm/h, (1, T, 1, H, W)."""
    grid = model_grid(window.grid, pixel_m)
    frames_BTCHW = onto(window.rate_mmh_THW, window.grid, grid)[np.newaxis, :, np.newaxis]
    told = {
        "reference_time": iso(window.reference_time),
        "status": window.status,
        "product": window.product,
        "units": "mm h-1",
        "input_times": json.dumps([iso(time) if time else None for time in window.input_times]),
        "grid": json.dumps(grid.to_dict()),
        "source_grid": json.dumps(window.grid.to_dict()),
        "notes": json.dumps(window.notes),
        "missing_radars": json.dumps(window.missing_radars),
    }
    write_bytes_atomically(path, save({FRAMES: np.ascontiguousarray(frames_BTCHW, np.float32)}, told))


def read_ready(path: Path) -> ReadyWindow:
    """Read a file of `write_ready`.

    Raises:
        NoDataError: it is not there, or not whole.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            told: Mapping[str, str] = file.metadata() or {}
            frames_BTCHW = file.get_tensor(FRAMES)
        return ReadyWindow(
            frames_BTCHW=frames_BTCHW,
            grid=Grid.from_dict(json.loads(told["grid"])),
            source_grid=Grid.from_dict(json.loads(told["source_grid"])),
            reference_time=utc(told["reference_time"]),
            input_times=tuple(utc(time) if time else None for time in json.loads(told["input_times"])),
            product=told["product"],
            status=told["status"],
            notes=tuple(json.loads(told["notes"])),
            missing_radars=tuple(json.loads(told["missing_radars"])),
        )
    except (OSError, SafetensorError, KeyError, ValueError) as err:
        raise NoDataError(f"no ready window {path.parent.name}/{path.name}: {type(err).__name__}: {err}") from err


def prune(folder: Path, keep: int = KEEP_WINDOWS) -> None:
    """Delete all but the newest windows of a folder; their names sort by time."""
    for old in sorted(folder.glob("[!.]*.safetensors"))[:-keep]:
        old.unlink(missing_ok=True)
