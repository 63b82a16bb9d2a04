"""`python -m training.native_steps --data EVENT.nc ...`: Brier score and CRPS by lead against STEPS of 20 members."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer

from core.command import errors_in_one_line
from models import load_forecaster
from training.evaluation.event_run import EventPlan, evaluate_events
from training.evaluation.event_windows import ANY_LENGTH
from training.evaluation.journal import forecaster_key
from training.evaluation.skill_sums import RowKey, SkillSums, SumsByRow
from training.native_skill import EventData, Folds, SpellRun, runs_of
from training.skill import command_line
from verification.scores import SCORES
from verification.scores.reliability import ReliabilityBins
from verification.table import Mask

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
FAMILIES: Final = ("counts", "brier", "crps", "crps-members", "reliability")
THRESHOLDS_MMH: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
FIRST_LEAD: Final = 15
"""Leads from here on are to be better than STEPS."""

LEAST_CELLS: Final = 1000
"""Bins of probability with fewer cells are not printed."""


@app.command()
def main(
    data: EventData,
    checkpoint: Annotated[str, typer.Option(help="of the unseen spells")] = "default",
    fold: Folds = [],  # noqa: B006
    windows: Annotated[int, typer.Option(min=1, help="most windows of a spell, evenly chosen")] = 2,
    most_cells: Annotated[int, typer.Option(min=64, help="longer sides are cut to so many in the middle")] = 400,
    journal: Annotated[Path | None, typer.Option(help="folder that keeps every window; a run goes on there")] = None,
) -> None:
    """Compare probabilities with those of STEPS at every lead and threshold; list where they are not better."""
    with errors_in_one_line():
        torch.set_num_threads(1)
        runs = runs_of(data, checkpoint, fold)
        sums = SkillSums()
        for run in runs:
            _add(sums, run, windows, most_cells, journal)
        by_row = sums.of_files("ensemble", list(sums.spells))
        number = sum(count for (part, _), count in sums.windows.items() if part == "ensemble")
        typer.echo(f"```text\n{command_line('training.native_steps')}\n```\n")
        typer.echo(f"{number} windows of {len(set(sums.spells.values()))} spells, at most {most_cells} cells a side.\n")
        for mask in ("known", "all"):
            typer.echo("\n".join(table(by_row, runs[0].forecaster.name, mask)) + "\n")
        typer.echo("\n".join(reliability(by_row, runs[0].forecaster.name)))


def _add(sums: SkillSums, run: SpellRun, windows: int, most_cells: int, journal: Path | None) -> None:
    protocol = replace(ANY_LENGTH, most_cells=most_cells)
    plan = EventPlan(run.files, protocol, ensemble_windows=10**6, most_windows=windows, only=FAMILIES)
    name = f"steps_{run.files[0].stem}_{forecaster_key(run.forecaster)}"
    kept = None if journal is None else journal / f"{name}.journal"
    rows = [load_forecaster("extrapolation"), load_forecaster("steps"), run.forecaster]
    found = evaluate_events(rows, plan, journal=kept, cache=None if journal is None else journal / "cache")
    for key, value in found.totals.items():
        sums.totals[key] = sums.totals[key] + value if key in sums.totals else value
    sums.windows += found.windows
    sums.spells |= found.spells


def table(by_row: SumsByRow, model: str, mask: Mask) -> Iterator[str]:
    """Yield a Markdown table of both scores by lead, and a line that says where the model is not better.

    Args:
        by_row: sums of all windows.
        model: the row that is compared with `steps`.
        mask: cells that count.
    """
    rows = {f"Brier, {mmh:g} mm/h": ("brier", mmh) for mmh in THRESHOLDS_MMH} | {"CRPS, mm/h": ("crps", None)}
    leads = sorted({lead for spells in by_row.values() for by_lead in spells.values() for lead in by_lead})
    yield f"| {mask}: {model} / steps | " + " | ".join(f"+{lead}" for lead in leads) + " |"
    yield "|---|" + "---|" * len(leads)
    worse = []
    for label, (score, mmh) in rows.items():
        cells = []
        for lead in leads:
            own, other = _value(by_row, model, score, mmh, mask, lead), _steps(by_row, score, mmh, mask, lead)
            cells.append(f"{_number(own)} / {_number(other)}")
            if lead >= FIRST_LEAD and not own < other:
                worse.append(f"{label} +{lead}")
        yield f"| {label} | " + " | ".join(cells) + " |"
    yield ""
    yield f"Not better from +{FIRST_LEAD}: {', '.join(worse) or 'nowhere'}."


def reliability(by_row: SumsByRow, model: str) -> Iterator[str]:
    """Yield the observed frequency by forecast probability of all leads, mask all."""
    yield f"Reliability of {model}, all leads, mask all: probability: observed frequency (cells)"
    for mmh in THRESHOLDS_MMH:
        bins = ReliabilityBins()
        for by_lead in by_row.get(RowKey("all", model, "reliability", mmh, None), {}).values():
            bins = sum(by_lead.values(), bins)
        points = [f"{p:.2f}: {seen:.2f} ({cells:,})" for p, seen, cells in bins.points() if cells >= LEAST_CELLS]
        yield f"- {mmh:g} mm/h: {', '.join(points) or 'no bin with enough cells'}"


def _steps(by_row: SumsByRow, score: str, mmh: float | None, mask: Mask, lead: int) -> float:
    """Return the score of STEPS; of CRPS the better of its members' and of that of their shares at thresholds."""
    found = [_value(by_row, "steps", score, mmh, mask, lead)]
    if score == "crps":
        found.append(_value(by_row, "steps", "crps-members", None, mask, lead))
    return min((value for value in found if math.isfinite(value)), default=math.nan)


def _value(by_row: SumsByRow, model: str, family: str, mmh: float | None, mask: Mask, lead: int) -> float:
    spells = by_row.get(RowKey(mask, model, family, mmh, None), {})
    parts: Sequence[Any] = [by_lead[lead] for by_lead in spells.values() if lead in by_lead]
    kind = SCORES.get(family)
    return kind().value(sum(parts[1:], parts[0])) if parts else math.nan


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"


if __name__ == "__main__":
    app()
