"""`python -m training.rain_paper --data EVENTS --out RUNS`: flat and multi-scale models on rain, trained in turn."""

import gc
import logging
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Final

import typer

from core.command import errors_in_one_line
from core.errors import UnavailableError
from training.config import resolve
from training.run import train
from training.trainer.keeper import TurnOverError
from training.trainer.run_folder import CONFIG, LAST, new_folder, read_checkpoint, run_to_resume

log = logging.getLogger("training")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
DATASET: Final = "spells"
MODELS: Final = ("convlstm", "ms-convlstm", "predrnn", "ms-predrnn", "predrnn++", "ms-predrnn++")
SEEDS: Final = (1, 2)


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="folder of the event files of `training/datasets/events.yaml`")],
    out: Annotated[Path, typer.Option(help="folder of the run folders; existing runs are resumed")] = Path("runs_rain"),
    models: Annotated[list[str], typer.Option("--model", help="names of models")] = list(MODELS),  # noqa: B006
    seeds: Annotated[list[int], typer.Option("--seed", help="each model is trained once with each")] = list(SEEDS),  # noqa: B006
    steps: Annotated[int, typer.Option(min=1, help="optimiser steps of every run")] = 400,
    turn_steps: Annotated[int, typer.Option(min=1, help="steps of one run before the next one continues")] = 10,
    minutes: Annotated[float | None, typer.Option(min=0, help="start no turn after this time; default never")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of any key in config.yaml")] = None,
) -> None:
    """Train every model with every seed by the preset `spells`, a few steps each in turn.

    All runs have the same number of steps after every round, so that they can be compared whenever the time is over. A
    second call with the same folder continues; a run folder is one of `training.run` and can be resumed by it, too.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    with errors_in_one_line():
        done = run_in_turn(
            data, out, models=models, seeds=seeds, steps=steps, turn_steps=turn_steps, minutes=minutes, sets=sets or []
        )
    for name, count in done.items():
        typer.echo(f"{name}: {count} of {steps} steps")


def run_in_turn(
    data: Path,
    out: Path,
    *,
    models: Sequence[str] = MODELS,
    seeds: Sequence[int] = SEEDS,
    steps: int,
    turn_steps: int,
    minutes: float | None = None,
    sets: Sequence[str] = (),
) -> dict[str, int]:
    """Continue the run that has the fewest steps, until all are done or the time is over.

    Returns:
        Steps done by the name of the run's folder.

    Raises:
        ConfigError: wrong names, values or data, or a run of other values in the folder.
        UnavailableError: stopped by a signal, or the disk is full.
    """
    began = monotonic()
    runs = {f"{model}-{seed}": (model, seed) for seed, model in product(seeds, models)}
    done = {name: steps_done(out / name) for name in runs}
    while min(done.values()) < steps and (minutes is None or monotonic() - began < minutes * 60):
        name = min(done, key=lambda one: done[one])
        model, seed = runs[name]
        own = [f"cache={out / 'fields'}", f"seed={seed}", f"turn_steps={turn_steps}"]
        take_turn(out / name, data, model, [*sets, *own], steps)
        before, done[name] = done[name], steps_done(out / name)
        log.info("%s: step %d of %d", name, done[name], steps)
        if done[name] == before:
            raise UnavailableError(f"{out / name}: expected more than {before} steps after a turn, got {done[name]}")
        gc.collect()
    return done


def take_turn(folder: Path, data: Path, model: str, sets: list[str], steps: int) -> None:
    """Train one run until its turn is over or it has all steps; a run that the folder has is resumed."""
    given: dict[str, Any] = {"model": model, "data": data, "max_steps": steps}
    try:
        if (folder / CONFIG).is_file():
            folder, last, dataset = run_to_resume(folder, None)
            train(resolve(dataset, file=folder / CONFIG, sets=sets, goes_on=True, **given), folder, resume=last)
        else:
            config = resolve(DATASET, file=None, sets=sets, **given)
            train(config, new_folder(folder, config))
    except TurnOverError as over:
        log.debug("%s", over)


def steps_done(folder: Path) -> int:
    """Return the number of steps in a run's last checkpoint; 0 for a run that has none."""
    last = folder / LAST
    return int(read_checkpoint(last)["global_step"]) if last.is_file() else 0


if __name__ == "__main__":
    app()
