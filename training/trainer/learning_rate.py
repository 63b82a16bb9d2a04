"""The learning rate over a run, as a share of the configured one."""

import math
from collections.abc import Callable
from typing import Final

from core.registry import Registry

LOWEST: Final = 0.01
"""Share of the rate at the end of the cosine."""

LEARNING_RATES: Registry[Callable[[float], float]] = Registry("learning rate schedule")
"""Maps from the completed share of the run, 0 to 1, to the share of the configured rate."""


@LEARNING_RATES.register("constant")
def constant(done: float) -> float:
    """Return 1 throughout the run, as the paper, which has no schedule."""
    del done
    return 1.0


@LEARNING_RATES.register("cosine")
def cosine(done: float) -> float:
    """Return half a cosine from 1 to `LOWEST`."""
    return LOWEST + (1 - LOWEST) * (1 + math.cos(math.pi * min(done, 1.0))) / 2


def share_of_rate(name: str, total_steps: int, warmup_steps: int) -> Callable[[int], float]:
    """Return the share by step: a schedule times a linear rise over the first `warmup_steps` steps."""
    schedule = LEARNING_RATES.get(name)

    def share(step: int) -> float:
        return schedule(step / max(total_steps, 1)) * min(1.0, (step + 1) / max(warmup_steps, 1))

    return share
