"""Scheduled sampling: whether a training step takes the true frame or the model's own prediction."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField
from core.registry import Registry
from models.build import MODELS, MULTISCALE
from models.cells import CELLS


@dataclass(frozen=True)
class Schedule:
    """Base: which frames are true in one optimiser step; drawn by (seed, step, sample), the same on every rank.

    Attributes:
        epochs: of the run; a schedule by epoch divides the run into as many equal parts.
    """

    epochs: int = 20

    def probabilities(self, step: int, total_steps: int, given: int, leads: int) -> NDArray[np.float64]:
        """Return the probability of the true frame at each recurrent step, shape (given + leads - 1,)."""
        raise NotImplementedError

    def use_truth_TB(
        self, step: int, total_steps: int, *, given: int, leads: int, first_sample: int, batch: int, seed: int
    ) -> BoolField:
        """Draw the choice, (given + leads - 1, batch); `first_sample` numbers the batch within the global one."""
        chance_T = self.probabilities(step, total_steps, given, leads)
        draws_BT = np.stack(
            [np.random.default_rng((seed, step, first_sample + b)).random(len(chance_T)) for b in range(batch)]
        )
        return (draws_BT < chance_T).T


SCHEDULES: Registry[type[Schedule]] = Registry("schedule")


def schedule_of(model: str) -> str:
    """Return the schedule of a model's own paper: that of its cell, `own` for a model that gets no frame fed back."""
    cell = model.removeprefix(MULTISCALE)
    if cell in CELLS:
        return CELLS.get(cell).schedule
    return str(getattr(MODELS.get(model), "schedule", "own")) if model in MODELS else "scheduled"


@SCHEDULES.register("scheduled")
class ScheduledSampling(Schedule):
    """Given frames are true; later ones with a probability that falls linearly from 1 to 0 (paper, section 4.3)."""

    def probabilities(self, step: int, total_steps: int, given: int, leads: int) -> NDArray[np.float64]:
        """Return 1 for given frames, eta = 1 - step / total for the others."""
        eta = max(0.0, 1.0 - step / max(total_steps, 1))
        return np.array([1.0] * given + [eta] * (leads - 1))


@SCHEDULES.register("own")
class OwnPredictions(Schedule):
    """Given frames are true, all later ones are the model's own predictions, as in a forecast."""

    def probabilities(self, step: int, total_steps: int, given: int, leads: int) -> NDArray[np.float64]:
        """Return 1 for given frames, 0 for the others."""
        del step, total_steps
        return np.array([1.0] * given + [0.0] * (leads - 1))


@SCHEDULES.register("reverse")
class ReverseScheduledSampling(Schedule):
    """PredRNN-V2's reverse scheduled sampling (Wang et al. 2021, arXiv:2103.09504; numbers of the paper's code).

    It changes once per epoch e = 1 ... E. A run that `max_steps` shortens has the same E parts, each shorter.
    """

    def probabilities(self, step: int, total_steps: int, given: int, leads: int) -> NDArray[np.float64]:
        """Return 1 for the first frame, a rising probability for other given frames, a falling one for later frames."""
        epoch = min(step * self.epochs // max(total_steps, 1), self.epochs - 1) + 1
        first, last, tau = self.epochs / 3, 2 * self.epochs / 3, self.epochs / 15
        if epoch < first:
            eta_given, eta_later = 0.5, 0.5
        elif epoch < last:
            eta_given = 1.0 - 0.5 * float(np.exp(-(epoch - first) / tau))
            eta_later = 0.5 - 0.5 * (epoch - first) / (last - first)
        else:
            eta_given, eta_later = 1.0, 0.0
        return np.array([1.0] + [eta_given] * (given - 1) + [eta_later] * (leads - 1))
