"""`python -m models.predict`: one forecast from a file of radar frames, written as CF-NetCDF."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from core import cf
from core.arrays import BoolField, Float32Field
from core.command import errors_in_one_line
from core.errors import ConflictError, InputError
from core.exceedance import probability_codes, with_probability_codes
from core.frame import RadarFrame
from core.grid import Grid
from core.times import iso
from ingest.plausibility import field_notes
from ingest.readers.read import analyses_of, read_frames
from ingest.windows.regrid import bilinear, model_grid
from ingest.windows.series import FEWEST, UPLOAD_FEWEST, USABLE_MINUTES, recent_fields, upload_window
from ingest.windows.window import Window, build_window
from models.forecaster import Forecaster
from models.leads import ForecastLead
from models.load import load_forecaster
from verification.baselines import BASELINES

LEAD_MINUTES: Final = 150
FIXED_STEPS: Final = 5
MOST_MAPS: Final = 6
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    frames: Annotated[Path, typer.Option("--input", help="radar files' archive or NetCDF with the input frames")],
    out: Annotated[Path, typer.Option(help="NetCDF file to write")],
    checkpoint: Annotated[str, typer.Option(help="a shipped name, a baseline, or a checkpoint's folder")] = "default",
    lead_steps: Annotated[
        int | None, typer.Option(min=1, help="number of leads, one cadence apart; default: see --lead-minutes")
    ] = None,
    lead_minutes: Annotated[
        int | None,
        typer.Option(min=1, help=f"longest lead; default: {LEAD_MINUTES}, or 5 leads of a model with a fixed cadence"),
    ] = None,
    cadence_minutes: Annotated[
        int | None, typer.Option(min=1, help="of the input; default: the file's, or that of the model if it has one")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="also draw maps of the forecast into this picture")] = None,
) -> None:
    """Forecast from the newest frames of a file, on their own grid and cadence if the model is made for any."""
    with errors_in_one_line():
        notes = predict(
            frames,
            out,
            load_forecaster(checkpoint),
            lead_steps=lead_steps,
            lead_minutes=lead_minutes,
            cadence_minutes=cadence_minutes,
            plot=plot,
        )
        for note in notes:
            typer.echo(f"note: {note}", err=True)
    typer.echo(f"wrote {out}")


def predict(
    frames: str | Path,
    out: str | Path,
    forecaster: Forecaster,
    *,
    lead_steps: int | None = None,
    lead_minutes: int | None = None,
    cadence_minutes: int | None = None,
    plot: str | Path | None = None,
) -> tuple[str, ...]:
    """Write the forecast that follows the newest frames of a file, with its probabilities if the model has them.

    A model of any scale takes the grid and the cadence of the file, another one its own cell size over the file's area.

    Args:
        frames: file of the input.
        out: NetCDF file to write.
        forecaster: the model.
        lead_steps: number of leads, or
        lead_minutes: the longest lead; None: 150 minutes, or five leads of a model with a cadence of its own.
        cadence_minutes: of the input and of the leads.
        plot: picture to write, in a format of matplotlib.

    Returns:
        Notes on what was left out of the file, on implausible fields, and on the window's gaps and blank scans.

    Raises:
        FrameError: the file holds no radar frames.
        ConflictError: its frames do not form a window of the model's input at that cadence, or one with too many gaps
            for anything but a baseline.
        InputError: both or too short leads, or a name of a picture whose format matplotlib does not have.
    """
    _check_picture(plot)
    observed, notes = _input_frames(frames)
    window, grid, cadence = _window_of(forecaster, observed, cadence_minutes)
    notes += window.notes
    steps = _steps(forecaster, cadence, lead_steps, lead_minutes)
    rate_mmh_THW = bilinear(window.rate_mmh_THW, *grid.shape)
    leads = forecaster.leads(rate_mmh_THW, steps, cadence_minutes=cadence, pixel_m=grid.pixel_m)
    fields = _collected(leads, forecaster.thresholds_mmh)
    times = [window.reference_time + timedelta(minutes=cadence * (n + 1)) for n in range(steps)]
    dataset = cf.rate_dataset(
        fields.rate_mmh_LHW,
        times,
        grid,
        reference_time=window.reference_time,
        attributes=_attributes(forecaster, window, notes),
    )
    cf.write_dataset(with_probability_codes(cf.with_known(dataset, fields.known_LHW), fields.codes_LHW), out)
    if plot is not None:
        _draw(fields, window.reference_time, times, grid, f"{forecaster.name} {forecaster.version}", Path(plot))
    return tuple(notes)


def _check_picture(path: str | Path | None) -> None:
    if path is not None:
        from core.map_plot import check_format  # matplotlib takes a second to import

        check_format(Path(path), "plot")


def _draw(
    fields: "FileFields", newest: datetime, times: Sequence[datetime], grid: Grid, model: str, path: Path
) -> None:
    """Write maps of some leads, the first and the last among them."""
    from core.map_plot import forecast_figure  # matplotlib takes a second to import

    chosen = sorted({round(n) for n in np.linspace(0, len(times) - 1, min(len(times), MOST_MAPS))})
    titles = [f"{times[n]:%H:%M} UTC  +{round((times[n] - newest) / timedelta(minutes=1))} min" for n in chosen]
    title = f"{model}, radar until {iso(newest)}"
    rates, known = fields.rate_mmh_LHW[chosen], fields.known_LHW[chosen]
    path.parent.mkdir(parents=True, exist_ok=True)
    forecast_figure(list(rates), titles, grid, title=title, known_LHW=list(known)).savefig(path, dpi=120)


class FileFields(NamedTuple):
    """Fields of a forecast as its file holds them.

    Attributes:
        rate_mmh_LHW: rates.
        known_LHW: whether they rest on an observation.
        codes_LHW: packed probabilities by threshold in mm/h; empty from a forecaster without probabilities.
    """

    rate_mmh_LHW: Float32Field
    known_LHW: BoolField
    codes_LHW: dict[float, NDArray[np.uint8]]


def _collected(leads: Iterable[ForecastLead], thresholds_mmh: Sequence[float]) -> FileFields:
    """Collect the fields of all leads; probabilities are packed lead by lead, since unpacked they are most of all."""
    rates, known, codes = [], [], []
    for lead in leads:
        rates.append(lead.rate_mmh_HW)
        known.append(lead.known_HW)
        if lead.exceedance_probability_KHW is not None:
            codes.append(probability_codes(lead.exceedance_probability_KHW))
    codes_LHW = dict(zip(thresholds_mmh, np.stack(codes, axis=1), strict=True)) if codes else {}
    return FileFields(np.stack(rates), np.stack(known), codes_LHW)


class InputWindow(NamedTuple):
    """The input of a forecaster.

    Attributes:
        window: the fields.
        grid: that the forecaster runs on.
        cadence_minutes: of the leads; it is that of the fields where there are several.
    """

    window: Window
    grid: Grid
    cadence_minutes: int


def _window_of(forecaster: Forecaster, observed: Sequence[RadarFrame], cadence_minutes: int | None) -> InputWindow:
    """Return the window of a forecaster's input, and the grid that it runs on."""
    if not forecaster.any_scale:
        cadence = cadence_minutes or forecaster.cadence_minutes
        window = build_window(
            observed, steps=forecaster.input_steps, cadence_minutes=cadence, tolerance_minutes=0, strict=True
        )
        edges = forecaster.cell_edges.times(cadence / forecaster.cadence_minutes)
        return InputWindow(window, model_grid(window.grid, edges), cadence)
    newest = max((frame.valid_time for frame in observed), default=None)
    kept = [
        frame
        for frame in observed
        if cadence_minutes is None
        or newest is None
        or not (newest - frame.valid_time) % timedelta(minutes=cadence_minutes)
    ]
    if len({frame.valid_time for frame in kept}) < UPLOAD_FEWEST and forecaster.minimum_steps == 1:
        cadence = cadence_minutes or forecaster.cadence_minutes
        window = build_window(kept, steps=1, cadence_minutes=cadence, strict=True)
        return InputWindow(window, window.grid, cadence)
    window = upload_window(kept)
    _check_usable(forecaster, window)
    return InputWindow(window, window.grid, window.cadence_minutes)


def _check_usable(forecaster: Forecaster, window: Window) -> None:
    """Refuse a window whose gaps leave only baselines, as the service does.

    Raises:
        ConflictError: for a forecaster that is no baseline.
    """
    if window.model_usable or forecaster.name in BASELINES:
        return
    raise ConflictError(
        f"{forecaster.name}: expected at least {FEWEST} fields with observed cells in the last "
        f"{max(USABLE_MINUTES, window.cadence_minutes)} minutes up to {iso(window.reference_time)}, got "
        f"{recent_fields(window.rate_mmh_THW, window.cadence_minutes)} ({'; '.join(window.notes)}); "
        f"--checkpoint {' or '.join(BASELINES)} takes such a window"
    )


def _steps(forecaster: Forecaster, cadence_minutes: int, lead_steps: int | None, lead_minutes: int | None) -> int:
    """Return the number of leads.

    Raises:
        InputError: both options, or no lead.
    """
    if lead_steps and lead_minutes:
        raise InputError("expected --lead-steps or --lead-minutes, got both")
    if lead_minutes is None:
        return lead_steps or (LEAD_MINUTES // cadence_minutes if forecaster.any_scale else FIXED_STEPS)
    if lead_minutes < cadence_minutes:
        raise InputError(
            f"--lead-minutes: expected at least the cadence of {cadence_minutes} minutes, got {lead_minutes}"
        )
    return lead_minutes // cadence_minutes


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
