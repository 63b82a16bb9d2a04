"""The paper's figures from runs: forecasts in rows (Figures 3, 6, 8, 9), and memory against score (Figure 1)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from matplotlib.transforms import Bbox

from core.errors import ConfigError
from models import load_forecaster
from models.build import MULTISCALE
from training.evaluation.clips import predictions
from training.frame_rows import DPI, LAYOUTS, FigureLayout, LabelledFrames, draw_images, draw_rain, save
from training.report.records import Example, is_rain
from training.report.runs import TrainingRun, default_skip
from training.report.tables import forecast_value, run_cost

Rows = list[LabelledFrames]


NAME_PLACES: Final = (((7, 0), "left"), ((0, 10), "center"), ((0, -10), "center"), ((-7, 0), "right"))
"""Candidate positions of a point's label: offset in points, and alignment. Arrows come from the right."""


def one_of_each(runs: Sequence[TrainingRun]) -> list[TrainingRun]:
    """Return the first run of each model as the paper has it (its own skip and loss), flat before multi-scale."""
    first: dict[str, TrainingRun] = {}
    for run in sorted(runs, key=lambda run: (str(run.config.get("seed")), run.name)):
        own = run.skip in (None, default_skip(run.model)) and run.config.get("loss", "l1+l2") == "l1+l2"
        if own and not run.variant:
            first.setdefault(run.model, run)
    return [first[model] for model in sorted(first, key=lambda m: (m.removeprefix(MULTISCALE), len(m)))]


def draw_example(runs: Sequence[TrainingRun], examples: Mapping[str, Example], out: Path) -> Path:
    """Draw one clip: the given frames, the truth, and the forecasts of runs of one setting.

    Raises:
        ConfigError: the runs do not show the same clip.
    """
    one, first = runs[0], examples[runs[0].name]
    for run in runs:
        if not np.array_equal(examples[run.name].past_THW, first.past_THW, equal_nan=True):
            raise ConfigError(
                f"{run.name} shows another clip than {one.name}; expected its weights, or --clip {first.clip}"
            )
    layout = LAYOUTS.get(str(one.config["dataset"]), FigureLayout(0))
    rows: Rows = [("given", first.past_THW), ("truth", first.future_THW)]
    rows += [(run.model, examples[run.name].forecast_THW) for run in runs]
    past_BTCHW = torch.from_numpy(first.past_THW)[None, :, None]
    extrapolated_BTCHW = predictions(
        load_forecaster("extrapolation"), past_BTCHW, len(first.future_THW), one_step=False
    )
    rows.append(("extrapolation", extrapolated_BTCHW[0, :, 0]))
    path = out / f"figure{layout.number}.png"
    if is_rain(one):
        unseen_HW = np.isnan(first.past_THW).any(axis=0)
        rows = rows[:2] + [(name, np.where(unseen_HW, np.nan, fields_THW)) for name, fields_THW in rows[2:]]
        minutes = int((one.evaluation or {})["cadence_minutes"])
        title = f"window {first.clip} of the test set"
        draw_rain(rows, path, title=title, step_minutes=minutes, grid=first.grid)
    else:
        draw_images(rows, path, layout, title=f"clip {first.clip} of the test set")
    return path


def draw_memory(runs: Sequence[TrainingRun], out: Path) -> Path:
    """Draw Figure 1: saved activations of one clip against the score, with arrows from flat to multi-scale."""
    key = "csi_0.5" if "csi_0.5" in (runs[0].evaluation or {})["overall"][runs[0].scored_name] else "mse"
    places = memory_and_score(runs, key)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained", dpi=DPI)
    axis = figure.subplots()
    axis.set_xscale("log")
    for model, place in places.items():
        multiscale = model.startswith(MULTISCALE)
        axis.plot(*place, "o" if multiscale else "s", color="tab:red" if multiscale else "tab:blue")
        if MULTISCALE + model in places:
            arrow = {"arrowstyle": "->", "color": "0.6", "shrinkA": 5, "shrinkB": 5}
            axis.annotate("", places[MULTISCALE + model], place, arrowprops=arrow)
    better = "up" if key.startswith("csi") else "down"
    axis.set_xlabel("saved activations of one clip in MiB, counted on shapes (models.cost.measure)")
    axis.set_ylabel(f"{key.upper()} of the forecast frames ({better} is better)")
    axis.set_title("flat (blue squares) and multi-scale (red circles)", fontsize=9)
    axis.margins(x=0.2, y=0.15)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    figure.draw_without_rendering()  # computes positions on the page
    label_points(axis, places)
    path = out / "figure1.png"
    save(figure, path)
    return path


def memory_and_score(runs: Sequence[TrainingRun], key: str) -> dict[str, tuple[float, float]]:
    """Return MiB saved for one clip and the score `key`, the mean over seeds, by model."""
    places: dict[str, tuple[float, float]] = {}
    for run in one_of_each(runs):
        same = [other for other in runs if (other.model, other.skip) == (run.model, run.skip) and not other.variant]
        same = [other for other in same if other.config.get("loss") == run.config.get("loss")]
        values = [value for other in same if (value := forecast_value(other, key)) is not None]
        if values:
            places[run.model] = (run_cost(run)["memory"], sum(values) / len(values))
    return places


def label_points(axis: Axes, places: Mapping[str, tuple[float, float]]) -> None:
    """Label each point on the first of its sides where the label overlaps no other label and no point."""
    points = [axis.transData.transform(place) for place in places.values()]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in points]
    for model, place in sorted(places.items(), key=lambda item: item[1]):
        choices = NAME_PLACES[::-1] if model.startswith(MULTISCALE) else NAME_PLACES
        for shift, side in choices:
            name = axis.annotate(
                model, place, textcoords="offset points", xytext=shift, fontsize=8, ha=side, va="center"
            )
            box = name.get_window_extent()
            if not any(box.overlaps(other) for other in taken) or (shift, side) == choices[-1]:
                taken.append(box)
                break
            name.remove()
