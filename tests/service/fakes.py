"""Forecasters of tests, whose results reach the service unchecked."""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from core.arrays import BoolField, Float32Field
from models.fields import ForecastFields
from models.forecaster import Forecaster
from models.leads import ForecastLead, collected, lead_of
from service.forecasts.lead_file import write_lead_stream, write_record
from service.forecasts.records import StoredForecast
from service.inference.engine import LeadStream


class FakeForecaster(Forecaster):
    """A forecaster without the checks of `Forecaster.forecast`, so that a test can return bad values too."""

    @abstractmethod
    def fields(self, rate_mmh_THW: Float32Field, lead_steps: int) -> ForecastFields:
        """Return the forecast of one input."""

    def forecast(
        self,
        rate_mmh_THW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
        members: int = 0,
    ) -> ForecastFields:
        return self.fields(rate_mmh_THW, lead_steps)

    def forecast_batch(
        self,
        rate_mmh_BTHW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
        members: int = 0,
    ) -> list[ForecastFields]:
        return [self.fields(rate_mmh_THW, lead_steps) for rate_mmh_THW in rate_mmh_BTHW]

    def leads(
        self,
        rate_mmh_THW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
    ) -> Iterator[ForecastLead]:
        fields = self.forecast(rate_mmh_THW, lead_steps, cadence_minutes=cadence_minutes, pixel_m=pixel_m)
        return leads_of(fields)

    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> list[ForecastFields]:
        return self.forecast_batch(rate_mmh_BTHW, lead_steps)


def fields_of(
    rate_mmh_LHW: Float32Field,
    probability_KLHW: Float32Field | None = None,
    thresholds_mmh: tuple[float, ...] = (),
    known_LHW: BoolField | None = None,
) -> ForecastFields:
    """Fields that are known wherever they have a rate."""
    known_LHW = np.isfinite(rate_mmh_LHW) if known_LHW is None else known_LHW
    return ForecastFields(rate_mmh_LHW, known_LHW, probability_KLHW, thresholds_mmh)


def leads_of(fields: ForecastFields) -> Iterator[ForecastLead]:
    """The leads of fields, one by one."""
    return (lead_of(fields, index) for index in range(len(fields.rate_mmh_LHW)))


def whole(stream: LeadStream) -> ForecastFields:
    """All leads of a stream together."""
    return collected(stream.leads, stream.lead_steps, stream.thresholds_mmh)


def write_fields(forecast: StoredForecast, fields: ForecastFields) -> None:
    """Write fields as the file of a forecast, in place of the one that it has."""
    stream = LeadStream(leads_of(fields), len(fields.rate_mmh_LHW), fields.thresholds_mmh)
    forecast.path.unlink(missing_ok=True)
    write_lead_stream(forecast.path, forecast, stream)
    write_record(forecast.path, forecast)
