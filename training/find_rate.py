"""`python -m training.find_rate`: a learning rate from a range test: the loss while the rate rises step by step."""

import logging
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer

from core.command import errors_in_one_line
from core.errors import ConfigError
from models.device import pick_device
from training.config import RunConfig, resolve
from training.datasets import DATASETS
from training.trainer.build import build_datasets, build_module
from training.trainer.loader import train_loader
from training.trainer.optimisers import OPTIMISERS

SMOOTHING: Final = 0.9
"""Weight of the earlier losses in the running mean."""
DIVERGED: Final = 4.0
"""Times the lowest loss at which the test ends."""
ROWS: Final = 12
FEWEST: Final = 8
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    dataset: Annotated[str, typer.Option(help=f"one of {', '.join(DATASETS.names())}")],
    model: Annotated[str | None, typer.Option(help="a model's name")] = None,
    data: Annotated[Path | None, typer.Option(help="file or folder; default ./data/DATASET")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file over the data set's preset")] = None,
    steps: Annotated[int, typer.Option(min=FEWEST, help="optimiser steps")] = 100,
    lowest: Annotated[float, typer.Option(min=1e-12, help="first learning rate")] = 1e-6,
    highest: Annotated[float, typer.Option(help="last learning rate")] = 0.1,
    sets: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of any key in config.yaml")] = None,
) -> None:
    """Print the loss by learning rate, and the rate at which it falls fastest (Smith 2017, arXiv:1506.01186).

    The model is trained from its first weights on a copy that is thrown away.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    with errors_in_one_line():
        resolved = resolve(dataset, file=config, sets=sets or [], model=model, data=data)
        rates, losses = range_test(resolved, steps, lowest, highest)
        rate = steepest(rates, losses)
    for number in np.unique(np.linspace(0, len(rates) - 1, ROWS).round().astype(int)):
        typer.echo(f"{rates[number]:10.2e}  loss {losses[number]:.5g}")
    typer.echo(f"the loss falls fastest at {rate:.2e}; try --set learning_rate={rate:.1e}")


def range_test(
    config: RunConfig, steps: int, lowest: float = 1e-6, highest: float = 0.1
) -> tuple[list[float], list[float]]:
    """Train with a rate that rises geometrically; return rates and smoothed losses, until the loss diverges.

    Raises:
        ConfigError: rates in the wrong order, or a configuration of guided models.
    """
    if not lowest < highest:
        raise ConfigError(f"highest: expected above lowest, {lowest:g}, got {highest:g}")
    if config.objective != "field":
        raise ConfigError(f"objective: expected field, got {config.objective}")
    torch.manual_seed(config.seed)
    training, _ = build_datasets(config)
    device = pick_device("auto")
    module: Any = build_module(config, training, steps).to(device).train()
    optimiser = OPTIMISERS.get(config.optimiser or "adam")(
        list(module.parameters()), lr=lowest, weight_decay=config.weight_decay
    )
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    whole = config.model_copy(update={"accumulate": 1, "devices": 1})
    for number, batch in enumerate(train_loader(training, whole, total_steps=steps, first_step=0)):
        rate = lowest * (highest / lowest) ** (number / (steps - 1))
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = _step(module, optimiser, [part.to(device) for part in batch])
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed = mean / (1 - SMOOTHING ** (number + 1))
        if not math.isfinite(smoothed) or (losses and smoothed > DIVERGED * min(losses)):
            break
        rates.append(rate)
        losses.append(smoothed)
    return rates, losses


def _step(module: Any, optimiser: torch.optim.Optimizer, batch: Sequence[torch.Tensor]) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are trying to `self.log", module="pytorch_lightning")
        loss: torch.Tensor = module.training_step(batch)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimiser.step()
    return float(loss.detach())


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Return the rate at which the loss falls fastest by the logarithm of the rate.

    Raises:
        ConfigError: too few losses, or none that falls.
    """
    if len(rates) < FEWEST:
        raise ConfigError(f"the loss diverged after {len(rates)} steps; expected a lower first or last learning rate")
    slope = np.gradient(np.asarray(losses), np.log(np.asarray(rates)))
    place = int(slope.argmin())
    if slope[place] >= 0:
        raise ConfigError("the loss falls at no learning rate; expected more steps or higher rates")
    return float(rates[place])


if __name__ == "__main__":
    app()
