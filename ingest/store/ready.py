"""Ready windows: the newest window on a model's grid in one small file, from which a forecast starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from core.cells import CellEdges
from core.errors import InputError, NoDataError
from core.files import write_bytes_atomically
from core.grid import Grid
from core.records import RecordCodec
from ingest.store.index import Scan
from ingest.windows.regrid import model_grid, onto
from ingest.windows.window import Window

KEEP_WINDOWS: Final = 12
FRAMES: Final = "frames"


@dataclass(frozen=True)
class ServedModel:
    """Properties of a model that ingest needs: its name, its cells (one or both edges) and the times of its input."""

    name: str
    pixel_m: float | CellEdges
    cadence_minutes: int = 30
    steps: int = 5


@dataclass(frozen=True)
class ReadyWindow:
    """A `Window` on a model's grid, as it is stored in a file; NaN is "not observed"."""

    frames_BTCHW: NDArray[np.float32]
    grid: Grid
    source_grid: Grid
    reference_time: datetime
    input_times: tuple[datetime | None, ...]
    product: str
    status: str
    notes: tuple[str, ...]
    missing_radars: tuple[str, ...]
    nominal_times: tuple[datetime, ...] = ()
    provider: str | None = None
    sources: tuple[str, ...] = ()
    """Content hashes (sha256) of its scans, oldest first; empty where the file has none."""

    def as_window(self) -> Window:
        """Return the window on the model's grid."""
        return Window(
            reference_time=self.reference_time,
            grid=self.grid,
            rate_mmh_THW=self.frames_BTCHW[0, :, 0],
            nominal_times=self.nominal_times,
            input_times=self.input_times,
            product=self.product,
            status="ok" if self.status == "ok" else "degraded",
            notes=self.notes,
            missing_radars=self.missing_radars,
            model_usable=True,
            scan_grid=self.source_grid,
            provider=self.provider,
        )


READY: Final = RecordCodec(ReadyWindow, omit=("frames_BTCHW",), error=NoDataError)
"""The record of a file's metadata, which safetensors keeps as text."""


def write_ready(window: Window, pixel_m: float | CellEdges, path: Path, scans: Sequence[Scan] = ()) -> None:
    """Put a window on the model's grid and write it, whole or not at all; float32, mm/h, (1, T, 1, H, W).

    Args:
        window: the window to write.
        pixel_m: approximate edge of the model's square grid cells, or both edges.
        path: of the file.
        scans: the scans of the window; if one of them could not be read, the file has no sources.
    """
    grid = model_grid(window.grid, pixel_m)
    frames_BTCHW = onto(window.rate_mmh_THW, window.grid, grid)[np.newaxis, :, np.newaxis]
    ready = ReadyWindow(
        frames_BTCHW=np.ascontiguousarray(frames_BTCHW, np.float32),
        grid=grid,
        source_grid=window.grid,
        reference_time=window.reference_time,
        input_times=window.input_times,
        product=window.product,
        status=window.status,
        notes=window.notes,
        missing_radars=window.missing_radars,
        nominal_times=window.nominal_times,
        provider=window.provider,
        sources=sources_of(scans) if len(scans) == len(window.input_times) - window.input_times.count(None) else (),
    )
    metadata = {name: str(value) for name, value in READY.to_attributes(ready).items()}
    write_bytes_atomically(path, save({FRAMES: ready.frames_BTCHW}, {**metadata, "units": "mm h-1"}))


def read_ready(path: Path) -> ReadyWindow:
    """Read a file of `write_ready`.

    Raises:
        NoDataError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            frames_BTCHW = file.get_tensor(FRAMES)
        return READY.from_attributes(metadata, frames_BTCHW=frames_BTCHW)
    except (OSError, SafetensorError, KeyError, ValueError, NoDataError, InputError) as err:
        raise NoDataError(f"no ready window {path.parent.name}/{path.name}: {type(err).__name__}: {err}") from err


def sources_of(scans: Sequence[Scan]) -> tuple[str, ...]:
    """Return the content hashes of scans, as a window's file contains them."""
    return tuple(scan.sha256 for scan in scans)


def prune(folder: Path, keep: int = KEEP_WINDOWS) -> None:
    """Delete all but the newest windows of a folder; their names sort by time."""
    for old in sorted(folder.glob("[!.]*.safetensors"))[:-keep]:
        old.unlink(missing_ok=True)
