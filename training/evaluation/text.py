"""An evaluation on a data set as text of at most 120 columns: a block per threshold and per score."""

import math
import textwrap
from dataclasses import dataclass
from typing import Any, Final

from models.forecaster import Forecaster
from training.datasets import NowcastDataset
from training.evaluation.document import thresholds_of
from training.evaluation.engine import Evaluation, Measure, categorical, counts_key
from verification.counts import Counts

WIDTH: Final = 120
MOST_LEADS: Final = 8
DIGITS: Final = {"ssim": 3, "psnr": 2, "bias": 2, "rate-mae": 4, "crps": 4}
UNITS: Final = {
    "mse": ", summed over a frame's pixels",
    "mae": ", summed over a frame's pixels",
    "gdl": ", summed over a frame's pixels",
    "psnr": " in dB",
    "b-mse": ", pixel values 0 to 1 by rain's weight, summed over a frame",
    "b-mae": ", pixel values 0 to 1 by rain's weight, summed over a frame",
    "rate-mae": " in mm/h",
    "crps": " in mm/h",
}


@dataclass(frozen=True)
class Layout:
    """Properties that the blocks of one table have in common.

    Attributes:
        minutes: of a lead step; 0 counts steps.
        pixel_m: edge of a grid cell; 0 for pictures.
        paper: whether there is a column with the paper's mean.
    """

    minutes: int
    pixel_m: float = 0.0
    paper: bool = False

    def leads(self, table: Evaluation, width: int) -> str:
        """Return the heads of the columns by lead."""
        return "".join(f"{'+' + str(lead * (self.minutes or 1)):>{width}}" for lead in _leads(table))


def text_table(table: Evaluation, dataset: NowcastDataset, forecaster: Forecaster) -> str:
    """Return every score by lead and over all leads, for the model and the baselines, on a data set."""
    some = f"{table.clips} of {len(dataset)}" if table.clips < len(dataset) else f"{table.clips}"
    what = "windows" if dataset.is_rain else "clips"
    head = f"{some} {what}, model version {forecaster.version}; forecast frames only, counts pooled, undefined is -"
    if table.lead_steps > MOST_LEADS:
        head += f"\n{MOST_LEADS} of {table.lead_steps} leads have a column; --csv and --json have all"
    paper = any(min(table.leads(model)) < 1 for model in table.models)
    if paper:
        head += "\npaper: mean over its m + n - 1 positions, one-step forecasts of given frames too; undefined as 0"
    layout = Layout(dataset.cadence_minutes, dataset.pixel_m, paper)
    return "\n\n".join([head, *_blocks(table, layout)])


def _blocks(table: Evaluation, layout: Layout) -> list[str]:
    blocks = [_counts_block(table, mmh, layout) for mmh in thresholds_of(table)]
    for label, measure in table.measures.items():
        if not measure.totals_of.startswith("counts"):
            blocks.append(_score_block(table, label, table.models, layout))
    return blocks


def _counts_block(table: Evaluation, mmh: float, layout: Layout) -> str:
    """Return CSI by lead, then every score of the four counts over all leads, and below them the counts."""
    labels = {name: f"{name}_{mmh:g}" for name in categorical(table.measures, mmh)}
    others = {name: max(len(name) + 1, 6) for name in labels if name != "csi"}
    head = f"{f'CSI, {mmh:g} mm/h':<20}{layout.leads(table, 6)}{'pooled':>7}"
    head += "".join(f"{name.upper():>{width}}" for name, width in others.items())
    lines = [head + (f"{'paper':>6}{'HSS':>6}" if layout.paper else "")]
    counts = []
    for model in table.models:
        line = f"  {model[:18]:<18}" + "".join(f"{_at(table, labels['csi'], model, n):>6}" for n in _leads(table))
        line += f"{_number(table.overall(labels['csi'], model)):>7}"
        line += "".join(f"{_number(table.overall(labels[name], model), 2):>{width}}" for name, width in others.items())
        if layout.paper:
            csi, hss = (_number(table.paper(labels[name], model)) for name in ("csi", "hss"))
            line += f"{csi:>6}{hss:>6}"
        lines.append(line)
        of_model: Counts = table.pooled(counts_key(mmh), model)
        counts.append(f"{model} {of_model.hits}/{of_model.misses}/{of_model.false_alarms}")
    text = f"hits/misses/false alarms: {', '.join(counts)}"
    return "\n".join([*lines, textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ")])


def _score_block(table: Evaluation, label: str, models: list[str], layout: Layout) -> str:
    """Return one score by lead, then over all leads."""
    measure = table.measures[label]
    digits = _digits(measure.name)
    head = f"{'':<26}{layout.leads(table, 9)}{'all':>10}"
    head += f"{'paper':>10}" if layout.paper else ""
    lines = [_title(label, measure, layout), head]
    for model in models:
        line = f"  {model[:24]:<24}" + "".join(f"{_at(table, label, model, n, digits):>9}" for n in _leads(table))
        line += f"{_number(table.overall(label, model), digits):>10}"
        lines.append(line + (f"{_number(table.paper(label, model), digits):>10}" if layout.paper else ""))
    return "\n".join(lines)


def _title(label: str, measure: Measure, layout: Layout) -> str:
    name, best = measure.name.upper(), f"best {measure.score.best:g}"
    if measure.threshold_mmh is None:
        return f"{label.upper()}{UNITS.get(label, '')}; {best}"
    event = f"{name}, {measure.threshold_mmh:g} mm/h"
    if measure.window is None:
        return f"{event}; {best}"
    km = f" ({measure.window * layout.pixel_m / 1000:.1f} km)" if layout.pixel_m else ""
    return f"{event}, window of {measure.window:g} cells{km}; {best}"


def _leads(table: Evaluation) -> list[int]:
    """Return the leads that have a column: all, or eight of them, evenly spread up to the last."""
    count = min(table.lead_steps, MOST_LEADS)
    return [round(number * table.lead_steps / count) for number in range(1, count + 1)]


def _at(table: Evaluation, label: str, model: str, lead: int, digits: int = 3) -> str:
    return _number(table.at(label, model, lead), digits)


def _digits(name: str) -> int:
    return DIGITS.get(name, 3)


def _number(value: Any, digits: int = 3) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"
