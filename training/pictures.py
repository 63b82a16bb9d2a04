"""`python -m training.pictures --event FILE@TIME ... --out DIR`: observed rain, rate, a member and probability."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Annotated, Final

import matplotlib as mpl
import numpy as np
import typer
from matplotlib.figure import Figure
from PIL import Image

from core.arrays import BoolField, Float32Field
from core.borders import CREDIT
from core.colours import CHANCE_COLOURS, RAIN_COLOURS, Classes, colours, hatch
from core.command import errors_in_one_line
from core.errors import ConfigError
from core.files import write_bytes_atomically
from core.grid import Grid
from core.map_plot import STYLE, add_legend, draw_borders
from models import Forecaster
from training.datasets.event_table import load_table
from training.evaluation.event_windows import ANY_LENGTH, EventWindow, event_windows
from training.native_skill import folds_of, spell_runs

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
LEADS_MINUTES: Final = (10, 15, 30, 60, 90, 120, 150)
MOST_COLUMNS: Final = 6
MEMBERS: Final = 20
MOST_CELLS: Final = 400
"""Cells of a side that are drawn at most, where most rain was observed: in a larger part no shower is visible."""
SHOWN_MMH: Final = 2.0
WIDTH_PIXELS: Final = 1300
PANEL_PIXELS: Final = 200
PALETTE: Final = 96
"""Number of colours of the PNG: classes, letters and hatching need no more, and it is a third as large."""


@dataclass(frozen=True)
class PanelRow:
    """One row of panels.

    Attributes:
        label: in words.
        fields_LHW: what is drawn, by lead.
        classes: of its colours.
        known_LHW: hatched where not; None: nothing is hatched.
        grid: of the fields, for coasts, borders and cities; None draws none.
    """

    label: str
    fields_LHW: Float32Field
    classes: Classes = RAIN_COLOURS
    known_LHW: BoolField | None = None
    grid: Grid | None = None


@app.command()
def main(
    event: Annotated[list[str], typer.Option(help="FILE@TIME, a reference time of an event file in UTC")],
    out: Annotated[Path, typer.Option(help="folder of the PNGs")],
    checkpoint: Annotated[str, typer.Option(help="of the unseen spells")] = "default",
    fold: Annotated[list[str], typer.Option(help="SPELL=CHECKPOINT of a model that left the spell out")] = [],  # noqa: B006
    member: Annotated[int, typer.Option(min=0, max=MEMBERS - 1, help="which ensemble member, from 0")] = 0,
) -> None:
    """Draw six leads of each event: what was observed, the rate, one ensemble member, the probability of 2 mm/h."""
    with errors_in_one_line():
        drawn: set[Path] = set()
        for text in event:
            name, _, time = text.partition("@")
            window = _window(Path(name), time)
            runs = list(spell_runs([Path(name)], checkpoint, folds_of(fold)))
            if not runs:
                raise ConfigError(f"event: expected an unseen spell or one with a --fold, got {Path(name).name}")
            path = out / f"{window.spell}.png"
            if path in drawn:
                path = path.with_stem(f"{window.spell}_{window.reference_time:%Y%m%dT%H%M}")
            drawn.add(path)
            draw_window(window, runs[0].forecaster, member, path)
            typer.echo(f"wrote {path}, {path.stat().st_size / 1000:.0f} kB")


def _window(path: Path, time: str) -> EventWindow:
    try:
        wanted = datetime.fromisoformat(time)
    except ValueError as err:
        raise ConfigError(
            f"event: expected FILE@TIME such as {path.name}@2020-10-31T05:00, got {path.name}@{time}"
        ) from err
    wanted = wanted.replace(tzinfo=UTC) if wanted.tzinfo is None else wanted
    for place in event_windows(path, ANY_LENGTH, every_minutes=5, all_leads=True):
        if place.reference_time == wanted:
            return place
    raise ConfigError(f"event: expected a reference time with an hour of scans before it, got {time} of {path.name}")


def draw_window(window: EventWindow, forecaster: Forecaster, member: int, path: Path) -> None:
    """Forecast a window with members and write its picture.

    Args:
        window: input and observation.
        forecaster: makes members and probabilities.
        member: which of them is drawn.
        path: PNG to write.
    """
    leads = [lead for lead in LEADS_MINUTES if lead in window.lead_minutes][-MOST_COLUMNS:]
    rows = picture_rows(window, forecaster, leads, member)
    spell = load_table().spell_of(window.file)
    owner = spell.attribution.removeprefix("Source: ")
    title = (
        f"{spell.region}, reference time {window.reference_time:%Y-%m-%d %H:%M} UTC, cells of {window.pixel_m:.0f} m "
        f"every {window.cadence_minutes} minutes; {forecaster.name} {forecaster.version}\n"
        f"Data: {owner} ({spell.licence}). {CREDIT}. Grey: not observed; hatched: rain could flow in from outside."
    )
    write_bytes_atomically(path, png_of(rows, leads, title))


def picture_rows(window: EventWindow, forecaster: Forecaster, leads: Sequence[int], member: int) -> list[PanelRow]:
    """Return the rows of a picture of some leads; the first column is the newest scan."""
    steps = [lead // window.cadence_minutes - 1 for lead in leads]
    spacing = {"cadence_minutes": window.cadence_minutes, "pixel_m": window.pixel_m}
    fields = forecaster.forecast(window.past_THW, max(steps) + 1, **spacing, members=MEMBERS)
    probability_KLHW, members_MLHW = fields.exceedance_probability_KLHW, fields.members_MLHW
    if probability_KLHW is None or members_MLHW is None:
        raise ConfigError(f"checkpoint: expected a forecaster with probabilities and members, got {forecaster.name}")
    known_LHW, shape = fields.known_LHW[steps], window.past_THW.shape[1:]
    factor = fields.probability_grid_factor
    member_LHW = members_MLHW[member, steps].repeat(factor, axis=1).repeat(factor, axis=2)[:, : shape[0], : shape[1]]
    observed = [window.future_LHW[window.lead_minutes.index(lead)] for lead in leads]
    number = fields.thresholds_mmh.index(SHOWN_MMH)
    rows = [
        PanelRow("observed", np.stack(observed)),
        PanelRow("rate", fields.rate_mmh_LHW[steps], known_LHW=known_LHW),
        PanelRow(f"member {member + 1} of {MEMBERS}", member_LHW, known_LHW=known_LHW),
        PanelRow(f"probability of {SHOWN_MMH:g} mm/h", probability_KLHW[number, steps], CHANCE_COLOURS, known_LHW),
    ]
    part = rainiest_part(np.stack([window.past_THW[-1], *observed]), MOST_CELLS)
    grid = None if window.grid is None else window.grid.part(*part)
    return [replace(_cut(row, part), grid=grid) for row in rows]


def rainiest_part(rate_mmh_LHW: Float32Field, most: int) -> tuple[slice, slice]:
    """Return the part of at most `most` cells a side with most cells at or above 1 mm/h over all fields.

    Its first row and column are multiples of a tenth of `most`.
    """
    with np.errstate(invalid="ignore"):
        wet_HW = (rate_mmh_LHW >= 1).sum(axis=0)
    sum_HW = np.pad(wet_HW.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sides = [min(size, most) for size in wet_HW.shape]
    starts = [range(0, size - side + 1, max(most // 10, 1)) for size, side in zip(wet_HW.shape, sides, strict=True)]
    corners = [(top, left) for top in starts[0] for left in starts[1]]

    def rain(corner: tuple[int, int]) -> int:
        (top, left), (height, width) = corner, sides
        below, right = top + height, left + width
        return int(sum_HW[below, right] - sum_HW[top, right] - sum_HW[below, left] + sum_HW[top, left])

    top, left = max(corners, key=rain)
    return slice(top, top + sides[0]), slice(left, left + sides[1])


def _cut(row: PanelRow, part: tuple[slice, slice]) -> PanelRow:
    known_LHW = None if row.known_LHW is None else row.known_LHW[:, *part]
    return replace(row, fields_LHW=row.fields_LHW[:, *part], known_LHW=known_LHW)


def png_of(rows: Sequence[PanelRow], leads: Sequence[int], title: str) -> bytes:
    """Return a PNG with a row of panels for each row and a column for each lead, and legends of both kinds."""
    with mpl.rc_context(STYLE):
        figure = _figure(rows, leads, title)
        content = BytesIO()
        figure.savefig(content)
    small = BytesIO()
    Image.open(content).convert("RGB").quantize(PALETTE).save(small, "PNG", optimize=True)
    return small.getvalue()


def _figure(rows: Sequence[PanelRow], leads: Sequence[int], title: str) -> Figure:
    height, width = rows[0].fields_LHW.shape[1:]
    inches = 13.0
    panel = inches / len(leads)
    figure = Figure(
        figsize=(inches, panel * len(rows) * height / width + 1.6), layout="constrained", dpi=WIDTH_PIXELS / inches
    )
    axes = figure.subplots(len(rows), len(leads), squeeze=False)
    for row, of_row in zip(rows, axes, strict=True):
        for number, (lead, axis) in enumerate(zip(leads, of_row, strict=True)):
            every = max(min(height, width) // PANEL_PIXELS, 1)  # finer lines of hatching than pixels make squares
            field_HW = row.fields_LHW[number, ::every, ::every]
            picture_HWC = colours(field_HW, row.classes)
            if row.known_LHW is not None:
                picture_HWC = hatch(picture_HWC, ~row.known_LHW[number, ::every, ::every] & np.isfinite(field_HW))
            axis.imshow(picture_HWC, extent=(0, width, height, 0), interpolation="nearest")
            if row.grid is not None:
                draw_borders(axis, row.grid)
            axis.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
            axis.set_title(f"+{lead} min" if row is rows[0] else "", fontsize=9, pad=3)
        of_row[0].set_ylabel(row.label, fontsize=9)
    for classes, label in ((RAIN_COLOURS, "mm/h"), (CHANCE_COLOURS, "probability")):
        add_legend(figure, axes.flat, classes, label, orientation="horizontal", shrink=0.4, aspect=50, pad=0.01)
    figure.suptitle(title, fontsize=9)
    return figure


if __name__ == "__main__":
    app()
