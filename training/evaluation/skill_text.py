"""The skill protocol's tables as text and as JSON."""

import math
from typing import Any, Final

from core.units import MAIN_THRESHOLDS_MMH
from models import Forecaster
from training.evaluation.skill_sums import (
    FSS_WINDOWS_KM,
    LEAST_CELLS,
    RATES_MMH,
    SkillSums,
    counts_interval,
    reliability_intervals,
)
from training.evaluation.skill_windows import CADENCE_MINUTES, LEADS
from verification.counts import Counts
from verification.scores.brier import Brier, BrierSums
from verification.scores.fss import FSS
from verification.scores.rate_mae import CellSum
from verification.scores.reliability import ReliabilityBins

ALL_LEADS: Final = range(1, LEADS + 1)
BLOCK: Final = 3
"""Neighbouring windows that are drawn together; they overlap further than that, so intervals are rather too narrow."""
RELIABLE_CELLS: Final = 1000


def text_table(sums: SkillSums) -> str:
    """Every score of one event."""
    blocks = [_counts_block(sums, mmh) for mmh in RATES_MMH]
    blocks += [_fss_block(sums), *(_probability_block(sums, model) for model in sums.models if _has(sums, model))]
    return "\n\n".join(blocks)


def as_json(sums: SkillSums, forecasters: list[Forecaster]) -> dict[str, Any]:
    """Counts by lead and rate, pooled scores with intervals, and the probabilities' scores."""
    return {
        "windows": sums.windows,
        "models": [{"name": one.name, "version": one.version, "sha256": one.card.get("sha256")} for one in forecasters],
        "counts": [
            {
                "model": model,
                "lead_minutes": lead * CADENCE_MINUTES,
                "rate_mmh": mmh,
                **vars(_counts(sums, model, mmh, [lead])),
            }
            for model in sums.models
            for mmh in RATES_MMH
            for lead in ALL_LEADS
            if (model, f"counts_{mmh:g}", lead) in sums.totals
        ],
        "pooled": [_pooled(sums, model, mmh) for model in sums.models for mmh in RATES_MMH],
        "probabilities": [_probabilities(sums, model) for model in sums.models if _has(sums, model)],
        "mae_mmh": {model: sums.pooled(model, "mae", ALL_LEADS).mean for model in sums.models},
        "fss": [
            {"model": model, "rate_mmh": mmh, "window_km": km, "fss": _finite(_fss(sums, model, mmh, km))}
            for model in sums.models
            for mmh in MAIN_THRESHOLDS_MMH
            for km in FSS_WINDOWS_KM
        ],
    }


def _counts(sums: SkillSums, model: str, mmh: float, leads: Any) -> Counts:
    counts: Counts = sums.pooled(model, f"counts_{mmh:g}", leads)
    return counts


def _pooled(sums: SkillSums, model: str, mmh: float) -> dict[str, Any]:
    counts = _counts(sums, model, mmh, ALL_LEADS)
    windows = [sums.pooled(model, f"counts_{mmh:g}", ALL_LEADS, [n]) for n in range(sums.windows)]
    names = ("csi", "hss", "bias", "pod", "far")
    return {
        "model": model,
        "rate_mmh": mmh,
        "observed_cells": counts.hits + counts.misses,
        "claimed": counts.hits + counts.misses >= LEAST_CELLS,
        **{name: counts.value(name) for name in names},
        "csi_90": [_finite(value) for value in counts_interval(windows, "csi", sums.resampled(BLOCK))],
    }


def _counts_block(sums: SkillSums, mmh: float) -> str:
    heads = "".join(f"{'+' + str(lead * CADENCE_MINUTES):>7}" for lead in ALL_LEADS)
    lines = [f"{mmh:g} mm/h{'':<16}CSI{heads}  pooled (90 %)         HSS   bias by lead{'':<21}observed"]
    for model in sums.models:
        by_lead = [_counts(sums, model, mmh, [lead]) for lead in ALL_LEADS]
        found = _pooled(sums, model, mmh)
        low, high = found["csi_90"]
        lines.append(
            f"  {model[:24]:<24}"
            + "".join(f"{_number(c.value('csi')):>7}" for c in by_lead)
            + f"  {_number(found['csi'])} ({_number(low)}-{_number(high)})  {_number(found['hss'])}  "
            + " ".join(f"{_number(c.value('bias'), 2):>5}" for c in by_lead)
            + f"  {_number(found['bias'], 2):>5} {found['observed_cells']:>9}"
        )
    if not found["claimed"]:
        lines.append(f"  below {LEAST_CELLS} observed cells: reported, nothing is claimed")
    return "\n".join(lines)


def _fss_block(sums: SkillSums) -> str:
    labels = [(mmh, km) for mmh in MAIN_THRESHOLDS_MMH for km in FSS_WINDOWS_KM]
    lines = [
        f"FSS{'':<23}"
        + "".join(f"{f'{mmh:g} at {km:g} km':>15}" for mmh, km in labels)
        + f"{'MAE mm/h':>11}{'CRPS':>9}"
    ]
    for model in sums.models:
        values = [_fss(sums, model, mmh, km) for mmh, km in labels]
        mae: CellSum = sums.pooled(model, "mae", ALL_LEADS)
        crps: CellSum = sums.pooled(model, "crps", ALL_LEADS) if _has(sums, model) else mae
        lines.append(
            f"  {model[:24]:<24}" + "".join(f"{_number(v):>15}" for v in values) + f"{mae.mean:>11.4f}{crps.mean:>9.4f}"
        )
    return "\n".join(lines)


def _fss(sums: SkillSums, model: str, mmh: float, km: float) -> float:
    return float(FSS().value(sums.pooled(model, f"fss_{mmh:g}_{km:g}", ALL_LEADS)))


def _has(sums: SkillSums, model: str) -> bool:
    return (model, "crps", 1) in sums.totals


def _probability_block(sums: SkillSums, model: str) -> str:
    lines = [f"probabilities of {model}: Brier score, skill against climatology and persistence, reliability"]
    for row in _probabilities(sums, model)["by_rate"]:
        bins = "  ".join(f"{said:.2f}:{seen:.2f}" for said, seen, cells in row["bins"] if cells > RELIABLE_CELLS)
        lines.append(
            f"  {row['rate_mmh']:>4g} mm/h  {row['brier']:.4f}  {_number(row['skill_climatology'])}  "
            f"{_number(row['skill_persistence'])}  largest gap {_number(row['largest_gap'])}  {bins}"
        )
    return "\n".join(lines)


def _probabilities(sums: SkillSums, model: str) -> dict[str, Any]:
    rows = []
    for mmh in [rate for rate in RATES_MMH if (model, f"brier_{rate:g}", 1) in sums.totals]:
        brier: BrierSums = sums.pooled(model, f"brier_{mmh:g}", ALL_LEADS)
        bins: ReliabilityBins = sums.pooled(model, f"reliability_{mmh:g}", ALL_LEADS)
        rows.append(
            {
                "rate_mmh": mmh,
                "brier": Brier().value(brier),
                "skill_climatology": _finite(brier.skill(_climatology(sums, model, mmh))),
                "skill_persistence": _finite(brier.skill(_persistence(sums, mmh))),
                "largest_gap": _finite(bins.largest_gap(RELIABLE_CELLS)),
                "bins": bins.points(),
                "bins_90": _bin_intervals(sums, model, mmh),
            }
        )
    return {"model": model, "crps_mmh": sums.pooled(model, "crps", ALL_LEADS).mean, "by_rate": rows}


def _bin_intervals(sums: SkillSums, model: str, mmh: float) -> list[list[float | None]]:
    """Of every bin that holds a cell, as `ReliabilityBins.points` has them."""
    label = f"reliability_{mmh:g}"
    windows: list[ReliabilityBins] = [sums.pooled(model, label, ALL_LEADS, [n]) for n in range(sums.windows)]
    cells = sums.pooled(model, label, ALL_LEADS).cells
    found = reliability_intervals(windows, sums.resampled(BLOCK))
    return [[_finite(low), _finite(high)] for (low, high), held in zip(found, cells, strict=True) if held]


def _climatology(sums: SkillSums, model: str, mmh: float) -> BrierSums:
    """The frequency of the event at each lead, over all windows."""
    by_lead: list[BrierSums] = [sums.pooled(model, f"brier_{mmh:g}", [lead]) for lead in ALL_LEADS]
    return sum((one.of_climatology() for one in by_lead), BrierSums())


def _persistence(sums: SkillSums, mmh: float) -> BrierSums:
    """Persistence as a probability of 0 or 1."""
    counts = _counts(sums, "persistence", mmh, ALL_LEADS)
    return BrierSums(counts.misses + counts.false_alarms, counts.hits + counts.misses, counts.total)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"
