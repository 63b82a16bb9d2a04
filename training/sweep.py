"""`python -m training.sweep`: search values of configuration keys by Optuna; one run folder a trial, resumable."""

import csv
import io
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import pytorch_lightning as pl
import typer
import yaml
from pytorch_lightning.callbacks import Callback

from core.errors import ConfigError
from core.files import write_bytes_atomically
from training.config import RunConfig, key_value, resolve
from training.datasets import DATASETS
from training.run import is_out_of_memory, one_line_errors, train
from training.trainer.best import LOSS
from training.trainer.keeper import DivergedError
from training.trainer.run_folder import BEST, LAST, read_saved

log = logging.getLogger("training")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
JOURNAL: Final = "sweep.log"
TABLE: Final = "sweep.csv"
BEST_CONFIG: Final = "best.yaml"
RANGE: Final = re.compile(r"\s*(\S+?)\s*\.\.\s*(\S+?)\s*(?::\s*log\s*)?")
COMPARED: Final = frozenset(
    {"loss", "balance", "transform", "objective", "dataset", "input_steps", "lead_steps", "validation_clips"}
    | {"size", "height", "width"}
)
"""Keys that change what the validation loss means: losses of different values or frames cannot be compared."""
Values = Mapping[str, Any]


@app.command()
def main(
    dataset: Annotated[str, typer.Option(help=f"one of {', '.join(DATASETS.names())}")],
    out: Annotated[Path, typer.Option(help="folder of the sweep; an existing one is continued")],
    tries: Annotated[
        list[str], typer.Option("--try", help="KEY=LOW..HIGH, KEY=LOW..HIGH:log, or KEY=A,B,C; repeat for more keys")
    ],
    trials: Annotated[int, typer.Option(min=1, help="in all, those of earlier calls among them")] = 20,
    model: Annotated[str | None, typer.Option(help="a model's name")] = None,
    data: Annotated[Path | None, typer.Option(help="file or folder; default ./data/DATASET")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file over the data set's preset")] = None,
    seed: Annotated[int, typer.Option(help="of the search")] = 0,
    sets: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of any key in config.yaml")] = None,
) -> None:
    """Train trials with values of some keys, chosen by earlier trials, for the lowest validation loss.

    A trial whose loss is above the median of the others after as many steps is stopped. A call that was stopped
    (Ctrl-C, SIGTERM; exit status 75) continues with the same command, in the middle of a trial as well.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    with one_line_errors():
        space = dict(map(parse_range, tries))
        fixed: dict[str, Any] = {"file": config, "model": model, "data": data}

        def configured(chosen: Values) -> RunConfig:
            return resolve(dataset, sets=[*(sets or []), *(f"{k}={v}" for k, v in chosen.items())], **fixed)

        rows = sweep(configured, space, out, trials=trials, seed=seed)
    for row in rows[:10]:
        typer.echo(f"trial {row['trial']:>3}  {row['state']:8}  {row['loss']!s:>12.12}  {_shown(row, space)}")
    typer.echo(f"wrote {out / TABLE} and {out / BEST_CONFIG}, the configuration of the lowest loss")


def parse_range(text: str) -> tuple[str, Any]:
    """Return key and distribution of a `--try` text.

    Raises:
        ConfigError: no such form, a range in the wrong order, or Optuna is not installed.
    """
    key, value = text.partition("=")[::2]
    key = key_value(f"{key}=0")[0]
    kinds = optuna().distributions
    if key in COMPARED:
        raise ConfigError(f"--try: expected a key that leaves the loss comparable between trials, got {key}")
    found = RANGE.fullmatch(value)
    if found is None:
        choices = tuple(yaml.safe_load(one) for one in value.split(",")) if value else ()
        if len(choices) < 2 or not all(isinstance(one, str | int | float | bool) for one in choices):
            raise ConfigError(f"--try: expected KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=A,B,C, got {text!r}")
        return key, kinds.CategoricalDistribution(choices)
    try:
        numbers = [int(one) if re.fullmatch(r"[-+]?\d+", one) else float(one) for one in found.groups()]
        whole = all(isinstance(one, int) for one in numbers)
        kind = kinds.IntDistribution if whole else kinds.FloatDistribution
        return key, kind(*numbers, log=value.rstrip().endswith("log"))
    except ValueError as err:
        raise ConfigError(f"--try: expected numbers LOW..HIGH with LOW below HIGH, got {text!r} ({err})") from err


def sweep(
    configured: Callable[[Values], RunConfig], space: Mapping[str, Any], folder: Path, *, trials: int, seed: int = 0
) -> list[dict[str, Any]]:
    """Run trials until there are as many as requested; return a row of each, the lowest loss first.

    Args:
        configured: returns the resolved configuration for values of the keys.
        space: distribution of Optuna by key.
        folder: of the sweep; trials of earlier calls count, and one that was stopped goes on.
        trials: in all.
        seed: of the search.

    Raises:
        ConfigError: Optuna is not installed, the folder is that of another search, a configuration is refused or has
            several devices, or no trial is complete.
        UnavailableError: stopped by a signal.
    """
    library = optuna()
    folder.mkdir(parents=True, exist_ok=True)
    backend = library.storages.journal.JournalFileBackend(str(folder / JOURNAL))
    storage = library.storages.JournalStorage(backend)
    names = [one.study_name for one in storage.get_all_studies()]
    done = storage.get_n_trials(storage.get_study_id_from_name("sweep")) if "sweep" in names else 0
    study = library.create_study(
        storage=storage,
        study_name="sweep",
        load_if_exists=True,
        sampler=library.samplers.TPESampler(seed=seed + done),  # a continued search does not repeat its first draws
        pruner=library.pruners.MedianPruner(n_startup_trials=4),
    )
    _refuse_another_space(study, space)
    for trial in [one for one in study.trials if one.state == library.trial.TrialState.RUNNING]:
        _finish(study, library.trial.Trial(study, trial._trial_id), configured, folder)
    while len(study.trials) < trials:
        _finish(study, study.ask(dict(space)), configured, folder)
    rows = _rows(study, space)
    _write(folder, rows, space, configured)
    if rows[0]["state"] != "complete":
        raise ConfigError(
            f"expected a trial that is complete, got none of {len(rows)}: {folder / TABLE}; more --trials?"
        )
    return rows


def optuna() -> Any:
    """Return the library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        library: Any = import_module("optuna")
    except ImportError as err:
        raise ConfigError("training.sweep needs the package optuna (pip install '.[sweep]')") from err
    library.logging.set_verbosity(library.logging.WARNING)
    return library


class Watch(Callback):
    """Reports each validation loss of a trial, and ends a trial that is worse than the median of the others."""

    def __init__(self, trial: Any) -> None:
        self.trial = trial

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the loss; end the trial if the search says so."""
        del pl_module
        loss = float(trainer.callback_metrics.get(LOSS, float("nan")))
        if loss == loss:
            self.trial.report(loss, trainer.global_step)
        if self.trial.should_prune():
            raise optuna().TrialPruned(f"trial {self.trial.number}: above the median at step {trainer.global_step}")


def _finish(study: Any, trial: Any, configured: Callable[[Values], RunConfig], folder: Path) -> None:
    """Train a trial from its start or from where it stopped, and record how it ended."""
    library, place = optuna(), folder / f"trial-{trial.number:04d}"
    last = place / LAST
    try:
        config = configured(trial.params)
        if config.devices > 1:  # each process would search by itself
            raise ConfigError(f"devices: expected 1 in a sweep, got {config.devices}")
        train(config, place, resume=last if last.is_file() else None, watch=[Watch(trial)])
        study.tell(trial, _lowest_loss(place))
    except library.TrialPruned as err:
        log.info("%s", err)
        study.tell(trial, state=library.trial.TrialState.PRUNED)
    except (ConfigError, RuntimeError) as err:
        if isinstance(err, RuntimeError) and not is_out_of_memory(err):
            raise
        study.tell(trial, state=library.trial.TrialState.FAIL)
        is_of_values = isinstance(err, DivergedError | RuntimeError)
        if trial.number == 0 and not is_of_values:  # the command is wrong, not some values of a key
            raise
        log.warning("trial %d: %s", trial.number, str(err).partition("\n")[0])


def _lowest_loss(place: Path) -> float:
    if not (place / BEST).is_file():
        raise ConfigError("expected a validation loss of each trial, got a run without validation")
    return float(read_saved(place / BEST)["loss"])


def _refuse_another_space(study: Any, space: Mapping[str, Any]) -> None:
    for trial in study.trials:
        if trial.distributions and trial.distributions != dict(space):
            raise ConfigError(
                f"the sweep has trials with {_keys(trial.distributions)}, got {_keys(space)}: take another --out"
            )


def _keys(space: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} in {distribution}" for key, distribution in space.items())


def _rows(study: Any, space: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [
        {"trial": one.number, "state": one.state.name.lower(), "loss": one.value, **{k: one.params[k] for k in space}}
        for one in study.trials
    ]
    return sorted(rows, key=lambda row: (row["state"] != "complete", row["loss"] if row["loss"] is not None else 0.0))


def _write(
    folder: Path, rows: Sequence[Mapping[str, Any]], space: Mapping[str, Any], configured: Callable[[Values], RunConfig]
) -> None:
    """Write all trials as a table, and the configuration of the best one."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_bytes_atomically(folder / TABLE, text.getvalue().encode())
    if rows[0]["state"] == "complete":
        best = configured({key: rows[0][key] for key in space})
        content = yaml.safe_dump(best.model_dump(mode="json"), sort_keys=False)
        write_bytes_atomically(folder / BEST_CONFIG, content.encode())


def _shown(row: Mapping[str, Any], space: Mapping[str, Any]) -> str:
    return "  ".join(f"{key}={row[key]:.4g}" if isinstance(row[key], float) else f"{key}={row[key]}" for key in space)


if __name__ == "__main__":
    app()
