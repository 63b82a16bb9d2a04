"""An evaluation as text and as JSON."""

import math
from typing import Any

from models.forecaster import Forecaster
from training.datasets import NowcastDataset
from training.evaluation.engine import Evaluation, counts_key
from verification.counts import Counts
from verification.scores import SCORES, CategoricalScore
from verification.scores.fss import FSS

DIGITS = {"ssim": 3, "psnr": 2}


def text_table(table: Evaluation, dataset: NowcastDataset, forecaster: Forecaster) -> str:
    """Every score by lead and over all leads, for the model and the baselines."""
    some = f"{table.clips} of {len(dataset)}" if table.clips < len(dataset) else f"{table.clips}"
    what = "windows" if dataset.is_rain else "clips"
    head = f"{some} {what}, model version {forecaster.version}; forecast frames only, counts pooled, undefined is -"
    with_paper = any(min(table.leads(model)) < 1 for model in table.models)
    if with_paper:
        head += "\npaper: mean over its m + n - 1 positions, one-step forecasts of given frames too; undefined as 0"
    thresholds = _thresholds(table)
    blocks = [head, *(_rain_block(table, mmh, dataset.cadence_minutes, with_paper=with_paper) for mmh in thresholds)]
    minutes = dataset.cadence_minutes or 1
    for label, measure in table.measures.items():
        if not isinstance(measure.score, CategoricalScore):
            blocks.append(_block(table, label, _title(label, measure.score, dataset), minutes, with_paper=with_paper))
    return "\n\n".join(blocks)


def _thresholds(table: Evaluation) -> list[float]:
    found = {one.score.threshold_mmh for one in table.measures.values() if isinstance(one.score, CategoricalScore)}
    return sorted(found)


def _rain_block(table: Evaluation, mmh: float, minutes: int, *, with_paper: bool) -> str:
    """CSI by lead, then pooled CSI, HSS, frequency bias and the counts."""
    leads = range(1, table.lead_steps + 1)
    head = "".join(f"{'+' + str(lead * minutes):>8}" for lead in leads)
    paper = f"{'paper':>8}{'HSS':>7}" if with_paper else ""
    lines = [
        f"{mmh:g} mm/h{'':<10}CSI{head}{'pooled':>9}{'HSS':>8}{'bias':>7}{'POD':>7}{'FAR':>7}{paper}"
        "  hits/misses/false alarms"
    ]
    for model in table.models:
        counts: Counts = table.pooled(counts_key(mmh), model)
        by_lead = "".join(f"{_number(table.at(f'csi_{mmh:g}', model, lead)):>8}" for lead in leads)
        last = "".join(f"{_number(table.paper(f'{s}_{mmh:g}', model)):>{w}}" for s, w in (("csi", 8), ("hss", 7)))
        lines.append(
            f"  {model:<15}   {by_lead}{_number(counts.value('csi')):>9}{_number(counts.value('hss')):>8}"
            f"{_number(counts.value('bias'), 2):>7}{_number(counts.value('pod')):>7}{_number(counts.value('far')):>7}"
            f"{last if with_paper else ''}  {counts.hits}/{counts.misses}/{counts.false_alarms}"
        )
    return "\n".join(lines)


def _block(table: Evaluation, label: str, title: str, minutes: int, *, with_paper: bool) -> str:
    """One score by lead, then over all of them."""
    leads, digits = range(1, table.lead_steps + 1), DIGITS.get(label.split("_")[0], 3)
    lines = [title, f"{'':<20}" + "".join(f"{'+' + str(lead * minutes):>9}" for lead in leads) + f"{'all':>10}"]
    lines[-1] += f"{'paper':>10}" if with_paper else ""
    for model in table.models:
        values = [table.at(label, model, lead) for lead in leads]
        line = f"  {model:<18}" + "".join(f"{_number(value, digits):>9}" for value in values)
        line += f"{_number(table.overall(label, model), digits):>10}"
        lines.append(line + (f"{_number(table.paper(label, model), digits):>10}" if with_paper else ""))
    return "\n".join(lines)


def _title(label: str, score: Any, dataset: NowcastDataset) -> str:
    if isinstance(score, FSS):
        km = f" ({score.window_cells * dataset.pixel_m / 1000:.1f} km)" if dataset.pixel_m else ""
        return f"FSS, {score.threshold_mmh:g} mm/h, window of {score.window_cells} cells{km}; best 1"
    unit = {
        "mse": ", summed over a frame's pixels",
        "mae": ", summed over a frame's pixels",
        "gdl": ", summed over a frame's pixels",
        "psnr": " in dB",
        "b-mse": ", pixel values 0 to 1 by rain's weight, summed over a frame",
        "b-mae": ", pixel values 0 to 1 by rain's weight, summed over a frame",
    }
    return f"{label.upper()}{unit.get(label, '')}; best {score.best:g}"


def as_json(
    table: Evaluation, dataset: NowcastDataset, forecaster: Forecaster, *, dataset_name: str, command: str
) -> dict[str, Any]:
    """The whole table with its counts, and what it was made of."""
    return {
        "command": command,
        "dataset": dataset_name,
        "model": forecaster.name,
        "model_version": forecaster.version,
        "sha256": forecaster.card.get("sha256"),
        "windows": table.clips,
        "windows_in_the_test_set": len(dataset),
        "lead_steps": table.lead_steps,
        "cadence_minutes": dataset.cadence_minutes,
        "frame_CHW": list(dataset[0].past_TCHW.shape[1:]),
        "data": dataset.fingerprint,
        "scores": _count_rows(table, dataset.cadence_minutes),
        "overall": {
            model: {label: _finite(table.overall(label, model)) for label in table.measures} for model in table.models
        },
        "paper": {
            model: {label: table.paper(label, model) for label in table.measures}
            for model in table.models
            if min(table.leads(model)) < 1
        },
        "by_lead": [
            {"model": model, "lead": lead, **{label: _finite(table.at(label, model, lead)) for label in table.measures}}
            for model in table.models
            for lead in table.leads(model)
        ],
    }


def _count_rows(table: Evaluation, minutes: int) -> list[dict[str, Any]]:
    names = [name for name, kind in SCORES.items() if issubclass(kind, CategoricalScore)]
    rows = []
    for mmh in _thresholds(table):
        for model in table.models:
            for lead in range(1, table.lead_steps + 1):
                counts: Counts = table.totals[model, lead, counts_key(mmh)]
                key = {"model": model, "lead_minutes": lead * minutes, "threshold_mmh": mmh}
                rows.append({**key, **vars(counts), **{name: counts.value(name) for name in names}})
    return rows


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"
