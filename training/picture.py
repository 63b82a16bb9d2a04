"""`python -m training.picture`: observed rain and forecasts in rows, as a PNG."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.figure import Figure

from core.arrays import Float32Field
from core.colours import RAIN_COLOURS
from core.command import errors_in_one_line
from core.errors import ConfigError
from core.map_plot import add_legend, draw_field
from models import load_forecaster
from training.datasets.germany import Germany, GermanyOptions
from training.evaluation.clips import scale_of

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
LabelledFields = tuple[str, Float32Field]


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
        rows, title = _rows(data, checkpoint, window, size)
    draw(rows, out, title=title, note=note)
    typer.echo(f"wrote {out}")


def _rows(data: Path, checkpoint: str, window: int, size: tuple[int, int]) -> tuple[list[LabelledFields], str]:
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
    return rows, f"{data.stem}, reference time {reference} UTC, model version {forecaster.version}"


def draw(rows: list[LabelledFields], out: str | Path, *, title: str, note: str, step_minutes: int = 30) -> None:
    """Write the picture: one row per (label, fields in mm/h), one column per time, and a legend below.

    The first row holds times up to the reference time, the others the leads.
    """
    out, rows = Path(out), _cropped(rows)
    columns, shape = max(len(fields) for _, fields in rows), rows[0][1].shape[1:]
    figure = Figure(figsize=(2.1 * columns, 2.1 * len(rows) * shape[0] / shape[1] + 1.1), layout="constrained", dpi=110)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for r, (label, fields_THW) in enumerate(rows):
        for c, field_HW in enumerate(fields_THW):
            minutes = step_minutes * (c - len(fields_THW) + 1) if r == 0 else step_minutes * (c + 1)
            axis = axes[r, c]
            draw_field(axis, field_HW)
            axis.set_title(f"{minutes:+d} min" if minutes else "reference time", fontsize=8, pad=3)
        axes[r, 0].set_ylabel(label, fontsize=9)
    label = "mm/h; white is dry, grey not observed"
    add_legend(figure, axes.flat, RAIN_COLOURS, label, orientation="horizontal", shrink=0.5, aspect=40, pad=0.02)
    figure.suptitle(f"{title}\n{note}" if note else title, fontsize=9)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def _cropped(rows: list[LabelledFields]) -> list[LabelledFields]:
    """Crop the rows to the observed part, with a margin of one cell."""
    seen_HW = np.isfinite(rows[0][1]).any(axis=0)
    (top, bottom), (left, right) = (
        (max(int(there.min()) - 1, 0), int(there.max()) + 2) for there in np.nonzero(seen_HW) if there.size
    )
    return [(label, fields[:, top:bottom, left:right]) for label, fields in rows]


if __name__ == "__main__":
    app()
