"""Growth of the cost: forecast time and saved activations against size, frames, batch and layers."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.memory import saved_bytes
from benchmarks.page import BENCHMARKS, Row, Section
from benchmarks.setting import BenchmarkSetting
from benchmarks.sides import network_frames
from benchmarks.timing import typical_seconds
from models import build_model
from models.build import MULTISCALE
from models.cost import PAPER_CELLS, CostModel
from models.fast import ready
from models.rollout import RecurrentModel

MODELS = ("convlstm", "ms-convlstm")
TIME, MEMORY = "forecast, s", "saved activations, MB"


@dataclass(frozen=True)
class Axis:
    """One quantity that grows.

    Attributes:
        values: its sizes.
        at: the setting and the layers at a size.
    """

    name: str
    values: tuple[int, ...]
    at: Callable[[BenchmarkSetting, int], tuple[BenchmarkSetting, int]]


@dataclass(frozen=True)
class Curve:
    """A measured quantity of a model along an axis, and the prediction of the paper's equations, in their own units."""

    axis: str
    quantity: str
    model: str
    values: tuple[int, ...]
    measured: tuple[float, ...]
    paper: tuple[float, ...]

    def row(self) -> Row:
        """Return the row of the table; the figures themselves are in the JSON."""
        return {
            "growing": self.axis,
            "from ... to": f"{self.values[0]} ... {self.values[-1]}",
            "of": self.quantity,
            "model": self.model,
            "first": self.measured[0],
            "last": self.measured[-1],
            "slope": slope(self.values, self.measured),
            "paper's slope": slope(self.values, self.paper),
        }


def axes(setting: BenchmarkSetting) -> tuple[Axis, ...]:
    """Return the axes: edge of the image, frames in and out together, batch, layers."""

    def edge(base: BenchmarkSetting, value: int) -> tuple[BenchmarkSetting, int]:
        return replace(base, height=value, width=value), 6

    def frames(base: BenchmarkSetting, value: int) -> tuple[BenchmarkSetting, int]:
        return replace(base, input_steps=value // 2, lead_steps=value // 2), 6

    def batch(base: BenchmarkSetting, value: int) -> tuple[BenchmarkSetting, int]:
        return replace(base, batch=value), 6

    def layers(base: BenchmarkSetting, value: int) -> tuple[BenchmarkSetting, int]:
        return base, value

    return (
        Axis("edge of the image", setting.growth.edges, edge),
        Axis("frames, in and out", setting.growth.frames, frames),
        Axis("batch", setting.growth.batches, batch),
        Axis("layers", setting.growth.layers, layers),
    )


@BENCHMARKS.register("growth")
def growth(setting: BenchmarkSetting) -> Section:
    """Measure ConvLSTM, flat and multi-scale, with log-log slopes."""
    curves = [
        curve
        for axis in axes(setting)
        for model in MODELS
        for curve in (_curve(axis, TIME, model, setting), _curve(axis, MEMORY, model, setting))
    ]
    text = (
        f"From {setting.size()}, batch 1, {setting.hidden_channels} channels and six layers one thing grows at a "
        "time. Time: the model alone, without the transform, as `models.fast.ready` makes it. Memory: "
        "saved activations as above. The slope is the exponent of the best power law, a straight line in the "
        "picture; the paper's is that of equations 11 and 12 (work) and 5 to 7 (outputs) at the same points, drawn "
        "through the first measured point."
    )
    return Section("Cost as the work grows", text, [curve.row() for curve in curves], draw=partial(draw, curves))


def slope(values: Sequence[float], measured: Sequence[float]) -> float:
    """Return the exponent of the power law that fits best (least squares of the logarithms)."""
    return float(np.polyfit(np.log(values), np.log(measured), 1)[0])


def _curve(axis: Axis, quantity: str, model: str, setting: BenchmarkSetting) -> Curve:
    points = [axis.at(setting, value) for value in axis.values]
    measure = _forecast_s if quantity == TIME else _saved_mb
    measured = tuple(measure(model, at, layers) for at, layers in points)
    paper = tuple(_paper(quantity, model, at, layers) for at, layers in points)
    return Curve(axis.name, quantity, model, axis.values, measured, paper)


def _forecast_s(name: str, setting: BenchmarkSetting, layers: int) -> float:
    device = torch.device(setting.device)
    built = build_model(name, hidden_channels=setting.hidden_channels, num_layers=layers)
    model = ready(cast(RecurrentModel, built), device)
    frames_BTCHW = network_frames(setting)[:, : setting.input_steps].to(device)
    with torch.inference_mode():
        return typical_seconds(lambda: model(frames_BTCHW, setting.lead_steps), runs=setting.runs)


def _saved_mb(name: str, setting: BenchmarkSetting, layers: int) -> float:
    model = build_model(name, hidden_channels=setting.hidden_channels, num_layers=layers)
    return saved_bytes(model, setting, mixed=True) / 1e6


def _paper(quantity: str, name: str, setting: BenchmarkSetting, layers: int) -> float:
    cell = PAPER_CELLS[name.removeprefix(MULTISCALE)]
    equations = CostModel(
        cell.parameter_multiple,
        cell.output_multiple,
        channels=setting.hidden_channels,
        height=setting.height,
        width=setting.width,
        steps=setting.input_steps + setting.lead_steps - 1,
        num_layers=layers,
        batch=setting.batch,
    )
    multiscale = name.startswith(MULTISCALE)
    if quantity == TIME:
        return float(equations.flops(multiscale=multiscale))
    return float(equations.output_bits(multiscale=multiscale))


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Write the picture: one column per axis, time above memory, log-log, the paper's equations dashed."""
    names, quantities = list(dict.fromkeys(curve.axis for curve in curves)), (TIME, MEMORY)
    figure = Figure(figsize=(4 * len(names), 7), layout="constrained")
    panels = figure.subplots(len(quantities), len(names), squeeze=False)
    for curve in curves:
        panel = panels[quantities.index(curve.quantity)][names.index(curve.axis)]
        measured, paper = slope(curve.values, curve.measured), slope(curve.values, curve.paper)
        (line,) = panel.plot(
            curve.values, curve.measured, "o-", label=f"{curve.model}: {measured:.2f}, paper {paper:.2f}"
        )
        scale = curve.measured[0] / curve.paper[0]
        panel.plot(curve.values, [scale * value for value in curve.paper], "--", color=line.get_color(), alpha=0.6)
        panel.set(xscale="log", yscale="log", xlabel=curve.axis, ylabel=curve.quantity)
        panel.set_xticks(curve.values, [str(value) for value in curve.values])
        panel.minorticks_off()
        _decades(panel, curve.measured)
        panel.legend(title="slope", fontsize=8)
    figure.savefig(path, dpi=110)


def _decades(panel: Any, measured: Sequence[float]) -> None:
    low, high = panel.get_ylim()
    low, high = (
        min(low, 10 ** math.floor(math.log10(min(measured)))),
        max(high, 10 ** math.ceil(math.log10(max(measured)))),
    )
    panel.set_ylim(low, high)
