"""The paper's Tables 3 to 11 with our numbers next to the printed ones."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import yaml

from models.build import MULTISCALE, build_model, recurrent_models
from models.cost import count_parameters, measure_memory, measure_work, measuring_on
from training.report.runs import TrainingRun, default_skip
from verification.baselines import BASELINES

PAPER = Path(__file__).parent / "paper_tables.yaml"
MIB = 2**20


@dataclass(frozen=True)
class Column:
    """One quantity of a table: its headings and our digits; a score has two values."""

    label: str
    ours: str
    printed: str
    digits: int


COSTS = {
    "parameters": Column("Parameters", "M", "M, paper", 3),
    "memory": Column("Memory", "MiB saved", "GB, paper", 1),
    "macs": Column("Multiply-adds", "G", "G, paper", 2),
}


@dataclass(frozen=True)
class TableRow:
    """One row: a model of the paper, or a baseline, with its runs.

    Attributes:
        ours: by column, one value per run.
        all_frames: scores by the paper's protocol, by column, one value per run.
        printed: the paper's numbers as it prints them.
    """

    name: str
    part: str
    runs: tuple[TrainingRun, ...]
    ours: dict[str, list[float]]
    all_frames: dict[str, list[float]]
    printed: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A table of the paper, for the runs of one setting."""

    number: int
    title: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]

    @property
    def runs(self) -> list[TrainingRun]:
        """Return all runs that have a number in the table."""
        return list({run.name: run for row in self.rows for run in row.runs}.values())

    @property
    def not_run(self) -> list[str]:
        """Return the rows of the paper without a run."""
        return [
            f"{row.name} ({row.part})" if row.part else row.name for row in self.rows if row.printed and not row.runs
        ]


def column(key: str) -> Column:
    """Return the headings of a column."""
    if key in COSTS:
        return COSTS[key]
    name, _, rest = key.partition("_")
    label = {"": name.upper()}.get(rest, f"{name.upper()}, frame {rest}" if name == "mse" else f"{name.upper()}-{rest}")
    return Column(label, "forecast", "paper", 3 if rest or name == "ssim" else 2)


def paper_tables() -> dict[int, dict[str, Any]]:
    """Return the printed numbers as text, so that no digit is lost."""
    tables = yaml.load(PAPER.read_text(), Loader=yaml.BaseLoader)
    return {int(number): table for number, table in tables.items()}


def make_table(number: int, runs: Iterable[TrainingRun]) -> Table:
    """Make a table of the paper with the numbers of evaluated runs of one setting."""
    spec, runs = paper_tables()[number], list(runs)
    columns = tuple(spec["columns"])
    rows = [_row(line, columns, [run for run in runs if fits(run, line)]) for line in spec["rows"]]
    scored = [run for row in rows for run in row.runs]
    if scored and any(key not in COSTS for key in columns):
        rows += [_baseline(name, columns, scored[0]) for name in BASELINES]
    return Table(number, spec["title"], columns, tuple(rows))


def fits(run: TrainingRun, line: dict[str, Any]) -> bool:
    """Return whether a run is what a row of the paper describes."""
    model = line["model"]
    skip = line.get("skip", default_skip(model)) if model in recurrent_models() else None
    loss = line.get("loss", "l1+l2")
    return not run.variant and (run.model, run.skip, run.config.get("loss", "l1+l2")) == (model, skip, loss)


def _row(line: dict[str, Any], columns: tuple[str, ...], runs: list[TrainingRun]) -> TableRow:
    scores = [key for key in columns if key not in COSTS]
    ours: dict[str, list[float]] = {}
    for key in columns:
        values = [run_cost(run)[key] for run in runs] if key in COSTS else _scores(runs, key, forecast_value)
        ours[key] = values
    every = {key: _scores(runs, key, all_frames_value) for key in scores}
    return TableRow(
        line["model"], line.get("part", ""), tuple(runs), ours, every, dict(zip(columns, line["printed"], strict=True))
    )


def _baseline(name: str, columns: tuple[str, ...], run: TrainingRun) -> TableRow:
    """Return a baseline's row from the evaluation of one run; all runs of a setting have the same."""
    scores = [key for key in columns if key not in COSTS]
    ours = {key: [value for value in [forecast_value(run, key, name)] if value is not None] for key in scores}
    every = {key: [value for value in [all_frames_value(run, key, name)] if value is not None] for key in scores}
    return TableRow(name, "", (), ours, every, {})


def _scores(runs: list[TrainingRun], key: str, take: Callable[..., float | None]) -> list[float]:
    return [value for run in runs if (value := take(run, key)) is not None]


def forecast_value(run: TrainingRun, key: str, model: str | None = None) -> float | None:
    """Return a score over the forecast frames, or of one of them (`mse_2`)."""
    evaluation, model = run.evaluation or {}, model or run.scored_name
    name, _, lead = key.partition("_")
    if name == "mse" and lead:
        rows = [row for row in evaluation["by_lead"] if (row["model"], row["lead"]) == (model, int(lead))]
        value = rows[0].get(name) if rows else None
    else:
        value = evaluation["overall"].get(model, {}).get(key)
    return None if value is None or not math.isfinite(value) else float(value)


def all_frames_value(run: TrainingRun, key: str, model: str | None = None) -> float | None:
    """Return a score by the paper's protocol; None for one frame, and for models without one-step forecasts."""
    value = (run.evaluation or {})["paper"].get(model or run.scored_name, {}).get(key)
    return None if value is None else float(value)


def run_cost(run: TrainingRun) -> dict[str, float]:
    """Return millions of parameters, MiB of saved activations and 1e9 multiply-adds of one clip."""
    frame_CHW = (run.evaluation or {})["frame_CHW"]
    steps = (run.config["input_steps"], run.config["lead_steps"])
    return _cost(json.dumps(run.card["architecture"], sort_keys=True), tuple(frame_CHW), steps)


@lru_cache(maxsize=256)
def _cost(architecture: str, frame_CHW: tuple[int, int, int], steps: tuple[int, int]) -> dict[str, float]:
    known = json.loads(architecture)
    model = build_model(known["name"], **known.get("options", {}))
    with measuring_on("shapes", model) as place:
        frames_BTCHW = torch.zeros((1, steps[0], *frame_CHW), device=place)
        memory, work = measure_memory(model, frames_BTCHW, steps[1]), measure_work(model, frames_BTCHW, steps[1])
        return {
            "parameters": count_parameters(model) / 1e6,
            "memory": memory.activation_bytes / MIB,
            "macs": work.total / 1e9,
        }


def change(table: Table, row: TableRow, key: str, *, printed: bool) -> float | None:
    """Return the difference of a multi-scale model's number from the flat one's in percent; None without both."""
    flat = next((r for r in table.rows if MULTISCALE + r.name == row.name), None)
    if flat is None or (printed and not row.printed):
        return None
    if printed:
        values = [float(r.printed[key]) for r in (flat, row)]
    elif flat.ours[key] and row.ours[key]:
        values = [sum(r.ours[key]) / len(r.ours[key]) for r in (flat, row)]
    else:
        return None
    return 100 * (values[1] / values[0] - 1) if values[0] else None
