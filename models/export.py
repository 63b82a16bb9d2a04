"""`python -m models.export`: a checkpoint as one file for programs without this package, checked against the module."""

import io
import warnings
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer
from torch import Tensor, nn

from core.command import errors_in_one_line
from core.errors import ForecastError, InputError
from core.files import write_bytes_atomically
from models.checkpoint import load_model, read_card

KINDS: Final = (".pt2", ".onnx")
TOLERANCE: Final = 1e-4
"""Largest difference of network values between the exported program and the module."""
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class FixedLeads(nn.Module):
    """A model with its number of leads, which an exported program has no argument for."""

    def __init__(self, model: nn.Module, lead_steps: int) -> None:
        super().__init__()
        self.model, self.lead_steps = model, lead_steps

    def forward(self, frames_BTCHW: Tensor) -> Tensor:
        """Return the forecast in network values, (B, lead_steps, C, H, W)."""
        forecast_BTCHW: Tensor = self.model(frames_BTCHW, lead_steps=self.lead_steps)
        return forecast_BTCHW


@app.command()
def main(
    checkpoint: Annotated[Path, typer.Option(help="a checkpoint's folder")],
    out: Annotated[
        Path, typer.Option(help="NAME.pt2 (torch.export) or NAME.onnx (needs onnx, onnxscript, onnxruntime)")
    ],
    size: Annotated[tuple[int, int] | None, typer.Option(min=1, help="rows and columns; default the card's")] = None,
    leads: Annotated[int | None, typer.Option(min=1, help="frames to forecast; default the card's")] = None,
    batch: Annotated[int, typer.Option(min=1, help="samples at once")] = 1,
) -> None:
    """Export the network of a checkpoint for fields of one size: frames in network values in, forecast frames out.

    The card's transform is not part of it: rates are encoded before and decoded after, as the card states.
    """
    with errors_in_one_line(OSError):
        worst = export(checkpoint, out, size=size, leads=leads, batch=batch)
    typer.echo(f"wrote {out}; largest difference from the module {worst:.1e}")


def export(
    checkpoint: str | Path,
    out: str | Path,
    *,
    size: tuple[int, int] | None = None,
    leads: int | None = None,
    batch: int = 1,
) -> float:
    """Export a checkpoint and compare the result with the module on random frames.

    Returns:
        The largest difference in network values.

    Raises:
        InputError: an unknown ending, a checkpoint of another kind, a size that neither the call nor the card states,
            or a missing package.
        ForecastError: the exported program gives another forecast.
    """
    checkpoint, out = Path(checkpoint), Path(out)
    if out.suffix not in KINDS:
        raise InputError(f"out: expected a name that ends in {' or '.join(KINDS)}, got {out.name}")
    card, loaded = read_card(checkpoint), load_model(checkpoint)
    grid = card.get("grid") or {}
    _require_frames(loaded, checkpoint)
    rows, columns = size or (grid.get("height"), grid.get("width"))
    if not rows or not columns:
        raise InputError("size: expected rows and columns, since the card states no grid, got none")
    model = FixedLeads(loaded, leads or int(card.get("lead_steps", 5))).eval()
    channels = int(getattr(loaded, "in_channels", 1))
    torch.manual_seed(0)
    frames_BTCHW = torch.rand(batch, int(card["input_steps"]), channels, int(rows), int(columns))
    make = _as_program if out.suffix == ".pt2" else _as_onnx
    with torch.no_grad():
        expected_BTCHW = model(frames_BTCHW)
        content, given_BTCHW = make(model, frames_BTCHW)
    worst = float((given_BTCHW - expected_BTCHW).abs().max())
    if not worst <= TOLERANCE:
        raise ForecastError(f"{out.name}: expected the module's forecast within {TOLERANCE:g}, got {worst:.2g} off")
    write_bytes_atomically(out, content)
    return worst


def _require_frames(model: nn.Module, checkpoint: Path) -> None:
    if "lead_steps" not in signature(model.forward).parameters:
        raise InputError(
            f"checkpoint: expected a network that maps frames to frames, got {checkpoint} ({type(model).__name__}), "
            "whose forecast is more than its network"
        )


def _as_program(model: nn.Module, frames_BTCHW: Tensor) -> tuple[bytes, Tensor]:
    """Return the file of a program of `torch.export`, and what it computes once it is read again."""
    file = io.BytesIO()
    torch.export.save(torch.export.export(model, (frames_BTCHW,)), file)
    file.seek(0)
    given_BTCHW: Tensor = torch.export.load(file).module()(frames_BTCHW)
    return file.getvalue(), given_BTCHW


def _as_onnx(model: nn.Module, frames_BTCHW: Tensor) -> tuple[bytes, Tensor]:
    """Return an ONNX file, and what ONNX Runtime computes from it."""
    try:
        runtime, _ = (import_module(name) for name in ("onnxruntime", "onnxscript"))
    except ImportError as err:
        raise InputError(f"out: a name in .onnx needs onnx, onnxscript and onnxruntime, got no {err.name}") from err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program: Any = torch.onnx.export(model, (frames_BTCHW,), dynamo=True, input_names=["frames"], verbose=False)
    content = program.model_proto.SerializeToString()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (given,) = session.run(None, {session.get_inputs()[0].name: frames_BTCHW.numpy()})
    return content, torch.from_numpy(given)


if __name__ == "__main__":
    app()
