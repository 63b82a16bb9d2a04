"""A real `NowcastService` on a small grid behind the real app, and files to send to it."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from core.arrays import Float32Field
from core.cells import CellEdges
from core.cf import rate_dataset, write_dataset
from core.exceedance import PROBABILITY_FILL, PROBABILITY_STEP, probability_codes
from core.frame import RadarFrame
from core.grid import RADOLAN_900, Grid
from core.registry import Registry
from core.settings import Settings
from ingest.store.live import Store
from models.fields import ForecastFields
from service.app import create_app
from service.forecasts.catalogue import Catalogue
from service.forecasts.nowcast import NowcastService
from service.forecasts.packing import packed, rounded_rate
from service.inference.predictor import Predictor
from tests.service.fakes import FakeForecaster, fields_of
from tests.waiting import PATIENCE_S

GRID = RADOLAN_900.resized(72, 60)
NOW = datetime(2024, 6, 1, 12, 3, tzinfo=UTC)
REFERENCE = datetime(2024, 6, 1, 12, 0, tzinfo=UTC)
STEP = timedelta(minutes=30)
BASE_URL = "http://127.0.0.1:8000"
HERE = ("127.0.0.1", 50000)
"""A program of this machine, which needs no API key."""
MISSING_CORNER = np.s_[:, :8, :8]
CHANCES_MMH = (0.1, 0.5, 5.0)


@dataclass(eq=False)
class Shift(FakeForecaster):
    """A forecaster that a test can follow: the newest field, `cells` columns further east at each step."""

    name: str
    cells: int
    version: str = "7"
    cadence_minutes: int = 30
    pixel_m: float = 7258.0
    input_steps: int = 5
    thresholds_mmh: tuple[float, ...] = ()
    card: dict[str, Any] = field(default_factory=lambda: {"licence": "Apache-2.0"})

    def fields(self, rate_mmh_THW: Float32Field, lead_steps: int) -> ForecastFields:
        newest_HW = rounded_rate(np.nan_to_num(rate_mmh_THW[-1]))
        moved_THW = np.stack([np.roll(newest_HW, self.cells * (step + 1), axis=1) for step in range(lead_steps)])
        rate_mmh_LHW = np.where(np.isfinite(rate_mmh_THW[-1]), moved_THW, np.float32("nan")).astype(np.float32)
        if not self.thresholds_mmh:
            return fields_of(rate_mmh_LHW)
        probability_KLHW = np.stack([chance_of(rate_mmh_LHW, mmh) for mmh in self.thresholds_mmh])
        return fields_of(rate_mmh_LHW, probability_KLHW, self.thresholds_mmh)


def chance_of(rate_mmh: Float32Field, threshold_mmh: float) -> Float32Field:
    """A probability that a test can follow: a half where the rate is the threshold, more where it is more."""
    return np.asarray(rate_mmh / (rate_mmh + np.float32(threshold_mmh)), np.float32)


def as_stored(probability: Float32Field) -> Float32Field:
    """Probabilities as a file holds them."""
    attributes = {"scale_factor": PROBABILITY_STEP, "_FillValue": PROBABILITY_FILL}
    return packed(probability_codes(probability), attributes)[...]


def load(name: str) -> Shift:
    """The default gives probabilities; the baselines, as those of the service, give none."""
    names: Registry[Shift] = Registry("model")
    for known, cells in (("default", 3), ("extrapolation", 2), ("persistence", 0)):
        names.register(known)(Shift(known, cells, thresholds_mmh=CHANCES_MMH if known == "default" else ()))
    return names.get(name)


def rain_THW(times: Sequence[datetime], grid: Grid = GRID) -> Float32Field:
    """A shower that moves three columns per half hour, some drizzle, and a corner that no radar sees."""
    rows_HW, cols_HW = np.mgrid[: grid.height, : grid.width]
    steps = [(time - REFERENCE) / STEP for time in times]
    distances = [np.hypot(rows_HW - 40, cols_HW - 20 - 3 * step) for step in steps]
    rate_mmh_THW = np.stack([np.where(d < 9, 12 * np.exp(-((d / 4) ** 2)), 0) for d in distances]).astype(np.float32)
    rate_mmh_THW[:, 60:64, :20] = 0.3
    rate_mmh_THW[MISSING_CORNER] = np.nan
    return rate_mmh_THW


def window_times(reference_time: datetime = REFERENCE, count: int = 5) -> list[datetime]:
    return [reference_time + STEP * (index - count + 1) for index in range(count)]


def lead_times(reference_time: datetime = REFERENCE, count: int = 5) -> list[datetime]:
    return [reference_time + STEP * (index + 1) for index in range(count)]


def frames_at(times: Sequence[datetime], product: str = "RY") -> list[RadarFrame]:
    return [RadarFrame(t, GRID, rate_HW, product) for t, rate_HW in zip(times, rain_THW(times), strict=True)]


def netcdf(folder: Path, times: Sequence[datetime], *, grid: Grid = GRID, product: str = "RY") -> bytes:
    """The bytes of a CF-NetCDF file as a user would send it."""
    path = folder / f"{times[0]:%H%M}-{len(times)}-{grid.height}.nc"
    write_dataset(rate_dataset(rain_THW(times, grid), times, grid, attributes={"product": product}), path)
    return path.read_bytes()


def load_with(edges: CellEdges) -> Callable[[str], Shift]:
    """As `load`, for models with grid cells of these edges."""

    def loaded(name: str) -> Shift:
        model = load(name)
        model.edges, model.pixel_m = edges, math.sqrt(edges.pixel_x_m * edges.pixel_y_m)
        return model

    return loaded


def service_at(
    home: Path,
    *,
    clock: Callable[[], datetime] = lambda: NOW,
    load: Callable[[str], Shift] = load,
    **settings: Any,
) -> NowcastService:
    chosen = Settings(home=home, thresholds_mmh=(0.1, 0.5, 5.0), **settings)
    store = Store(home, clock=clock, ahead=timedelta(days=1))  # tests store scans that follow a clock that stands still
    return NowcastService(chosen, store, Catalogue(home), Predictor(load), clock)


@contextmanager
def running(service: NowcastService) -> Iterator[TestClient]:
    """The app with a warm model."""
    app = create_app(service)
    with TestClient(app, BASE_URL, raise_server_exceptions=False, client=HERE) as client:
        assert app.state.backend.wait_warm(timeout_s=PATIENCE_S)
        yield client


def fill(service: NowcastService, reference_time: datetime = REFERENCE) -> None:
    for frame in frames_at(window_times(reference_time)):
        service.store.put(frame)


def stored_state(service: NowcastService) -> tuple[dict[str, str], int, int]:
    """Every data file by its content, and the catalogue's numbers of scans and forecasts."""
    home = service.settings.home
    files = {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*.nc"))
    }
    return files, len(service.store.scans()), len(service.list(limit=1000))
