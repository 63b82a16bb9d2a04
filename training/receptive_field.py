"""`python -m training.receptive_field`: receptive fields of the encoder layers, and pictures of the layers' outputs."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, cast

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from core.command import errors_in_one_line
from core.errors import ConfigError, InputError
from models import build_model
from models.cells import RecurrentCell
from models.checkpoint import load_model, read_card
from models.rollout import RecurrentModel
from models.transforms import Transform, transform_from_dict
from training.config import RunConfig, resolve
from training.datasets import DATASETS, build_dataset
from training.report import layer_pictures

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Size = tuple[int, int]
SIZE: Final = (64, 64)
OF_ONE_SIZE: Final = ("moving_mnist", "germany")
"""Data sets whose clips are cut or drawn at 64 x 64 where no size is given; others have their own size."""


@app.command()
def main(
    model: Annotated[str | None, typer.Option(help="a cell's name, or ms- and a cell's name; untrained")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="a checkpoint's folder, instead of --model")] = None,
    out: Annotated[Path | None, typer.Option(help="folder to write pictures to")] = None,
    size: Annotated[
        tuple[int, int] | None, typer.Option(help="rows and columns of image or clip; default 64 64")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="draw the output of each layer for a clip")] = False,
    dataset: Annotated[str | None, typer.Option(help="for --layers; default germany with --data, else digits")] = None,
    data: Annotated[Path | None, typer.Option(help="file or folder for --layers; without it, digits")] = None,
    window: Annotated[int, typer.Option(min=0, help="which clip or window of the test set, from 0")] = 0,
    noise: Annotated[bool, typer.Option("--random", help="random frames for --layers")] = False,
    steps: Annotated[list[int] | None, typer.Option("--step", help="time steps to draw, from 0")] = None,
    channels: Annotated[int, typer.Option(min=0, help="draw this many of the strongest channels as well")] = 0,
    sets: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the untrained model")] = None,
) -> None:
    """Print the receptive fields of the encoder layers; write their gradients, or with --layers outputs, as PNG."""
    with errors_in_one_line():
        _refuse([model, checkpoint], dataset, out, layers=layers)
        config = resolve(dataset or ("germany" if data else "moving_mnist"), file=None, sets=sets or [], model=model)
        source = _read(checkpoint) if checkpoint else _new(config)
        if layers:
            frames_TCHW, clip = _clip(source, config, data, window, size, noise=noise)
            how: dict[str, Any] = {"lead_steps": config.lead_steps, "steps": steps, "channels": channels}
            title = f"{source.name}, {clip}"
            written = layer_pictures.draw_layers(source.module, frames_TCHW, cast(Path, out), title=title, **how)
        else:
            written = _fields(source, size or SIZE, out)
    for path in written:
        typer.echo(f"wrote {path}")


def _refuse(sources: list[str | Path | None], dataset: str | None, out: Path | None, *, layers: bool) -> None:
    if sum(one is not None for one in sources) != 1:
        raise ConfigError("expected one of --model and --checkpoint")
    if layers and out is None:
        raise ConfigError("--layers draws pictures and needs --out FOLDER")
    if dataset is not None and not layers:
        raise ConfigError(f"--dataset: expected --layers with it, got --dataset {dataset} alone")


def _fields(source: "_Source", size: Size, out: Path | None) -> list[Path]:
    fields = receptive_fields(source.module, size)
    typer.echo(text_table(source.name, fields, size))
    return [draw(fields, out / "receptive_field.png", source.name)] if out else []


@dataclass(frozen=True)
class LayerField:
    """Receptive field of one layer in the image, at the first time step, for the middle of its output.

    Attributes:
        layer: from 0, the lowest.
        grid: rows and columns of the layer's own grid.
        reach: rows and columns of its own input that one output of its cell depends on.
        theoretical: rows and columns of the image by the formula, not more than the image has.
        random, zero: the gradient of the channel mean by the image (H, W), absolute values, summed over its channels,
            at a random image and at the all-zero image of the paper.
    """

    layer: int
    grid: Size
    reach: Size
    theoretical: Size
    random_HW: NDArray[np.float64]
    zero_HW: NDArray[np.float64]


def receptive_fields(model: nn.Module, size: Size = (64, 64), *, seed: int = 0) -> list[LayerField]:
    """Compute theoretical and effective receptive fields of the encoder, the lower half of the layers (paper, 4.4).

    The theoretical one is r' = r + (k - 1) s, once for a cell of reach k and once for the pooling window before it,
    where s is the product of the windows so far. The reach of a cell with several successive convolutions is measured.
    (MotionRNN halves its grid once more inside; its reach depends on the position, so the formula is only approximate.)

    The effective one counts rows and columns whose gradient is not zero. An all-zero image makes it smaller with
    pooling: all pixels of a window tie, and only one of them gets the gradient.

    Raises:
        InputError: the model has no recurrent stack, or the image is too small.
    """
    model = deepcopy(recurrent(model)).double().eval()
    generator = torch.Generator().manual_seed(seed)
    image_BCHW = torch.rand(1, model.in_channels, *size, generator=generator, dtype=torch.float64)
    random, inputs = _gradients(model, image_BCHW)
    zero, _ = _gradients(model, torch.zeros_like(image_BCHW))
    reaches = [_reach(cast(RecurrentCell, model.stack.cells[n]), x_BCHW) for n, x_BCHW in enumerate(inputs)]
    rows, columns = (_formula(model, [reach[axis] for reach in reaches]) for axis in (0, 1))
    return [
        LayerField(n, _grid(x_BCHW), reaches[n], (min(rows[n], size[0]), min(columns[n], size[1])), random[n], zero[n])
        for n, x_BCHW in enumerate(inputs)
    ]


def recurrent(model: nn.Module) -> RecurrentModel:
    """Return the model itself if it is one stack of recurrent layers.

    Raises:
        InputError: another kind of model.
    """
    if not isinstance(model, RecurrentModel):
        raise InputError(f"model: expected a stack of recurrent layers, got {type(model).__name__}")
    return model


def extent(gradient_HW: NDArray[np.float64]) -> Size:
    """Return how many rows and columns span the gradient that is not zero."""
    there = gradient_HW > 0
    return int(there.any(axis=1).sum()), int(there.any(axis=0).sum())


def _gradients(model: RecurrentModel, image_BCHW: Tensor) -> tuple[list[NDArray[np.float64]], list[Tensor]]:
    """Return, per encoder layer, the gradient (H, W) of its channel mean in the middle, and the layer's input."""
    image_BCHW = image_BCHW.clone().requires_grad_()
    with layer_pictures.watch(model) as calls:
        model(image_BCHW[:, None], lead_steps=1)
    found: list[NDArray[np.float64]] = []
    encoder = (len(calls) + 1) // 2
    for (call,) in calls[:encoder]:
        mean_HW = call.y_BCHW[0].mean(dim=0)
        middle = mean_HW[mean_HW.shape[0] // 2, mean_HW.shape[1] // 2]
        (gradient_BCHW,) = torch.autograd.grad(middle, image_BCHW, retain_graph=True)
        found.append(gradient_BCHW.abs().sum(dim=(0, 1)).numpy())
    return found, [call.x_BCHW.detach() for (call,) in calls[:encoder]]


def _reach(cell: RecurrentCell, x_BCHW: Tensor) -> Size:
    """Return rows and columns of a cell's input that one of its outputs depends on, at the first time step."""
    generator = torch.Generator().manual_seed(1)
    x_BCHW = torch.rand(x_BCHW.shape, generator=generator, dtype=x_BCHW.dtype).requires_grad_()
    memory_BCHW = torch.rand(x_BCHW.shape, generator=generator, dtype=x_BCHW.dtype) if cell.uses_memory else None
    step = cell(x_BCHW, cell.init_state(x_BCHW), memory_BCHW, *([None] if cell.uses_diagonal else []))
    middle = step.y_BCHW[0, :, x_BCHW.shape[-2] // 2, x_BCHW.shape[-1] // 2].mean()
    (gradient_BCHW,) = torch.autograd.grad(middle, x_BCHW)
    return extent(gradient_BCHW[0].abs().sum(dim=0).numpy())


def _formula(model: RecurrentModel, reaches: list[int]) -> list[int]:
    """Return the sizes in pixels along one axis, layer by layer."""
    field = stride = model.patch
    sizes: list[int] = []
    for n, reach in enumerate(reaches):
        if n > 0:
            window = 2 ** max(model.stack.levels[n] - model.stack.levels[n - 1], 0)
            field, stride = field + (window - 1) * stride, stride * window
        field += (reach - 1) * stride
        sizes.append(field)
    return sizes


def text_table(name: str, fields: list[LayerField], size: Size) -> str:
    """Return one line per layer; `*` marks a field that reaches the edge of the image."""
    lines = [
        f"{name}: receptive fields of the encoder layers in pixels, image {_text(size)}, first time step",
        f"{'layer':>5}{'grid':>12}{'cell':>10}{'theoretical':>14}{'random image':>15}{'all-zero image':>17}",
    ]
    for one in fields:
        texts = [_text(value, size) for value in (one.theoretical, extent(one.random_HW), extent(one.zero_HW))]
        lines.append(
            f"{one.layer:>5}{_text(one.grid):>12}{_text(one.reach, one.grid):>10}"
            f"{texts[0]:>14}{texts[1]:>15}{texts[2]:>17}"
        )
    if any("*" in line for line in lines):
        lines.append("* as large as the image or the layer: there may be more to see (a larger --size shows it)")
    if any(max(extent(one.random_HW)) > max(one.theoretical) for one in fields):
        lines.append("beyond the formula: the reach of this cell depends on the position on its grid (MotionRNN)")
    if any(extent(one.zero_HW) != extent(one.random_HW) for one in fields):
        lines.append("all-zero image: the pixels of a pooling window tie, and only one of them gets the gradient")
    return "\n".join(lines)


def draw(fields: list[LayerField], path: Path, name: str) -> Path:
    """Write a picture of the gradients: one column per layer, the random image above the all-zero one."""
    rows = [
        layer_pictures.PictureRow(
            label,
            gradients,
            [
                f"layer {f.layer}: {_text(extent(g))} of {_text(f.theoretical)}"
                for f, g in zip(fields, gradients, strict=True)
            ],
        )
        for label, gradients in (
            ("random image", [one.random_HW for one in fields]),
            ("all-zero image", [one.zero_HW for one in fields]),
        )
    ]
    return layer_pictures.draw_gradients(
        rows, path, f"{name}: pixels in a layer's receptive field, measured and by the formula"
    )


def _text(size: Size, most: Size | None = None) -> str:
    mark = "*" if most is not None and (size[0] >= most[0] or size[1] >= most[1]) else ""
    return (str(size[0]) if size[0] == size[1] and most is not None else f"{size[0]} x {size[1]}") + mark


def _grid(x_BCHW: Tensor) -> Size:
    return x_BCHW.shape[-2], x_BCHW.shape[-1]


class _Source(NamedTuple):
    module: RecurrentModel
    name: str
    transform: Transform
    input_steps: int


def _new(config: RunConfig) -> _Source:
    torch.manual_seed(config.seed)
    module = build_model(
        config.model,
        hidden_channels=config.hidden_channels,
        num_layers=config.num_layers,
        kernel_size=config.kernel_size,
        **config.model_options,
    )
    return _Source(recurrent(module), f"{config.model}, untrained", config.build_transform(), config.input_steps)


def _read(checkpoint: Path) -> _Source:
    card: dict[str, Any] = read_card(checkpoint)
    name = f"{card['architecture']['name']}, version {card['version']}"
    transform = transform_from_dict(card["transform"])
    return _Source(recurrent(load_model(checkpoint)), name, transform, int(card["input_steps"]))


def _clip(
    source: _Source, config: RunConfig, data: Path | None, window: int, size: Size | None, *, noise: bool
) -> tuple[Tensor, str]:
    """Return the given frames of a test clip as the network gets them (T, C, H, W), and their description."""
    if noise:
        random = torch.Generator().manual_seed(window)
        shape = (source.input_steps, source.module.in_channels, *(size or SIZE))
        return torch.rand(shape, generator=random), f"random frames {window}"
    steps = {"input_steps": source.input_steps, "lead_steps": config.lead_steps, "seed": 0}
    size = size or (SIZE if config.dataset in OF_ONE_SIZE else None)
    options = config.dataset_options | _size_options(config.dataset, size)
    clips = build_dataset(config.dataset, data, "test", options, **steps)
    if window >= len(clips):
        raise ConfigError(f"window: expected 0 to {len(clips) - 1}, got {window}")
    frames_TCHW = source.transform.encode(clips[window].past_TCHW)
    expected = (source.module.in_channels, *(size or frames_TCHW.shape[-2:]))
    if frames_TCHW.shape[1:] != expected:
        raise ConfigError(f"frames: expected shape {expected} for {source.name}, got {tuple(frames_TCHW.shape[1:])}")
    if config.dataset in OF_ONE_SIZE:
        return frames_TCHW, f"{data.stem} window {window}" if data else f"digits, clip {window}"
    return frames_TCHW, f"{config.dataset}, test clip {window}"


def _size_options(dataset: str, size: Size | None) -> dict[str, int]:
    """Return a size as the options of a data set; nothing for one whose frames have one size."""
    names = DATASETS.get(dataset).options_class.model_fields
    if size is None:
        return {}
    both = {"height": size[0], "width": size[1]}
    return both if both.keys() <= names.keys() else {"size": size[0]} if "size" in names else {}


if __name__ == "__main__":
    app()
