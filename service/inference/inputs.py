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
from ingest.store.recent import recent_window
from ingest.windows.regrid import model_grid, onto
from ingest.windows.series import upload_window
from ingest.windows.window import Window, build_window
from service.inference.leads import LeadPolicy, Leads
from service.inference.predictor import Predictor
from verification.baselines import BASELINES

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
        lead_minutes: leads of its forecasts, multiples of the cadence.
    """

    window: Window
    grid: Grid
    rate_mmh_THW: Float32Field
    cadence_minutes: int
    sha256: str
    lead_minutes: Leads

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


def model_input(window: Window, cells: float | CellEdges | None, lead_minutes: Leads) -> ModelInput:
    """Put a window on the grid of a model.

    Args:
        window: its rates may be changed: NaN is written with the same bits everywhere.
        cells: edge of the model's square cells, or both edges; None: the window's own grid.
        lead_minutes: of the forecasts.
    """
    grid = window.grid if cells is None else model_grid(window.grid, cells)
    rate_mmh_THW = onto(window.rate_mmh_THW, window.grid, grid)
    if not rate_mmh_THW.flags.writeable:
        rate_mmh_THW = rate_mmh_THW.copy()
    for field_HW in rate_mmh_THW:
        field_HW[np.isnan(field_HW)] = np.float32("nan")
    identity = {
        "grid": grid.key,
        "nominal_times": [iso(time) for time in window.nominal_times],
        "input_times": [time and iso(time) for time in window.input_times],
        "product": window.product,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(rate_mmh_THW).data)
    return ModelInput(window, grid, rate_mmh_THW, window.cadence_minutes, digest.hexdigest(), lead_minutes)


class Windows:
    """Builds the inputs of models from stored scans and from uploads.

    A model of any scale takes the scans of two hours at their own cadence and on their own grid; another one takes the
    window of its training.

    Args:
        store: of the scans and of the ready windows.
        predictor: knows the window that a model needs.
        scheduled: the model whose ready windows serve others on the same grid too.
        policy: which leads the forecasts have.
        cells_m: edge of the cells of a model of any scale; None: those of the scans.
        stored_cells_m: the same for stored scans alone, where `cells_m` is None; no model is refused for it.
    """

    def __init__(
        self,
        store: Store,
        predictor: Predictor,
        scheduled: str,
        policy: LeadPolicy,
        cells_m: float | None = None,
        *,
        stored_cells_m: float | None = None,
    ) -> None:
        self._store, self._predictor, self._scheduled = store, predictor, scheduled
        self._policy, self._cells_m, self._stored_cells_m = policy, cells_m, cells_m or stored_cells_m

    def stored(self, reference_time: datetime, reference: str) -> ModelInput:
        """Return the input from stored scans that ends with the scan of a time.

        Raises:
            NoDataError: no scan is stored near that time.
            ConflictError: the scans do not form a window; the message names the missing times.
        """
        if self._any_scale(reference):
            window = recent_window(self._store, reference_time)
            return model_input(window, self._stored_cells_m, self._policy.leads(window.cadence_minutes))
        cells, steps, cadence_minutes = self._wanted(reference)
        leads = self._policy.leads(cadence_minutes)
        for name in dict.fromkeys(self._names(reference)):
            ready = self._store.current_window(name, reference_time, steps=steps, cadence_minutes=cadence_minutes)
            if ready and model_grid(ready.source_grid, cells).same_place(ready.grid):
                return model_input(ready.as_window(), cells, leads)
        window = self._store.window(reference_time, steps=steps, cadence_minutes=cadence_minutes)
        return model_input(window, cells, leads)

    def of(self, frames: Sequence[RadarFrame], reference: str) -> ModelInput:
        """Return the input from a user's frames.

        Raises:
            ConflictError: two grids or products, wrong spacing, or too few frames.
        """
        if self._any_scale(reference):
            window = upload_window(frames)
            return model_input(window, self._cells_m, self._policy.leads(window.cadence_minutes, of_upload=True))
        cells, steps, cadence_minutes = self._wanted(reference)
        window = build_window(frames, steps=steps, cadence_minutes=cadence_minutes, strict=True)
        return model_input(window, cells, self._policy.leads(cadence_minutes, of_upload=True))

    def _any_scale(self, reference: str) -> bool:
        return self._predictor.forecaster(self._leading(reference)).any_scale

    def _leading(self, reference: str) -> str:
        """Return the model whose window is taken: for a baseline the scheduled one, so that both can be compared."""
        return self._scheduled if reference in BASELINES else reference

    def _wanted(self, reference: str) -> tuple[CellEdges, int, int]:
        forecaster = self._predictor.forecaster(self._leading(reference))
        return forecaster.cell_edges, max(forecaster.input_steps, WINDOW_STEPS), round(forecaster.cadence_minutes)

    def _names(self, reference: str) -> Iterator[str]:
        """Yield the models whose ready windows may fit; its grid and scans decide whether one does, not its name."""
        yield reference
        yield reference.partition("@")[0]
        yield self._scheduled
        yield "default"
