"""Runs models: calls of one kind as a batch, on the CPU where the device fails, and checks what they return."""

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.errors import ForecastError, InputError
from service.inference.batch import Batching, Lane
from service.inference.warm import AnyForecaster, WarmModels
from service.telemetry.metrics import BATCH_SIZE, INFERENCE_SECONDS, QUEUE_SECONDS, timed

if TYPE_CHECKING:  # models imports torch, which the web process loads later
    from models.fields import ForecastFields

ROUNDING: Final = 1e-5
"""Largest rise of a probability with its threshold that counts as rounding."""

Notes = tuple[str, ...]


@dataclass(frozen=True)
class Made:
    """Result of one run of a model.

    Attributes:
        fields: of the forecast.
        notes: remarks on how they were made, for the forecast's record.
    """

    fields: "ForecastFields"
    notes: Notes = ()


@dataclass(frozen=True)
class Kind:
    """What calls must have in common to be run as one batch."""

    reference: str
    shape: tuple[int, ...]
    lead_steps: int
    cadence_minutes: int
    pixel_m: float | None = None


class Engine:
    """Runs the models of this process."""

    def __init__(self, warm: WarmModels, batching: Batching) -> None:
        self._warm = warm
        self._lane = Lane[Float32Field, Made](self._run_alike, batching, QUEUE_SECONDS.labels("inference").observe)

    def run(self, kind: Kind, rate_mmh_THW: Float32Field) -> Made:
        """Wait for the models' thread and return the forecast.

        Raises:
            ForecastError: the model failed, whatever it raised.
            InputError: the fields are invalid.
            BusyError: the queue is full, or the request's deadline has passed.
        """
        return self._lane.call(kind, rate_mmh_THW)

    def run_here(self, kind: Kind, rate_mmh_THW: Float32Field) -> Made:
        """Forecast in the calling thread.

        Raises:
            ForecastError: the model failed, whatever it raised.
            InputError: the fields are invalid.
        """
        place, forecaster = self._warm.place(), self._warm.get(kind.reference)
        try:
            try:
                return self._forecast(forecaster, kind, rate_mmh_THW)
            except Exception as err:
                if place == "cpu" or not self._warm.device_failed(err):
                    raise
            return self._forecast(self._warm.load(kind.reference, "cpu"), kind, rate_mmh_THW)
        except (ForecastError, InputError):
            raise
        except Exception as err:  # any failure of a model ends in a fallback forecast
            raise ForecastError(f"{type(err).__name__}: {err}") from err

    def _run_alike(self, kind: Hashable, given: Sequence[Float32Field]) -> Sequence[Made | Exception]:
        """Run all calls as one batch, in the lane's thread; if that fails, run each alone to keep errors apart."""
        assert isinstance(kind, Kind)
        if len(given) > 1:
            with suppress(Exception):  # each run alone below raises its own error
                return self._together(self._warm.get(kind.reference), kind, given)
        return [self._alone(kind, rate_mmh_THW) for rate_mmh_THW in given]

    def _together(self, forecaster: AnyForecaster, kind: Kind, given: Sequence[Float32Field]) -> Sequence[Made]:
        with timed(INFERENCE_SECONDS, forecaster.name, forecaster.version):
            made = forecaster.forecast_batch(
                np.stack(given), kind.lead_steps, cadence_minutes=kind.cadence_minutes, pixel_m=kind.pixel_m
            )
        BATCH_SIZE.labels(forecaster.name).observe(len(given))
        return [Made(fields, self._notes(kind)) for fields in made]

    def _alone(self, kind: Kind, rate_mmh_THW: Float32Field) -> Made | Exception:
        try:
            made = self.run_here(kind, rate_mmh_THW)
        except Exception as err:
            return err
        BATCH_SIZE.labels(self._warm.get(kind.reference).name).observe(1)
        return made

    def _forecast(self, forecaster: AnyForecaster, kind: Kind, rate_mmh_THW: Float32Field) -> Made:
        with timed(INFERENCE_SECONDS, forecaster.name, forecaster.version):
            fields = forecaster.forecast(
                rate_mmh_THW, kind.lead_steps, cadence_minutes=kind.cadence_minutes, pixel_m=kind.pixel_m
            )
        return Made(fields, self._notes(kind))

    def _notes(self, kind: Kind) -> Notes:
        trouble = self._warm.trouble
        return (f"{kind.reference} ran on the CPU: {trouble}",) if trouble else ()


def checked(
    fields: "ForecastFields", newest_mmh_HW: Float32Field, lead_steps: int
) -> tuple["ForecastFields", tuple[str, ...]]:
    """Return the fields, NaN and not known where the newest input is not observed, and notes.

    Unusable probabilities are left out with a note; the rates stay. The arrays are changed in place, one lead after the
    other, since copies of all leads and thresholds of a large grid do not fit into memory.

    Raises:
        ForecastError: the rates have another shape, or are not finite or negative where the newest input has a rate.
    """
    observed_HW = np.isfinite(newest_mmh_HW)
    shape = (lead_steps, *newest_mmh_HW.shape)
    for name, found_LHW in (("rates", fields.rate_mmh_LHW), ("known", fields.known_LHW)):
        if found_LHW.shape != shape:
            raise ForecastError(f"{name}: expected fields of {shape}, got {found_LHW.shape}")
    rate_mmh_LHW, known_LHW, bad = _own(fields.rate_mmh_LHW), _own(fields.known_LHW), 0
    for rate_mmh_HW, known_HW in zip(rate_mmh_LHW, known_LHW, strict=True):
        bad += int((~(np.isfinite(rate_mmh_HW) & (rate_mmh_HW >= 0)) & observed_HW).sum())
        rate_mmh_HW[~observed_HW] = np.nan
        known_HW &= observed_HW
    if bad:
        raise ForecastError(f"expected rain rates where the newest input has one, got {bad} other values")
    fields = replace(fields, rate_mmh_LHW=rate_mmh_LHW, known_LHW=known_LHW)
    if fields.exceedance_probability_KLHW is None:
        return replace(fields, thresholds_mmh=()), ()
    try:
        return replace(fields, exceedance_probability_KLHW=_probabilities(fields, observed_HW)), ()
    except ForecastError as err:
        without = replace(fields, exceedance_probability_KLHW=None, thresholds_mmh=())
        return without, (f"probabilities omitted: {err}",)


def _probabilities(fields: "ForecastFields", observed_HW: BoolField) -> Float32Field:
    """Return the probabilities, NaN where the newest input is not observed.

    Raises:
        ForecastError: they are not probabilities of these thresholds.
    """
    thresholds, found_KLHW = fields.thresholds_mmh, fields.exceedance_probability_KLHW
    assert found_KLHW is not None
    shape = (len(thresholds), *fields.rate_mmh_LHW.shape)
    if found_KLHW.shape != shape or not thresholds or list(thresholds) != sorted(set(thresholds)):
        raise ForecastError(
            f"expected fields of {shape} and ascending thresholds, got {found_KLHW.shape} for {thresholds} mm/h"
        )
    found_KLHW, bad, rising = _own(found_KLHW), 0, 0
    for lead in range(shape[1]):
        below_HW = None
        for field_HW in found_KLHW[:, lead]:
            bad += int((~((field_HW >= 0) & (field_HW <= 1)) & observed_HW).sum())
            if below_HW is not None:
                rising += int(((field_HW - below_HW > ROUNDING) & observed_HW).sum())
            field_HW[~observed_HW] = np.nan
            below_HW = field_HW
    if bad:
        raise ForecastError(f"expected values within 0 to 1 where the newest input has a rate, got {bad} others")
    if rising:
        raise ForecastError(f"expected values that do not rise with the threshold, got {rising} that do")
    return found_KLHW


def _own(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that may be changed: a model may return a read-only view of its input."""
    return array if array.flags.writeable else array.copy()
