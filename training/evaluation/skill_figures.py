"""Figures of the skill page, from the JSON of `training.skill`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

JsonTable = dict[str, Any]
STYLES: Final[dict[str, dict[str, Any]]] = {
    "persistence": {"color": "0.6", "linestyle": ":"},
    "extrapolation": {"color": "0.2", "linestyle": "--"},
    "sprog": {"color": "tab:green", "linestyle": "-."},
    "steps": {"color": "tab:orange", "linestyle": "-."},
    "steps-pmm": {"color": "tab:red", "linestyle": ":"},
    "default": {"color": "tab:blue", "linewidth": 2.5},
    "default without network": {"color": "tab:cyan", "linewidth": 1.2},
}
LEAST_BIN_CELLS: Final = 1000
MOST_MAPS: Final = 9
LEAST_TILE_CELLS: Final = 50
"""Observed events below which a part of a map is left white."""


def rows_of(table: JsonTable, score: str, mask: str, threshold_mmh: float | None = None) -> list[dict[str, Any]]:
    """Return the rows of one score without a neighbourhood, one for each model."""
    wanted = (score, mask, threshold_mmh, None)
    return [r for r in table["scores"] if (r["score"], r["mask"], r["threshold_mmh"], r["window_km"]) == wanted]


def draw_curves(tables: Sequence[JsonTable], thresholds_mmh: Sequence[float], path: Path) -> None:
    """Draw CSI by lead: a row of panels for each table and mask, a column for each threshold.

    Args:
        tables: of groups.
        thresholds_mmh: columns.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    lines = [(table, mask) for table in tables for mask in ("all", "known")]
    figure = Figure(figsize=(4.2 * len(thresholds_mmh), 2.8 * len(lines) + 0.6), layout="constrained")
    axes = figure.subplots(len(lines), len(thresholds_mmh), squeeze=False, sharex=True)
    for (table, mask), row in zip(lines, axes, strict=True):
        for mmh, axis in zip(thresholds_mmh, row, strict=True):
            for one in rows_of(table, "csi", mask, mmh):
                leads, values = zip(*_by_lead(one), strict=True)
                axis.plot(leads, values, label=one["model"], marker="o", markersize=3, **style_of(one["model"]))
            axis.set_title(f"{table['group']}, {mmh:g} mm/h, mask {mask}", fontsize=9)
            axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
        row[0].set_ylabel("CSI")
    for axis in axes[-1]:
        axis.set_xlabel("minutes after the newest field")
    _save(figure, axes[0][0], path)


def draw_performance(table: JsonTable, thresholds_mmh: Sequence[float], path: Path) -> None:
    """Draw POD over success ratio (1 - FAR), with lines of equal CSI and bias (Roebber 2009).

    Args:
        table: of a group.
        thresholds_mmh: panels.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0 * len(thresholds_mmh), 4.4), layout="constrained")
    axes = figure.subplots(1, len(thresholds_mmh), squeeze=False)[0]
    ratio = np.linspace(0.01, 1, 100)
    csi_HW = 1 / (1 / ratio[None] + 1 / ratio[:, None] - 1)
    for mmh, axis in zip(thresholds_mmh, axes, strict=True):
        lines = axis.contour(ratio, ratio, csi_HW, levels=np.arange(0.1, 1, 0.1), colors="0.8", linewidths=0.8)
        axis.clabel(lines, fontsize=7)
        for bias in (0.5, 0.8, 1.0, 1.25, 2.0):
            axis.plot([0, min(1, 1 / bias)], [0, min(bias, 1)], color="0.85", linestyle=":", linewidth=0.8)
        pod = {one["model"]: one["pooled"]["value"] for one in rows_of(table, "pod", "all", mmh)}
        far = {one["model"]: one["pooled"]["value"] for one in rows_of(table, "far", "all", mmh)}
        for model, hit_rate in pod.items():
            if hit_rate is not None and far.get(model) is not None:
                color = style_of(model).get("color", "tab:purple")
                axis.plot(1 - far[model], hit_rate, marker="o", color=color, linestyle="none", label=model)
        axis.set(title=f"{table['group']}, {mmh:g} mm/h, mask all", xlim=(0, 1), ylim=(0, 1))
        axis.set_xlabel("success ratio (1 - FAR); grey: CSI, dotted: bias")
    axes[0].set_ylabel("POD")
    _save(figure, axes[0], path)


def draw_reliability(table: JsonTable, thresholds_mmh: Sequence[float], path: Path) -> None:
    """Draw observed frequency by forecast probability, bins of at most 1,000 cells in outline.

    Args:
        table: of a group.
        thresholds_mmh: panels.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0 * len(thresholds_mmh), 4.3), layout="constrained")
    axes = figure.subplots(1, len(thresholds_mmh), squeeze=False, sharey=True)[0]
    for mmh, axis in zip(thresholds_mmh, axes, strict=True):
        axis.fill_between([0, 1], [-0.05, 0.95], [0.05, 1.05], color="0.92")
        axis.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        for one in table["reliability"]:
            if one["threshold_mmh"] != mmh or not one["bins"]:
                continue
            style = {key: value for key, value in style_of(one["model"]).items() if key == "color"}
            held = [(p, f) for p, f, cells in one["bins"] if cells > LEAST_BIN_CELLS]
            axis.plot(*zip(*held, strict=True), marker="o", markersize=4, label=one["model"], **style) if held else None
            few = [(p, f) for p, f, cells in one["bins"] if cells <= LEAST_BIN_CELLS]
            if few:
                axis.plot(
                    *zip(*few, strict=True), marker="o", markersize=4, fillstyle="none", linestyle="none", **style
                )
        axis.set(title=f"{table['group']}, at least {mmh:g} mm/h", xlim=(0, 1), ylim=(0, 1))
        axis.set_xlabel("forecast probability")
    axes[0].set_ylabel("observed frequency")
    handles, labels = axes[0].get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.savefig(path, dpi=100)


def draw_spectra(table: JsonTable, path: Path) -> None:
    """Draw the power of forecasts relative to the observed power by wavelength; a factor of 1.5 is grey.

    Args:
        table: of a group.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axis = figure.subplots()
    for one in table["spectra"]:
        bands = [(length, ratio) for length, ratio, _ in one["bands"] if ratio > 0]
        if bands:
            axis.plot(*zip(*bands, strict=True), marker="o", markersize=3, label=one["model"], **style_of(one["model"]))
    axis.axhspan(1 / 1.5, 1.5, color="0.92")
    axis.set(xscale="log", yscale="log", title=f"{table['group']}, mask all, all leads")
    axis.set_xlabel("wavelength in km")
    axis.set_ylabel("forecast / observed power")
    axis.invert_xaxis()
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(path, dpi=100)


def draw_maps(maps: Sequence[dict[str, Any]], model: str, reference: str, path: Path) -> None:
    """Draw where a model's CSI is above that of a reference, over the leads that all rows have.

    Args:
        maps: counts by file and row, as `training.skill --json` writes them.
        model: the row.
        reference: the other row.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    counts = {(one["file"], one["model"]): np.array(one["counts"]) for one in maps}
    files = list(dict.fromkeys(one["file"] for one in maps))
    rainy = sorted(files, key=lambda file: -int(counts[file, model][:2].sum()))[:MOST_MAPS]
    columns = min(3, len(rainy))
    lines = -(-len(rainy) // columns)
    figure = Figure(figsize=(3.4 * columns + 0.8, 3.3 * lines + 0.3), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis in axes[len(rainy) :]:
        axis.remove()
    for axis, file in zip(axes, sorted(rainy), strict=False):
        gain_HW = _csi(counts[file, model]) - _csi(counts[file, reference])
        image = axis.imshow(gain_HW, cmap="RdBu", vmin=-0.3, vmax=0.3)
        axis.set_title(file.removesuffix(".nc"), fontsize=8)
        axis.set(xticks=[], yticks=[])
    label = f"CSI at {maps[0]['threshold_mmh']:g} mm/h: {model} - {reference}"
    figure.colorbar(image, ax=axes[: len(rainy)].tolist(), label=label, shrink=0.8)
    figure.savefig(path, dpi=100)


def _save(figure: Any, axis: Any, path: Path) -> None:
    """Write a figure with one legend below all panels, from the lines of one of them."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 7), frameon=False, fontsize=9)
    figure.savefig(path, dpi=100)


def style_of(model: str) -> dict[str, Any]:
    """Return the line style of a row."""
    return STYLES.get(model, {})


def _csi(counts_KHW: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return CSI by part of the field; NaN with fewer than LEAST_TILE_CELLS events."""
    total_HW = counts_KHW.sum(axis=0)
    enough_HW = counts_KHW[:2].sum(axis=0) >= LEAST_TILE_CELLS
    return np.where(enough_HW, counts_KHW[0] / np.maximum(total_HW, 1), np.nan)


def _by_lead(row: dict[str, Any]) -> list[tuple[int, float]]:
    return [(int(lead), float("nan") if value is None else value) for lead, value in row["by_lead"].items()]
