"""Invented weather is forecast on coarser cells, unless the settings choose others; uploads keep their own."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.frame import RadarFrame
from core.grid import RADOLAN_900
from service.forecasts.nowcast import INVENTED_CELLS_M
from tests.service.api_support import REFERENCE, Shift, load, service_at

SQUARE = replace(RADOLAN_900, height=200, width=200)


class OfAnyScale(Shift):
    """A forecaster for every cell size."""

    any_scale = True


def of_any_scale(name: str) -> Shift:
    known = load(name)
    return OfAnyScale(known.name, known.cells, thresholds_mmh=known.thresholds_mmh)


def frames(count: int) -> list[RadarFrame]:
    times = [REFERENCE - timedelta(minutes=5 * step) for step in reversed(range(count))]
    return [
        RadarFrame(time, SQUARE, np.full(SQUARE.shape, index, np.float32), "RY") for index, time in enumerate(times)
    ]


@pytest.mark.parametrize(
    ("settings", "expected_m"),
    [({}, 1000), ({"invented": True}, INVENTED_CELLS_M), ({"invented": True, "grid_m": 2500.0}, 2500)],
)
def test_stored_scans_of_invented_weather_have_coarser_cells(tmp_path: Path, settings: Any, expected_m: float):
    service = service_at(tmp_path, load=of_any_scale, **settings)
    for frame in frames(3):
        service.store.put(frame)
    assert service.forecast_stored(with_baselines=False).grid.pixel_x_m == expected_m


def test_an_upload_keeps_its_cells(tmp_path: Path):
    service = service_at(tmp_path, load=of_any_scale, invented=True)
    assert service.forecast_upload(frames(5)).grid.pixel_x_m == 1000
