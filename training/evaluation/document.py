"""An evaluation on a data set as JSON and CSV; undefined values are null, or empty."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from core.files import write_bytes_atomically
from models.forecaster import Forecaster
from training.datasets import NowcastDataset
from training.evaluation.engine import Evaluation, counts_key
from verification.counts import Counts
from verification.scores import values_of


def as_json(
    table: Evaluation, dataset: NowcastDataset, forecaster: Forecaster, *, dataset_name: str, command: str
) -> dict[str, Any]:
    """Return the whole table of a data set with its counts and its origin."""
    return {
        "command": command,
        "dataset": dataset_name,
        "trained_on": forecaster.card.get("training", {}).get("config", {}).get("dataset"),
        "model": forecaster.name,
        "model_version": forecaster.version,
        "sha256": forecaster.card.get("sha256"),
        "windows": table.clips,
        "windows_in_the_test_set": len(dataset),
        "lead_steps": table.lead_steps,
        "cadence_minutes": dataset.cadence_minutes,
        "frame_CHW": list(dataset[0].past_TCHW.shape[1:]),
        "data": dataset.fingerprint,
        "scores": [
            {**row, **values_of(counts, "counts")}
            for mmh in thresholds_of(table)
            for model in table.models
            for row, counts in _count_rows(table, model, mmh, dataset.cadence_minutes, "threshold_mmh")
        ],
        **_values(table),
    }


def _values(table: Evaluation) -> dict[str, Any]:
    """Return every score over the forecast frames, by the paper's protocol, and by lead."""
    return {
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


def thresholds_of(table: Evaluation) -> list[float]:
    """Return the thresholds of the four counts, ascending."""
    found = {one.threshold_mmh for one in table.measures.values() if one.totals_of.startswith("counts")}
    return sorted(mmh for mmh in found if mmh is not None)


def as_csv(table: Evaluation, dataset: NowcastDataset) -> str:
    """Return every score of a data set as CSV: a line for each model and lead, and for all forecast frames together."""
    minutes = dataset.cadence_minutes or 1
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["model", "score", "lead", "value"])
    for model in table.models:
        for label in table.measures:
            for lead in table.leads(model):
                writer.writerow([model, label, lead * minutes, _csv_cell(table.at(label, model, lead))])
            writer.writerow([model, label, "all", _csv_cell(table.overall(label, model))])
            if min(table.leads(model)) < 1:
                writer.writerow([model, label, "paper", table.paper(label, model)])
    return file.getvalue()


def _csv_cell(value: float) -> str:
    return f"{value:.8g}" if math.isfinite(value) else ""


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a table to a file, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, text.encode())
    except OSError as err:
        raise ConfigError(f"{path} cannot be written: {err.strerror}") from err


def _count_rows(
    table: Evaluation, model: str, mmh: float, minutes: int, threshold_key: str
) -> list[tuple[dict[str, Any], Counts]]:
    rows = []
    for lead in range(1, table.lead_steps + 1):
        counts: Counts = table.pooled(counts_key(mmh), model, [lead])
        row = {"model": model, "lead_minutes": lead * minutes, threshold_key: mmh, **vars(counts)}
        rows.append((row, counts))
    return rows


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
