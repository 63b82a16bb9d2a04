"""`python -m training.skill --checkpoint C --data EVENT.nc`: the skill protocol, by lead and pooled, with intervals."""

import hashlib
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from core.arrays import Float32Field
from core.command import errors_in_one_line
from core.errors import ConfigError
from core.units import MAIN_THRESHOLDS_MMH, THRESHOLDS_MMH
from models import Forecaster, load_forecaster
from models.guided.forecaster import GuidedForecaster
from training.evaluation.document import skill_json, write_json
from training.evaluation.engine import Evaluation, measures
from training.evaluation.skill_windows import (
    CADENCE_MINUTES,
    LEADS,
    SkillWindow,
    native_extrapolation_LHW,
    skill_windows,
    tile_windows,
)
from training.evaluation.text import skill_text
from verification.scores import SCORES

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
NATIVE: Final = "extrapolation-native"
RATES_MMH: Final = THRESHOLDS_MMH[:-1]
FSS_WINDOWS_KM: Final = (17.0, 35.0)


@app.command()
def main(
    data: Annotated[list[Path], typer.Option("--data", help="event files; each is a table of its own")],
    checkpoint: Annotated[list[str], typer.Option(help="shipped names or checkpoints' folders")] = ["default"],  # noqa: B006
    native: Annotated[bool, typer.Option("--native/--no-native", help="extrapolation on the finest grid too")] = True,
    short: Annotated[bool, typer.Option("--short", help="shorter windows of events without whole ones")] = False,
    every: Annotated[int, typer.Option(min=1, help="evaluate every N-th window only")] = 1,
    tile_km: Annotated[
        float | None, typer.Option(min=1, help="score squares of this edge instead of whole events; with --no-native")
    ] = None,
    ablations: Annotated[bool, typer.Option("--ablations", help="a guided model without its network, too")] = False,
    unpooled: Annotated[list[str], typer.Option("--beside", help="event file that is not pooled with the others")] = [],  # noqa: B006
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the tables here")] = None,
) -> None:
    """Score checkpoints, persistence and extrapolation by the protocol of the model card.

    Fields are resized bilinearly to 124 x 124 cells, there is a window at every start, and all rows are scored on the
    cells where all fields are observed; other cells are NaN to the model. Several events are pooled as well. Squares
    of an event have smaller cells; those with little rain are left out.
    """
    with errors_in_one_line():
        if tile_km is not None and native:
            raise ConfigError("squares of an event have no native fields; expected --no-native with --tile-km")
        forecasters = [load_forecaster(name, precision="float32") for name in checkpoint]
        forecasters = with_ablations(forecasters) if ablations else forecasters
        content = printed(
            forecasters, data, unpooled=unpooled, native=native, short=short, every=every, tile_km=tile_km
        )
        if json_file is not None:
            write_json(json_file, {"command": command_line("training.skill"), **content})


def printed(
    forecasters: list[Forecaster],
    data: Sequence[Path],
    *,
    unpooled: Collection[str] = (),
    native: bool = True,
    short: bool = False,
    every: int = 1,
    tile_km: float | None = None,
) -> dict[str, Any]:
    """Print the tables of every event and of all together; return them as JSON has them.

    Args:
        forecasters: rows in addition to the baselines.
        data: event files.
        unpooled: names of event files that are not pooled with the others.
        native: also extrapolate on the native grid and cadence.
        short: accept shorter windows of events that are too short for whole ones.
        every: evaluate every N-th window only.
        tile_km: edge of squares that are scored instead of whole events.

    Raises:
        ConfigError: a file that is not an event, or that contains no window.
    """
    tables: list[dict[str, Any]] = []
    pooled: list[Evaluation] = []
    for path in data:
        if tile_km is None:
            windows = list(skill_windows(path, short=short, every=every))
        else:
            windows = list(tile_windows(path, tile_km * 1000, every=every))
        if not windows:
            raise ConfigError(f"{path}: expected at least ten fields 30 minutes apart, got no window")
        sums = score(forecasters, windows, native=native)
        typer.echo(f"{path.name}: {len(windows)} windows\n\n{skill_text(sums, CADENCE_MINUTES)}\n")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        tables.append({"event": path.name, "sha256": digest, **skill_json(sums, forecasters, CADENCE_MINUTES)})
        pooled += [sums] if path.name not in unpooled else []
    if len(pooled) < 2:
        return {"events": tables}
    whole = Evaluation.joined(pooled)
    typer.echo(f"pooled over {len(pooled)} events: {whole.windows} windows\n\n{skill_text(whole, CADENCE_MINUTES)}\n")
    return {"events": tables, "pooled": skill_json(whole, forecasters, CADENCE_MINUTES)}


def command_line(module: str) -> str:
    """Return the running command, with names of files instead of their paths."""
    parts = [part.rpartition("/")[2] if part.startswith(("/", "..")) else part for part in sys.argv[1:]]
    return " ".join([f"python -m {module}", *parts])


def with_ablations(forecasters: Sequence[Forecaster]) -> list[Forecaster]:
    """Return the forecasters, and each guided one without its network."""
    return [*forecasters, *(without_network(one) for one in forecasters if isinstance(one, GuidedForecaster))]


def without_network(forecaster: GuidedForecaster) -> GuidedForecaster:
    """Return a guided forecaster without its network: the statistical part alone, with the same post-processing."""
    import copy

    alone = copy.copy(forecaster)
    alone.name = f"{forecaster.name} without network"
    alone.model = copy.deepcopy(forecaster.model)
    alone.model.network = False
    return alone


def score(forecasters: list[Forecaster], windows: list[SkillWindow], *, native: bool = True) -> Evaluation:
    """Return the sums of all forecasters and baselines, window by window."""
    sums = empty(windows[0].pixel_m)
    baselines = [load_forecaster("persistence"), load_forecaster("extrapolation")]
    with typer.progressbar(windows, file=sys.stderr) as shown:
        for window in shown:
            observed_LHW = np.where(window.compared_LHW, window.future_LHW, np.float32(np.nan))
            for one in (*baselines, *forecasters):
                _add(sums, one, window, observed_LHW)
            if native:
                sums.add_window(NATIVE, native_extrapolation_LHW(window), observed_LHW)
    return sums


def empty(pixel_m: float) -> Evaluation:
    """Return an evaluation without windows, with every score that the service has for its forecasts too."""
    kinds = [(name, kind) for name, kind in SCORES.items() if kind.takes != "pictures" and kind.operational]
    found = measures(
        kinds,
        RATES_MMH,
        pixel_m,
        window_thresholds_mmh=MAIN_THRESHOLDS_MMH,
        windows_km=FSS_WINDOWS_KM,
        labels_in_km=True,
    )
    return Evaluation(found, LEADS)


def _add(sums: Evaluation, forecaster: Forecaster, window: SkillWindow, observed_LHW: Float32Field) -> None:
    fields = forecaster.forecast(window.past_THW, LEADS, cadence_minutes=CADENCE_MINUTES, pixel_m=window.pixel_m)
    sums.add_window(forecaster.name, fields.rate_mmh_LHW, observed_LHW)
    if fields.exceedance_probability_KLHW is not None:
        sums.add_probabilities(forecaster.name, fields.exceedance_probability_KLHW, fields.thresholds_mmh, observed_LHW)


if __name__ == "__main__":
    app()
