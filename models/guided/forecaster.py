"""A guided model as a forecaster: advection, exceedance probabilities, and a deterministic field matched to them."""

from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.errors import InputError
from core.units import PAPER_PIXEL_M
from models.device import pick_device
from models.fast import ready
from models.fields import ForecastFields
from models.forecaster import Forecaster
from models.guided.adaptation import Adaptation, HindcastSamples
from models.guided.calibration import CalibrationByCell
from models.guided.fields import ProbabilityMatching
from models.guided.network import GuidedModel
from models.guided.statistics import NAMES, predictors_LFHW

ORIGIN_OBSERVED: Final = NAMES.index("covered")
"""Predictor that is 1 where the origin of the rain is within the newest field and observed, else 0."""


class GuidedForecaster(Forecaster):
    """Exceedance probabilities per grid cell and lead, and a rate field matched to them.

    Any cadence and cell size is accepted: motion is measured in grid cells and steps of the input, and the lifetime of
    each scale is estimated from the input fields. The weights were trained on cells of 2 to 9 km at 5 to 30 minutes.

    Attributes:
        thresholds_mmh: of the exceedance probabilities.
        adaptation: post-processing fitted to hindcasts within the window; None: no post-processing.
        calibration: of the probabilities; None leaves them as the model computes them.
        matching: probability matching, which makes the deterministic field.
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
        pixel_m: float = PAPER_PIXEL_M,
        adaptation: Adaptation | None = None,
        calibration: CalibrationByCell | None = None,
        matching: ProbabilityMatching | None = None,
    ) -> None:
        super().__init__(name, version, input_steps=input_steps, cadence_minutes=cadence_minutes, pixel_m=pixel_m)
        self.device = pick_device(device)
        self.model = ready(model, self.device, precision)
        self.thresholds_mmh = tuple(model.rates_mmh)
        self.adaptation, self.calibration, self.matching = adaptation, calibration, matching or ProbabilityMatching()

    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> list[ForecastFields]:
        needed, (rows, cols) = self.model.minimum_cells, rate_mmh_BTHW.shape[-2:]
        if min(rows, cols) < needed:
            raise InputError(
                f"rate_mmh_THW: expected at least {needed} x {needed} grid cells for {self.name}, got {rows} x {cols}"
            )
        newest_BTHW = rate_mmh_BTHW[:, -self.input_steps :]
        predictors_BLFHW = np.stack(
            [predictors_LFHW(each_THW, lead_steps, cadence_minutes) for each_THW in newest_BTHW]
        )
        probability_BLKHW = self._probabilities(newest_BTHW, predictors_BLFHW, cadence_minutes, pixel_m)
        return [self._fields(*each) for each in zip(probability_BLKHW, predictors_BLFHW, newest_BTHW, strict=True)]

    def _fields(
        self, probability_LKHW: Float32Field, traced_LFHW: Float32Field, rate_mmh_THW: Float32Field
    ) -> ForecastFields:
        return ForecastFields(
            self.matching.rate_mmh_LHW(probability_LKHW, rate_mmh_THW[-1], self.thresholds_mmh),
            traced_LFHW[:, ORIGIN_OBSERVED] > 0,
            np.ascontiguousarray(probability_LKHW.swapaxes(0, 1)),
            self.thresholds_mmh,
        )

    def _probabilities(
        self, rate_mmh_BTHW: Float32Field, predictors_BLFHW: Float32Field, cadence_minutes: float, pixel_m: float
    ) -> Float32Field:
        """Return probabilities of shape (B, L, K, H, W), finite everywhere, not rising with the threshold."""
        parts = self._run(predictors_BLFHW)
        logits_BLKHW = parts[1] + parts[2]
        if self.adaptation is not None:
            logits_BLKHW += np.stack(
                [
                    self._adapted(self.adaptation, cadence_minutes, *of_one)
                    for of_one in zip(rate_mmh_BTHW, *parts, strict=True)
                ]
            )
        probability_BLKHW: Float32Field = 1 / (1 + np.exp(-logits_BLKHW))
        if self.calibration is not None:
            probability_BLKHW = np.stack([self.calibration(each_LKHW, pixel_m) for each_LKHW in probability_BLKHW])
        return np.asarray(np.minimum.accumulate(probability_BLKHW, axis=2), np.float32)

    def _run(self, predictors_BLFHW: Float32Field) -> tuple[Float32Field, Float32Field, Float32Field]:
        """Return predictors of standard deviation 1, logits of the statistical model, and the network's correction."""
        with torch.inference_mode():
            parts = self.model.parts(torch.from_numpy(predictors_BLFHW).to(self.device))
            scaled_BLFHW, prior_BLKHW, correction_BLKHW = (part.float().cpu().numpy() for part in parts)
        return scaled_BLFHW, prior_BLKHW, correction_BLKHW

    def _adapted(
        self,
        adaptation: Adaptation,
        cadence_minutes: float,
        rate_mmh_THW: Float32Field,
        scaled_LFHW: Float32Field,
        prior_LKHW: Float32Field,
        correction_LKHW: Float32Field,
    ) -> Float32Field:
        """Return the correction of the logits that hindcasts of the newest input fields suggest, by lead."""
        hindcasts: list[HindcastSamples] = []
        last = len(rate_mmh_THW) - 1
        for newest in range(max(last - adaptation.origins, 1), last):
            hindcasts += self._hindcasts(rate_mmh_THW, newest, cadence_minutes, adaptation.step(rate_mmh_THW.shape[1:]))
        weights_FK = adaptation.learnt(hindcasts, self.thresholds_mmh)
        if weights_FK is None:
            return np.zeros_like(prior_LKHW)
        return adaptation.added_LKHW(scaled_LFHW, prior_LKHW, correction_LKHW, weights_FK)

    def _hindcasts(
        self, rate_mmh_THW: Float32Field, newest: int, cadence_minutes: float, step: int
    ) -> list[HindcastSamples]:
        """Forecast the fields after `newest` from those up to it, and sample the cells where both are observed."""
        seen_THW: NDArray[np.bool_] = np.isfinite(rate_mmh_THW)
        seen_T: NDArray[np.bool_] = np.asarray(seen_THW.any(axis=(1, 2)))
        if not (seen_T[newest] and seen_T[:newest].any() and seen_T[newest + 1 :].any()):
            return []
        future_LHW = rate_mmh_THW[newest + 1 :]
        known_LFHW = predictors_LFHW(rate_mmh_THW[: newest + 1], len(future_LHW), cadence_minutes)
        parts = self._run(known_LFHW[None])
        every = (slice(step // 4, None, step),) * 2
        found = []
        for lead, future_HW in enumerate(future_LHW):
            both_HW = np.asarray(seen_THW[newest, *every] & np.isfinite(future_HW[every]))
            scaled_NF, prior_NK, correction_NK = (part[0, lead][:, *every][:, both_HW].T for part in parts)
            found.append(HindcastSamples(scaled_NF, prior_NK, correction_NK, future_HW[every][both_HW], step))
        return found
