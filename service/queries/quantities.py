"""The quantities of a forecast by name, for EDR and WMS: rate, amount, and an exceedance probability per threshold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from core.arrays import Float32Field
from core.cf import RATE, axes_dataset
from core.colours import CHANCE_COLOURS, RAIN_COLOURS, Classes
from service.forecasts.netcdf import leads_bytes, with_coverage
from service.forecasts.probabilities import OLD_VARIABLE, probability_variable, threshold_index
from service.forecasts.products import forecast_attributes, known_variable, rate_variables
from service.forecasts.records import StoredForecast
from service.queries.amounts import AMOUNT, RULE, amount_variable, with_bounds
from service.queries.probabilities import box_probability_THW
from service.queries.regions import BoxField


@dataclass(frozen=True)
class Quantity:
    """A quantity that a request can name.

    Attributes:
        standard_name: None if CF has no name for it.
        unit: in UCUM notation.
        threshold_mmh: threshold of an exceedance probability; None for other quantities.
    """

    standard_name: str | None
    label: str
    description: str
    unit: str
    threshold_mmh: float | None = None

    @property
    def style(self) -> str:
        """Return the name of the style of its pictures."""
        return "rain" if self.threshold_mmh is None else "chance"

    @property
    def classes(self) -> Classes:
        """Return the colours of its pictures."""
        return RAIN_COLOURS if self.threshold_mmh is None else CHANCE_COLOURS


QUANTITIES: Final[Mapping[str, Quantity]] = {
    RATE: Quantity("lwe_precipitation_rate", "rain rate", "liquid-equivalent rain rate, all phases", "mm/h"),
    AMOUNT: Quantity(
        "lwe_thickness_of_precipitation_amount", "rain amount", f"depth since the reference time; {RULE}", "mm"
    ),
}
"""Quantities of every forecast."""


def quantities_of(forecast: StoredForecast) -> Mapping[str, Quantity]:
    """Return all quantities of a forecast; `probability_of_exceedance_0.5` is the probability of 0.5 mm/h or more."""
    return {**QUANTITIES, **{f"{OLD_VARIABLE}_{mmh:g}": _probability(mmh) for mmh in forecast.thresholds_mmh}}


def _probability(threshold_mmh: float) -> Quantity:
    return Quantity(
        None,
        f"probability of {threshold_mmh:g} mm/h or more",
        f"probability that the rain rate of a grid cell is at least {threshold_mmh:g} mm/h at the valid time",
        "1",
        threshold_mmh,
    )


def quantity_THW(forecast: StoredForecast, box: BoxField, name: str) -> Float32Field:
    """Return the fields of a quantity that the forecast has."""
    threshold_mmh = quantities_of(forecast)[name].threshold_mmh
    if threshold_mmh is not None:
        return box_probability_THW(forecast, box, threshold_mmh)
    return np.asarray(box.rate_mmh_THW if name == RATE else box.total_mm_THW)


def quantities_file(
    forecast: StoredForecast, box: BoxField, names: Sequence[str], leads: Sequence[int] | None = None
) -> bytes:
    """Return some quantities of a box as CF-NetCDF, written lead by lead; each probability is a variable.

    Args:
        forecast: which one.
        box: of the forecast.
        names: of quantities; coverage and `known` come with them, the coverage of the first one.
        leads: their indices; None for all.
    """
    known = quantities_of(forecast)
    leads = range(len(forecast.lead_minutes)) if leads is None else leads
    times = [forecast.valid_times[lead] for lead in leads]
    title = f"Part of the nowcast of {forecast.reference_time:%Y-%m-%d %H:%M}"
    attributes = {**forecast_attributes(forecast), "title": title}
    header = axes_dataset(times, box.grid, reference_time=forecast.reference_time, attributes=attributes)
    rate, coverage = rate_variables(lambda index: box.rate_mmh_HW(leads[index]))
    variables = [rate] if RATE in names else []
    if AMOUNT in names:
        header = with_bounds(header, forecast, times)
        amount, amount_coverage = with_coverage(amount_variable(_totals(box, leads)))
        variables.append(amount)
        coverage = amount_coverage if names[0] == AMOUNT else coverage
    variables.append(coverage)
    if box.fields.known_bits is not None:
        variables.append(known_variable(lambda index: box.known_HW(leads[index])))
    for mmh in sorted(mmh for name in names if (mmh := known[name].threshold_mmh) is not None):
        field = partial(_probability_HW, box, leads, threshold_index(forecast.thresholds_mmh, mmh))
        variables.append(probability_variable(mmh, field))
    return leads_bytes(header, variables)


def _totals(box: BoxField, leads: Sequence[int]) -> Iterator[Float32Field]:
    """Yield the totals of some leads, ascending."""
    wanted = set(leads)
    return (total_mm_HW for lead, total_mm_HW in enumerate(box.totals_mm()) if lead in wanted)


def _probability_HW(box: BoxField, leads: Sequence[int], threshold: int, index: int) -> Float32Field:
    return box.probability_HW(leads[index], threshold)
