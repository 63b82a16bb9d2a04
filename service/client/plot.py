"""The picture of a forecast: one panel per lead, with places, colours and the age of the data."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import netCDF4
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.colours import NO_DATA, RAIN_COLOURS, colours
from service.api.schemas import ForecastOut, MapOut

RATE: Final = "rainfall_rate"
PANEL_INCHES: Final = 3.2
EXTRA_INCHES: Final = 0.9


def draw(answer: ForecastOut, map_: MapOut, file: bytes, path: Path) -> Path:
    """Draw the fields of the forecast's file."""
    rate_mmh_THW = _rate(file)
    count = len(answer.leads)
    size = (count * PANEL_INCHES, PANEL_INCHES * map_.height / map_.width + EXTRA_INCHES)
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, count, squeeze=False)[0]
        for axis, lead, rate_mmh_HW in zip(axes, answer.leads, rate_mmh_THW, strict=True):
            title = f"{lead.valid_time:%H:%M} UTC  +{lead.lead_minutes} min"
            _panel(axis, colours(rate_mmh_HW), map_, title)
        _legend(figure, list(axes))
        figure.suptitle(_words(answer))
        figure.text(0.995, 0.005, map_.attribution, ha="right", va="bottom", fontsize=6)
        figure.savefig(path, dpi=120)
    return path


def _rate(file: bytes) -> NDArray[np.float32]:
    with netCDF4.Dataset("forecast.nc", memory=file) as dataset:
        rate_mmh_THW: Any = np.ma.filled(dataset[RATE][:].astype(np.float32), np.nan)
    return np.asarray(rate_mmh_THW, np.float32)


def _panel(axis: Axes, picture_HWC: NDArray[np.uint8], map_: MapOut, title: str) -> None:
    axis.imshow(picture_HWC, extent=(0, map_.width, map_.height, 0), interpolation="nearest")
    for line in map_.graticule:
        x, y = zip(*line.points, strict=True)
        axis.plot(x, y, color="0.75", linewidth=0.4)
    for city in map_.cities:
        axis.plot(city.x, city.y, "k.", markersize=2)
        axis.annotate(city.name, (city.x, city.y), (2, 2), textcoords="offset points", fontsize=5)
    axis.set(title=title, xticks=[], yticks=[], xlim=(0, map_.width), ylim=(map_.height, 0))


def _legend(figure: Figure, axes: list[Axes]) -> None:
    edges_mmh = [edge for edge, _ in RAIN_COLOURS]
    *between, above = (f"#{bytes(colour).hex()}" for _, colour in RAIN_COLOURS)
    shown = ListedColormap(between).with_extremes(over=above)
    scale = mpl.cm.ScalarMappable(BoundaryNorm(edges_mmh, len(edges_mmh) - 1), shown)
    bar = figure.colorbar(scale, ax=axes, extend="max", shrink=0.8, ticks=edges_mmh, label="mm/h")
    bar.ax.set_yticklabels([f"{edge:g}" for edge in edges_mmh])
    grey = f"#{bytes(NO_DATA).hex()}"
    axes[0].text(0.01, 0.01, "no radar data", transform=axes[0].transAxes, fontsize=5, backgroundcolor=grey)


def _words(answer: ForecastOut) -> str:
    told = f"Radar until {answer.reference_time:%Y-%m-%d %H:%M} UTC ({answer.data_age_s / 60:.0f} min old), "
    told += f"forecast by {answer.method} {answer.model.version}"
    notes = [text for text, so in (("INVENTED WEATHER", answer.invented), ("STALE", answer.stale)) if so]
    return "   ".join((*notes, told))
