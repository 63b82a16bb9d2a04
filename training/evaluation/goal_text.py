"""The tables of `training.native_skill` as Markdown, and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from training.evaluation.goal_rows import (
    BEHIND,
    GAINS,
    REFERENCES,
    THRESHOLDS_MMH,
    GoalRow,
    Lag,
    SkillCase,
    goal_rows,
    lags,
)
from verification.bootstrap import LEAST_OBSERVED_CELLS
from verification.table import MASKS, Mask

RULES: Final = f"""CSI is the mean over the leads that a source has of +5, +15, +30, +60, +90, +120, +150 minutes, of
counts that are added over windows and spells. The better of persistence and extrapolation by that mean is the
reference. In brackets the 90 % interval of the gain, paired, over spells (three at least). Below
{LEAST_OBSERVED_CELLS:,} observed cells nothing is claimed."""


def goal_text(cases: Sequence[SkillCase], model: str, command: str) -> str:
    """Return the tables of both masks, CSI by lead of all spells, and the leads at which the model is behind."""
    parts = [f"```text\n{command}\n```", RULES]
    for mask in reversed(MASKS):
        rows = list(goal_rows(cases, model, mask))
        parts += [_gains(rows, model, mask)] if rows else []
        if rows and mask == "known":
            parts += [_by_lead([row for row in rows if row.group == rows[-1].group], model)]
    return "\n\n".join([*parts, *_lag_parts(list(lags(cases, model)))])


def _gains(rows: Sequence[GoalRow], model: str, mask: Mask) -> str:
    goals = [f"{mmh:g} mm/h (goal {GAINS[mmh]:+.0%})" for mmh in THRESHOLDS_MMH]
    lines = [f"| {mask}: spells (windows) | " + " | ".join(goals) + " |", "|---|" + "---|" * len(goals)]
    for group in dict.fromkeys(row.group for row in rows):
        own = {row.threshold_mmh: row for row in rows if row.group == group}
        cells = [_gain(own[mmh], model) for mmh in THRESHOLDS_MMH]
        lines.append(f"| {group} ({own[THRESHOLDS_MMH[0]].windows}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _gain(row: GoalRow, model: str) -> str:
    if not math.isfinite(row.gain):
        return f"- ({row.events:,} cells)"
    ends = "" if row.interval is None else f" ({row.interval.low:+.0%} to {row.interval.high:+.0%})"
    few = "" if row.events >= LEAST_OBSERVED_CELLS else ", too few"
    others = "".join(
        f"; {name} {value:.3f}" for name, value in row.means.items() if name not in (model, *REFERENCES) and value >= 0
    )
    reached = "reached" if row.reached else "**not reached**"
    both = f"{row.means[model]:.3f} / {row.means[row.reference]:.3f} {row.reference}"
    return f"{both}: {row.gain:+.0%}{ends}, {reached}{others}; bias {row.bias[model]:.2f}; {row.events:,} cells{few}"


def _by_lead(rows: Sequence[GoalRow], model: str) -> str:
    leads = list(rows[0].by_lead[model])
    lines = [f"| CSI, {rows[0].group}, mask {rows[0].mask} | " + " | ".join(f"+{lead}" for lead in leads) + " | bias |"]
    lines.append("|---|" + "---|" * (len(leads) + 1))
    for row in rows:
        for name, by_lead in row.by_lead.items():
            values = " | ".join(_number(by_lead[lead]) for lead in leads)
            lines.append(f"| {row.threshold_mmh:g} mm/h, {name} | {values} | {row.bias[name]:.2f} |")
    return "\n".join(lines)


def _lag_parts(found: Sequence[Lag]) -> list[str]:
    claimed = [lag for lag in found if lag.claimed]
    head = f"More than {BEHIND} below the better baseline: {len(claimed)} leads with enough observed cells"
    parts = [f"{head}, {len(found) - len(claimed)} with fewer."]
    if claimed:
        lines = [
            "| cadence, cell, spell | threshold | lead | CSI / baseline | observed cells |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {lag.group} | {lag.threshold_mmh:g} mm/h | +{lag.lead_minutes} | {lag.csi:.3f} / "
            f"{lag.reference_csi:.3f} {lag.reference} | {lag.events:,} |"
            for lag in claimed
        ]
        parts.append("\n".join(lines))
    return parts


def goal_document(cases: Sequence[SkillCase], model: str, command: str) -> dict[str, Any]:
    """Return everything for JSON; undefined values are null."""
    return {
        "command": command,
        "model": model,
        "cases": [
            {name: value for name, value in vars(case).items() if name != "counts"}
            | {
                "counts": [
                    {
                        "model": name,
                        "mask": mask,
                        "threshold_mmh": mmh,
                        "by_lead": {str(k): c.flat() for k, c in by.items()},
                    }
                    for (name, mask, mmh), by in case.counts.items()
                ]
            }
            for case in cases
        ],
        "rows": [_finite(asdict(row)) for mask in MASKS for row in goal_rows(cases, model, mask)],
        "behind": [_finite(asdict(lag)) for lag in lags(cases, model)],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"
