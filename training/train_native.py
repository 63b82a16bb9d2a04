"""`python -m training.train_native run --data EVENTS --work FOLDER --out CHECKPOINT`: the network of the native model.

`run` does everything that is missing: it writes the windows, trains, prints the scores of the spells that were left
out, and writes a checkpoint once all steps are done. Stopped at any time, the same command goes on. `score` prints the
scores of a training as it is.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer
import yaml

from core.command import errors_in_one_line
from core.errors import ConfigError
from core.files import write_bytes_atomically
from core.records import RecordCodec
from models.checkpoint import load_model, read_card, save_model
from models.guided.pointwise import PointwiseModel, build_pointwise
from training.config import PRESETS
from training.datasets.event_table import load_table
from training.datasets.series import find_series
from training.fit_native import card_of
from training.native_skill import Folds, check_fold, folds_of
from training.network_fit import NetworkFit, NetworkOptions
from training.network_samples import read_windows, write_windows
from training.network_score import network_table, scored_windows

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
OPTIONS: Final = RecordCodec(NetworkOptions, extra="forbid", error=ConfigError)
STATE: Final = "state.pt"
ORIGIN: Final = "origin.json"
SAVE_EVERY: Final = 250
SCORED_PASS: Final = (0,)

Work = Annotated[Path, typer.Option(help="folder of the windows and of the training; what is there is kept")]
Base = Annotated[str, typer.Option(help="checkpoint of the statistical model: a folder")]
Without = Annotated[list[str], typer.Option(help="name of a spell that is left out and scored; several times for more")]
Preset = Annotated[str, typer.Option(help="settings: a name in training/presets, or a file")]


@app.command()
def run(
    data: Annotated[Path, typer.Option(help="folder of the event files")],
    work: Work,
    out: Annotated[Path, typer.Option(help="folder of the checkpoint")],
    base: Base,
    fold: Folds = [],  # noqa: B006
    without: Without = [],  # noqa: B006
    preset: Preset = "native_network",
    steps: Annotated[int | None, typer.Option(min=1, help="instead of the preset's")] = None,
    minutes: Annotated[float, typer.Option(min=0, help="processor time after which a training stops")] = 60.0,
) -> None:
    """Write windows, train the network on those of the spells that are not left out, score it, write a checkpoint."""
    with errors_in_one_line():
        torch.set_num_threads(1)
        model, folders = statistical_model(base), folds_of(fold)
        for spell, folder in folders.items():
            check_fold(read_card(folder), spell)
        folds = {spell: statistical_model(str(folder)) for spell, folder in folders.items()}
        check_origin(work / "windows", data, base, folders)
        number = write_windows(data, work / "windows", model, folds, load_table())
        typer.echo(f"{number} windows in {work / 'windows'}")
        fit = training_of(work, without, preset, steps)
        trained(fit, state_of(work, without), minutes)
        _print_scores(fit, work, without)
        if fit.step < fit.options.steps:
            typer.echo(f"{fit.step} of {fit.options.steps} steps; the same command goes on")
            return
        save_network(out, base, fit, without)
        typer.echo(f"wrote {out}")


@app.command()
def score(
    work: Work, without: Without, preset: Preset = "native_network", steps: Annotated[int | None, typer.Option()] = None
) -> None:
    """Print the scores of the spells that were left out of a training, as far as it is."""
    with errors_in_one_line():
        torch.set_num_threads(1)
        _print_scores(training_of(work, without, preset, steps), work, without)


def statistical_model(folder: str) -> PointwiseModel:
    """Return the native model of a checkpoint without its network.

    Raises:
        ConfigError: a checkpoint of another kind.
    """
    model = load_model(folder)
    if not isinstance(model, PointwiseModel):
        raise ConfigError(f"base: expected a checkpoint of kind native, got {type(model).__name__} in {folder}")
    model.network = None
    return model


def check_origin(windows: Path, data: Path, base: str, folds: Mapping[str, Path]) -> None:
    """Write down what the windows of a folder are made of, since those that are there are used as they are.

    Raises:
        ConfigError: they were made of other event files or checkpoints.
    """
    cards = {"base": read_card(base), **{f"fold {spell}": read_card(folder) for spell, folder in folds.items()}}
    origin: dict[str, Any] = {name: card["sha256"] for name, card in cards.items()}
    origin["data"] = sorted(series.path.name for series in find_series(data))
    path = windows / ORIGIN
    if not path.is_file() and not any(windows.glob("pass_*/*.npz")):
        write_bytes_atomically(path, json.dumps(origin, indent=2).encode())
    kept = json.loads(path.read_text()) if path.is_file() else {}
    changed = sorted(name for name in {*kept, *origin} if kept.get(name) != origin.get(name))
    if changed:
        raise ConfigError(
            f"work: expected windows of the same event files and checkpoints in {windows}, got others for "
            f"{', '.join(changed)}; name another folder"
        )


def options_of(preset: str, steps: int | None = None) -> NetworkOptions:
    """Return settings from a preset's name or a file.

    Raises:
        ConfigError: no such preset, or an unknown key.
    """
    path = Path(preset) if preset.endswith(".yaml") else PRESETS / f"{preset}.yaml"
    if not path.is_file():
        raise ConfigError(f"preset: expected a name in {PRESETS} or a file, got {preset}")
    values = yaml.safe_load(path.read_text())
    return OPTIONS.from_dict(values if steps is None else {**values, "steps": steps})


def training_of(work: Path, without: list[str], preset: str, steps: int | None) -> NetworkFit:
    """Return the training of a folder, as far as it is.

    Raises:
        ConfigError: an unknown spell, no windows, or other settings than those that it began with.
    """
    for spell in without:
        load_table().fold(spell)
    windows = [one for one in read_windows(work / "windows") if one.spell not in without]
    fit = NetworkFit(windows, options_of(preset, steps))
    state = state_of(work, without)
    if state.is_file():
        fit.resume(state)
    return fit


def state_of(work: Path, without: list[str]) -> Path:
    """Return the file of a training."""
    return work / ("without_" + "_".join(sorted(without)) if without else "all") / STATE


def trained(fit: NetworkFit, state: Path, minutes: float) -> None:
    """Train up to the last step, or until this processor time has passed; the state is saved every 250 steps."""
    start = time.process_time()
    while fit.step < fit.options.steps and time.process_time() - start < 60 * minutes:
        fit.advance()
        if fit.step % SAVE_EVERY == 0:
            fit.save(state)
            typer.echo(f"step {fit.step}: entropy {fit.gain:+.2%}, {time.process_time() - start:.0f} s")
    fit.save(state)


def _print_scores(fit: NetworkFit, work: Path, without: list[str]) -> None:
    for spell in without:
        held = [one for one in read_windows(work / "windows", SCORED_PASS) if one.spell == spell]
        if not held:
            typer.echo(f"\n{spell}: no window in {work / 'windows'}")
        else:
            typer.echo(f"\n{spell}, {len(held)} windows, step {fit.step}:\n")
            typer.echo("\n".join(network_table(scored_windows(fit.averaged, held))))


def save_network(out: Path, base: str, fit: NetworkFit, without: list[str]) -> None:
    """Write a checkpoint of the statistical model with the network.

    Raises:
        ConfigError: the statistical model left out a spell that the network was trained on.
    """
    card: dict[str, Any] = read_card(base)
    own = card["training"].get("without")
    if own is not None and own not in without:
        raise ConfigError(
            f"base: expected a checkpoint of all spells, or without one of {without}, got one without {own}"
        )
    architecture = card["architecture"]
    options = architecture["options"] | {"network": fit.options.architecture}
    model = build_pointwise(architecture["name"], **options)
    model.load_state_dict(statistical_model(base).state_dict(), strict=False)
    assert model.network is not None
    model.network.load_state_dict(fit.average)
    windows = dict(sorted(Counter(one.spell for one in fit.windows).items()))
    whole = card_of(model, {"windows": windows})
    recipe = {
        "command": "python -m training.train_native",
        "options": vars(fit.options),
        "step": fit.step,
        "without": without,
        "windows": windows,
        "base": card["version"],
    }
    attribution = sorted({*card.get("attribution", ()), *whole["attribution"]})
    card |= {"architecture": {**architecture, "options": options}, "attribution": attribution}
    card["version"] = whole["version"]
    save_model(out, model, card | {"training": card["training"] | {"network": recipe}})


if __name__ == "__main__":
    app()
