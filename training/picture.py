"""`python -m training.picture`: observed rain and forecasts in rows, as a PNG."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from core.command import errors_in_one_line
from core.errors import ConfigError
from core.grid import Grid
from models import load_forecaster
from training.datasets.germany import Germany, GermanyOptions
from training.evaluation.clips import scale_of
from training.frame_rows import LabelledFrames, draw_rain

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="event file or archive")],
    out: Annotated[Path, typer.Option(help="PNG to write")],
    checkpoint: Annotated[str, typer.Option(help="a shipped name, or a checkpoint's folder")] = "default",
    window: Annotated[int, typer.Option(min=0, help="which of the windows, from 0")] = 0,
    size: Annotated[tuple[int, int], typer.Option(help="rows and columns")] = (124, 124),
    note: Annotated[str, typer.Option(help="source of the data, written below the picture")] = "",
) -> None:
    """Draw the observed rain, and the forecasts of the model and of extrapolation from the same five frames."""
    with errors_in_one_line():
        rows, title, grid = _rows(data, checkpoint, window, size)
    draw_rain(rows, out, title=title, note=note, grid=grid)
    typer.echo(f"wrote {out}")


def _rows(
    data: Path, checkpoint: str, window: int, size: tuple[int, int]
) -> tuple[list[LabelledFrames], str, Grid | None]:
    forecaster = load_forecaster(checkpoint)
    windows = Germany(data, "test", options=GermanyOptions(height=size[0], width=size[1]))
    if window >= len(windows):
        raise ConfigError(f"window: expected 0 to {len(windows) - 1}, got {window}")
    sample, chosen = windows[window], windows.windows[window]
    past_THW, future_THW = sample.past_TCHW[:, 0].numpy(), sample.future_TCHW[:, 0].numpy()
    reference = np.datetime64(chosen.begin + (windows.input_steps - 1) * chosen.cadence_minutes, "m")
    scale = scale_of(windows) if forecaster.any_scale else {}
    rows = [
        ("observed before", past_THW),
        ("observed after", future_THW),
        (f"forecast ({forecaster.name})", forecaster.forecast(past_THW, **scale).rate_mmh_LHW),
        ("extrapolation", load_forecaster("extrapolation").forecast(past_THW).rate_mmh_LHW),
    ]
    title = f"{data.stem}, reference time {reference} UTC, model version {forecaster.version}"
    return rows, title, windows.grid_at(window)


if __name__ == "__main__":
    app()
