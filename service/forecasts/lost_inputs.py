"""Inputs of forecasts from the stored scans again, where the file that was kept of them is damaged or gone."""

from contextlib import suppress
from dataclasses import replace

from core.errors import ConflictError, NoDataError, UnknownNameError
from service.forecasts.catalogue import Catalogue
from service.forecasts.records import StoredForecast
from service.inference.inputs import ModelInput, Windows
from service.inference.predictor import Predictor


class LostInputs:
    """Builds the inputs of stored forecasts as they were built first.

    Args:
        catalogue: of the forecasts.
        windows: builds inputs from stored scans.
        predictor: knows the window that a model needs.
    """

    def __init__(self, catalogue: Catalogue, windows: Windows, predictor: Predictor) -> None:
        self._catalogue, self._windows, self._predictor = catalogue, windows, predictor

    def from_scans(self, forecast: StoredForecast) -> ModelInput | None:
        """Return the inputs of a forecast; None of an upload, and where the scans give no longer the same ones.

        Raises:
            UnavailableError: the scans cannot be read now.
        """
        if forecast.origin != "scans":
            return None
        known = self._catalogue.select(inputs_sha256=forecast.inputs_sha256, origin="scans", baselines=False)
        for model in dict.fromkeys([*(one.requested_model for one in known), forecast.requested_model]):
            with suppress(NoDataError, ConflictError, UnknownNameError):
                reference = self._predictor.choose(model).reference
                inputs = self._windows.stored(forecast.reference_time, reference)
                if inputs.sha256 == forecast.inputs_sha256:
                    return replace(inputs, lead_minutes=forecast.lead_minutes)
        return None
