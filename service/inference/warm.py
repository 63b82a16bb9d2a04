"""Models in memory, each loaded once per process, on its device or, while that fails, on the CPU."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, TypeAlias

from core.cells import CellEdges
from core.errors import ForecastError, UnknownNameError
from core.units import PAPER_PIXEL_M

if TYPE_CHECKING:  # models imports torch, which the web process loads later
    from models.forecaster import Forecaster

Place = Literal["device", "cpu"]
Load = Callable[[str, Place], "Forecaster"]
AnyForecaster: TypeAlias = "Forecaster | Unloadable"

MOST_WARM: Final = 6
"""Models in memory: the baselines and a few versions; the least recently used one is dropped."""

TRY_DEVICE_AGAIN_S: Final = 30.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unloadable:
    """Takes the place of a model whose checkpoint does not load, so that a baseline is served under its name."""

    name: str
    reason: str
    version: str = "not-loaded"
    cadence_minutes: int = 30
    pixel_m: float = PAPER_PIXEL_M
    input_steps: int = 5
    thresholds_mmh: tuple[float, ...] = ()
    any_scale: bool = True

    @property
    def cell_edges(self) -> CellEdges:
        """Return square cells of its size."""
        return CellEdges(self.pixel_m, self.pixel_m)

    @property
    def card(self) -> Mapping[str, Any]:
        """Return the reason, where a checkpoint's card would be."""
        return {"error": self.reason}

    def forecast(self, *_: object, **__: object) -> NoReturn:
        """Refuse every forecast.

        Raises:
            ForecastError: always.
        """
        raise ForecastError(f"{self.name} did not load: {self.reason}")

    forecast_batch = leads = forecast


class WarmModels:
    """Loads a model at its first use and keeps it.

    Args:
        load: returns the forecaster of a reference ("default", "NAME@VERSION") on the device or on the CPU; raises
            `UnknownNameError` for an unknown one.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._warm: OrderedDict[tuple[str, Place], Forecaster] = OrderedDict()
        self._away: tuple[str, float | None] | None = None

    def get(self, reference: str) -> AnyForecaster:
        """Return the forecaster, loaded once; an `Unloadable` where loading fails, which the next call retries.

        Raises:
            UnknownNameError: no such model.
        """
        try:
            return self.load(reference, self.place())
        except UnknownNameError:
            raise
        except Exception as err:
            return Unloadable(reference.partition("@")[0], f"{type(err).__name__}: {err}")

    def peek(self, reference: str) -> "Forecaster | None":
        """Return the forecaster if it is in memory, without loading it."""
        return self._warm.get((reference, self.place()))

    def load(self, reference: str, place: Place) -> "Forecaster":
        """Return the forecaster in a place; an error of loading is raised as it is."""
        with self.lock(reference):
            known = self._warm.get((reference, place))
            if known is None:
                known, place = self._load_or_move(reference, place)
            with self._guard:
                self._warm[reference, place] = known
                self._warm.move_to_end((reference, place))
                while len(self._warm) > MOST_WARM:
                    self._warm.popitem(last=False)
            return known

    def _load_or_move(self, reference: str, place: Place) -> tuple["Forecaster", Place]:
        try:
            return self._load(reference, place), place
        except Exception as err:
            if place == "cpu" or not self.device_failed(err):
                raise
        return self._load(reference, "cpu"), "cpu"

    def lock(self, reference: str) -> threading.Lock:
        """Return the lock of a model, one for each."""
        with self._guard:
            return self._locks.setdefault(reference, threading.Lock())

    def place(self) -> Place:
        """Return where models run now; the device is retried after a lack of memory, never after it is lost."""
        away = self._away
        if away and away[1] is not None and time.monotonic() > away[1]:
            self._away = away = None
        return "cpu" if away else "device"

    @property
    def trouble(self) -> str | None:
        """Return why models run on the CPU and not on their device; None if they do not."""
        return self._away[0] if self.place() == "cpu" and self._away else None

    def device_failed(self, err: Exception) -> bool:
        """Return whether an error is the device's; if so, models run on the CPU from now on."""
        from models.device import device_failure, free_cached_memory  # imports torch: not every process forecasts

        failure = device_failure(err)
        if failure is None:
            return False
        first_line = (str(err).splitlines() or [type(err).__name__])[0]
        again_at = time.monotonic() + TRY_DEVICE_AGAIN_S if failure == "out of memory" else None
        self._away = f"the device is {failure} ({first_line[:200]})", again_at
        log.error("models run on the CPU: %s", self._away[0])
        if failure == "out of memory":
            free_cached_memory()
        return True
