"""Pictures of the inside of a stack: gradients by the image, and the outputs of the layers over time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from core.errors import ConfigError
from models.cells import Step
from models.rollout import RecurrentModel

Field = NDArray[Any]


class PictureRow(NamedTuple):
    """One row of a picture: a label, one field per column, and the heading of each."""

    label: str
    fields: Sequence[Field]
    heads: Sequence[str] = ()


class LayerCall(NamedTuple):
    """Input and output of one layer at one time step."""

    x_BCHW: Tensor
    y_BCHW: Tensor


@contextmanager
def watch(model: RecurrentModel) -> Iterator[list[list[LayerCall]]]:
    """Record every call of every layer within this context: `calls[layer][time step]`."""
    calls: list[list[LayerCall]] = [[] for _ in model.stack.cells]

    def keep(layer: int) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...], step: Step) -> None:
            calls[layer].append(LayerCall(inputs[0], step.y_BCHW))

        return hook

    handles = [cell.register_forward_hook(keep(layer)) for layer, cell in enumerate(model.stack.cells)]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def draw_layers(
    model: RecurrentModel,
    frames_TCHW: Tensor,
    out: Path,
    *,
    lead_steps: int,
    title: str,
    steps: Sequence[int] | None = None,
    channels: int = 0,
) -> list[Path]:
    """Draw the outputs of each layer for a clip, as the paper's Figures 4, 5 and 7 do.

    Args:
        model: any stack.
        frames_TCHW: given frames in network values.
        out: folder to write `layers.png` to (channel means over time), and `channels.png`.
        lead_steps: how many steps are forecast after them.
        title: of the pictures.
        steps: time steps to draw, from 0; None: six from the first to the last.
        channels: how many channels to draw of the last chosen step, those that differ most over the field.

    Raises:
        ConfigError: a time step out of range, or more channels than a layer has.
    """
    total = len(frames_TCHW) + lead_steps - 1
    steps = sorted(set(steps or np.linspace(0, total - 1, min(6, total)).round().astype(int).tolist()))
    if steps[0] < 0 or steps[-1] >= total:
        raise ConfigError(f"time steps: expected 0 to {total - 1}, got {steps}")
    if channels > model.embed.out_channels:
        raise ConfigError(f"channels: expected at most {model.embed.out_channels} of a layer, got {channels}")
    with watch(model) as calls, torch.inference_mode():
        predicted_TCHW = model.predict_all(frames_TCHW[None], lead_steps)[0]
    heads = [f"step {t}" + (" (fed back)" if t >= len(frames_TCHW) else "") for t in steps]
    inputs_TCHW = torch.cat([frames_TCHW, predicted_TCHW[len(frames_TCHW) - 1 : -1]])
    means = [PictureRow(f"layer {n}", [_mean(layer[t].y_BCHW[0]) for t in steps]) for n, layer in enumerate(calls)]
    frames = [[_mean(frames[t]) for t in steps] for frames in (inputs_TCHW, predicted_TCHW)]
    rows = [PictureRow("input", frames[0], heads), *means, PictureRow("prediction", frames[1])]
    written = [_draw(rows, out / "layers.png", f"{title}\nmean over the channels, one scale per row")]
    if channels:
        rows = [_strongest(f"layer {n}", layer[steps[-1]].y_BCHW[0], channels) for n, layer in enumerate(calls)]
        text = f"{title}\n{heads[-1]}: the channels that differ most over the field, each with its own scale"
        written.append(_draw(rows, out / "channels.png", text, one_scale=False))
    return written


def _mean(y_CHW: Tensor) -> Field:
    return np.asarray(y_CHW.mean(dim=0).float().cpu().numpy())


def _strongest(label: str, y_CHW: Tensor, channels: int) -> PictureRow:
    """Return the channel mean, and the channels that differ most over the field."""
    chosen = [int(n) for n in y_CHW.flatten(1).std(dim=1).argsort(descending=True)[:channels]]
    fields = [_mean(y_CHW), *(_mean(y_CHW[n : n + 1]) for n in chosen)]
    return PictureRow(label, fields, ["channel mean", *(f"channel {n}" for n in chosen)])


def _draw(rows: Sequence[PictureRow], path: Path, title: str, *, one_scale: bool = True) -> Path:
    """Draw rows of fields; colours span 2 to 98 % of the values of a row, or of each field; frames are grey."""
    columns, (height, width) = len(rows[0].fields), rows[0].fields[0].shape
    figure = Figure(
        figsize=(1.5 * columns + 1.6, 1.55 * len(rows) * height / width + 0.9), layout="constrained", dpi=110
    )
    for axes, row in zip(figure.subplots(len(rows), columns, squeeze=False), rows, strict=True):
        colours = "viridis" if row.label.startswith("layer") else "gray"
        for axis, field_HW in zip(axes, row.fields, strict=True):
            low, high = np.percentile(np.stack(row.fields) if one_scale else field_HW, (2, 98))
            image = axis.imshow(field_HW, vmin=low, vmax=max(high, low + 1e-9), cmap=colours, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        for axis, head in zip(axes, row.heads, strict=False):
            axis.set_title(head, fontsize=8, pad=3)
        axes[0].set_ylabel(f"{row.label}\n{row.fields[0].shape[0]} x {row.fields[0].shape[1]}", fontsize=8)
        if one_scale:
            figure.colorbar(image, ax=axes, fraction=0.03, pad=0.01).ax.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=9)
    return _save(figure, path)


def draw_gradients(rows: Sequence[PictureRow], path: Path, title: str) -> Path:
    """Draw gradients by the image (absolute values), cropped to the part that is not zero, with a margin."""
    columns, (top, bottom, left, right) = len(rows[0].fields), _frame(rows, margin=4)
    figure = Figure(figsize=(2.5 * columns + 0.9, 2.75 * len(rows) + 1), layout="constrained", dpi=110)
    all_axes = figure.subplots(len(rows), columns, squeeze=False)
    for axes, row in zip(all_axes, rows, strict=True):
        for axis, gradient_HW, head in zip(axes, row.fields, row.heads, strict=True):
            share_HW = np.where(gradient_HW > 0, gradient_HW, np.nan) / max(float(gradient_HW.max()), 1e-300)
            image = axis.imshow(share_HW, norm=LogNorm(1e-4, 1), cmap="viridis", interpolation="nearest")
            axis.set(facecolor="#e4e4e4", xlim=(left - 0.5, right - 0.5), ylim=(bottom - 0.5, top - 0.5))
            axis.set_title(head, fontsize=9)
            axis.tick_params(labelsize=7)
        axes[0].set_ylabel(row.label, fontsize=9)
    bar = figure.colorbar(image, ax=all_axes, orientation="horizontal", shrink=0.5, aspect=40, extend="min")
    bar.set_label("gradient as a share of its largest value; grey is exactly zero", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=10)
    return _save(figure, path)


def _frame(rows: Sequence[PictureRow], margin: int) -> tuple[int, int, int, int]:
    """Return first and last rows and columns of what is not zero anywhere, with a margin."""
    there_HW = np.any([field_HW > 0 for row in rows for field_HW in row.fields], axis=0)
    spans: list[int] = []
    for axis in (1, 0):
        found = np.flatnonzero(there_HW.any(axis=axis))
        first, last = (int(found[0]), int(found[-1])) if found.size else (0, there_HW.shape[1 - axis])
        spans += [max(first - margin, 0), min(last + margin + 1, there_HW.shape[1 - axis])]
    return spans[0], spans[1], spans[2], spans[3]


def _save(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
