"""A guided model as a forecaster: advection, probabilities, and one sharp field made of them."""

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration import Calibration
from models.fast import ready
from models.forecaster import Float32Field, Forecaster, pick_device
from models.guidance.predictors import predictors_LFHW
from models.guided import GuidedModel
from models.rebuild import Rebuild


class GuidedForecaster(Forecaster):
    """Probabilities of exceeding rates per cell and lead, and a field whose frequency of each rate fits them.

    Any cadence and cell size is forecast as it comes: motion is measured in the cells and steps that were given, and
    how fast each scale fades is learnt from the given fields. The weights were trained on cells of 2 to 9 km at 5 to 30
    minutes.

    Attributes:
        rates_mmh: thresholds of the probabilities.
        calibration: None leaves the probabilities as they come from the model.
        rebuild: how the field is made.
    """

    minimum_steps: ClassVar[int] = 2

    def __init__(
        self,
        model: GuidedModel,
        name: str,
        version: str,
        *,
        device: str = "auto",
        precision: str = "auto",
        input_steps: int = 5,
        cadence_minutes: int = 30,
        pixel_m: float = 900_000 / 124,
        calibration: Calibration | None = None,
        rebuild: Rebuild | None = None,
    ) -> None:
        super().__init__(name, version, input_steps=input_steps, cadence_minutes=cadence_minutes, pixel_m=pixel_m)
        self.device = pick_device(device)
        self.model = ready(model, self.device, precision)
        self.rates_mmh = model.rates_mmh
        self.calibration, self.rebuild = calibration, rebuild or Rebuild()

    def forecast_probabilities(
        self,
        rate_mmh_THW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
    ) -> Float32Field:
        """Probability that the rate at a lead is at or above each of `rates_mmh`.

        Args:
            rate_mmh_THW: as `forecast`.
            lead_steps: as `forecast`.
            cadence_minutes: as `forecast`.
            pixel_m: as `forecast`.

        Returns:
            (K, lead_steps, H, W) float32, not rising with the threshold; NaN where the newest input field is NaN.

        Raises:
            InputError: as `forecast`.
        """
        return self.forecast_both(rate_mmh_THW, lead_steps, cadence_minutes=cadence_minutes, pixel_m=pixel_m)[1]

    def forecast_both(
        self,
        rate_mmh_THW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
    ) -> tuple[Float32Field, Float32Field]:
        """What `forecast` and `forecast_probabilities` give, for the work of one of them."""
        fields_THW = self._checked(rate_mmh_THW, lead_steps)
        chance_LKHW = self._probabilities(fields_THW, lead_steps, self._spacing(cadence_minutes, pixel_m)[0])
        rate_LHW = self._finished(self._rebuilt(chance_LKHW, fields_THW), fields_THW)
        chance_KLHW = np.ascontiguousarray(chance_LKHW.swapaxes(0, 1))
        chance_KLHW[..., np.isnan(fields_THW[-1])] = np.nan
        return rate_LHW, chance_KLHW

    def _forecast(
        self, rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Float32Field:
        del pixel_m
        return self._rebuilt(self._probabilities(rate_mmh_THW, lead_steps, cadence_minutes), rate_mmh_THW)

    def _rebuilt(self, chance_LKHW: Float32Field, rate_mmh_THW: Float32Field) -> Float32Field:
        return self.rebuild.rate_mmh_LHW(chance_LKHW, rate_mmh_THW[-1], self.rates_mmh)

    def _probabilities(self, rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: float) -> Float32Field:
        """(L, K, H, W), everywhere finite."""
        known_LFHW = predictors_LFHW(rate_mmh_THW[-self.input_steps :], lead_steps, cadence_minutes)
        with torch.inference_mode():
            logits_BLKHW = self.model(torch.from_numpy(known_LFHW)[None].to(self.device))
            chance_LKHW: NDArray[Any] = torch.sigmoid(logits_BLKHW[0].float()).cpu().numpy()
        if self.calibration is not None:
            chance_LKHW = self.calibration(chance_LKHW)
        return np.minimum.accumulate(chance_LKHW, axis=1).astype(np.float32)
