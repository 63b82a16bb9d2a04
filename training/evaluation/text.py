"""An evaluation as text, of a data set or of windows of events: a block per threshold and per score."""

import math
from dataclasses import dataclass
from typing import Any, Final

from models.forecaster import Forecaster
from training.datasets import NowcastDataset
from training.evaluation.document import BLOCK, LEAST_CELLS, RELIABLE_CELLS, probability_rows, thresholds_of
from training.evaluation.engine import Evaluation, Measure, categorical, counts_key, score_interval
from verification.counts import Counts

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
        pixel_m: edge of a grid cell; 0 if the windows in the labels are in km.
        paper: whether there is a column with the paper's mean.
        intervals: whether windows were kept apart, so that there are 90 % intervals.
    """

    minutes: int
    pixel_m: float = 0.0
    paper: bool = False
    intervals: bool = False

    def leads(self, table: Evaluation, width: int) -> str:
        """Return the heads of the columns by lead."""
        return "".join(f"{'+' + str(lead * (self.minutes or 1)):>{width}}" for lead in range(1, table.lead_steps + 1))


def text_table(table: Evaluation, dataset: NowcastDataset, forecaster: Forecaster) -> str:
    """Return every score by lead and over all leads, for the model and the baselines, on a data set."""
    some = f"{table.clips} of {len(dataset)}" if table.clips < len(dataset) else f"{table.clips}"
    what = "windows" if dataset.is_rain else "clips"
    head = f"{some} {what}, model version {forecaster.version}; forecast frames only, counts pooled, undefined is -"
    paper = any(min(table.leads(model)) < 1 for model in table.models)
    if paper:
        head += "\npaper: mean over its m + n - 1 positions, one-step forecasts of given frames too; undefined as 0"
    layout = Layout(dataset.cadence_minutes, dataset.pixel_m, paper)
    return "\n\n".join([head, *_blocks(table, layout)])


def skill_text(table: Evaluation, minutes: int) -> str:
    """Return every score of the windows of one event, or of several, with intervals and probabilities."""
    blocks = _blocks(table, Layout(minutes, intervals=True))
    blocks += [_probability_block(table, model) for model in table.models if table.has("crps", model)]
    return "\n\n".join(blocks)


def _blocks(table: Evaluation, layout: Layout) -> list[str]:
    blocks = [_counts_block(table, mmh, layout) for mmh in thresholds_of(table)]
    for label, measure in table.measures.items():
        models = [model for model in table.models if table.has(label, model)]
        if not measure.totals_of.startswith("counts") and models and measure.name not in ("brier", "reliability"):
            blocks.append(_score_block(table, label, models, layout))
    return blocks


def _counts_block(table: Evaluation, mmh: float, layout: Layout) -> str:
    """Return CSI by lead, then every score of the four counts over all leads, and the counts."""
    labels = {name: f"{name}_{mmh:g}" for name in categorical(table.measures, mmh)}
    others = [name for name in labels if name != "csi"]
    pooled = "pooled (90 %)" if layout.intervals else "pooled"
    head = f"{mmh:g} mm/h{'':<16}CSI{layout.leads(table, 7)}{pooled:>{21 if layout.intervals else 8}}"
    head += "".join(f"{name.upper():>7}" for name in others)
    head += f"{'paper':>8}{'HSS':>7}" if layout.paper else ""
    lines = [f"{head}  hits/misses/false alarms{'  bias by lead' if layout.intervals else ''}"]
    for model in table.models:
        if not table.has(labels["csi"], model):
            continue
        counts: Counts = table.pooled(counts_key(mmh), model)
        line = f"  {model[:24]:<24}" + "".join(f"{_at(table, labels['csi'], model, n):>7}" for n in _leads(table))
        line += _pooled_csi(table, labels["csi"], model, layout)
        line += "".join(f"{_number(table.overall(labels[name], model), _digits(name)):>7}" for name in others)
        if layout.paper:
            csi, hss = (_number(table.paper(labels[name], model)) for name in ("csi", "hss"))
            line += f"{csi:>8}{hss:>7}"
        line += f"  {counts.hits}/{counts.misses}/{counts.false_alarms}"
        if layout.intervals:
            line += "  " + " ".join(f"{_at(table, labels['bias'], model, n, 2):>5}" for n in _leads(table))
        lines.append(line)
    if layout.intervals and counts.hits + counts.misses < LEAST_CELLS:
        lines.append(f"  below {LEAST_CELLS} observed cells: reported, nothing is claimed")
    return "\n".join(lines)


def _pooled_csi(table: Evaluation, label: str, model: str, layout: Layout) -> str:
    value = _number(table.overall(label, model))
    if not layout.intervals:
        return f"{value:>8}"
    windows = table.per_window(table.measures[label].totals_of, model)
    low, high = score_interval(windows, "csi", table.resampled(BLOCK))
    return f"{f'{value} ({_number(low)}-{_number(high)})':>21}"


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
    if layout.intervals:
        return f"{event}, window of {measure.window:g} km; {best}"
    km = f" ({measure.window * layout.pixel_m / 1000:.1f} km)" if layout.pixel_m else ""
    return f"{event}, window of {measure.window:g} cells{km}; {best}"


def _probability_block(table: Evaluation, model: str) -> str:
    lines = [f"probabilities of {model}: Brier score, skill against climatology and persistence, reliability"]
    for row in probability_rows(table, model):
        bins = "  ".join(
            f"{probability:.2f}:{frequency:.2f}"
            for probability, frequency, cells in row["bins"]
            if cells > RELIABLE_CELLS
        )
        lines.append(
            f"  {row['rate_mmh']:>4g} mm/h  {row['brier']:.4f}  {_number(row['skill_climatology'])}  "
            f"{_number(row['skill_persistence'])}  largest gap {_number(row['largest_gap'])}  {bins}"
        )
    return "\n".join(lines)


def _leads(table: Evaluation) -> range:
    return range(1, table.lead_steps + 1)


def _at(table: Evaluation, label: str, model: str, lead: int, digits: int = 3) -> str:
    return _number(table.at(label, model, lead), digits)


def _digits(name: str) -> int:
    return DIGITS.get(name, 3)


def _number(value: Any, digits: int = 3) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"
