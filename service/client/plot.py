"""The picture of a forecast: one panel per lead, with borders, cities, colours and the age of the data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import netCDF4
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.borders import CREDIT
from core.colours import CHANCE_COLOURS, NO_DATA, RAIN_COLOURS, Classes
from core.grid import Grid
from core.map_plot import STYLE, add_legend, draw_field
from service.client.connection import ServiceError
from service.schemas.forecasts import ForecastOut, MapOut

RATE: Final = "rainfall_rate"
KNOWN: Final = "known"
PROBABILITY: Final = "exceedance_probability_"
OLD_PROBABILITY: Final = "probability_of_exceedance"
USUAL_MINUTES: Final = (5, 15, 30, 60, 90, 150)
"""Leads that are drawn of a forecast with more than these."""

PANEL_INCHES: Final = 3.2
EXTRA_INCHES: Final = 0.9


@dataclass(frozen=True)
class Shown:
    """Fields to draw by lead, with their colours and what these say."""

    field_THW: NDArray[np.float32]
    known_THW: NDArray[np.bool_] | None
    classes: Classes
    title: str


def draw(
    answer: ForecastOut,
    map_: MapOut,
    file: bytes,
    path: Path,
    probability_of: float | None = None,
    leads: Sequence[int] | None = None,
) -> Path:
    """Draw fields of the forecast's file: rain rates, or the exceedance probability of a threshold in mm/h.

    Args:
        answer: document of the forecast.
        map_: size of the pictures and attribution.
        file: CF-NetCDF.
        path: picture to write.
        probability_of: threshold; None draws rates.
        leads: minutes of the panels; None: every lead, or six of more.

    Raises:
        ServiceError: the forecast has no such threshold or lead.
    """
    chosen = chosen_leads([lead.lead_minutes for lead in answer.leads], leads)
    shown = _rate(file, chosen) if probability_of is None else _probability(file, answer, probability_of, chosen)
    count = len(chosen)
    size = (count * PANEL_INCHES, PANEL_INCHES * map_.height / map_.width + EXTRA_INCHES)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, count, squeeze=False)[0]
        for index, axis in enumerate(axes):
            lead = answer.leads[chosen[index]]
            known_HW = None if shown.known_THW is None else shown.known_THW[index]
            draw_field(axis, shown.field_THW[index], classes=shown.classes, known_HW=known_HW, grid=_grid(answer))
            axis.set_title(f"{lead.valid_time:%H:%M} UTC  +{lead.lead_minutes} min")
        _legend(figure, list(axes), shown)
        figure.suptitle(_words(answer))
        figure.text(0.995, 0.005, f"{map_.attribution}  {CREDIT}.", ha="right", va="bottom", fontsize=6)
        figure.savefig(path, dpi=120)
    return path


def chosen_leads(known: Sequence[int], wanted: Sequence[int] | None) -> list[int]:
    """Return the indices of the leads to draw, ascending: every one of a few, else those next to `USUAL_MINUTES`.

    Args:
        known: minutes of the forecast's leads.
        wanted: minutes; None for the usual ones.

    Raises:
        ServiceError: the forecast has no such lead.
    """
    if wanted is not None:
        missing = [minutes for minutes in wanted if minutes not in known]
        if missing or not wanted:
            expected = ", ".join(map(str, known))
            raise ServiceError(f"leads: expected some of {expected} minutes, got {missing[0] if missing else 'none'}")
        return sorted({known.index(minutes) for minutes in wanted})
    if len(known) <= len(USUAL_MINUTES):
        return list(range(len(known)))
    return sorted({min(range(len(known)), key=lambda at: abs(known[at] - minutes)) for minutes in USUAL_MINUTES})


def _rate(file: bytes, leads: list[int]) -> Shown:
    return Shown(_read(file, RATE, leads), _read_known(file, leads), RAIN_COLOURS, "mm/h")


def _probability(file: bytes, answer: ForecastOut, threshold_mmh: float, leads: list[int]) -> Shown:
    known = answer.probability_thresholds_mmh
    found = [index for index, mmh in enumerate(known) if math.isclose(mmh, threshold_mmh, rel_tol=1e-6)]
    if not found:
        expected = ", ".join(f"{mmh:g}" for mmh in known) or "a forecast with probabilities"
        raise ServiceError(f"probability_of: expected {expected}, got {threshold_mmh:g}")
    title = f"probability of {threshold_mmh:g} mm/h or more"
    return Shown(_read_probability(file, found[0], leads), _read_known(file, leads), CHANCE_COLOURS, title)


def _read(file: bytes, name: str, leads: list[int]) -> NDArray[np.float32]:
    with netCDF4.Dataset("forecast.nc", memory=file) as dataset:
        return _values(dataset[name][leads])


def _read_probability(file: bytes, threshold: int, leads: list[int]) -> NDArray[np.float32]:
    """Return the probabilities of a threshold, by its index, also from a service of version 0.2.0 or earlier."""
    with netCDF4.Dataset("forecast.nc", memory=file) as dataset:
        if OLD_PROBABILITY in dataset.variables:
            return _values(dataset[OLD_PROBABILITY][threshold, leads])
        found = [one for name, one in dataset.variables.items() if name.startswith(PROBABILITY)]
        return _values(sorted(found, key=lambda one: float(one.threshold_mmh))[threshold][leads])


def _values(masked: Any) -> NDArray[np.float32]:
    return np.asarray(np.ma.filled(masked.astype(np.float32), np.nan), np.float32)


def _read_known(file: bytes, leads: list[int]) -> NDArray[np.bool_] | None:
    """Return where the forecast rests on an observation; None from a service of version 0.1.0."""
    with netCDF4.Dataset("forecast.nc", memory=file) as dataset:
        return np.asarray(dataset[KNOWN][leads] == 1) if KNOWN in dataset.variables else None


def _grid(answer: ForecastOut) -> Grid:
    """Return the grid of a forecast from its document."""
    grid = answer.grid
    size = grid.pixel_x_m, grid.pixel_y_m, grid.height, grid.width
    return Grid(grid.crs, grid.west_m, grid.north_m, *size, grid.name)


def _legend(figure: Figure, axes: list[Axes], shown: Shown) -> None:
    add_legend(figure, axes, shown.classes, shown.title, shrink=0.8)
    grey = f"#{bytes(NO_DATA).hex()}"
    words = "no radar data (hatched: rain can flow in from there)"
    axes[0].text(0.01, 0.01, words, transform=axes[0].transAxes, fontsize=5, backgroundcolor=grey)


def _words(answer: ForecastOut) -> str:
    text = f"Radar until {answer.reference_time:%Y-%m-%d %H:%M} UTC ({answer.data_age_s / 60:.0f} min old), "
    text += f"forecast by {answer.method} {answer.model.version}"
    notes = [text for text, so in (("INVENTED WEATHER", answer.invented), ("STALE", answer.stale)) if so]
    return "   ".join((*notes, text))
