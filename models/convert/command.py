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
from core.units import PAPER_PIXEL_M
from models.build import build_model, parse_options, recurrent_models
from models.checkpoint import CARD, save_model
from models.convert.names import load_reference
from models.transforms import ReflectivityTransform

INPUT_STEPS, LEAD_STEPS, CADENCE_MINUTES = 5, 5, 30
ROWS = 124
"""Rows and columns of the paper's Germany grid: 900 km on 124 x 124 cells."""

LICENCE = "The parameters are those of the file that was converted: they and their terms are their owner's."

_EMBED = "embed.conv_embed.weight"
_LAYER: Final = re.compile(r"rnns\.\w+\.(\d+)\.")
_PREFIXES: Final = ("param/", "module.")  # of the golden files; of DataParallel
_REFUSED: Final = re.compile(r"(?:Unsupported|GLOBAL|Trying to)[^.\n]*\S*")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    reference: Annotated[Path, typer.Argument(help="torch.save of a state dict, or an npz with param/NAME arrays")],
    model: Annotated[str, typer.Option(help="the model's name here, such as ms-predrnn")],
    out: Annotated[Path, typer.Option(help="folder for the checkpoint")],
    option: Annotated[list[str] | None, typer.Option("--set", help="a model option, key=value")] = None,
) -> None:
    """Convert a reference checkpoint for the Germany data (30 minutes, 7.26 km, 5 frames in)."""
    with errors_in_one_line(OSError):
        options = convert_file(reference, model, out, parse_options(option or []))
    typer.echo(f"wrote {out}: {model} with {options['num_layers']} layers of {options['hidden_channels']} channels")


def convert_file(reference: str | Path, name: str, out: str | Path, options: dict[str, Any]) -> dict[str, Any]:
    """Read a reference checkpoint, build its model, load the parameters and write our checkpoint.

    Returns:
        The arguments that the model was built with.

    Raises:
        UnknownNameError: no such model.
        InputError: a file without parameters, parameters that do not fit, or a folder that already holds a checkpoint.
    """
    reference, out = Path(reference), Path(out)
    if name not in recurrent_models():
        build_model(name)  # its error lists the near names
        raise InputError(
            f"model: expected one of {', '.join(recurrent_models())} (the reference has no other), got {name}"
        )
    if (out / CARD).exists():
        raise InputError(f"out: expected a folder without a checkpoint, got {out}")
    content = _bytes(reference)
    parameters = read_parameters(content, str(reference))
    arguments = {**sizes_of(parameters), **options}
    model = build_model(name, **arguments)
    load_reference(model, parameters)
    save_model(out, model, _card(name, arguments, reference.name, hashlib.sha256(content).hexdigest()))
    return arguments


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
    return {"in_channels": embed.shape[1], "hidden_channels": embed.shape[0], "num_layers": len(layers)}


def _card(name: str, options: dict[str, Any], file: str, sha256: str) -> dict[str, Any]:
    return {
        "version": f"reference-{sha256[:8]}",
        "architecture": {"name": name, "options": options},
        "transform": ReflectivityTransform().to_dict(),
        "input_steps": INPUT_STEPS,
        "lead_steps": LEAD_STEPS,
        "cadence_minutes": CADENCE_MINUTES,
        "pixel_m": PAPER_PIXEL_M,
        "grid": {"height": ROWS, "width": ROWS},
        "origin": {"kind": "checkpoint of the reference implementation", "file": file, "sha256": sha256},
        "licence": LICENCE,
    }
