"""An evaluation as JSON, of a data set or of windows of events; undefined values are null."""

import json
import math
from pathlib import Path
from typing import Any, Final

from core.errors import ConfigError
from core.files import write_bytes_atomically
from models.forecaster import Forecaster
from training.datasets import NowcastDataset
from training.evaluation.engine import Evaluation, categorical, counts_key, reliability_intervals, score_interval
from verification.counts import Counts
from verification.scores import values_of
from verification.scores.brier import Brier, BrierSums
from verification.scores.reliability import ReliabilityBins
from verification.sums import NANO

BLOCK: Final = 3
"""Number of neighbouring windows in a block; windows overlap further than that, so intervals are rather narrow."""

LEAST_CELLS: Final = 2000
"""Least number of observed grid cells with an event for a claim; with fewer, a score is only reported."""

RELIABLE_CELLS: Final = 1000
"""Least number of grid cells of a bin of probability whose distance from the diagonal counts."""


def as_json(
    table: Evaluation, dataset: NowcastDataset, forecaster: Forecaster, *, dataset_name: str, command: str
) -> dict[str, Any]:
    """Return the whole table of a data set with its counts and its origin."""
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


def skill_json(table: Evaluation, forecasters: list[Forecaster], minutes: int) -> dict[str, Any]:
    """Return counts by lead and threshold, pooled scores with intervals, and scores of probabilities."""
    rates = thresholds_of(table)
    values = _other_scores(table)
    return {
        "windows": table.windows,
        "models": [{"name": one.name, "version": one.version, "sha256": one.card.get("sha256")} for one in forecasters],
        "counts": [
            row
            for model in table.models
            for mmh in rates
            if table.has(f"csi_{mmh:g}", model)
            for row, _ in _count_rows(table, model, mmh, minutes, "rate_mmh")
        ],
        "pooled": [_pooled(table, model, mmh) for model in table.models for mmh in rates],
        "probabilities": [
            {"model": model, "crps_mmh": table.overall("crps", model), "by_rate": probability_rows(table, model)}
            for model in table.models
            if table.has("crps", model)
        ],
        "mae_mmh": {row["model"]: row["value"] for row in values if row["score"] == "rate-mae"},
        "fss": [
            {**{key: row[key] for key in ("model", "rate_mmh", "window_km")}, "fss": row["value"]}
            for row in values
            if row["score"] == "fss"
        ],
        "values": values,
    }


def _other_scores(table: Evaluation) -> list[dict[str, Any]]:
    """Return every score over all leads that is not taken from the four counts; reliability has its bins instead."""
    others = {
        label: measure
        for label, measure in table.measures.items()
        if not measure.totals_of.startswith("counts") and measure.name != "reliability"
    }
    return [
        {
            "model": model,
            "score": one.name,
            "rate_mmh": one.threshold_mmh,
            "window_km": one.window,
            "value": _finite(table.overall(label, model)),
        }
        for model in table.models
        for label, one in others.items()
        if table.has(label, model)
    ]


def thresholds_of(table: Evaluation) -> list[float]:
    """Return the thresholds of the four counts, ascending."""
    found = {one.threshold_mmh for one in table.measures.values() if one.totals_of.startswith("counts")}
    return sorted(mmh for mmh in found if mmh is not None)


def probability_rows(table: Evaluation, model: str) -> list[dict[str, Any]]:
    """Return Brier score, skill and reliability of a model's probabilities at each threshold that it has."""
    rows = []
    for mmh in [rate for rate in thresholds_of(table) if table.has(f"brier_{rate:g}", model)]:
        brier: BrierSums = table.pooled(f"brier_{mmh:g}", model)
        bins: ReliabilityBins = table.pooled(f"reliability_{mmh:g}", model)
        rows.append(
            {
                "rate_mmh": mmh,
                "brier": Brier().value(brier),
                "skill_climatology": _finite(brier.skill(_climatology(table, model, mmh))),
                "skill_persistence": _finite(brier.skill(_persistence(table, mmh))),
                "largest_gap": _finite(bins.largest_gap(RELIABLE_CELLS)),
                "bins": bins.points(),
                "bins_90": _bin_intervals(table, model, mmh),
            }
        )
    return rows


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a table to a file, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
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


def _pooled(table: Evaluation, model: str, mmh: float) -> dict[str, Any]:
    counts: Counts = table.pooled(counts_key(mmh), model)
    windows = table.per_window(counts_key(mmh), model)
    names = categorical(table.measures, mmh)
    scores = {name: value for name, value in values_of(counts, "counts").items() if name in names}
    return {
        "model": model,
        "rate_mmh": mmh,
        "observed_cells": counts.hits + counts.misses,
        "claimed": counts.hits + counts.misses >= LEAST_CELLS,
        **scores,
        "csi_90": [_finite(value) for value in score_interval(windows, "csi", table.resampled(BLOCK))],
    }


def _bin_intervals(table: Evaluation, model: str, mmh: float) -> list[list[float | None]]:
    """Return the interval of every bin that holds a cell, in the order of `ReliabilityBins.points`."""
    key = f"reliability_{mmh:g}"
    cells = table.pooled(key, model).cells
    found = reliability_intervals(table.per_window(key, model), table.resampled(BLOCK))
    return [[_finite(low), _finite(high)] for (low, high), held in zip(found, cells, strict=True) if held]


def _climatology(table: Evaluation, model: str, mmh: float) -> BrierSums:
    """Return the sums of the event's frequency at each lead over all windows, as a forecast."""
    leads = range(1, table.lead_steps + 1)
    by_lead: list[BrierSums] = [table.pooled(f"brier_{mmh:g}", model, [lead]) for lead in leads]
    return sum((one.of_climatology() for one in by_lead), BrierSums())


def _persistence(table: Evaluation, mmh: float) -> BrierSums:
    """Return the sums of persistence as a probability of 0 or 1."""
    counts: Counts = table.pooled(counts_key(mmh), "persistence")
    return BrierSums((counts.misses + counts.false_alarms) * NANO, counts.hits + counts.misses, counts.total)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
