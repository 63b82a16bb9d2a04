"""The colours of rain: every class differs from every other one in each colour vision deficiency."""

from itertools import combinations

import numpy as np
import pytest

from core.arrays import Float64Field
from core.colours import CHANCE_COLOURS, RAIN_COLOURS, Classes, css

SIGHTS = {
    "all cones": np.eye(3),
    "no red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
"""Matrices of linear red, green and blue (Machado et al. 2009, doi:10.1109/TVCG.2009.113, severity 1)."""

XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(colour: tuple[int, ...], sight: object) -> Float64Field:
    """CIE L*a*b* (D65) of a colour as someone sees it."""
    share = np.array(colour[:3]) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(np.asarray(sight) @ linear, 0, 1) / WHITE
    fx, fy, fz = (np.cbrt(one) if one > 0.008856 else 7.787 * one + 16 / 116 for one in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(("classes", "least"), [(RAIN_COLOURS, 19.0), (CHANCE_COLOURS, 9.0)], ids=["rain", "chance"])
def test_two_classes_never_look_alike(sight: str, classes: Classes, least: float):
    seen = [lab(colour, SIGHTS[sight]) for _, colour in classes]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))
    assert nearest > least


def test_a_colour_as_css():
    assert css((1, 2, 3, 127)) == "rgba(1, 2, 3, 0.50)"
