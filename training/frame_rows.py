"""Frames in rows, one column a time: rain in the one style of printed maps, images in a palette of 0 to 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure

from core.arrays import Float32Field
from core.borders import CREDIT
from core.colours import RAIN_COLOURS
from core.grid import Grid
from core.map_plot import STYLE, add_legend, draw_field
from models.forecaster import Forecaster
from training.datasets import NowcastDataset
from training.evaluation.clips import chosen_clips, predictions, scale_of

LabelledFrames = tuple[str, Float32Field]
DPI: Final = 110
LOOKED_AT: Final = 24
WET_MMH: Final = 1.0


@dataclass(frozen=True)
class FigureLayout:
    """Layout of a data set's figure of forecasts; the paper's own layout was not available, so this one is ours."""

    number: int
    palette: str = "gray"
    unit: str = ""
    errors: bool = False
    """Whether each forecast has a row of its absolute error below it, as the paper's Figure 6 (|GT - P|)."""


LAYOUTS: Final = {
    "moving_mnist": FigureLayout(3),
    "taxibj": FigureLayout(6, "viridis", "inflow, share of the training maximum", errors=True),
    "kth": FigureLayout(8),
    "germany": FigureLayout(9),
}


def draw_rain(
    rows: Sequence[LabelledFrames],
    out: str | Path,
    *,
    title: str,
    note: str = "",
    step_minutes: int = 30,
    grid: Grid | None = None,
) -> None:
    """Write a picture of rain: one row per (label, fields in mm/h), one column per time, and a legend below.

    Args:
        rows: the first one has times up to the reference time, the others the leads.
        out: picture to write.
        title: of the figure.
        note: a line below the title, such as the source of the data.
        step_minutes: between two columns.
        grid: of the fields, for coasts, borders and cities; None draws none.
    """
    out, (rows, grid) = Path(out), _cropped(rows, grid)
    columns, shape = max(len(fields) for _, fields in rows), rows[0][1].shape[1:]
    with mpl.rc_context(STYLE):
        size = (2.1 * columns, 2.1 * len(rows) * shape[0] / shape[1] + 1.1)
        figure = Figure(figsize=size, layout="constrained", dpi=DPI)
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for r, (label, fields_THW) in enumerate(rows):
            for axis in axes[r, len(fields_THW) :]:
                axis.remove()
            for c, field_HW in enumerate(fields_THW):
                minutes = step_minutes * (c - len(fields_THW) + 1) if r == 0 else step_minutes * (c + 1)
                draw_field(axes[r, c], field_HW, grid=grid)
                axes[r, c].set_title(f"{minutes:+d} min" if minutes else "reference time", pad=3)
            axes[r, 0].set_ylabel(label, fontsize=9)
        credit = "" if grid is None else f". {CREDIT}"
        words = f"mm/h; without colour: dry, grey: not observed{credit}"
        add_legend(figure, figure.axes, RAIN_COLOURS, words, orientation="horizontal", shrink=0.5, aspect=40, pad=0.02)
        figure.suptitle(f"{title}\n{note}" if note else title, fontsize=9)
        save(figure, out)


def draw_images(rows: Sequence[LabelledFrames], path: Path, layout: FigureLayout, *, title: str) -> None:
    """Draw one row per (label, frames with values 0 to 1), one column per frame; the first row has the given frames."""
    rows, largest = with_errors(rows) if layout.errors else (rows, 1.0)
    columns = max(len(frames_THW) for _, frames_THW in rows)
    with mpl.rc_context(STYLE):
        size = (1.0 * columns + 1.2, 1.08 * len(rows) + 0.7)
        figure = Figure(figsize=size, layout="constrained", dpi=DPI)
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[], frame_on=False)
        shown = None
        for r, (label, frames_THW) in enumerate(rows):
            is_error = layout.errors and r > 1 and r % 2 == 1
            how = {"cmap": "magma", "vmax": largest} if is_error else {"cmap": layout.palette, "vmax": 1.0}
            for c, frame_HW in enumerate(frames_THW):
                image = axes[r, c].imshow(frame_HW, vmin=0, interpolation="nearest", **how)
                shown = shown if is_error else image
                time = c - len(frames_THW) + 1 if r == 0 else c + 1
                if r < 2:
                    axes[r, c].set_title(f"{time:+d}" if time else "0", fontsize=7, pad=2)
            axes[r, 0].set_ylabel(label, rotation=0, ha="right", va="center")
        if layout.unit and shown is not None:
            figure.colorbar(shown, ax=axes, shrink=0.6, label=layout.unit)
        more = f"; errors are drawn up to {largest:.2g}" if layout.errors else ""
        figure.suptitle(f"{title}; numbers are frames after the last given one{more}", fontsize=8)
        save(figure, path)


def with_errors(rows: Sequence[LabelledFrames]) -> tuple[list[LabelledFrames], float]:
    """Return rows with the absolute error below each forecast, and the largest error; the second row is the truth."""
    truth_THW, found = rows[1][1], list(rows[:2])
    for label, frames_THW in rows[2:]:
        found += [(label, frames_THW), (f"|GT - P| {label}", np.abs(truth_THW - frames_THW))]
    return found, max((float(error_THW.max()) for _, error_THW in found[3::2]), default=0.0) or 1.0


def save(figure: Figure, path: Path) -> None:
    """Write a figure, and its folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _cropped(rows: Sequence[LabelledFrames], grid: Grid | None) -> tuple[list[LabelledFrames], Grid | None]:
    """Crop rows and grid to the observed part, with a margin of one cell; nothing is cropped without any."""
    seen_HW = np.isfinite(rows[0][1]).any(axis=0)
    if not seen_HW.any():
        return list(rows), grid
    (top, bottom), (left, right) = (
        (max(int(there.min()) - 1, 0), int(there.max()) + 2) for there in np.nonzero(seen_HW)
    )
    part = slice(top, bottom), slice(left, right)
    return [(label, fields[:, *part]) for label, fields in rows], None if grid is None else grid.part(*part)


def draw_clip(forecasters: Sequence[Forecaster], test: NowcastDataset, dataset: str, path: Path) -> int:
    """Write the picture of a clip; return its number: of rain the wettest of some evenly spread ones, else the first.

    Args:
        forecasters: one row each, after the given and the true frames.
        test: the test split.
        dataset: its name, for the palette of images.
        path: picture to write.
    """
    clip = wettest_clip(test) if test.is_rain else 0
    rows = clip_rows(forecasters, test, clip)
    if test.is_rain:
        title = f"window {clip} of the test set, {test.cadence_minutes} minutes apart"
        draw_rain(rows, path, title=title, step_minutes=test.cadence_minutes, grid=test.grid_at(clip))
    else:
        draw_images(rows, path, LAYOUTS.get(dataset, FigureLayout(0)), title=f"clip {clip} of the test set")
    return clip


def clip_rows(forecasters: Sequence[Forecaster], test: NowcastDataset, clip: int) -> list[LabelledFrames]:
    """Return the rows of a clip, the first channel of each frame; a forecast has no value where the input has none."""
    past_TCHW, future_TCHW = test[clip]
    rows = [("given", past_TCHW[:, 0].numpy()), ("observed", future_TCHW[:, 0].numpy())]
    unseen_HW = np.isnan(rows[0][1]).any(axis=0)
    for one in forecasters:
        scale = scale_of(test) if one.any_scale else {}
        frames_BTCHW = predictions(one, past_TCHW[None], test.lead_steps, one_step=False, scale=scale)
        rows.append((one.name, np.where(unseen_HW, np.float32(np.nan), frames_BTCHW[0, :, 0])))
    return rows


def wettest_clip(test: NowcastDataset) -> int:
    """Return the clip with most wet cells in its true frames, of at most 24 evenly spread ones."""

    def wet(clip: int) -> int:
        return int((torch.nan_to_num(test[clip].future_TCHW) >= WET_MMH).sum())

    return max(chosen_clips(len(test), LOOKED_AT), key=wet)
