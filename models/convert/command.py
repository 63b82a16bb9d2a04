"""`python -m models.convert`: convert a checkpoint of the reference implementation."""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from torch import Tensor

from core.command import errors_in_one_line
from core.errors import InputError
from models.build import MULTISCALE, build_model, options_of, parse_options
from models.checkpoint import CARD, save_model
from models.convert.names import load_reference
from models.convert.setting import SETTINGS, setting_of
from models.cost.paper import PAPER_CELLS

LICENCE = "The parameters are those of the file that was converted: they and their terms are their owner's."

DEFECTS: Final = {
    "warp": "The released code of TrajGRU and MotionRNN samples along flows on a grid that is stretched by N / (N - 1) "
    "and half a pixel off, so that borders are mixed with zeros even where nothing moves. Weights trained with it need "
    "--warp reference; --warp exact is for weights trained with a mended warp",
    "layout": "The released MotionRNN merges the nine warped maps in an order that interleaves pixels and flow vectors "
    "(and the samples of a batch above 1). Weights trained with it need --layout reference; --layout exact is for "
    "weights trained with a mended MotionGRU",
}
"""Options whose value a checkpoint does not state, with the defect of the released code that makes them matter."""

_EMBED = "embed.conv_embed.weight"
_LAYER: Final = re.compile(r"rnns\.\w+\.(\d+)\.")
_FLOWS: Final = re.compile(r"\.(?:_conv_flow|flows_conv)\.weight$")  # of TrajGRU
_PREFIXES: Final = ("param/", "module.")  # of the golden files; of DataParallel
_REFUSED: Final = re.compile(r"(?:Unsupported|GLOBAL|Trying to)[^.\n]*\S*")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    reference: Annotated[Path, typer.Argument(help="torch.save of a state dict, or an npz with param/NAME arrays")],
    model: Annotated[str, typer.Option(help="the model's name here, such as ms-predrnn")],
    dataset: Annotated[str, typer.Option(help=f"what it was trained on: {', '.join(SETTINGS)}")],
    out: Annotated[Path, typer.Option(help="folder for the checkpoint")],
    warp: Annotated[str | None, typer.Option(help="of TrajGRU and MotionRNN: reference or exact")] = None,
    layout: Annotated[str | None, typer.Option(help="of MotionRNN: reference or exact")] = None,
    option: Annotated[list[str] | None, typer.Option("--set", help="a model option, key=value")] = None,
) -> None:
    """Convert a reference checkpoint; frames, values and cells of its card are those of the data set in the paper."""
    with errors_in_one_line(OSError):
        chosen = {key: value for key, value in (("warp", warp), ("layout", layout)) if value is not None}
        options = convert_file(reference, model, out, {**parse_options(option or []), **chosen}, dataset=dataset)
    typer.echo(f"wrote {out}: {model} with {options['num_layers']} layers of {options['hidden_channels']} channels")


def convert_file(
    reference: str | Path, name: str, out: str | Path, options: dict[str, Any], *, dataset: str
) -> dict[str, Any]:
    """Read a reference checkpoint, build its model, load the parameters and write our checkpoint.

    Args:
        reference: a state dict of `torch.save`, or an npz with `param/NAME` arrays.
        name: of the model.
        out: folder for the checkpoint.
        options: of the model; those that the file states (sizes) may be left out.
        dataset: what it was trained on.

    Returns:
        The arguments that the model was built with.

    Raises:
        UnknownNameError: no such model.
        InputError: no such data set, an option of `DEFECTS` that is missing or has no meaning for the model, a file
            without parameters, parameters that do not fit, or a folder that already holds a checkpoint.
    """
    reference, out = Path(reference), Path(out)
    if name.removeprefix(MULTISCALE) not in PAPER_CELLS:
        build_model(name)  # its error lists the near names
        known = ", ".join([*PAPER_CELLS, *(MULTISCALE + cell for cell in PAPER_CELLS)])
        raise InputError(f"model: expected one of {known} (the reference has no other), got {name}")
    if (out / CARD).exists():
        raise InputError(f"out: expected a folder without a checkpoint, got {out}")
    setting = setting_of(dataset)
    _require_behaviour(name, options)
    content = _bytes(reference)
    parameters = read_parameters(content, str(reference))
    arguments = {**sizes_of(parameters), **options}
    model = build_model(name, **arguments)
    load_reference(model, parameters)
    card = _card(name, arguments, reference.name, hashlib.sha256(content).hexdigest())
    save_model(out, model, card | setting.card(dataset, arguments["in_channels"]))
    return arguments


def _require_behaviour(name: str, options: Mapping[str, Any]) -> None:
    """Refuse a checkpoint whose released code and mended one differ, unless it is stated which of them it needs."""
    known = options_of(name)
    for option, defect in DEFECTS.items():
        if option in options and option not in known:
            raise InputError(f"--{option}: no meaning for {name}, which has no flows; expected none")
        if option in known and option not in options:
            raise InputError(f"--{option}: expected reference or exact for {name}. {defect}")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise InputError(f"{path} is not readable ({err.strerror})") from err


def read_parameters(content: bytes, label: str) -> dict[str, Tensor]:
    """Return the parameters of a file under the reference's names, without executing anything in the file.

    Raises:
        InputError: not a state dict of finite floating-point tensors, or a truncated file.
    """
    try:
        found = _arrays(content) if _is_npz(content) else torch.load(io.BytesIO(content), "cpu", weights_only=True)
    except Exception as err:  # a damaged or hostile pickle can fail in any way
        raise InputError(
            f"{label}: expected a state dict of torch.save or an npz, got neither ({_reason(err)})"
        ) from err
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not found:
        raise InputError(f"{label} holds no parameters; expected a state dict, or an npz with arrays named param/NAME")
    for name, value in found.items():
        if not isinstance(name, str) or not _is_parameter(value):
            raise InputError(f"{label}: {name!r} is not a tensor of finite floating-point numbers")
    return {_bare(name): value.float() for name, value in found.items()}


def _is_npz(content: bytes) -> bool:
    """Return whether a zip archive is NumPy's (its entries end in .npy) and not PyTorch's."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return False
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def _arrays(content: bytes) -> dict[str, Tensor]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files if name.startswith("param/")}


def _reason(err: Exception) -> str:
    """Return one line of an error; of PyTorch's refusals, the part that names the refused object."""
    text = str(err)
    refused = _REFUSED.search(text) if "weights_only" in text else None
    lines = (refused[0] if refused else text).strip().splitlines()
    return f"{type(err).__name__}: {lines[0]}" if lines else type(err).__name__


def _is_parameter(value: object) -> bool:
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_meta:
        return False
    return value.is_floating_point() and bool(torch.isfinite(value).all())


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def sizes_of(parameters: Mapping[str, Tensor]) -> dict[str, int]:
    """Return channels of a frame and of a layer, and the number of layers, from names and shapes.

    Raises:
        InputError: none of the reference's names.
    """
    layers = {match[1] for name in parameters if (match := _LAYER.match(name))}
    embed = parameters.get(_EMBED)
    if embed is None or embed.ndim != 4 or not layers:
        raise InputError(f"not a model of the reference: expected {_EMBED} (hidden, channels, 1, 1) and rnns.*.LAYER.*")
    sizes = {"in_channels": embed.shape[1], "hidden_channels": embed.shape[0], "num_layers": len(layers)}
    return sizes | _flow_sizes(parameters)


def _flow_sizes(parameters: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the sizes of TrajGRU's flow network; empty for other cells, and where a layer is not as expected."""
    flows = next((value for name, value in parameters.items() if _FLOWS.search(name)), None)
    if flows is None or flows.ndim != 4:
        return {}
    return {"links": flows.shape[0] // 2, "flow_channels": flows.shape[1], "flow_kernel": flows.shape[2]}


def _card(name: str, options: dict[str, Any], file: str, sha256: str) -> dict[str, Any]:
    return {
        "version": f"reference-{sha256[:8]}",
        "architecture": {"name": name, "options": options},
        "origin": {"kind": "checkpoint of the reference implementation", "file": file, "sha256": sha256},
        "licence": LICENCE,
    }
