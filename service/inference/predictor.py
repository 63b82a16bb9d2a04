"""Which model makes a forecast, and the fallbacks where it fails: the CPU, extrapolation, persistence."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import numpy as np

from core.arrays import Float32Field
from core.errors import ForecastError, InputError, UnavailableError
from core.settings import Settings
from service.inference.batch import Batching
from service.inference.engine import Engine, Kind, LeadStream, Made, ModelCall, Notes
from service.inference.lead_checks import ProbabilityError
from service.inference.registry import ModelRegistry, ModelVersion
from service.inference.warm import AnyForecaster, Place, Unloadable, WarmModels
from service.telemetry.metrics import FALLBACKS
from verification.baselines import BASELINES

if TYPE_CHECKING:  # models imports torch, which the web process loads later
    from models.forecaster import Forecaster

Result = TypeVar("Result")
WARM_CELLS: Final = 64
GPU_BATCH: Final = 8


@dataclass(frozen=True)
class Prediction(Generic[Result]):
    """What the caller made of the leads, and the method that made these.

    Attributes:
        result: of the caller's function.
        method: name of the forecaster that made the leads.
        notes: why it was not the requested one on its device; empty if it was.
    """

    result: Result
    method: str
    notes: Notes = ()


@dataclass(frozen=True)
class Choice:
    """The version that a requested model name means now; an alias may mean another one a moment later.

    Attributes:
        requested: the name in the request.
        reference: one version of one model, as the predictor's other calls take it.
        notes: why it is not the version that the alias names.
    """

    requested: str
    reference: str
    notes: Notes = ()


class Predictor:
    """Runs models, one call or batch at a time in one thread, and baselines in the calling thread.

    Args:
        load: returns the forecaster of a reference; raises `UnknownNameError` for an unknown one.
        on_cpu: the same on the CPU, for when the device fails; None: `load` itself.
        resolve: returns the reference that a name means now.
        batching: limits of a batch and of the queue.
    """

    def __init__(
        self,
        load: Callable[[str], "Forecaster"],
        on_cpu: Callable[[str], "Forecaster"] | None = None,
        resolve: Callable[[str], str] = str,
        batching: Batching | None = None,
    ) -> None:
        def load_in(reference: str, place: Place) -> "Forecaster":
            return (on_cpu or load)(reference) if place == "cpu" else load(reference)

        self._resolve = resolve
        self._warm = WarmModels(load_in)
        self._good: dict[str, str] = {}
        self._engine = Engine(self._warm, batching or Batching())
        self._baseline_locks = {name: threading.Lock() for name in BASELINES}

    @classmethod
    def on_device(
        cls,
        device: str = "auto",
        *,
        precision: str = "auto",
        threads: int = 0,
        registry: ModelRegistry | None = None,
        batching: Batching | None = None,
    ) -> "Predictor":
        """Return a predictor of registered models.

        Args:
            device: where they run.
            precision: of their states, see `models.load_forecaster`.
            threads: of one call on a CPU; 0 leaves the number to torch.
            registry: None: the models shipped with the package only.
            batching: limits of a batch and of the queue.
        """
        known = registry or ModelRegistry(None)

        def load(reference: str, where: str = device) -> "Forecaster":
            return load_version(known.find(reference), where, precision, threads)

        return cls(load, lambda reference: load(reference, "cpu"), known.resolve, batching)

    @classmethod
    def from_settings(cls, settings: Settings, registry: ModelRegistry) -> "Predictor":
        """Return a predictor on the device of the settings."""
        batching = Batching(batch_size(settings), settings.batch_wait_s, settings.queue_size)
        return cls.on_device(
            settings.device,
            precision=settings.precision,
            threads=settings.threads,
            registry=registry,
            batching=batching,
        )

    @property
    def trouble(self) -> str | None:
        """Return why models run on the CPU and not on their device; None if they do not."""
        return self._warm.trouble

    def warm(self, name: str) -> None:
        """Load a model and run it once, so that the first forecast is not slower than the others.

        Raises:
            UnavailableError: it does not load or run.
        """
        forecaster = self.forecaster(name)
        dry_THW = np.zeros((2 * forecaster.input_steps, WARM_CELLS, WARM_CELLS), np.float32)
        kind = Kind(self._resolve(name), dry_THW.shape, 1, round(forecaster.cadence_minutes), forecaster.pixel_m)
        try:
            self._run(kind, dry_THW, lambda stream: deque(stream.leads, maxlen=0))
        except (ForecastError, InputError) as err:
            raise UnavailableError(f"model {name} does not run: {err}") from err

    def choose(self, name: str) -> Choice:
        """Return the version that a name means now; if that does not load, the last one that did.

        Raises:
            UnknownNameError: no such model.
        """
        reference = self._resolve(name)
        forecaster = self._warm.get(reference)
        if not isinstance(forecaster, Unloadable):
            self._good[name] = reference
        elif (good := self._good.get(name, reference)) != reference:
            return Choice(name, good, (f"{reference} did not load ({forecaster.reason}): {good} is the fallback",))
        return Choice(name, reference)

    def loaded(self, name: str) -> "Forecaster | None":
        """Return the forecaster of a name or reference if it is in memory."""
        return self._warm.peek(self._resolve(name))

    def forecaster(self, name: str) -> AnyForecaster:
        """Return the forecaster of a name or reference; an `Unloadable` if loading fails, which the next call retries.

        Raises:
            UnknownNameError: no such model.
        """
        return self._warm.get(self._resolve(name))

    def predict(
        self,
        name: str,
        rate_mmh_THW: Float32Field,
        lead_steps: int,
        cadence_minutes: int,
        *,
        take: Callable[[LeadStream], Result],
        pixel_m: float | None = None,
        model_usable: bool = True,
    ) -> Prediction[Result]:
        """Forecast with a model; where it fails with extrapolation, then persistence, with a note of it.

        Args:
            name: of the model, or its reference.
            rate_mmh_THW: the window on the model's grid.
            lead_steps: number of fields to forecast.
            cadence_minutes: of the window.
            take: takes the checked leads one by one (NaN exactly where the newest input is NaN); it is called again,
                from the first lead on, for each fallback.
            pixel_m: cell size of the window; None: that of the model's training.
            model_usable: False if fields of the window are missing; then only a baseline may run.

        Raises:
            ForecastError: persistence fails too.
            InputError: the window itself is invalid (negative rates).
            BusyError: the queue is full, or the request's deadline has passed.
        """
        reference = self._resolve(name)
        chain = [reference, *(baseline for baseline in reversed(BASELINES) if baseline != reference)]
        notes: list[str] = []
        if not model_usable and reference not in BASELINES:
            notes.append(f"{name} did not run: fields of its window are missing")
            chain.remove(reference)
        for candidate in chain:
            try:
                kind = Kind(candidate, rate_mmh_THW.shape, lead_steps, cadence_minutes, pixel_m)
                made = self._made(kind, rate_mmh_THW, take)
            except ForecastError as err:
                notes.append(f"{name if candidate == reference else candidate} failed: {err}")
                continue
            method = self._warm.get(candidate).name
            if notes:
                FALLBACKS.labels(self._warm.get(reference).name, method).inc()
            fallback = (*notes, f"forecast by {candidate}") if notes else ()
            return Prediction(made.result, method, fallback + made.notes)
        raise ForecastError("; ".join(notes))

    def _made(self, kind: Kind, rate_mmh_THW: Float32Field, take: Callable[[LeadStream], object]) -> Made:
        """Forecast with one model; where its probabilities cannot be used again without them, with a note."""
        try:
            return self._run(kind, rate_mmh_THW, take)
        except ProbabilityError as err:
            made = self._run(replace(kind, probabilities=False), rate_mmh_THW, take)
            return replace(made, notes=(*made.notes, f"probabilities omitted: {err}"))

    def _run(self, kind: Kind, rate_mmh_THW: Float32Field, take: Callable[[LeadStream], object]) -> Made:
        if kind.reference not in BASELINES:
            return self._engine.run(kind, rate_mmh_THW, take)
        with self._baseline_locks[kind.reference]:
            return self._engine.run_here(kind, ModelCall(rate_mmh_THW, take))


def batch_size(settings: Settings) -> int:
    """Return the size of a batch: on a CPU a batch takes as long as its parts in turn (benchmark `serving`), so 1."""
    if settings.batch_size:
        return settings.batch_size
    from models.device import pick_device

    try:
        return GPU_BATCH if pick_device(settings.device).type == "cuda" else 1
    except InputError:  # no such device: the models run on the CPU, with a note
        return 1


def load_version(found: ModelVersion, device: str, precision: str, threads: int) -> "Forecaster":
    """Load the forecaster of one version of a model."""
    import torch  # imported at first use: not every process forecasts

    from models.checkpoint import load_network
    from models.load import load_forecaster

    if threads:
        torch.set_num_threads(threads)
    if found.folder is None:
        return load_forecaster(found.name)
    return load_network(found.folder, name=found.name, device=device, precision=precision)
