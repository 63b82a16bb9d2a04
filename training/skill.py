"""`python -m training.skill --checkpoint C --data EVENT.nc`: the skill protocol, by lead and pooled, with intervals."""

import hashlib
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from core.arrays import Float32Field
from core.command import errors_in_one_line
from core.errors import ConfigError
from models import Forecaster, load_forecaster
from models.guided.forecaster import GuidedForecaster
from training.evaluate import write_json
from training.evaluation.skill_sums import SkillSums
from training.evaluation.skill_text import as_json, text_table
from training.evaluation.skill_windows import LEADS, SkillWindow, native_extrapolation_LHW, skill_windows, tile_windows

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
NATIVE = "extrapolation-native"


@app.command()
def main(
    data: Annotated[list[Path], typer.Option("--data", help="event files; each is a table of its own")],
    checkpoint: Annotated[list[str], typer.Option(help="shipped names or checkpoints' folders")] = ["default"],  # noqa: B006
    native: Annotated[bool, typer.Option("--native/--no-native", help="extrapolation on the finest grid too")] = True,
    short: Annotated[bool, typer.Option("--short", help="shorter windows of events without whole ones")] = False,
    every: Annotated[int, typer.Option(min=1, help="only every so many windows, for a quick look")] = 1,
    tile_km: Annotated[
        float | None, typer.Option(min=1, help="score squares of this edge instead of whole events; with --no-native")
    ] = None,
    ablations: Annotated[bool, typer.Option("--ablations", help="a guided model without its network, too")] = False,
    beside: Annotated[list[str], typer.Option(help="name of an event file that is not pooled with the others")] = [],  # noqa: B006
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the tables here")] = None,
) -> None:
    """Score checkpoints beside persistence and extrapolation by the protocol of the model card.

    Bilinear resizing to 124 x 124 cells, a window at every start, cells where all fields are observed, the same cells
    for all rows; what was not observed is NaN to the model. Several events are pooled, too. Squares of an event have
    smaller cells; those with little rain are left out.
    """
    with errors_in_one_line():
        if tile_km is not None and native:
            raise ConfigError("squares of an event have no native fields; --no-native was due with --tile-km")
        forecasters = [load_forecaster(name, precision="float32") for name in checkpoint]
        forecasters = with_ablations(forecasters) if ablations else forecasters
        content = printed(forecasters, data, beside=beside, native=native, short=short, every=every, tile_km=tile_km)
        if json_file is not None:
            write_json(json_file, {"command": command_line("training.skill"), **content})


def printed(
    forecasters: list[Forecaster],
    data: Sequence[Path],
    *,
    beside: Collection[str] = (),
    native: bool = True,
    short: bool = False,
    every: int = 1,
    tile_km: float | None = None,
) -> dict[str, Any]:
    """Print the tables of every event, and of all together; gives them as JSON has them.

    Args:
        forecasters: rows beside the baselines.
        data: event files.
        beside: names of those that are not pooled with the others.
        native: extrapolation on the native grid and cadence, too.
        short: shorter windows of events that hold no whole ones.
        every: only every so many windows.
        tile_km: edge of squares that are scored instead of whole events.

    Raises:
        ConfigError: a file that is no event, or that holds no window.
    """
    tables: list[dict[str, Any]] = []
    pooled: list[SkillSums] = []
    for path in data:
        if tile_km is None:
            windows = list(skill_windows(path, short=short, every=every))
        else:
            windows = list(tile_windows(path, tile_km * 1000, every=every))
        if not windows:
            raise ConfigError(f"{path} holds no window of ten fields 30 minutes apart")
        sums = score(forecasters, windows, native=native)
        typer.echo(f"{path.name}: {len(windows)} windows\n\n{text_table(sums)}\n")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        tables.append({"event": path.name, "sha256": digest, **as_json(sums, forecasters)})
        pooled += [sums] if path.name not in beside else []
    if len(pooled) < 2:
        return {"events": tables}
    whole = SkillSums.joined(pooled)
    typer.echo(f"pooled over {len(pooled)} events: {whole.windows} windows\n\n{text_table(whole)}\n")
    return {"events": tables, "pooled": as_json(whole, forecasters)}


def command_line(module: str) -> str:
    """The command that runs, with the names of files and not where they lie."""
    said = [part.rpartition("/")[2] if part.startswith(("/", "..")) else part for part in sys.argv[1:]]
    return " ".join([f"python -m {module}", *said])


def with_ablations(forecasters: Sequence[Forecaster]) -> list[Forecaster]:
    """Forecasters, and each guided one without its network."""
    return [*forecasters, *(without_network(one) for one in forecasters if isinstance(one, GuidedForecaster))]


def without_network(forecaster: GuidedForecaster) -> GuidedForecaster:
    """Advection with the same post-processing: the statistical part alone, calibrated and rebuilt in the same way."""
    import copy

    alone = copy.copy(forecaster)
    alone.name = f"{forecaster.name} without network"
    alone.model = copy.deepcopy(forecaster.model)
    alone.model.network = False
    return alone


def score(forecasters: list[Forecaster], windows: list[SkillWindow], *, native: bool = True) -> SkillSums:
    """Totals of all forecasters and baselines, window by window."""
    sums = SkillSums()
    baselines = [load_forecaster("persistence"), load_forecaster("extrapolation")]
    with typer.progressbar(windows, file=sys.stderr) as shown:
        for window in shown:
            observed_LHW = np.where(window.compared_LHW, window.future_LHW, np.float32(np.nan))
            for one in (*baselines, *forecasters):
                _add(sums, one, window, observed_LHW)
            if native:
                sums.add_field(NATIVE, native_extrapolation_LHW(window), observed_LHW, window.pixel_m)
    return sums


def _add(sums: SkillSums, forecaster: Forecaster, window: SkillWindow, observed_LHW: Float32Field) -> None:
    fields = forecaster.forecast(window.past_THW, LEADS, cadence_minutes=30.0, pixel_m=window.pixel_m)
    if fields.exceedance_probability_KLHW is not None:
        sums.add_probabilities(forecaster.name, fields.exceedance_probability_KLHW, fields.thresholds_mmh, observed_LHW)
    sums.add_field(forecaster.name, fields.rate_mmh_LHW, observed_LHW, window.pixel_m)


if __name__ == "__main__":
    app()
