"""Adaptation of a statistical forecast to its own input: hindcasts within the window correct the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.arrays import Float32Field
from core.errors import InputError
from core.records import RecordCodec

LOGIT_UNIT: Final = 3.0
"""Scale of the logit among the predictors, whose standard deviation is 1."""
LINES: Final = 3
"""Last rows of the design matrix: logit, correction, constant."""
FEWEST: Final = 5.0
"""Minimum number of independent cells for an adaptation."""
HALVINGS: Final = 8
ENOUGH: Final = 1e-3
"""A step that lowers the entropy by a smaller share ends the iteration."""


class HindcastSamples(NamedTuple):
    """Hindcast samples: grid cells at one lead time whose verifying observation is available.

    Attributes:
        scaled_NF: predictors with standard deviation 1.
        prior_NK: logits of the statistical model.
        correction_NK: what the network adds to them.
        rate_mmh_N: the observed rate.
        step: every `step`-th cell along both axes was taken.
    """

    scaled_NF: Float32Field
    prior_NK: Float32Field
    correction_NK: Float32Field
    rate_mmh_N: Float32Field
    step: int


@dataclass(frozen=True)
class Adaptation:
    """Ridge logistic regression on hindcasts within the window, on top of the model's logits.

    Of five input fields, the model forecasts the newest three from the fields before each of them, one to three steps
    ahead. The error of these hindcasts, as a linear function of the predictors, of the statistical model's logit and of
    the network's correction, is added to the forecast, with a weight that falls with the lead time: so a network that
    errs on this weather counts less. Penalties keep the correction near zero if there is little to learn from.

    Attributes:
        trusted_cells: maximum number of independent cells that all hindcasts together count as.
        cells_per_trusted: neighbouring cells that count as one independent cell.
        ridge: penalty on the squared weights of predictors.
        line_ridge: the same for the weights of the logit, of the correction and of the constant.
        fading: factor from one lead to the next.
        origins: how many of the input fields are forecast.
        sampled_cells: approximate number of cells of a field that are used.
        iterations: maximum number of steps of Newton's method.
    """

    trusted_cells: float = 1000.0
    cells_per_trusted: float = 90.0
    ridge: float = 20.0
    line_ridge: float = 5.0
    fading: float = 0.7
    origins: int = 3
    sampled_cells: int = 1000
    iterations: int = 10

    def step(self, shape: tuple[int, ...]) -> int:
        """Return the step along both axes at which cells of a field of this shape are sampled."""
        return max(1, round(float(np.sqrt(shape[0] * shape[1] / self.sampled_cells))))

    def learnt(self, hindcasts: Sequence[HindcastSamples], rates_mmh: Sequence[float]) -> Float32Field | None:
        """Fit the weights (F + 3, K) of predictors, logit, correction and constant, by threshold.

        Args:
            hindcasts: all hindcasts.
            rates_mmh: thresholds, one per logit.

        Returns:
            The weights; None if there are too few samples.
        """
        trusted = sum(len(one.rate_mmh_N) * one.step**2 for one in hindcasts) / self.cells_per_trusted
        if trusted < FEWEST:
            return None
        scaled_NF, prior_NK, correction_NK, rate_mmh_N = (
            torch.from_numpy(np.concatenate([one[part] for one in hindcasts])) for part in range(4)
        )
        weight = min(self.trusted_cells, trusted) / len(rate_mmh_N)
        penalty_F = torch.full((scaled_NF.shape[1] + LINES,), self.ridge, dtype=torch.float64)
        penalty_F[-LINES:] = self.line_ridge
        found = []
        for prior_N, correction_N, mmh in zip(prior_NK.T, correction_NK.T, rates_mmh, strict=True):
            lines_NF = torch.stack([prior_N / LOGIT_UNIT, correction_N, torch.ones_like(prior_N)], dim=1)
            design_NF = torch.cat([scaled_NF, lines_NF], dim=1)
            event_N = (rate_mmh_N >= mmh).float()
            found.append(self._newton(design_NF, prior_N + correction_N, event_N, weight, penalty_F))
        return torch.stack(found, dim=1).float().numpy()

    def added_LKHW(
        self,
        scaled_LFHW: Float32Field,
        prior_LKHW: Float32Field,
        correction_LKHW: Float32Field,
        weights_FK: Float32Field,
    ) -> Float32Field:
        """Return what is added to the logits of the forecast.

        Args:
            scaled_LFHW: its predictors with standard deviation 1.
            prior_LKHW: logits of the statistical model.
            correction_LKHW: what the network adds to them.
            weights_FK: as `learnt` returns them.
        """
        by_predictor_LKHW = np.einsum("lfhw,fk->lkhw", scaled_LFHW, weights_FK[:-LINES], optimize=True)
        of_prior, of_correction, constant = (part[:, None, None] for part in weights_FK[-LINES:])
        lines_LKHW = prior_LKHW / np.float32(LOGIT_UNIT) * of_prior + correction_LKHW * of_correction + constant
        fading_L = np.float32(self.fading) ** np.arange(len(prior_LKHW), dtype=np.float32)
        return np.asarray((by_predictor_LKHW + lines_LKHW) * fading_L[:, None, None, None], np.float32)

    def _newton(self, design_NF: Tensor, logit_N: Tensor, event_N: Tensor, weight: float, penalty_F: Tensor) -> Tensor:
        """Minimise the penalised entropy of one threshold by Newton's method, halving steps that raise it."""

        def entropy(weights_F: Tensor) -> float:
            adapted_N = logit_N + design_NF @ weights_F.float()
            cross = F.binary_cross_entropy_with_logits(adapted_N, event_N, reduction="sum").double()
            return float(weight * cross + 0.5 * (penalty_F * weights_F.square()).sum())

        weights_F = torch.zeros_like(penalty_F)
        lowest = entropy(weights_F)
        for _ in range(self.iterations):
            probability_N = torch.sigmoid(logit_N + design_NF @ weights_F.float())
            gradient_F = weight * (design_NF.T @ (probability_N - event_N)).double() + penalty_F * weights_F
            curvature_N = weight * probability_N * (1 - probability_N)
            hessian_FF = ((design_NF * curvature_N[:, None]).T @ design_NF).double() + penalty_F.diag()
            step_F = torch.linalg.solve(hessian_FF, gradient_F)
            tried = [weights_F - step_F * 0.5**halvings for halvings in range(HALVINGS)]
            better = next(((found, one_F) for one_F in tried if (found := entropy(one_F)) < lowest), None)
            if better is None:
                break
            gained, (lowest, weights_F) = lowest - better[0], better
            if gained < ENOUGH * lowest:
                break
        return weights_F


ADAPTATION: Final = RecordCodec(Adaptation, extra="forbid", error=InputError)
"""Codec between these settings and the key `adaptation` of a checkpoint's card."""
