"""Warm forecasters, one call of each at a time, and what goes out when one of them fails."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import ForecastError, InputError, UnavailableError, UnknownNameError
from core.registry import Registry
from service.records import BASELINES

Float32Field = NDArray[np.float32]

PAPER_PIXEL_M: Final = 900_000 / 124
"""Cells of a forecast whose model did not load: the paper's Germany on 124 x 124."""


WARM_CELLS: Final = 64


class Forecaster(Protocol):
    """What `models.load_forecaster` gives, as far as the service needs it."""

    @property
    def name(self) -> str:
        """As served."""

    @property
    def version(self) -> str:
        """A new one gives forecasts new ids."""

    @property
    def cadence_minutes(self) -> float:
        """Spacing of its fields."""

    @property
    def pixel_m(self) -> float:
        """Size of its cells."""

    @property
    def input_steps(self) -> int:
        """Fields that it starts from."""

    @property
    def card(self) -> Mapping[str, Any]:
        """Where it comes from."""

    def forecast(
        self,
        rate_mmh_THW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
    ) -> Float32Field:
        """Rain rate at the leads."""


@dataclass(frozen=True)
class Prediction:
    """Forecast fields and how they came about.

    Attributes:
        rate_mmh_THW: one field per lead; NaN exactly where the newest input is NaN.
        method: name of the forecaster that made them.
        notes: why it was not the one that was asked for; empty if it was.
    """

    rate_mmh_THW: Float32Field
    method: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unloadable:
    """Stands for a model whose checkpoint does not load, so that a baseline goes out under its name."""

    name: str
    reason: str
    version: str = "not-loaded"
    cadence_minutes: int = 30
    pixel_m: float = PAPER_PIXEL_M
    input_steps: int = 5

    @property
    def card(self) -> Mapping[str, Any]:
        """What is known about it."""
        return {"error": self.reason}

    def forecast(self, *_: object, **__: object) -> Float32Field:
        """Raises ForecastError, always."""
        raise ForecastError(f"{self.name} did not load: {self.reason}")


class Predictor:
    """Keeps forecasters loaded by name and runs each under a lock of its own.

    Args:
        load: gives the forecaster of a name; an unknown name is an `UnknownNameError`.
    """

    def __init__(self, load: Callable[[str], Forecaster]) -> None:
        self._load = load
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._warm: dict[str, Forecaster] = {}

    @classmethod
    def on_device(cls, device: str = "auto", *, precision: str = "auto", also: Sequence[str] = ()) -> "Predictor":
        """A predictor of the project's own models.

        Args:
            device: where they run.
            precision: of their states, see `models.load_forecaster`.
            also: checkpoint folders that the operator named; a request cannot name one.
        """
        from models import list_forecasters, load_forecaster  # torch: not every process forecasts

        def load(name: str) -> Forecaster:
            if name not in also and name not in list_forecasters():
                names: Registry[None] = Registry("model")
                for known in list_forecasters():
                    names.register(known)(None)
                names.get(name)
            return load_forecaster(name, device, precision)

        return cls(load)

    def warm(self, name: str) -> None:
        """Load a model and run it once, so that the first forecast does not wait.

        Raises:
            UnavailableError: it does not load or run.
        """
        forecaster = self.forecaster(name)
        dry_THW = np.zeros((forecaster.input_steps, WARM_CELLS, WARM_CELLS), np.float32)
        try:
            self._run(name, np.repeat(dry_THW, 2, axis=0), 1, round(forecaster.cadence_minutes))
        except (ForecastError, InputError) as err:
            raise UnavailableError(f"model {name} does not run: {err}") from err

    def forecaster(self, name: str) -> Forecaster:
        """The forecaster of a name, loaded once; an `Unloadable` (tried again next time) where loading fails.

        Raises:
            UnknownNameError: no such model.
        """
        with self._lock(name):
            if name not in self._warm:
                try:
                    self._warm[name] = self._load(name)
                except UnknownNameError:
                    raise
                except Exception as err:
                    return Unloadable(name, f"{type(err).__name__}: {err}")
            return self._warm[name]

    def predict(
        self, name: str, rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: int, *, model_usable: bool = True
    ) -> Prediction:
        """Forecast with a model, or with extrapolation or persistence where it fails, and say so.

        Args:
            name: of the model.
            rate_mmh_THW: the window on the model's grid.
            lead_steps: fields wanted.
            cadence_minutes: of the window.
            model_usable: False if fields of the window are missing; then only a baseline may run.

        Raises:
            ForecastError: persistence fails too.
            InputError: the window itself is at fault (negative rates).
        """
        chain = [name, *(baseline for baseline in reversed(BASELINES) if baseline != name)]
        notes: list[str] = []
        if not model_usable and name not in BASELINES:
            notes.append(f"{name} did not run: fields of its window are missing")
            chain.remove(name)
        for candidate in chain:
            try:
                forecast_THW = self._run(candidate, rate_mmh_THW, lead_steps, cadence_minutes)
            except ForecastError as err:
                notes.append(f"{candidate} failed: {err}")
                continue
            said = (*notes, f"the forecast is {candidate}'s") if notes else ()
            return Prediction(forecast_THW, self.forecaster(candidate).name, said)
        raise ForecastError("; ".join(notes))

    def _run(self, name: str, rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: int) -> Float32Field:
        forecaster = self.forecaster(name)
        with self._lock(name):
            try:
                forecast_THW = forecaster.forecast(rate_mmh_THW, lead_steps, cadence_minutes=cadence_minutes)
            except (ForecastError, InputError):
                raise
            except Exception as err:  # whatever a model throws, the operator gets a forecast
                raise ForecastError(f"{type(err).__name__}: {err}") from err
        return _checked(np.asarray(forecast_THW, np.float32), rate_mmh_THW, lead_steps)

    def _lock(self, name: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(name, threading.Lock())


def _checked(forecast_THW: Float32Field, rate_mmh_THW: Float32Field, lead_steps: int) -> Float32Field:
    """The forecast, if it is a rain rate wherever the newest input is one; NaN elsewhere.

    Raises:
        ForecastError: another shape, or values that are not finite or negative.
    """
    due = (lead_steps, *rate_mmh_THW.shape[1:])
    if forecast_THW.shape != due:
        raise ForecastError(f"fields of {forecast_THW.shape} came; {due} were due")
    observed_HW = np.isfinite(rate_mmh_THW[-1])
    bad = ~(np.isfinite(forecast_THW) & (forecast_THW >= 0)) & observed_HW
    if bad.any():
        raise ForecastError(f"{int(bad.sum())} values that are no rain rate, where the newest input has one")
    return np.where(observed_HW, forecast_THW, np.float32("nan"))
