"""`python -m benchmarks.gpu`: is a GPU right, how fast, with how much memory; at most eight minutes.

Each part is written as soon as it ends, so that a run that is cut off leaves what it had; one that fails says so, and
the others go on. `--cpu` runs the same code at tiny sizes on a CPU: it shows that the check itself works, nothing else.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer

from benchmarks.fresh import peak_resident_bytes
from benchmarks.native import SCALE
from benchmarks.setting import BenchmarkSetting, quick
from benchmarks.sides import our_forecaster, our_training, rain_mmh
from benchmarks.timing import typical_seconds
from core.arrays import Float32Field
from models import Forecaster, build_model, load_forecaster
from models.build import recurrent_models
from models.device import machine, pick_device
from models.fast import ready

Figures = dict[str, Any]
FIRST: Final = "ms-convlstm"
ROUNDING: Final = 1e-4
"""Largest difference of network values between a GPU and a CPU in float32; with TF32 it is about 1e-3."""
PROBABILITY: Final = 2e-3
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class GpuCheck:
    """Device and sizes of the check.

    Attributes:
        device: cuda, or cpu at tiny sizes.
        until: time of `time.monotonic` at which no part begins any more, and no further model.
        setting: sizes of the parts on networks.
        grid: rows and columns of the forecast on the radar's own cells.
        leads: of it.
    """

    device: torch.device
    until: float
    setting: BenchmarkSetting
    grid: tuple[int, int]
    leads: int

    @property
    def over(self) -> bool:
        """Return whether the time is used up."""
        return time.monotonic() > self.until


def same_float32(check: GpuCheck) -> Figures:
    """Compare every recurrent model with the CPU, on even and odd sizes; float32 without TF32."""
    found: Figures = {}
    for name in recurrent_models():
        if check.over:
            return {**found, "cut at": name}
        torch.manual_seed(0)
        model: Any = build_model(name, hidden_channels=8).eval()
        worst = 0.0
        for size in ((32, 32), (45, 31)):
            x_BTCHW = torch.rand(2, 3, 1, *size)
            with torch.inference_mode():
                expected = model.predict_all(x_BTCHW, 3)
                given = ready(model, check.device, "float32").predict_all(x_BTCHW.to(check.device), 3)
            worst = max(worst, float((given.cpu() - expected).abs().max()))
        found[name] = worst if worst <= ROUNDING else f"WRONG: {worst:.1e}, expected at most {ROUNDING:.0e}"
    return found


def native_forecast(check: GpuCheck) -> Figures:
    """Compare the forecast on the radar's own cells with the CPU's, and time it."""
    rate_mmh_THW = rain_mmh(*check.grid, 13)
    here, there = (load_forecaster("default", str(device)) for device in (check.device, "cpu"))
    first, second = (_probability_KHW(each, rate_mmh_THW) for each in (here, there))
    worst = float(np.abs(first - second).max())
    forecast = partial(_count, here, rate_mmh_THW, check.leads)
    return {
        "largest difference of a probability": worst if worst <= PROBABILITY else f"WRONG: {worst:.1e}",
        **_timed(forecast, check),
    }


def _probability_KHW(forecaster: Forecaster, rate_mmh_THW: Float32Field) -> Float32Field:
    lead = next(forecaster.leads(rate_mmh_THW, 1, **SCALE))
    return np.asarray(lead.exceedance_probability_KHW, np.float32)


def _count(forecaster: Forecaster, rate_mmh_THW: Float32Field, leads: int) -> int:
    return sum(1 for _ in forecaster.leads(rate_mmh_THW, leads, **SCALE))


def network_forecast(check: GpuCheck) -> Figures:
    """Time one forecast of the multi-scale network, from mm/h to mm/h."""
    setting = check.setting
    rate_mmh_THW = rain_mmh(setting.height, setting.width, setting.input_steps)
    return _timed(partial(our_forecaster(FIRST, setting).forecast, rate_mmh_THW, setting.lead_steps), check)


def network_graph(check: GpuCheck) -> Figures:
    """Run the network, and as a CUDA graph: one launch instead of hundreds for a fixed shape, the same numbers."""
    setting = check.setting
    built: Any = build_model(FIRST, hidden_channels=setting.hidden_channels)
    model = ready(built, check.device)
    x_BTCHW = torch.rand(1, setting.input_steps, 1, setting.height, setting.width, device=check.device)
    run = partial(model, x_BTCHW, setting.lead_steps)
    with torch.inference_mode():
        figures: Figures = {"network, s": typical_seconds(run)}
        if check.device.type == "cpu":
            return {**figures, "graph": "a CPU has none"}
        graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            expected = run().clone()
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph):
            captured = run()
        figures["as a graph, s"] = typical_seconds(graph.replay)
        return {**figures, "difference": float((captured - expected).abs().max())}


def large_field(check: GpuCheck) -> Figures:
    """Time the network on the whole composite at 1 km."""
    setting = check.setting
    rate_mmh_THW = rain_mmh(*setting.large, setting.input_steps)
    return _timed(partial(our_forecaster(FIRST, setting).forecast, rate_mmh_THW, setting.lead_steps), check)


def training_steps(check: GpuCheck) -> Figures:
    """Time a training step of the multi-scale models."""
    found: Figures = {}
    for name in check.setting.multiscale:
        if check.over:
            return {**found, "cut at": name}
        found[name] = _timed(our_training(name, check.setting).step, check)
    return found


PARTS: Final[tuple[Callable[[GpuCheck], Figures], ...]] = (
    same_float32,
    native_forecast,
    network_forecast,
    network_graph,
    large_field,
    training_steps,
)


def _timed(work: Callable[[], object], check: GpuCheck) -> Figures:
    with peak_resident_bytes(check.device.type) as peak:
        return {"s": typical_seconds(work), "peak, GB": peak() / 1e9}


@app.command()
def main(
    cpu: Annotated[bool, typer.Option("--cpu", help="tiny sizes on a CPU: no figures, but it runs")] = False,
    limit_s: Annotated[float, typer.Option(min=1, help="seconds after which no part begins")] = 420.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures here, after each part")] = None,
) -> None:
    """Check this machine's GPU; exit with 1 if a part is wrong or fails, with 2 without a GPU."""
    if not cpu and not torch.cuda.is_available():
        typer.echo("no GPU: nothing was checked (--cpu runs the check at tiny sizes on the CPU)")
        raise typer.Exit(2)
    device = pick_device("cpu" if cpu else "cuda")
    setting = BenchmarkSetting(device=device.type)
    sizes: tuple[BenchmarkSetting, tuple[int, int], int] = (
        (quick(setting), (48, 40), 2) if cpu else (setting, (900, 900), 30)
    )
    check = GpuCheck(device, time.monotonic() + limit_s, *sizes)
    figures: Figures = {"machine": machine(device.type), "sizes": "tiny" if cpu else "whole", "parts": {}}
    for part in PARTS:
        figures["parts"][part.__name__] = _figures(part, check)
        if json_file is not None:
            json_file.write_text(json.dumps(figures, indent=1) + "\n")
        typer.echo(f"{part.__name__}: {json.dumps(figures['parts'][part.__name__])}")
    if any(word in json.dumps(figures["parts"]) for word in ("WRONG", "failed")):
        raise typer.Exit(1)


def _figures(part: Callable[[GpuCheck], Figures], check: GpuCheck) -> Figures:
    if check.over:
        return {"left out": "the time was used up"}
    began = time.monotonic()
    try:
        found = part(check)
    except Exception as err:  # the other parts are to be known, too
        found = {"failed": f"{type(err).__name__}: {err}"[:500]}
    return {**found, "of it all, s": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.gpu", args=sys.argv[1:])
