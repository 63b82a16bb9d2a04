"""The quantities of a forecast by name, for EDR and WMS: rate, amount, and an exceedance probability per threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from core.arrays import Float32Field
from core.cf import RATE
from core.colours import CHANCE_COLOURS, RAIN_COLOURS, Classes
from service.forecasts.probabilities import OLD_VARIABLE, with_probabilities
from service.forecasts.records import StoredForecast
from service.queries.amounts import AMOUNT, RULE, amount_dataset
from service.queries.probabilities import box_probabilities
from service.queries.regions import BoxField, box_dataset


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
    RATE: Quantity("rainfall_rate", "rain rate", "liquid-equivalent rain rate, all phases", "mm/h"),
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
        return np.asarray(box_probabilities(forecast, box, [threshold_mmh]).probability_NTHW[0])
    return np.asarray(box.rate_mmh_THW if name == RATE else box.total_mm_THW)


def quantities_dataset(forecast: StoredForecast, box: BoxField, names: Sequence[str]) -> xr.Dataset:
    """Return some quantities of a box as one CF data set; each probability is a variable."""
    known = quantities_of(forecast)
    dataset = box_dataset(forecast, box)
    if AMOUNT in names:
        amount = amount_dataset(forecast, box.total_mm_THW, box.grid)
        if names[0] == AMOUNT:
            dataset = amount.merge(dataset.drop_vars("coverage"), compat="override", combine_attrs="override")
        else:
            dataset = dataset.merge(amount.drop_vars("coverage"), compat="override", combine_attrs="override")
    thresholds = sorted(mmh for name in names if (mmh := known[name].threshold_mmh) is not None)
    if thresholds:
        dataset = with_probabilities(dataset, box_probabilities(forecast, box, thresholds))
    return dataset if RATE in names else dataset.drop_vars(RATE)
