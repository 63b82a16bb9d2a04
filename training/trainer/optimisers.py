"""Optimisers by name, and the learning rate of a run: what a Lightning module returns for its training."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from core.registry import Registry
from training.config import RunConfig
from training.trainer.learning_rate import share_of_rate

MOMENTUM: Final = 0.9

OPTIMISERS: Registry[Callable[..., Optimizer]] = Registry("optimiser")
"""Factories that take parameters, `lr` and `weight_decay`; `adam`, `rmsprop` and `sgd` add it to the gradient (L2)."""
OPTIMISERS.register("adam")(torch.optim.Adam)
OPTIMISERS.register("adamw")(torch.optim.AdamW)
OPTIMISERS.register("nadam")(partial(torch.optim.NAdam, decoupled_weight_decay=True))
OPTIMISERS.register("radam")(partial(torch.optim.RAdam, decoupled_weight_decay=True))
OPTIMISERS.register("rmsprop")(torch.optim.RMSprop)
OPTIMISERS.register("sgd")(partial(torch.optim.SGD, momentum=MOMENTUM, nesterov=True))


def configured(parameters: Iterable[Parameter], config: RunConfig, total_steps: int, *, default: str) -> Any:
    """Return the optimiser of a configuration with its learning-rate schedule, as Lightning takes them.

    Args:
        parameters: what is trained.
        config: resolved.
        total_steps: of the run.
        default: name of the optimiser where the configuration has none.
    """
    make = OPTIMISERS.get(config.optimiser or default)
    optimiser = make(list(parameters), lr=config.learning_rate, weight_decay=config.weight_decay)
    if config.learning_rate_schedule == "constant" and not config.warmup_steps:
        return optimiser
    share = share_of_rate(config.learning_rate_schedule, total_steps, config.warmup_steps)
    rates = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rates, "interval": "step"}}
