"""The one style of printed maps of rain: colours, hatching, coasts and borders, cities, legend, font."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.borders import picture_cities, picture_lines
from core.colours import CHANCE_COLOURS, RAIN_COLOURS, Classes, colours, hatch
from core.errors import InputError
from core.grid import Grid

STYLE: Final[dict[Any, Any]] = {"font.family": "DejaVu Sans", "font.size": 8, "axes.facecolor": "#f4f3ef"}
"""Settings of matplotlib for every picture, to be used with `matplotlib.rc_context`."""

LINE: Final = "#6a6f76"
PANEL_PIXELS: Final = 480


def check_format(path: Path | None, parameter: str) -> None:
    """Refuse a picture before the work that it shows.

    Raises:
        InputError: matplotlib does not write the format of its name.
    """
    known = FigureCanvasBase.get_supported_filetypes()
    if path is not None and path.suffix.lower().removeprefix(".") not in known:
        names = ", .".join(sorted(known))
        raise InputError(f"{parameter}: expected a name that ends with one of .{names}, got {path.name}")


def draw_field(
    axis: Axes,
    field_HW: Float32Field,
    *,
    classes: Classes = RAIN_COLOURS,
    known_HW: BoolField | None = None,
    grid: Grid | None = None,
) -> None:
    """Draw a field of rain, hatched where its value is not known, with coasts, borders and cities of a grid.

    Args:
        axis: to draw on; it loses its ticks.
        field_HW: mm/h, or probabilities with their classes; NaN is grey.
        classes: of the colours.
        known_HW: False where rain can flow in; None hatches nothing.
        grid: None draws neither coasts nor cities.
    """
    height, width = field_HW.shape
    large_HW = _enlarged(field_HW)
    picture_HWC = colours(large_HW, classes)
    if known_HW is not None:
        picture_HWC = hatch(picture_HWC, np.isfinite(large_HW) & ~_enlarged(known_HW))
    axis.imshow(picture_HWC, extent=(0, width, height, 0), interpolation="nearest")
    axis.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    if grid is not None:
        draw_borders(axis, grid)


def draw_borders(axis: Axes, grid: Grid) -> None:
    """Draw coasts, borders and cities over a picture whose axes count grid cells from the north-west."""
    for line in picture_lines(grid):
        axis.plot(line[:, 0], line[:, 1], color=LINE, linewidth=0.5)
    for name, x, y in picture_cities(grid):
        axis.plot(x, y, "k.", markersize=2)
        axis.annotate(name, (x, y), (2, 2), textcoords="offset points", fontsize=5, clip_on=True)


def add_legend(figure: Figure, axes: Iterable[Axes], classes: Classes, label: str, **options: Any) -> None:
    """Add the classes of the colours to a figure; probabilities are written as percentages.

    Args:
        figure: with the axes.
        axes: that the legend belongs to.
        classes: of the colours.
        label: what the values are.
        options: of `Figure.colorbar`, such as the orientation.
    """
    edges = [edge for edge, _ in classes]
    *between, above = ("#" + bytes(colour[:3]).hex() for _, colour in classes)
    palette = ListedColormap(between).with_extremes(over=above)
    scale = mpl.cm.ScalarMappable(BoundaryNorm(edges, len(edges) - 1), palette)
    texts = [f"{edge:.0%}" if classes is CHANCE_COLOURS else f"{edge:g}" for edge in edges]
    bar = figure.colorbar(scale, ax=list(axes), extend="max", ticks=edges, label=label, **options)
    (bar.ax.set_xticklabels if options.get("orientation") == "horizontal" else bar.ax.set_yticklabels)(texts)


def forecast_figure(
    fields_LHW: Sequence[Float32Field],
    titles: Sequence[str],
    grid: Grid,
    *,
    title: str,
    known_LHW: Sequence[BoolField] | None = None,
    classes: Classes = RAIN_COLOURS,
    label: str = "mm/h; grey: no radar data; lines: rain can flow in",
) -> Figure:
    """Return a row of maps, one for each lead, with a legend.

    Args:
        fields_LHW: to draw.
        titles: of the maps.
        grid: of the fields.
        title: of the figure.
        known_LHW: see `draw_field`.
        classes: of the colours.
        label: of the legend.
    """
    count, (height, width) = len(fields_LHW), fields_LHW[0].shape
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * count + 0.6, 3.2 * height / width + 0.9), layout="constrained")
        axes = figure.subplots(1, count, squeeze=False)[0]
        for number, axis in enumerate(axes):
            known_HW = None if known_LHW is None else known_LHW[number]
            draw_field(axis, fields_LHW[number], classes=classes, known_HW=known_HW, grid=grid)
            axis.set_title(titles[number])
        add_legend(figure, axes, classes, label, shrink=0.8)
        figure.suptitle(title)
    return figure


def _enlarged(cells_HW: NDArray[Any]) -> NDArray[Any]:
    """Repeat rows and columns of a small grid, so that the lines of the hatching are thin."""
    scale = max(1, PANEL_PIXELS // max(cells_HW.shape))
    return np.repeat(np.repeat(cells_HW, scale, axis=0), scale, axis=1)
