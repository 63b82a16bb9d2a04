"""`python -m training.evaluate --checkpoint C --dataset D`: the test table, with the baselines beside the model."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from core.errors import ConfigError, NowcastError
from core.units import THRESHOLDS_MMH
from models import Forecaster, load_forecaster
from training.config import key_value
from training.datasets import NowcastDataset, build_dataset
from verification.counts import Counts
from verification.verify import score_table

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
BASELINES = ("persistence", "extrapolation")
Table = dict[tuple[str, int, float], Counts]


@app.command()
def main(
    checkpoint: Annotated[str, typer.Option(help="a shipped name, or a checkpoint's folder")] = "default",
    dataset: Annotated[str, typer.Option(help="a data set of radar rain rates")] = "germany",
    data: Annotated[Path | None, typer.Option(help="file or folder; default ./data/DATASET")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the table here")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the data set's options")] = None,
) -> None:
    """Score a checkpoint, persistence and extrapolation on the test windows of a data set."""
    try:
        options = dict(key_value(text) for text in sets or [])
        forecaster = load_forecaster(checkpoint)
        test = build_dataset(
            dataset,
            data or Path("data") / dataset,
            "test",
            options,
            input_steps=forecaster.input_steps,
            lead_steps=int(forecaster.card.get("lead_steps", 5)),
            seed=0,
        )
        if not test.is_rain:
            raise ConfigError(f"{dataset} holds pictures, not rain; the rain scores of this command do not apply")
        table = evaluate([forecaster, *(load_forecaster(name) for name in BASELINES)], test)
    except NowcastError as err:
        typer.echo(f"error: {err}", err=True)
        raise typer.Exit(2) from err
    typer.echo(text_table(table, windows=len(test), version=forecaster.version))
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(table, test, forecaster), indent=1) + "\n")


def evaluate(
    forecasters: Iterable[Forecaster],
    dataset: NowcastDataset,
    thresholds_mmh: tuple[float, ...] = THRESHOLDS_MMH,
) -> Table:
    """Counts by (model, lead in minutes, threshold), summed over all windows of a data set.

    Cells count where the observation and every input field are there, the same ones for all forecasters.
    """
    forecasters = list(forecasters)
    leads = [dataset.cadence_minutes * (n + 1) for n in range(dataset.lead_steps)]
    table: Table = {}
    for index in range(len(dataset)):
        sample = dataset[index]
        past_THW, observed_THW = sample.past_TCHW[:, 0].numpy(), sample.future_TCHW[:, 0].numpy().copy()
        observed_THW[:, np.isnan(past_THW).any(axis=0)] = np.nan
        fields = {one.name: one.forecast(past_THW, dataset.lead_steps) for one in forecasters}
        for row in score_table(fields, observed_THW, leads, thresholds_mmh):
            key = (row.model, row.lead_minutes, row.threshold_mmh)
            table[key] = table.get(key, Counts()) + row.counts
    return table


def pooled(table: Table, model: str, threshold_mmh: float) -> Counts:
    """Counts of one model over all leads."""
    return sum((c for (m, _, t), c in table.items() if m == model and t == threshold_mmh), Counts())


def text_table(table: Table, *, windows: int, version: str) -> str:
    """CSI by lead, then pooled CSI, HSS, frequency bias and the counts, for every threshold and model."""
    leads = sorted({lead for _, lead, _ in table})
    models = list(dict.fromkeys(model for model, _, _ in table))
    lines = [f"{windows} windows, model version {version}; forecast frames only, counts pooled, undefined is -"]
    head = "".join(f"{'+' + str(lead):>8}" for lead in leads)
    for threshold in sorted({threshold for _, _, threshold in table}):
        lines.append(
            f"\n{threshold:g} mm/h{'':<10}CSI{head}{'pooled':>9}{'HSS':>8}{'bias':>7}  hits/misses/false alarms"
        )
        for model in models:
            counts = pooled(table, model, threshold)
            by_lead = "".join(f"{_number(table[model, lead, threshold].value('csi')):>8}" for lead in leads)
            lines.append(
                f"  {model:<15}   {by_lead}{_number(counts.value('csi')):>9}{_number(counts.value('hss')):>8}"
                f"{_number(counts.value('bias'), 2):>7}  {counts.hits}/{counts.misses}/{counts.false_alarms}"
            )
    return "\n".join(lines)


def as_json(table: Table, dataset: NowcastDataset, forecaster: Forecaster) -> dict[str, Any]:
    """The whole table with its counts, and what it was made of."""
    return {
        "command": " ".join(["python -m training.evaluate", *sys.argv[1:]]),
        "model_version": forecaster.version,
        "sha256": forecaster.card.get("sha256"),
        "windows": len(dataset),
        "data": dataset.fingerprint,
        "scores": [
            {
                "model": model,
                "lead_minutes": lead,
                "threshold_mmh": threshold,
                "hits": c.hits,
                "misses": c.misses,
                "false_alarms": c.false_alarms,
                "correct_negatives": c.correct_negatives,
                "csi": c.value("csi"),
                "hss": c.value("hss"),
                "bias": c.value("bias"),
            }
            for (model, lead, threshold), c in table.items()
        ],
    }


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    app()
