"""Exceedance probabilities of a forecast: a variable for each threshold in its file, and thresholds by value."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from core.arrays import Float32Field
from core.errors import NoDataError
from core.exceedance import (
    PREFIX,
    PROBABILITY_FILL,
    probability_attributes,
    probability_codes,
    threshold_of,
    variable_name,
)
from service.forecasts.netcdf import LeadVariable, read_packed, read_variable, variables_of
from service.forecasts.packing import Packed

OLD_VARIABLE: Final = "probability_of_exceedance"
"""All thresholds in one variable `(threshold, time, y, x)`, in files of 0.1.0 and 0.2.0."""

OLD_THRESHOLD: Final = "threshold"


@dataclass(frozen=True)
class Probabilities:
    """Probability that the rate is at or above each threshold; NaN is no data.

    Attributes:
        thresholds_mmh: ascending.
        probability_NTHW: by threshold and lead, not rising with the threshold.
    """

    thresholds_mmh: tuple[float, ...]
    probability_NTHW: Float32Field


def threshold_index(thresholds_mmh: Sequence[float], wanted_mmh: float) -> int:
    """Return the index of a threshold among those of a forecast.

    Raises:
        NoDataError: it has no such threshold, or no probabilities at all.
    """
    for index, known_mmh in enumerate(thresholds_mmh):
        if math.isclose(known_mmh, wanted_mmh, rel_tol=1e-6):
            return index
    if not thresholds_mmh:
        raise NoDataError(f"threshold: this forecast has no probabilities, got {wanted_mmh:g} mm/h")
    known = ", ".join(f"{known_mmh:g}" for known_mmh in thresholds_mmh)
    raise NoDataError(f"threshold: expected one of {known} mm/h, got {wanted_mmh:g} mm/h")


def probability_variable(threshold_mmh: float, probability_HW: Callable[[int], Float32Field]) -> LeadVariable:
    """Return the variable of a threshold, in units of 0.005 (CF, chapter 8.1).

    Args:
        threshold_mmh: rain rate that is reached.
        probability_HW: field of a lead, by its index; NaN is no data.
    """
    return LeadVariable(
        variable_name(threshold_mmh),
        "u1",
        probability_attributes(threshold_mmh),
        lambda lead: probability_codes(probability_HW(lead)),
        PROBABILITY_FILL,
    )


def read_probabilities(
    path: Path, leads: Sequence[int] | None = None, thresholds: Sequence[int] | None = None
) -> Probabilities | None:
    """Read the probabilities of one of the service's own files; None if it has none.

    Args:
        path: of the file.
        leads: their indices; None reads all of them.
        thresholds: their indices, in ascending order of the thresholds; None reads all of them.
    """
    found = read_packed_probabilities(path, leads, thresholds)
    return None if found is None else Probabilities(found[0], np.stack([field_LHW[...] for field_LHW in found[1]]))


def read_packed_probabilities(
    path: Path, leads: Sequence[int] | None = None, thresholds: Sequence[int] | None = None
) -> tuple[tuple[float, ...], list[Packed]] | None:
    """Read thresholds and the packed fields (L, H, W) of each, as `read_probabilities` does."""
    names = variables_of(path)
    if OLD_VARIABLE in names:
        known_mmh = tuple(float(f"{mmh:.6g}") for mmh in read_variable(path, OLD_THRESHOLD))
        every = read_packed(path, OLD_VARIABLE, leads, axis=1)
        chosen = range(len(known_mmh)) if thresholds is None else thresholds
        return tuple(known_mmh[one] for one in chosen), [every.part(one) for one in chosen]
    by_mmh = {threshold_of(name): name for name in names if name.startswith(PREFIX)}
    if not by_mmh:
        return None
    every_mmh = sorted(by_mmh)
    wanted_mmh = every_mmh if thresholds is None else [every_mmh[one] for one in thresholds]
    return tuple(wanted_mmh), [read_packed(path, by_mmh[mmh], leads) for mmh in wanted_mmh]
