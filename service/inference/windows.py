"""The input of a model: from a window that ingest keeps ready, from stored scans, or from a user's frames."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from core.frame import RadarFrame
from ingest.store.live import Store
from ingest.windows.regrid import model_grid
from ingest.windows.window import build_window
from service.inference.inputs import ModelInput, model_input
from service.inference.predictor import Predictor

WINDOW_STEPS: Final = 5
"""Fields of a window at least, so that persistence and extrapolation start from the same frames as a model."""


class Windows:
    """Makes inputs.

    Args:
        store: of the scans and of the ready windows.
        predictor: knows what a model wants.
        scheduled: the model whose windows serve others of the same cells too.
    """

    def __init__(self, store: Store, predictor: Predictor, scheduled: str) -> None:
        self._store, self._predictor, self._scheduled = store, predictor, scheduled

    def stored(self, reference_time: datetime, reference: str) -> ModelInput:
        """The input from stored scans that ends with the scan of a time.

        Raises:
            ConflictError: the scans make no window; the message names the missing times.
        """
        pixel_m, steps, cadence_minutes = self._wanted(reference)
        for name in dict.fromkeys(self._names(reference)):
            ready = self._store.current_window(name, reference_time, steps=steps, cadence_minutes=cadence_minutes)
            if ready and model_grid(ready.source_grid, pixel_m).same_place(ready.grid):
                return model_input(ready.as_window(), pixel_m, cadence_minutes)
        window = self._store.window(reference_time, steps=steps, cadence_minutes=cadence_minutes)
        return model_input(window, pixel_m, cadence_minutes)

    def of(self, frames: Sequence[RadarFrame], reference: str) -> ModelInput:
        """The input from a user's frames.

        Raises:
            ConflictError: two grids or products, wrong spacing, or too few frames.
        """
        pixel_m, steps, cadence_minutes = self._wanted(reference)
        window = build_window(frames, steps=steps, cadence_minutes=cadence_minutes, strict=True)
        return model_input(window, pixel_m, cadence_minutes)

    def _wanted(self, reference: str) -> tuple[float, int, int]:
        forecaster = self._predictor.forecaster(reference)
        return forecaster.pixel_m, max(forecaster.input_steps, WINDOW_STEPS), round(forecaster.cadence_minutes)

    def _names(self, reference: str) -> Iterator[str]:
        """Whose ready windows may do: which one fits is seen from its grid and its scans, not from its name."""
        yield reference
        yield reference.partition("@")[0]
        yield self._scheduled
        yield "default"
