"""Lucas-Kanade by pysteps with its interpolation in tiles: the same motion, in little memory."""

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from models.guided import advection
from models.guided.advection import library, lucas_kanade


def test_the_motion_is_that_of_one_tile():
    noise_HW = gaussian_filter(np.random.default_rng(0).normal(size=(270, 400)), 8)
    first_HW = np.clip(noise_HW / noise_HW.std(), 0, None) * 30
    picture_THW = np.stack([np.roll(first_HW, (k, 2 * k), (0, 1)) for k in range(3)])
    whole_CHW = library("motion.lucaskanade").dense_lucaskanade(picture_THW, interp_kwargs={"nchunks": 1})
    np.testing.assert_array_equal(lucas_kanade(picture_THW), whole_CHW)
    np.testing.assert_allclose(whole_CHW.mean(axis=(1, 2)), [2, 1], atol=0.1)


@pytest.mark.parametrize(("shape", "tiles"), [((3, 5), 1), ((255, 900), 1), ((270, 400), 4), ((1900, 2200), 196)])
def test_tiles_are_about_as_large_on_every_grid(shape, tiles, monkeypatch):
    class Recorded:
        @staticmethod
        def dense_lucaskanade(_picture_THW: Any, **options: Any) -> dict[str, Any]:
            return options

    monkeypatch.setattr(advection, "library", lambda _module: Recorded)
    picture_THW = np.broadcast_to(np.float64(0.0), (2, *shape))
    assert lucas_kanade(picture_THW) == {"dense": True, "interp_kwargs": {"nchunks": tiles}}
