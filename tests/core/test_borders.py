"""Coasts, borders and cities are where they are on Earth, and on the grid of a picture."""

import numpy as np
import pytest

from core.borders import border_lines, picture_cities, picture_lines
from core.grid import RADOLAN_900


@pytest.mark.parametrize(
    ("lon", "lat"), [(14.75, 51.2), (7.6, 47.58), (8.85, 53.9)], ids=["Neisse", "Rhine at Basel", "Elbe mouth"]
)
def test_a_border_is_where_it_is_on_earth(lon: float, lat: float):
    nearest = min(float(np.hypot(line[:, 0] - lon, line[:, 1] - lat).min()) for line in border_lines())
    assert nearest < 0.3
    inland = min(float(np.hypot(line[:, 0] - 10.3, line[:, 1] - 51.0).min()) for line in border_lines())
    assert inland > 1.0


def test_the_lines_of_a_picture_lie_on_its_grid():
    lines = picture_lines(RADOLAN_900)
    inside = [line for line in lines if ((line > 0) & (line < 900)).all(axis=1).any()]
    assert 20 < len(inside) <= len(lines) < 400
    x, y = next((x, y) for name, x, y in picture_cities(RADOLAN_900) if name == "Strasbourg")
    nearest = min(float(np.hypot(line[:, 0] - x, line[:, 1] - y).min()) for line in lines)
    assert nearest < 12  # Strasbourg is at the Rhine: cells of 1 km
