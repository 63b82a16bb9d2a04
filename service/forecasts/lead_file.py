"""The file of a forecast, written while its leads are computed: no more than one of them is in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from core.arrays import Float32Field
from core.cf import axes_dataset
from service.forecasts.motion import with_motion
from service.forecasts.netcdf import LeadVariable, set_attributes, write_leads_to
from service.forecasts.probabilities import probability_variable
from service.forecasts.products import forecast_attributes, known_variable, rate_variables
from service.forecasts.records import StoredForecast
from service.inference.engine import LeadStream

if TYPE_CHECKING:  # models imports torch, which the web process loads later
    from models.leads import ForecastLead


@dataclass(frozen=True)
class WrittenLeads:
    """What was written.

    Attributes:
        thresholds_mmh: of the probabilities; empty without.
        writing_s: seconds without the computation of the leads.
    """

    thresholds_mmh: tuple[float, ...]
    writing_s: float


class LeadsInOrder:
    """The present lead of a stream by its index; an earlier one is gone.

    Args:
        leads: of all steps.
        every: which multiples of a step count.
    """

    def __init__(self, leads: Iterator["ForecastLead"], every: int) -> None:
        self._leads, self._every = leads, every
        self._present: ForecastLead | None = None
        self.waited_s = 0.0

    def __call__(self, index: int) -> "ForecastLead":
        """Return a lead, computed at the first call."""
        began = perf_counter()
        while self._present is None or self._present.step < self._every * (index + 1):
            self._present = None  # frees its memory before the next lead is computed
            self._present = next(self._leads)
        self.waited_s += perf_counter() - began
        return self._present

    def end(self) -> None:
        """Take the stream to its end, where its number of leads is checked."""
        for _ in self._leads:
            pass


def write_lead_stream(path: Path, forecast: StoredForecast, stream: LeadStream) -> WrittenLeads:
    """Write leads as they are computed, of which a forecast may have every n-th; `write_record` completes the file.

    Args:
        path: of the file.
        forecast: whose grid and times count.
        stream: taken to its end.
    """
    began = perf_counter()
    leads = LeadsInOrder(stream.leads, stream.lead_steps // len(forecast.lead_minutes))
    header = axes_dataset(forecast.valid_times, forecast.grid, reference_time=forecast.reference_time)
    motion = leads(0).motion
    if motion is not None:
        header = with_motion(header, forecast.grid, motion)
    write_leads_to(path, header, _variables(leads, stream.thresholds_mmh))
    leads.end()
    return WrittenLeads(stream.thresholds_mmh, perf_counter() - began - leads.waited_s)


def write_record(path: Path, forecast: StoredForecast) -> None:
    """Add the global attributes, which hold all that the catalogue knows, to a file of `write_lead_stream`."""
    set_attributes(path, forecast_attributes(forecast))


def _variables(leads: LeadsInOrder, thresholds_mmh: tuple[float, ...]) -> list[LeadVariable]:
    return [
        *rate_variables(lambda lead: leads(lead).rate_mmh_HW),
        known_variable(lambda lead: leads(lead).known_HW),
        *(probability_variable(mmh, partial(_probability_HW, leads, k)) for k, mmh in enumerate(thresholds_mmh)),
    ]


def _probability_HW(leads: LeadsInOrder, threshold: int, lead: int) -> Float32Field:
    found_KHW = leads(lead).exceedance_probability_KHW
    assert found_KHW is not None  # checked with the stream's thresholds
    return np.asarray(found_KHW[threshold])
