"""A network that draws members, as a forecaster: their mean, their shares at thresholds, and themselves on request."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from core.arrays import Float32Field
from core.units import THRESHOLDS_MMH
from models.convgru_ensemble import NOISE_SEED, ConvGRUEnsemble
from models.ensembles import of_members
from models.fields import ForecastFields
from models.forecaster import NetworkForecaster
from models.transforms import Transform


class NetworkEnsemble(NetworkForecaster):
    """A network forecaster whose rate is the mean of members and whose probabilities are shares of them.

    The mean is that of rates, not of network values. The same input gives the same members. Arguments: as
    `NetworkForecaster`.
    """

    makes_members: ClassVar[bool] = True
    thresholds_mmh = THRESHOLDS_MMH

    def __init__(self, model: ConvGRUEnsemble, transform: Transform, name: str, version: str, **how: Any) -> None:
        super().__init__(model, transform, name, version, **how)
        self.ensemble = model

    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Sequence[ForecastFields]:
        return self._forecast_members(rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m, 0)

    def _forecast_members(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float, members: int
    ) -> Sequence[ForecastFields]:
        del cadence_minutes, pixel_m
        newest_BTHW = np.ascontiguousarray(rate_mmh_BTHW[:, -self.input_steps :])
        with torch.inference_mode():
            frames_BTCHW = self.transform.encode(torch.from_numpy(newest_BTHW).to(self.device)[:, :, None])
            count = members or self.ensemble.members
            value_BMTCHW = self.ensemble.draw_members(frames_BTCHW, lead_steps, count, seed=NOISE_SEED)
            rate_BMLHW = self.transform.decode(value_BMTCHW.float())[:, :, :, 0].cpu().numpy()
        covered_BHW = np.isfinite(newest_BTHW[:, -1])
        known_BLHW = np.repeat(covered_BHW[:, None], lead_steps, axis=1)
        pairs = zip(np.array(rate_BMLHW, np.float32), known_BLHW, strict=True)
        return [of_members(rate_MLHW, known_LHW, self.thresholds_mmh) for rate_MLHW, known_LHW in pairs]
