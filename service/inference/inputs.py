"""The input of a model: a window on the model's grid, identified by its content."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np

from core.arrays import Float32Field
from core.cells import CellEdges
from core.frame import RadarFrame
from core.grid import Grid
from core.times import iso
from ingest.store.live import Store
from ingest.windows.regrid import model_grid, onto
from ingest.windows.window import Window, build_window
from service.inference.predictor import Predictor

WINDOW_STEPS: Final = 5
"""Fewest fields of a window, so that persistence and extrapolation start from the same frames as a model."""


@dataclass(frozen=True)
class ModelInput:
    """A window on a model's grid.

    Attributes:
        window: source of the fields.
        grid: the model's grid over the window's area.
        rate_mmh_THW: mm/h on that grid; NaN is not observed, always with the same bits.
        cadence_minutes: spacing of the fields.
        sha256: of the fields, their grid and their times.
    """

    window: Window
    grid: Grid
    rate_mmh_THW: Float32Field
    cadence_minutes: int
    sha256: str

    @property
    def nominal_times(self) -> tuple[datetime, ...]:
        """Return the nominal times of the fields, oldest first."""
        return self.window.nominal_times


def noted(inputs: ModelInput, notes: Sequence[str], implausible: Sequence[str]) -> ModelInput:
    """Return the input with further notes of its window, which is degraded where a field is implausible."""
    window = replace(
        inputs.window,
        status="degraded" if implausible else inputs.window.status,
        notes=(*inputs.window.notes, *notes, *implausible),
    )
    return replace(inputs, window=window)


def model_input(window: Window, pixel_m: float | CellEdges, cadence_minutes: int) -> ModelInput:
    """Put a window on the grid of a model with cells of about `pixel_m`, the edge of square cells or both edges."""
    grid = model_grid(window.grid, pixel_m)
    rate_mmh_THW = onto(window.rate_mmh_THW, window.grid, grid)
    rate_mmh_THW = np.where(np.isnan(rate_mmh_THW), np.float32("nan"), rate_mmh_THW)
    identity = {
        "grid": grid.key,
        "nominal_times": [iso(time) for time in window.nominal_times],
        "input_times": [time and iso(time) for time in window.input_times],
        "product": window.product,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(rate_mmh_THW).data)
    return ModelInput(window, grid, rate_mmh_THW, cadence_minutes, digest.hexdigest())


class Windows:
    """Builds the inputs of models from stored scans and from uploads.

    Args:
        store: of the scans and of the ready windows.
        predictor: knows the window that a model needs.
        scheduled: the model whose ready windows serve others on the same grid too.
    """

    def __init__(self, store: Store, predictor: Predictor, scheduled: str) -> None:
        self._store, self._predictor, self._scheduled = store, predictor, scheduled

    def stored(self, reference_time: datetime, reference: str) -> ModelInput:
        """Return the input from stored scans that ends with the scan of a time.

        Raises:
            ConflictError: the scans do not form a window; the message names the missing times.
        """
        cells, steps, cadence_minutes = self._wanted(reference)
        for name in dict.fromkeys(self._names(reference)):
            ready = self._store.current_window(name, reference_time, steps=steps, cadence_minutes=cadence_minutes)
            if ready and model_grid(ready.source_grid, cells).same_place(ready.grid):
                return model_input(ready.as_window(), cells, cadence_minutes)
        window = self._store.window(reference_time, steps=steps, cadence_minutes=cadence_minutes)
        return model_input(window, cells, cadence_minutes)

    def of(self, frames: Sequence[RadarFrame], reference: str) -> ModelInput:
        """Return the input from a user's frames.

        Raises:
            ConflictError: two grids or products, wrong spacing, or too few frames.
        """
        cells, steps, cadence_minutes = self._wanted(reference)
        window = build_window(frames, steps=steps, cadence_minutes=cadence_minutes, strict=True)
        return model_input(window, cells, cadence_minutes)

    def _wanted(self, reference: str) -> tuple[CellEdges, int, int]:
        forecaster = self._predictor.forecaster(reference)
        return forecaster.cell_edges, max(forecaster.input_steps, WINDOW_STEPS), round(forecaster.cadence_minutes)

    def _names(self, reference: str) -> Iterator[str]:
        """Yield the models whose ready windows may fit; its grid and scans decide whether one does, not its name."""
        yield reference
        yield reference.partition("@")[0]
        yield self._scheduled
        yield "default"
