"""The picture of an archive: maps of coverage and of how often it rains, and both in time."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from core.files import write_atomically
from ingest.archive.inspect import Contents

WIDTH_IN, HEIGHT_IN = 11.0, 8.0


def draw(contents: Contents, path: Path) -> None:
    """Write the picture as PNG."""
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplot_mosaic([["observed", "wet"], ["time", "time"]], height_ratios=[3, 1])
    for name, field_HW, title in (
        ("observed", contents.observed_HW, "share of fields in which a cell is observed"),
        ("wet", contents.wet_HW, "share of these with 0.1 mm/h or more"),
    ):
        image = axes[name].imshow(field_HW, vmin=0, vmax=_top(field_HW), cmap="viridis", interpolation="nearest")
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


def _top(field_HW: np.ndarray) -> float:
    """1 for a map that comes near it, else its largest value."""
    largest = float(np.fmax.reduce(field_HW, axis=None, initial=0.0))
    return 1.0 if largest > 0.5 or largest == 0 else largest
