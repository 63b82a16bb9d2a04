"""Runs models: calls of one kind as a batch, on the CPU where the device fails; leads are taken one by one."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from celery.exceptions import SoftTimeLimitExceeded

from core.arrays import Float32Field
from core.errors import ForecastError, InputError
from service.inference.batch import Batching, Lane
from service.inference.lead_checks import Expected, checked_leads
from service.inference.request_scope import RequestScope, current_scope
from service.inference.warm import AnyForecaster, Place, WarmModels
from service.telemetry.metrics import BATCH_SIZE, INFERENCE_SECONDS, QUEUE_SECONDS, timed

if TYPE_CHECKING:  # models imports torch, which the web process loads later
    from models.fields import ForecastFields
    from models.leads import ForecastLead

Notes = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LeadStream:
    """The checked leads of one forecast, each computed when it is taken.

    Attributes:
        leads: in order, to be taken to the end.
        lead_steps: their number.
        thresholds_mmh: of their probabilities; empty without.
    """

    leads: Iterator["ForecastLead"]
    lead_steps: int
    thresholds_mmh: tuple[float, ...]


Take = Callable[[LeadStream], Any]
"""What becomes of the leads; it is called again from the first lead on after a failure."""


@dataclass(frozen=True)
class Made:
    """Result of one run of a model.

    Attributes:
        result: of the caller's `Take`.
        notes: remarks on how the leads were made, for the forecast's record.
    """

    result: Any
    notes: Notes = ()


@dataclass(frozen=True)
class Kind:
    """What calls must have in common to be run as one batch."""

    reference: str
    shape: tuple[int, ...]
    lead_steps: int
    cadence_minutes: int
    pixel_m: float | None = None
    probabilities: bool = True


@dataclass(frozen=True, eq=False)
class ModelCall:
    """One input, what becomes of its leads, and the scope of the request or task that waits for them."""

    rate_mmh_THW: Float32Field
    take: Take
    scope: RequestScope = field(default_factory=RequestScope)
    context: Context = field(default_factory=copy_context)
    """Of the request or task, for the models' thread: the fields of its log lines, and its trace."""


class DeviceFailedError(ForecastError):
    """The device failed during a forecast; the CPU may make it."""


class Engine:
    """Runs the models of this process."""

    def __init__(self, warm: WarmModels, batching: Batching) -> None:
        self._warm = warm
        self._lane = Lane[ModelCall, Made](self._run_alike, batching, QUEUE_SECONDS.labels("inference").observe)

    def run(self, kind: Kind, rate_mmh_THW: Float32Field, take: Take) -> Made:
        """Wait for the models' thread, in which `take` is called too, and return its result.

        Raises:
            ForecastError: the model failed, whatever it raised, or took longer than the scope allows a model.
            InputError: the fields are invalid.
            BusyError: the queue is full, or the request's deadline has passed.
        """
        return self._lane.call(kind, ModelCall(rate_mmh_THW, take, current_scope()))

    def run_here(self, kind: Kind, call: ModelCall) -> Made:
        """Forecast in the calling thread.

        Raises:
            ForecastError: the model failed, whatever it raised.
            InputError: the fields are invalid.
        """
        place, forecaster = self._warm.place(), self._warm.get(kind.reference)
        try:
            return self._forecast(forecaster, kind, call, place)
        except DeviceFailedError:
            return self._forecast(self._on_cpu(kind.reference), kind, call, "cpu")

    def _on_cpu(self, reference: str) -> AnyForecaster:
        try:
            return self._warm.load(reference, "cpu")
        except Exception as err:
            raise _failure(err) from err

    def _run_alike(self, kind: Hashable, calls: Sequence[ModelCall]) -> Sequence[Made | Exception]:
        """Run all calls as one batch, in the lane's thread; if that fails, run each alone to keep errors apart."""
        assert isinstance(kind, Kind)
        made: Sequence[ForecastFields] = ()
        if len(calls) > 1:
            with suppress(Exception):  # each run alone below raises its own error
                made = self._together(self._warm.get(kind.reference), kind, calls)
        if not made:
            return [self._alone(kind, call) for call in calls]
        return [self._taken(kind, *each) for each in zip(calls, made, strict=True)]

    def _together(
        self, forecaster: AnyForecaster, kind: Kind, calls: Sequence[ModelCall]
    ) -> Sequence["ForecastFields"]:
        with timed(INFERENCE_SECONDS, forecaster.name, forecaster.version):
            made: Sequence[ForecastFields] = forecaster.forecast_batch(
                np.stack([call.rate_mmh_THW for call in calls]),
                kind.lead_steps,
                cadence_minutes=kind.cadence_minutes,
                pixel_m=kind.pixel_m,
            )
        BATCH_SIZE.labels(forecaster.name).observe(len(calls))
        return made

    def _taken(self, kind: Kind, call: ModelCall, fields: "ForecastFields") -> Made | Exception:
        """Return what the caller makes of the leads of a forecast that was made in a batch."""
        from models.leads import lead_of

        leads = (lead_of(fields, index) for index in range(len(fields.rate_mmh_LHW)))
        try:
            taken = call.context.run(call.take, _stream(kind, call, leads, fields.thresholds_mmh))
            return Made(taken, self._notes(kind))
        except Exception as err:
            return err

    def _alone(self, kind: Kind, call: ModelCall) -> Made | Exception:
        try:
            made = call.context.run(self.run_here, kind, call)
        except Exception as err:
            return err
        BATCH_SIZE.labels(self._warm.get(kind.reference).name).observe(1)
        return made

    def _forecast(self, forecaster: AnyForecaster, kind: Kind, call: ModelCall, place: Place) -> Made:
        leads = self._leads(forecaster, kind, call, place)
        return Made(call.take(_stream(kind, call, leads, forecaster.thresholds_mmh)), self._notes(kind))

    def _leads(self, forecaster: AnyForecaster, kind: Kind, call: ModelCall, place: Place) -> Iterator["ForecastLead"]:
        """Yield a forecaster's leads as it computes them; what it raises becomes one of our errors."""
        spent_s, leads = 0.0, None
        while True:
            began = perf_counter()
            call.scope.check_waiting()
            try:
                if leads is None:
                    leads = forecaster.leads(
                        call.rate_mmh_THW,
                        kind.lead_steps,
                        cadence_minutes=kind.cadence_minutes,
                        pixel_m=kind.pixel_m,
                    )
                lead = next(leads, None)
            except (ForecastError, InputError, SoftTimeLimitExceeded):  # the task has no time left for a fallback
                raise
            except Exception as err:  # any failure of a model ends in a fallback forecast
                if place != "cpu" and self._warm.device_failed(err):
                    raise DeviceFailedError(str(err)) from err
                raise _failure(err) from err
            spent_s += perf_counter() - began
            if lead is None:
                INFERENCE_SECONDS.labels(forecaster.name, forecaster.version).observe(spent_s)
                return
            yield lead
            del lead  # freed before the next one is computed

    def _notes(self, kind: Kind) -> Notes:
        trouble = self._warm.trouble
        return (f"{kind.reference} ran on the CPU: {trouble}",) if trouble else ()


def _stream(
    kind: Kind, call: ModelCall, leads: Iterator["ForecastLead"], thresholds_mmh: tuple[float, ...]
) -> LeadStream:
    thresholds_mmh = thresholds_mmh if kind.probabilities else ()
    expected = Expected(call.rate_mmh_THW[-1], kind.lead_steps, thresholds_mmh)
    return LeadStream(checked_leads(leads, expected), kind.lead_steps, thresholds_mmh)


def _failure(err: Exception) -> ForecastError:
    return ForecastError(f"{type(err).__name__}: {err}")
