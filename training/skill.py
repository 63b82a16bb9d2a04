"""`python -m training.skill --checkpoint C --data EVENT.nc ...`: scores on radar events, with all baselines."""

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from core.command import errors_in_one_line
from core.errors import ConfigError
from core.units import MAIN_THRESHOLDS_MMH
from models import Forecaster, load_forecaster
from models.guided.forecaster import GuidedForecaster
from training.evaluation.document import write_json, write_text
from training.evaluation.event_amounts import AMOUNTS_MM
from training.evaluation.event_run import ENSEMBLE_WINDOWS, EventPlan, digest_of, evaluate_events
from training.evaluation.event_windows import HOUR, NATIVE, PAPER, WindowProtocol
from training.evaluation.skill_rows import ALONE, SkillTable, skill_tables
from training.evaluation.skill_sums import MAP_MMH, TILES, SkillSums
from training.evaluation.skill_text import as_json, csv_text, text_of

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
SHORT: Final = replace(PAPER, name="short", past_minutes=60, fewest=3, lead_minutes=(30, 60, 90))
"""The paper's cells, three fields in and three out: for events that are too short for five and five."""


class WindowKind(StrEnum):
    """Which windows of an event are scored."""

    paper = "paper"
    native = "native"
    short = "short"
    hour = "hour"

    @property
    def protocol(self) -> WindowProtocol:
        """Return the windows."""
        return {"paper": PAPER, "native": NATIVE, "short": SHORT, "hour": HOUR}[self.value]


class Baseline(StrEnum):
    """A forecast that a model is compared with."""

    sprog = "sprog"
    steps = "steps"


@dataclass(frozen=True)
class SkillOptions:
    """What is evaluated, and where results are kept.

    Attributes:
        protocol: which windows.
        every_minutes: reference times are multiples of it; None is the protocol's choice.
        all_leads: every lead of the source.
        baselines: those in addition to persistence and extrapolation.
        ensemble_windows: most windows of an event file with STEPS.
        unpooled: names of event files that are not counted together with others.
        ablations: also a guided model without its network.
        journal: file that keeps every window's sums.
        cache: folder for the forecasts of S-PROG and STEPS.
        csv_file, json_file: tables.
        workers: processes that share the windows.
    """

    protocol: WindowProtocol = PAPER
    every_minutes: int | None = None
    all_leads: bool = False
    baselines: tuple[str, ...] = ("sprog", "steps")
    ensemble_windows: int = ENSEMBLE_WINDOWS
    unpooled: tuple[str, ...] = ()
    ablations: bool = True
    journal: Path | None = None
    cache: Path | None = None
    csv_file: Path | None = None
    json_file: Path | None = None
    workers: int = 1


EventData = Annotated[list[Path], typer.Option("--data", help="event files, or folders of them")]
Checkpoints = Annotated[list[str], typer.Option(help="shipped names or checkpoints' folders")]
Kind = Annotated[
    WindowKind,
    typer.Option(help="paper: 124 x 124 cells, 30 minutes; native: the event's own; hour: its amounts; short: 3 + 3"),
]
EveryMinutes = Annotated[
    int | None, typer.Option(min=1, help="reference times are multiples of it; default of paper: every scan")
]
AllLeads = Annotated[bool, typer.Option("--all-leads", help="every lead of the source")]
Baselines = Annotated[list[Baseline], typer.Option(help="in addition to persistence and extrapolation")]
StepsWindows = Annotated[int, typer.Option(min=0, help="most windows of a file with STEPS; 0 leaves STEPS out")]
Ablations = Annotated[bool, typer.Option(help="a guided model without its network, too")]
Unpooled = Annotated[list[str], typer.Option("--beside", help="event file that is not counted with the others")]
JournalFile = Annotated[Path | None, typer.Option(help="keeps every window; a run that ended early goes on")]
CacheFolder = Annotated[Path | None, typer.Option(help="folder for forecasts of S-PROG and STEPS")]
Workers = Annotated[int, typer.Option(min=1, help="processes that share the windows")]
CsvFile = Annotated[Path | None, typer.Option("--csv", help="also write all values here")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="also write the tables here")]


@app.command()
def main(
    data: EventData,
    checkpoint: Checkpoints = ["default"],  # noqa: B006
    protocol: Kind = WindowKind.paper,
    every_minutes: EveryMinutes = None,
    all_leads: AllLeads = False,
    baseline: Baselines = [Baseline.sprog, Baseline.steps],  # noqa: B006
    ensemble_windows: StepsWindows = ENSEMBLE_WINDOWS,
    ablations: Ablations = True,
    unpooled: Unpooled = [],  # noqa: B006
    journal: JournalFile = None,
    cache: CacheFolder = None,
    csv_file: CsvFile = None,
    json_file: JsonFile = None,
    workers: Workers = 1,
) -> None:
    """Score checkpoints and baselines on windows of radar events, by spell of weather and over all spells.

    All rows are scored on the same cells, on two masks: `all` and `known` (docs/verification.md).
    """
    with errors_in_one_line():
        names = tuple(one.value for one in baseline)
        options = SkillOptions(protocol.protocol, every_minutes, all_leads, names, ensemble_windows, tuple(unpooled))
        options = replace(options, ablations=ablations, journal=journal, cache=cache)
        options = replace(options, csv_file=csv_file, json_file=json_file, workers=workers)
        report([load_forecaster(name, precision="float32") for name in checkpoint], data, options, "training.skill")


def report(
    forecasters: Sequence[Forecaster], data: Sequence[Path], options: SkillOptions, module: str
) -> list[SkillTable]:
    """Evaluate, print the tables, and write them as CSV and JSON.

    Args:
        forecasters: rows in addition to the baselines.
        data: event files or folders of them.
        options: windows, baselines, files.
        module: name of the running command.

    Raises:
        ConfigError: no event, no window, an unknown `unpooled` file, or a file that cannot be written.
    """
    rows = with_baselines(forecasters, options)
    files = event_files(data)
    if unknown := sorted(set(options.unpooled) - {path.name for path in files}):
        raise ConfigError(f"--beside: expected names of files of --data, got {', '.join(unknown)}")
    plan = EventPlan(files, options.protocol, options.every_minutes, options.all_leads, options.ensemble_windows)
    sums = evaluate_events(rows, plan, journal=options.journal, cache=options.cache, workers=options.workers)
    unit, printed = ("mm", AMOUNTS_MM) if options.protocol.amount_minutes else ("mm/h", MAIN_THRESHOLDS_MMH)
    tables = list(skill_tables(sums, options.unpooled, unit))
    for table in tables:
        first = table.group == tables[0].group  # all spells, or the only one; the others are whole in CSV and JSON
        typer.echo(f"{text_of(table, printed, others=first)}\n")
    if options.csv_file is not None:
        write_text(options.csv_file, csv_text(tables))
    if options.json_file is not None:
        write_json(options.json_file, _document(tables, rows, plan, module) | {"maps": _maps(sums)})
    return tables


def with_baselines(forecasters: Sequence[Forecaster], options: SkillOptions) -> list[Forecaster]:
    """Return all rows: baselines, models, and guided models without their network."""
    some = [name for name in options.baselines if options.ensemble_windows or name != "steps"]
    names = ["persistence", "extrapolation", *some]
    models = [one for one in forecasters if one.name not in names]
    return [*map(load_forecaster, names), *(with_ablations(models) if options.ablations else models)]


def event_files(data: Sequence[Path]) -> tuple[Path, ...]:
    """Return the event files of a list of files and folders.

    Raises:
        ConfigError: a path that does not exist, a folder without an event, or two files of one name.
    """
    found: list[Path] = []
    for path in data:
        inside = sorted(path.glob("*.nc")) if path.is_dir() and not (path / "zarr.json").exists() else [path]
        if not inside or not path.exists():
            raise ConfigError(f"--data: expected a NetCDF file of an event or a folder of them, got {path}")
        found += inside
    if not found:
        raise ConfigError("--data: expected a NetCDF file of an event or a folder of them, got nothing")
    by_place: dict[Path, Path] = {}
    for path in found:
        by_place.setdefault(path.resolve(), path)
    files = tuple(by_place.values())
    names = [path.name for path in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"--data: expected files of different names, got two of {', '.join(twice)}")
    return files


def command_line(module: str) -> str:
    """Return the running command, with names of files instead of their paths."""
    parts = [part.rpartition("/")[2] if part.startswith(("/", "..")) else part for part in sys.argv[1:]]
    return " ".join([f"python -m {module}", *parts])


def with_ablations(forecasters: Sequence[Forecaster]) -> list[Forecaster]:
    """Return the forecasters, and each guided one without its network."""
    return [*forecasters, *(without_network(one) for one in forecasters if isinstance(one, GuidedForecaster))]


def without_network(forecaster: GuidedForecaster) -> GuidedForecaster:
    """Return a guided forecaster without its network: the statistical part alone, with the same post-processing."""
    alone = copy.copy(forecaster)
    alone.name = f"{forecaster.name}{ALONE}"
    alone.model = copy.deepcopy(forecaster.model)
    alone.model.network = False
    return alone


def _maps(sums: SkillSums) -> list[dict[str, Any]]:
    """Return hits, misses and false alarms by part of the field, for every event file and row."""
    return [
        {
            "file": file,
            "model": model,
            "threshold_mmh": MAP_MMH,
            "counts": np.reshape(numbers, (3, TILES, TILES)).tolist(),
        }
        for (file, model), numbers in sums.tiles.items()
    ]


def _document(tables: Sequence[SkillTable], rows: Sequence[Forecaster], plan: EventPlan, module: str) -> dict[str, Any]:
    return {
        "command": command_line(module),
        "protocol": plan.protocol.name,
        "events": {path.name: digest_of(path) for path in plan.files},
        "models": [{"name": one.name, "version": one.version, "sha256": one.card.get("sha256")} for one in rows],
        "tables": [as_json(table) for table in tables],
    }


if __name__ == "__main__":
    app()
