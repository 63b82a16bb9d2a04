"""A small radar over Germany, a live store in a temporary folder, and a service with a clock of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UnknownNameError
from core.frame import RadarFrame
from core.grid import RADOLAN_SPHERE, Grid
from core.settings import Settings
from ingest.store.live import Store
from models.baselines import Extrapolation, Persistence
from models.forecaster import Forecaster
from service.forecasts.catalogue import Catalogue
from service.forecasts.nowcast import NowcastService
from service.forecasts.packing import rounded_rate
from service.inference.predictor import Predictor
from tests.service.fakes import FakeForecaster, fields_of

CENTRE_GRID = Grid(RADOLAN_SPHERE, -20_000.0, -4_200_000.0, 1000.0, 1000.0, 40, 40, "small")
START = datetime(2024, 6, 1, 10, 0, tzinfo=UTC)


@dataclass(eq=False)
class Fading(FakeForecaster):
    """A model that halves the rain with every lead."""

    name: str = "fading"
    version: str = "1"
    cadence_minutes: int = 30
    pixel_m: float = 2000.0
    input_steps: int = 5
    card: dict[str, Any] = field(default_factory=dict)
    calls: int = 0
    fails: Exception | None = None
    spoils: float | None = None
    thresholds_mmh: tuple[float, ...] = ()
    chances: Callable[[np.ndarray], np.ndarray] | None = None

    def fields(self, rate_mmh_THW, lead_steps):
        self.calls += 1
        if self.fails:
            raise self.fails
        leads = np.float32(0.5) ** np.arange(1, lead_steps + 1, dtype=np.float32)
        result = rounded_rate(rate_mmh_THW[-1] * leads[:, None, None])
        if self.spoils is not None:
            result[2, 10, 10] = self.spoils
        return fields_of(result, self.chances(result) if self.chances else None, self.thresholds_mmh)


@dataclass
class World:
    """One live store and its service; `now` is the time of its clock."""

    home: Path
    service: NowcastService
    store: Store
    model: Fading
    now: datetime

    def put(self, *frames: RadarFrame) -> None:
        for frame in frames:
            self.store.put(frame)


def rain(minutes: float, *, grid: Grid = CENTRE_GRID, product: str = "RY", gap: bool = True) -> RadarFrame:
    """A cell of up to 20 mm/h that moves east a cell in 10 minutes; the north-western corner is never observed."""
    y_HW, x_HW = np.mgrid[: grid.height, : grid.width].astype(np.float32)
    rate_mmh_HW = 20 * np.exp(-((x_HW - 12 - minutes / 10) ** 2 + (y_HW - 20) ** 2) / 50)
    rate_mmh_HW[rate_mmh_HW < 0.05] = 0
    if gap:
        rate_mmh_HW[:4, :4] = np.nan
    return RadarFrame(START + timedelta(minutes=minutes), grid, rate_mmh_HW.astype(np.float32), product)


@pytest.fixture(name="rain")
def rain_fixture() -> Callable[..., RadarFrame]:
    return rain


@pytest.fixture
def window_frames() -> Sequence[RadarFrame]:
    """Five scans, 30 minutes apart, that end two hours after the start."""
    return [rain(minutes) for minutes in range(0, 121, 30)]


@pytest.fixture
def later_frames() -> Sequence[RadarFrame]:
    """The five scans that follow."""
    return [rain(minutes) for minutes in range(150, 271, 30)]


@pytest.fixture
def reference_time() -> datetime:
    return START + timedelta(hours=2)


def world_opener(home: Path) -> Callable[..., World]:
    """Return what opens a live store in a folder, again and again if need be, with settings of choice."""

    def opened(model: Fading | None = None, *, others: Sequence[Fading] = (), **settings: object) -> World:
        fading = model or Fading()
        made: dict[str, Callable[[], Forecaster]] = {
            "default": lambda: fading,
            "persistence": Persistence,
            "extrapolation": Extrapolation,
            **{other.name: partial(lambda one: one, other) for other in others},
        }

        def load(name: str) -> Forecaster:
            if name not in made:
                raise UnknownNameError(f"unknown model {name!r}")
            return made[name]()

        store, catalogue = Store(home), Catalogue(home)
        world: World
        service = NowcastService(
            Settings(home=home, **settings),  # type: ignore[arg-type]
            store,
            catalogue,
            Predictor(load),
            clock=lambda: world.now,
        )
        world = World(home, service, store, fading, START + timedelta(hours=2, minutes=3))
        return world

    return opened


@pytest.fixture
def open_world(tmp_path) -> Callable[..., World]:
    return world_opener(tmp_path / "home")


@pytest.fixture
def world(open_world) -> World:
    opened: World = open_world()
    return opened
