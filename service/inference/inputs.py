"""The window as a model sees it: on the model's grid, and known by its content."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import numpy as np

from core.arrays import Float32Field
from core.frame import iso
from core.grid import Grid
from ingest.windows.regrid import model_grid, onto
from ingest.windows.window import Window
from service.forecasts.products import read_window
from service.forecasts.records import Forecast, Origin

NAMESPACE: Final = UUID("6f0f7a52-6a3e-5c8e-9b1d-2f6f4c1f7a90")
"""Of all forecast ids; a new one would give every forecast a new id."""


@dataclass(frozen=True)
class ModelInput:
    """A window on a model's grid.

    Attributes:
        window: where it comes from.
        grid: the model's cells over the window's area.
        rate_mmh_THW: mm/h on that grid; NaN is not observed, always with the same bits.
        cadence_minutes: spacing of the fields.
        sha256: of the fields, their places and their times.
    """

    window: Window
    grid: Grid
    rate_mmh_THW: Float32Field
    cadence_minutes: int
    sha256: str

    @property
    def nominal_times(self) -> tuple[datetime, ...]:
        """The times that the fields stand for."""
        return self.window.nominal_times


def model_input(window: Window, pixel_m: float, cadence_minutes: int) -> ModelInput:
    """Put a window on the grid of a model with cells of about `pixel_m`."""
    grid = model_grid(window.grid, pixel_m)
    rate_mmh_THW = onto(window.rate_mmh_THW, window.grid, grid)
    rate_mmh_THW = np.where(np.isnan(rate_mmh_THW), np.float32("nan"), rate_mmh_THW)
    told = {
        "grid": grid.key,
        "nominal_times": [iso(time) for time in window.nominal_times],
        "input_times": [time and iso(time) for time in window.input_times],
        "product": window.product,
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(rate_mmh_THW).data)
    return ModelInput(window, grid, rate_mmh_THW, cadence_minutes, digest.hexdigest())


def kept_input(forecast: Forecast) -> ModelInput:
    """The input of a stored forecast, from the file beside it.

    Raises:
        NoDataError: the file is gone, or of a time when it did not say all.
    """
    window = read_window(forecast)
    return ModelInput(window, forecast.grid, window.rate_mmh_THW, forecast.lead_minutes[0], forecast.inputs_sha256)


def forecast_id(inputs: ModelInput, model: str, version: str, lead_steps: int, origin: Origin) -> str:
    """The same for the same input, model version and leads.

    Uploads have ids of their own: nobody's upload, with the observations that come with it, becomes or replaces a
    forecast from scans.
    """
    parts = [inputs.sha256, model, version, lead_steps, inputs.cadence_minutes, origin]
    return str(uuid5(NAMESPACE, json.dumps(parts)))
