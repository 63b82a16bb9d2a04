"""Figures of the skill page: CSI by lead of model and baselines, and reliability of probabilities with intervals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from verification.counts import Counts
from verification.scores import value_of

LEAST_CELLS: Final = 1000
STYLES: Final[dict[str, dict[str, Any]]] = {
    "persistence": {"color": "0.55", "linestyle": ":"},
    "extrapolation": {"color": "0.25", "linestyle": "--"},
    "extrapolation-native": {"color": "0.45", "linestyle": "-."},
    "default": {"color": "tab:blue", "linewidth": 2.5},
}
OTHERS: Final = ("tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")


def draw_curves(events: Sequence[dict[str, Any]], rates_mmh: Sequence[float], path: Path) -> None:
    """Draw a panel per event and threshold.

    Args:
        events: tables of `training.skill`.
        rates_mmh: columns.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(rates_mmh), 3.1 * len(events) + 0.6), layout="constrained")
    axes = figure.subplots(len(events), len(rates_mmh), squeeze=False, sharex=True)
    for event, row in zip(events, axes, strict=True):
        for mmh, axis in zip(rates_mmh, row, strict=True):
            axis.set_prop_cycle(color=OTHERS)
            for model in dict.fromkeys(one["model"] for one in event["pooled"]):
                leads, values = _by_lead(event, model, mmh)
                axis.plot(leads, values, label=model, marker="o", markersize=3, **STYLES.get(model, {}))
            axis.set_title(f"{event['event'].removesuffix('.nc')}, {mmh:g} mm/h", fontsize=9)
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("minutes after the newest field")
    for row in axes:
        row[0].set_ylabel("CSI")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)


def draw_reliability(whole: dict[str, Any], model: str, path: Path) -> None:
    """Draw a panel per threshold: observed frequency by forecast probability, with intervals and a band of 0.05.

    Args:
        whole: a table of `training.skill`.
        model: name of the model with these probabilities.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    rows = next(table["by_rate"] for table in whole["probabilities"] if table["model"] == model)
    figure = Figure(figsize=(3.2 * 3, 3.2 * ((len(rows) + 2) // 3)), layout="constrained")
    axes = figure.subplots((len(rows) + 2) // 3, 3, squeeze=False, sharex=True, sharey=True).ravel()
    for axis in axes[len(rows) :]:
        axis.remove()
    for row, axis in zip(rows, axes, strict=False):
        axis.fill_between([0, 1], [-0.05, 0.95], [0.05, 1.05], color="0.9")
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        for (probability, frequency, cells), (low, high) in zip(row["bins"], row["bins_90"], strict=True):
            held = cells > LEAST_CELLS
            axis.plot([probability, probability], [low, high], color="tab:blue" if held else "0.7", linewidth=1.5)
            axis.plot(probability, frequency, marker="o", markersize=5, color="tab:blue" if held else "0.7")
        axis.set_title(f"at least {row['rate_mmh']:g} mm/h", fontsize=9)
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
    figure.supxlabel("forecast probability (grey: bins of at most 1,000 cells)", fontsize=9)
    figure.supylabel("observed frequency, with 90 % intervals", fontsize=9)
    figure.savefig(path, dpi=110)


def _by_lead(event: dict[str, Any], model: str, mmh: float) -> tuple[list[int], list[float]]:
    leads, values = [], []
    for row in event["counts"]:
        if row["model"] == model and row["rate_mmh"] == mmh:
            value = value_of("csi", counts_of(row))
            leads.append(int(row["lead_minutes"]))
            values.append(float("nan") if value is None else value)
    return leads, values


def counts_of(row: dict[str, Any]) -> Counts:
    """Return the four counts of a row of `training.skill`."""
    return Counts(**{key: row[key] for key in ("hits", "misses", "false_alarms", "correct_negatives")})
