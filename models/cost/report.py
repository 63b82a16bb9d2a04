"""`python -m models.cost`: the cost of a model, predicted by the paper's equations and measured."""

import json
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from core.command import errors_in_one_line
from core.errors import InputError
from models.build import MULTISCALE, build_model, list_models, options_of, parse_options, recurrent_models
from models.cost.equations import CostModel
from models.cost.largest import largest_edge
from models.cost.measure import MemoryUse, Work, chosen, count_parameters, measure_memory, measure_work, measuring_on
from models.cost.paper import PAPER_CELLS, PaperCell, paper_macs
from models.cost.tables import tables_of_all, tables_of_one


@dataclass(frozen=True)
class CostSetting:
    """Setting of the forward pass whose cost is counted."""

    height: int
    width: int
    input_steps: int
    lead_steps: int
    batch: int = 1
    hidden_channels: int = 64
    num_layers: int = 6
    precision: str = "32-true"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Return the paper's R: one-step predictions of a recurrent model."""
        return self.input_steps + self.lead_steps - 1


TABLE_3 = CostSetting(64, 64, 10, 10)
"""Setting of Moving MNIST, for which the paper prints FLOPs."""

COUNTED = frozenset({"skip", "residual"})
"""Options for which the paper's counting still describes the model."""


@dataclass(frozen=True)
class Cost:
    """Measured cost of one model."""

    parameters: int
    work: Work
    memory: MemoryUse | None


def measure(name: str, setting: CostSetting, *, device: str = "auto", with_memory: bool = True) -> Cost:
    """Build a model and measure its cost.

    Raises:
        UnknownNameError: no such model.
        InputError: a setting that the model does not support.
        ConfigError: no such device on this machine.
    """
    model = build_model(name, **_arguments(name, setting))
    with measuring_on(device, model) as place:
        shape = (setting.batch, setting.input_steps, 1, setting.height, setting.width)
        frames_BTCHW = torch.zeros(shape, device=place)
        memory = _memory(model, frames_BTCHW, setting) if with_memory else None
        return Cost(count_parameters(model), measure_work(model, frames_BTCHW, setting.lead_steps), memory)


def _memory(model: nn.Module, frames_BTCHW: Tensor, setting: CostSetting) -> MemoryUse:
    return measure_memory(model, frames_BTCHW, setting.lead_steps, precision=setting.precision)


def largest(name: str, setting: CostSetting, gib: float) -> dict[str, int]:
    """Return the edge of the largest square image whose training fits into a memory, by model name.

    Counted on shapes: saved activations, joined weights, and weights, gradients and Adam's moments; work space and what
    a device's driver takes come on top. Height and width of the setting are not used.

    Raises:
        InputError: not even a small image fits.
    """
    flat = name.removeprefix(MULTISCALE)
    names = [flat, MULTISCALE + flat] if is_recurrent(name) else [name]
    return {each: largest_edge(partial(_training_bytes, each, setting), int(gib * 2**30)) for each in names}


def _training_bytes(name: str, setting: CostSetting, edge: int) -> int:
    model = build_model(name, **_arguments(name, setting))
    with measuring_on("shapes", model) as place:
        frames_BTCHW = torch.zeros((setting.batch, setting.input_steps, 1, edge, edge), device=place)
        memory = _memory(model, frames_BTCHW, setting)
    return memory.activation_bytes + memory.joined_weight_bytes + memory.state_bytes


def _arguments(name: str, setting: CostSetting) -> dict[str, Any]:
    """Return the model's arguments: width and depth of a stack; numbers of frames for models that fix them."""
    if is_recurrent(name):
        return {"hidden_channels": setting.hidden_channels, "num_layers": setting.num_layers, **setting.options}
    frames = {"input_steps": setting.input_steps, "lead_steps": setting.lead_steps}
    return {key: value for key, value in frames.items() if key in options_of(name)} | setting.options


def is_recurrent(name: str) -> bool:
    """Return whether a name is that of a cell, flat or multi-scale."""
    return name in recurrent_models()


def report(name: str, setting: CostSetting, *, device: str = "auto") -> dict[str, Any]:
    """Return all figures of one model as plain numbers; of a recurrent one flat and multi-scale together.

    Returns:
        `measured` by model name; of a recurrent model also `drop`, from flat to multi-scale, and `paper`, None if the
        paper has no such cell.
    """
    names = [name]
    if is_recurrent(name):
        flat = name.removeprefix(MULTISCALE)
        names = [flat, MULTISCALE + flat]
    costs = {each: measure(each, setting, device=device) for each in names}
    figures: dict[str, Any] = {"model": name, "setting": asdict(setting), "measured_on": chosen(device)}
    figures["measured"] = {each: _plain(cost) for each, cost in costs.items()}
    if len(costs) == 2:
        cell = PAPER_CELLS.get(names[0]) if setting.options.keys() <= COUNTED else None
        figures["drop"] = _drops(*costs.values())
        figures["paper"] = _paper(names[0], cell, setting, device) if cell is not None else None
    return figures


def _plain(cost: Cost) -> dict[str, Any]:
    work = {**asdict(cost.work), "total": cost.work.total}
    return {"parameters": cost.parameters, "macs": work, **(asdict(cost.memory) if cost.memory else {})}


def _drops(flat: Cost, multiscale: Cost) -> dict[str, float]:
    drops = {"macs": 1 - multiscale.work.total / flat.work.total}
    if flat.memory is not None and multiscale.memory is not None:
        drops["activation_bytes"] = 1 - multiscale.memory.activation_bytes / flat.memory.activation_bytes
        if flat.memory.peak_bytes is not None and multiscale.memory.peak_bytes is not None:
            drops["peak_bytes"] = 1 - multiscale.memory.peak_bytes / flat.memory.peak_bytes
    return drops


def _paper(flat: str, cell: PaperCell, setting: CostSetting, device: str) -> dict[str, Any]:
    """Return the paper's equations and count for this setting, and its Table 3 with the values computed for it."""
    pair = (False, True)
    size: dict[str, Any] = {"height": setting.height, "width": setting.width, "channels": setting.hidden_channels}
    equations = CostModel(
        cell.parameter_multiple,
        cell.output_multiple,
        steps=setting.steps,
        num_layers=setting.num_layers,
        batch=setting.batch,
        **size,
    )
    here = {"steps": setting.steps, "num_layers": setting.num_layers, "batch": setting.batch, **size}
    here["skip"] = setting.options.get("skip")
    counted = {
        "macs_here": [paper_macs(cell, multiscale=multiscale, **here) for multiscale in pair],
        "table_3_worked_out": [paper_macs(cell, multiscale=multiscale) for multiscale in pair],
        "table_3_printed_gmacs": cell.printed.gmacs,
        "table_3_computed_here": [
            measure(prefix + flat, TABLE_3, device=device, with_memory=False).work.total for prefix in ("", MULTISCALE)
        ],
    }
    predicted = {
        "output_bytes": [float(equations.output_bits(multiscale=multiscale) / 8) for multiscale in pair],
        "total_bytes": [float(equations.total_bits(multiscale=multiscale) / 8) for multiscale in pair],
        "memory_drop": float(equations.memory_reduction),
        "output_drop": float(1 - equations.output_bits(multiscale=True) / equations.output_bits(multiscale=False)),
        "macs_drop": float(equations.flop_reduction),
    }
    printed = {**asdict(cell.printed), "memory_drop": cell.printed.memory_drop}
    return {**counted, "parameters": cell.parameters, "note": cell.note, "predicted": predicted, "printed": printed}


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    model: Annotated[str | None, typer.Option(help="a model's name")] = None,
    everything: Annotated[bool, typer.Option("--all", help="every registered model instead of one")] = False,
    size: Annotated[tuple[int, int], typer.Option(min=1, help="rows and columns of a frame")] = (64, 64),
    frames: Annotated[tuple[int, int], typer.Option(min=1, help="frames in and frames out")] = (10, 10),
    batch: Annotated[int, typer.Option(min=1)] = 1,
    hidden_channels: Annotated[int, typer.Option(min=1)] = 64,
    num_layers: Annotated[int, typer.Option(min=1)] = 6,
    precision: Annotated[str, typer.Option(help="that trains: 32-true or bf16-mixed")] = "32-true",
    option: Annotated[list[str] | None, typer.Option("--set", help="a model option, key=value")] = None,
    device: Annotated[str, typer.Option(help="auto, shapes (no numbers, no memory), cpu, cuda")] = "auto",
    gib: Annotated[
        float | None, typer.Option("--largest", min=0.01, help="GiB: print the largest image that trains in it")
    ] = None,
    out: Annotated[Path | None, typer.Option("--json", help="also write the figures to this file")] = None,
) -> None:
    """Print parameters, multiply-accumulates and the memory of training of a model, flat and multi-scale."""
    with errors_in_one_line(OSError):
        if (model is None) == (not everything):
            raise InputError("expected either --model NAME or --all")
        options = parse_options(option or [])
        setting = CostSetting(*size, *frames, batch, hidden_channels, num_layers, precision, options)
        names = [model] if model is not None else _one_of_each()
        if gib is not None:
            for edges in (largest(name, setting, gib) for name in names):
                typer.echo("  ".join(f"{name}: {edge} x {edge}" for name, edge in edges.items()))
            return
        reports = [report(name, setting, device=device) for name in names]
        if out is not None:
            out.write_text(json.dumps(reports[0] if model else reports, indent=2) + "\n")
    typer.echo(tables_of_one(reports[0]) if model else tables_of_all(reports))


def _one_of_each() -> list[str]:
    """Return every model once; a recurrent one by its flat name, since its report has both."""
    return [name for name in list_models() if not (name.startswith(MULTISCALE) and is_recurrent(name))]
