"""`python -m training.native_skill --data EVENTS --fold SPELL=CHECKPOINT ...`: the model on its sources' own grids.

Each spell of weather that was trained on is forecast by the fold that left it out, the unseen ones by the checkpoint.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer

from core.command import errors_in_one_line
from core.errors import ConfigError
from models import Forecaster, load_forecaster
from training.datasets.event_table import load_table
from training.datasets.series import open_series
from training.evaluation.document import write_json
from training.evaluation.event_run import EventPlan, evaluate_events
from training.evaluation.event_windows import ANY_LENGTH, WindowProtocol
from training.evaluation.goal_rows import REFERENCES, SkillCase, counts_of
from training.evaluation.goal_text import goal_document, goal_text
from training.evaluation.journal import forecaster_key
from training.skill import Baseline, command_line, event_files

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
OWN: Final = "own"
EVERY_WINDOW: Final = 10**6


@dataclass(frozen=True)
class Scale:
    """Cadence and cells of a run: those of the source, or a multiple of them.

    Attributes:
        cadence_minutes: None: the source's.
        factor: edge of a cell in cells of the source.
    """

    cadence_minutes: int | None = None
    factor: int = 1

    @classmethod
    def of(cls, text: str) -> "Scale":
        """Return the scale of `own` or of `MINUTESxCELLS`, such as 15x4.

        Raises:
            ConfigError: another text.
        """
        if text == OWN:
            return cls()
        minutes, _, cells = text.partition("x")
        if not (minutes.isdecimal() and cells.isdecimal() and int(minutes) and int(cells)):
            raise ConfigError(f"scale: expected {OWN} or MINUTESxCELLS such as 15x4, got {text}")
        return cls(int(minutes), int(cells))

    @property
    def protocol(self) -> WindowProtocol:
        """Return the windows."""
        return replace(ANY_LENGTH, cadence_minutes=self.cadence_minutes, cell_factor=self.factor)


EventData = Annotated[list[Path], typer.Option("--data", help="event files, or folders of them")]
Folds = Annotated[list[str], typer.Option(help="SPELL=CHECKPOINT of a model that left the spell out")]


@dataclass(frozen=True)
class SpellRun:
    """One spell: its files on one grid, and the forecaster that has not seen it."""

    spell: str
    unseen: bool
    files: tuple[Path, ...]
    forecaster: Forecaster


@app.command()
def main(
    data: EventData,
    checkpoint: Annotated[str, typer.Option(help="of the unseen spells, and the name of the row")] = "default",
    fold: Folds = [],  # noqa: B006
    scale: Annotated[list[str], typer.Option(help="own, or MINUTESxCELLS of the source such as 15x4")] = [OWN],  # noqa: B006
    windows: Annotated[int, typer.Option(min=1, help="most windows of a spell and scale, evenly chosen")] = 8,
    baseline: Annotated[list[Baseline], typer.Option(help="in addition to persistence and extrapolation")] = [],  # noqa: B006
    journal: Annotated[Path | None, typer.Option(help="folder that keeps every window; a run goes on there")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write counts and rows here")] = None,
    workers: Annotated[int, typer.Option(min=1, help="processes that share the windows")] = 1,
) -> None:
    """Print CSI against the better of persistence and extrapolation, and every lead at which the model is behind."""
    with errors_in_one_line():
        torch.set_num_threads(1)
        scales = [Scale.of(text) for text in scale]
        runs = runs_of(data, checkpoint, fold)
        rows = [load_forecaster(one) for one in (*REFERENCES, *(one.value for one in baseline))]
        every = [scored(run, each, rows, windows, journal, workers) for each in scales for run in runs]
        cases = [case for case in every if case is not None]
        name = runs[0].forecaster.name
        command = command_line("training.native_skill")
        typer.echo(goal_text(cases, name, command))
        if json_file is not None:
            versions = {run.spell: [run.forecaster.version, run.forecaster.card.get("sha256")] for run in runs}
            write_json(json_file, goal_document(cases, name, command) | {"versions": versions})


def runs_of(data: Sequence[Path], checkpoint: str, folds: Sequence[str]) -> list[SpellRun]:
    """Return the spells of some event files or folders, with the forecaster of each, from the options of a command.

    Raises:
        ConfigError: no spell is left, or an invalid fold.
    """
    runs = list(spell_runs(event_files(data), checkpoint, folds_of(folds)))
    if not runs:
        raise ConfigError("data: expected an unseen spell or one with a --fold, got none of them")
    return runs


def folds_of(texts: Sequence[str]) -> dict[str, Path]:
    """Return the checkpoints by spell.

    Raises:
        ConfigError: no SPELL=CHECKPOINT, or an unknown or unseen spell.
    """
    found: dict[str, Path] = {}
    for text in texts:
        spell, equals, folder = text.partition("=")
        if not equals or not folder:
            raise ConfigError(f"fold: expected SPELL=CHECKPOINT, got {text}")
        found[load_table().fold(spell).name] = Path(folder)
    return found


def check_fold(card: Mapping[str, Any], spell: str) -> None:
    """Check that a checkpoint left a spell out.

    Raises:
        ConfigError: it did not.
    """
    without = card.get("training", {}).get("without")
    if without != spell:
        raise ConfigError(f"fold: expected a checkpoint that leaves out {spell}, got one without {without}")


def spell_runs(files: Sequence[Path], checkpoint: str, folds: Mapping[str, Path]) -> Iterator[SpellRun]:
    """Yield the spells of some files with the forecaster of each; a training spell without a fold is left out.

    Args:
        files: event files.
        checkpoint: of unseen spells.
        folds: checkpoints of training spells, whose card says that they left it out.

    Raises:
        ConfigError: a fold that did not leave its spell out.
    """
    table = load_table()
    whole = load_forecaster(checkpoint)
    for spell in table.spells():
        own = [path for path in files if path.name in spell.files]
        if not own or (spell.role == "train" and spell.name not in folds):
            continue
        forecaster = whole
        if spell.role == "train":
            forecaster = copy.copy(load_forecaster(folds[spell.name]))
            forecaster.name = whole.name
            check_fold(forecaster.card, spell.name)
        grids: dict[tuple[int, int], list[Path]] = {}
        for path in own:
            series = open_series(path)
            grids.setdefault((round(series.pixel_m), series.own_cadence), []).append(path)
        yield from (SpellRun(spell.name, spell.role == "unseen", tuple(same), forecaster) for same in grids.values())


def scored(
    run: SpellRun, scale: Scale, baselines: Sequence[Forecaster], windows: int, journal: Path | None, workers: int = 1
) -> SkillCase | None:
    """Return the counts of one spell at one scale; None where it has no window of it, or the scale is its own.

    Args:
        run: the spell.
        scale: cadence and cells.
        baselines: other rows.
        windows: most windows.
        journal: folder of journals; None keeps none.
        workers: processes.
    """
    series = open_series(run.files[0])
    cadence = series.own_cadence
    if scale.cadence_minutes == cadence and scale.factor == 1:
        return None
    plan = EventPlan(run.files, scale.protocol, most_windows=windows, only=("counts",))
    if not plan.found():
        return None
    name = f"{run.files[0].stem}_{scale.cadence_minutes or cadence}x{scale.factor}_{forecaster_key(run.forecaster)}"
    kept = None if journal is None else journal / f"{name}.journal"
    sums = evaluate_events([*baselines, run.forecaster], plan, journal=kept, workers=workers)
    number = sum(sums.windows["every", path.name] for path in run.files)
    return SkillCase(
        *(run.spell, run.unseen, scale == Scale(), scale.cadence_minutes or cadence),
        *(series.pixel_m / 1000 * scale.factor, number, counts_of(sums, [path.name for path in run.files])),
    )


if __name__ == "__main__":
    app()
