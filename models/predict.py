"""`python -m models.predict`: one forecast from a file of radar frames, written as CF-NetCDF."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from core import cf
from core.command import errors_in_one_line
from core.frame import RadarFrame
from core.times import iso
from ingest.plausibility import field_notes
from ingest.readers.read import analyses_of, read_frames
from ingest.windows.regrid import bilinear, model_grid
from ingest.windows.window import Window, build_window
from models.forecaster import Forecaster
from models.load import load_forecaster

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    frames: Annotated[Path, typer.Option("--input", help="radar files' archive or NetCDF with the input frames")],
    out: Annotated[Path, typer.Option(help="NetCDF file to write")],
    checkpoint: Annotated[str, typer.Option(help="a shipped name, a baseline, or a checkpoint's folder")] = "default",
    lead_steps: Annotated[int, typer.Option(min=1)] = 5,
    cadence_minutes: Annotated[int | None, typer.Option(min=1, help="of the input; default: the model's own")] = None,
) -> None:
    """Forecast from the newest frames of a file."""
    with errors_in_one_line():
        notes = predict(
            frames, out, load_forecaster(checkpoint), lead_steps=lead_steps, cadence_minutes=cadence_minutes
        )
        for note in notes:
            typer.echo(f"note: {note}", err=True)
    typer.echo(f"wrote {out}")


def predict(
    frames: str | Path,
    out: str | Path,
    forecaster: Forecaster,
    *,
    lead_steps: int = 5,
    cadence_minutes: int | None = None,
) -> tuple[str, ...]:
    """Write the forecast that follows the newest frames of a file, with the model's cell size over the file's area.

    Returns notes on what was left out of the file and on implausible fields.

    Raises:
        FrameError: the file holds no radar frames.
        ConflictError: its frames do not form a window of the model's input at that cadence.
    """
    cadence = cadence_minutes or forecaster.cadence_minutes
    observed, notes = _input_frames(frames)
    window = build_window(
        observed, steps=forecaster.input_steps, cadence_minutes=cadence, tolerance_minutes=0, strict=True
    )
    grid = model_grid(window.grid, forecaster.cell_edges.times(cadence / forecaster.cadence_minutes))
    fields = forecaster.forecast(
        bilinear(window.rate_mmh_THW, *grid.shape), lead_steps, cadence_minutes=cadence, pixel_m=grid.pixel_m
    )
    times = [window.reference_time + timedelta(minutes=cadence * (n + 1)) for n in range(lead_steps)]
    dataset = cf.rate_dataset(
        fields.rate_mmh_LHW,
        times,
        grid,
        reference_time=window.reference_time,
        attributes=_attributes(forecaster, window, notes),
    )
    cf.write_dataset(cf.with_known(dataset, fields.known_LHW), out)
    return tuple(notes)


def _attributes(forecaster: Forecaster, window: Window, notes: Sequence[str]) -> dict[str, str | None]:
    """Return the global attributes of the file."""
    return {
        "title": "Precipitation nowcast",
        "model": forecaster.name,
        "model_version": forecaster.version,
        "product": window.product,
        "input_times": " ".join(iso(time) for time in window.nominal_times),
        "history": f"{iso(datetime.now(UTC))} python -m models.predict",
        "comment": "; ".join(notes) or None,
    }


def _input_frames(path: str | Path) -> tuple[list[RadarFrame], list[str]]:
    """Return the observations of a file, and notes on what was left out or is implausible."""
    notes: list[str] = []
    observed, left_out = analyses_of(read_frames(path, notes=notes))
    return observed, [*notes, *([left_out] if left_out else []), *field_notes(observed)]


if __name__ == "__main__":
    app()
