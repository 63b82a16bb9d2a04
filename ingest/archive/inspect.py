"""Statistics of an archive's fields, and a figure of its coverage and of how often it rains where."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core import cf_reading as cf
from core.arrays import Float64Field
from core.cf_axes import find_grid
from core.errors import ConfigError, FrameError
from core.files import write_atomically
from core.grid import Grid
from core.map_plot import draw_borders
from core.progress import followed
from core.units import WET_MMH
from ingest.archive.gaps import gap_report

QUANTILES: Final = (0.0, 0.01, 0.5, 0.99, 1.0)
PICTURE_IN: Final = (11.0, 8.0)
BINS_MMH: Final = np.concatenate([[0.0], np.geomspace(0.05, 500.0, 81)])


@dataclass(frozen=True)
class Contents:
    """Statistics of an archive's sampled fields.

    Attributes:
        report: plain values for JSON.
        sampled_seconds: times of the fields that were read, shape (N,).
        observed_N, wet_N: share of observed cells, and of wet cells among them, of each field that was read.
        observed_HW: share of the fields in which a cell is observed.
        wet_HW: share of those in which it has 0.1 mm/h or more; NaN where it is never observed.
        grid: of the fields; None where the archive does not say where they are.
    """

    report: dict[str, Any]
    sampled_seconds: NDArray[np.int64]
    observed_N: Float64Field
    wet_N: Float64Field
    observed_HW: Float64Field
    wet_HW: Float64Field
    grid: Grid | None = None


def inspect_archive(archive: str | Path, *, fields: int = 500) -> Contents:
    """Read all times and up to `fields` fields, evenly spaced.

    Raises:
        ConfigError: not a Zarr store with a rain rate.
    """
    archive = Path(archive)
    dataset, rate = _open(archive)
    seconds = np.array([round(time.timestamp()) for time in cf.times_of(dataset, str(rate.dims[0]))], np.int64)
    chosen = np.unique(np.linspace(0, len(seconds) - 1, min(fields, len(seconds))).round().astype(int))
    (observed_N, wet_N), (observed_HW, wet_HW) = np.zeros((2, len(chosen))), np.zeros((2, *rate.shape[1:]))
    histogram = np.zeros(len(BINS_MMH) - 1, np.int64)
    largest_mmh = 0.0
    for number, rate_mmh_HW in enumerate(_read(rate, chosen)):
        seen_HW, rains_HW = np.isfinite(rate_mmh_HW), rate_mmh_HW >= WET_MMH
        observed_N[number] = seen_HW.mean()
        wet_N[number] = rains_HW.sum() / seen_HW.sum() if seen_HW.any() else np.nan
        observed_HW += seen_HW
        wet_HW += rains_HW
        largest_mmh = max(largest_mmh, float(np.fmax.reduce(rate_mmh_HW, axis=None, initial=0.0)))
        histogram += np.histogram(rate_mmh_HW[rains_HW], BINS_MMH)[0]
    report = {
        "archive": archive.name,
        **{key: str(dataset.attrs[key]) for key in ("title", "product", "license") if key in dataset.attrs},
        "grid": list(rate.shape[1:]),
        **gap_report(seconds),
        "fields_read": len(chosen),
        "observed_share": _quantiles(observed_N),
        "wet_share": _quantiles(wet_N),
        "wet_rate_mmh": _rate_quantiles(histogram),
        "largest_mmh": round(largest_mmh, 2),
    }
    with np.errstate(invalid="ignore"):
        shares = observed_HW / len(chosen), wet_HW / observed_HW
    return Contents(report, seconds[chosen], observed_N, wet_N, *shares, _grid(dataset, rate))


def contents_text(report: dict[str, Any]) -> str:
    """Return the statistics as text; the gaps are not part of it."""
    lines = [f"{key}: {report[key]}" for key in ("archive", "title", "product", "license") if key in report]
    lines.append(f"grid: {report['grid'][0]} x {report['grid'][1]}")
    for key, text in (("observed_share", "observed share"), ("wet_share", "wet share (0.1 mm/h or more)")):
        values = ", ".join(f"{name} {value:.3f}" for name, value in report[key].items())
        lines.append(f"{text} of {report['fields_read']:,} fields: {values}")
    rates = ", ".join(f"{name} {value:g}" for name, value in report["wet_rate_mmh"].items())
    return "\n".join([*lines, f"wet rates in mm/h: {rates}; largest {report['largest_mmh']:g}"]) + "\n"


def draw(contents: Contents, path: str | Path) -> None:
    """Write a PNG: maps of coverage and of how often it rains, and both in time."""
    figure = Figure(figsize=PICTURE_IN, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplot_mosaic([["observed", "wet"], ["time", "time"]], height_ratios=[3, 1])
    for name, field_HW, title in (
        ("observed", contents.observed_HW, "share of fields in which a cell is observed"),
        ("wet", contents.wet_HW, "share of these with 0.1 mm/h or more"),
    ):
        extent = (0, field_HW.shape[1], field_HW.shape[0], 0)
        top = _top(field_HW)
        image = axes[name].imshow(field_HW, vmin=0, vmax=top, cmap="viridis", interpolation="nearest", extent=extent)
        if contents.grid is not None:
            draw_borders(axes[name], contents.grid)
            axes[name].set(xlim=extent[:2], ylim=extent[2:])
        axes[name].set_title(title, fontsize=10)
        axes[name].set_xticks([])
        axes[name].set_yticks([])
        figure.colorbar(image, ax=axes[name], shrink=0.8)
    times = contents.sampled_seconds.astype("datetime64[s]")
    axes["time"].plot(times, contents.observed_N, ".", markersize=3, color="0.55", label="observed share of the grid")
    axes["time"].plot(times, contents.wet_N, ".", markersize=3, color="C0", label="wet share of the observed cells")
    axes["time"].set_ylim(0, 1)
    axes["time"].legend(loc="upper right", fontsize=8)
    axes["time"].grid(visible=True, alpha=0.3)
    report = contents.report
    figure.suptitle(f"{report['archive']}: {report['fields']:,} fields, {report['first']} to {report['last']}")
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110))


def _open(archive: Path) -> tuple[xr.Dataset, xr.DataArray]:
    try:
        dataset = xr.open_zarr(archive, chunks=None)
        rate = cf.find_rate(dataset)
    except (OSError, ValueError, KeyError, FrameError) as err:
        raise ConfigError(f"{archive}: expected a Zarr store with a rain rate, got {err}") from err
    if rate.ndim != 3 or not rate.shape[0]:
        raise ConfigError(
            f"{archive}: {rate.name}: expected (time, y, x) with at least one field, got the shape {rate.shape}"
        )
    return dataset, rate


def _grid(dataset: xr.Dataset, rate: xr.DataArray) -> Grid | None:
    try:
        return find_grid(dataset, rate)[0]
    except FrameError:
        return None


def _read(rate: xr.DataArray, chosen: NDArray[np.int_]) -> Iterator[NDArray[np.float32]]:
    factor = np.float32(cf.mmh_per_unit(rate))
    y_name = str(rate.dims[-2])
    rows = slice(None, None, -1 if rate[y_name].values[-1] > rate[y_name].values[0] else 1)
    for index in followed(chosen.tolist(), "field"):
        yield np.asarray(rate[index].values, np.float32)[rows] * factor


def _quantiles(values: Float64Field) -> dict[str, float]:
    known = values[np.isfinite(values)]
    if not known.size:
        return {}
    named = {f"{q:.0%}": round(float(np.quantile(known, q)), 5) for q in QUANTILES}
    return {"mean": round(float(known.mean()), 5), **named}


def _rate_quantiles(histogram: NDArray[np.int64]) -> dict[str, float]:
    """Return quantiles of the wet cells of all fields, from bins 12 % wide."""
    if not histogram.sum():
        return {}
    share = histogram.cumsum() / histogram.sum()
    return {f"{q:.1%}": round(float(BINS_MMH[1:][np.searchsorted(share, q)]), 2) for q in (0.5, 0.9, 0.99, 0.999)}


def _top(field_HW: np.ndarray) -> float:
    """Return the upper end of a map's colours: 1 if its values come near it, else its largest value."""
    largest = float(np.fmax.reduce(field_HW, axis=None, initial=0.0))
    return 1.0 if largest > 0.5 or largest == 0 else largest
