"""How often what was said to be so probable came: whole numbers per bin of probability, which add up exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Float32Field = NDArray[np.float32]

BINS: Final = 10
PPM: Final = 1_000_000


@dataclass(frozen=True)
class Bin:
    """Cells whose probability lies in one tenth (the last holds 1 too).

    Attributes:
        cells: compared cells.
        events: those where the threshold was reached.
        probability_ppm: sum of their probabilities, each rounded to a millionth.
    """

    number: int
    cells: int = 0
    events: int = 0
    probability_ppm: int = 0

    def __add__(self, other: "Bin") -> "Bin":
        return Bin(
            self.number,
            self.cells + other.cells,
            self.events + other.events,
            self.probability_ppm + other.probability_ppm,
        )

    @property
    def forecast_probability(self) -> float | None:
        """Mean probability; None without cells."""
        return self.probability_ppm / PPM / self.cells if self.cells else None

    @property
    def observed_frequency(self) -> float | None:
        """Share of the cells with an event; None without cells."""
        return self.events / self.cells if self.cells else None


@dataclass(frozen=True)
class ReliabilityRow:
    """One bin of one model at one lead and threshold."""

    model: str
    lead_minutes: int
    threshold_mmh: float
    bin: Bin
    version: str | None = None


def reliability(
    probability_HW: Float32Field, observed_mmh_HW: Float32Field, threshold_mmh: float, bins: int = BINS
) -> Sequence[Bin]:
    """Count the cells that have a probability and are observed; every bin is there, empty ones too.

    Raises:
        ValueError: a probability outside 0 to 1.
    """
    both_HW = np.isfinite(probability_HW) & np.isfinite(observed_mmh_HW)
    probability_N, event_N = probability_HW[both_HW].astype(np.float64), observed_mmh_HW[both_HW] >= threshold_mmh
    if probability_N.size and (probability_N.min() < 0 or probability_N.max() > 1):
        raise ValueError(f"probabilities of {probability_N.min()} to {probability_N.max()}; 0 to 1 was due")
    number_N = np.minimum((probability_N * bins).astype(np.int64), bins - 1)
    ppm_N = np.rint(probability_N * PPM).astype(np.int64)
    cells = np.bincount(number_N, minlength=bins)
    events = np.bincount(number_N[event_N], minlength=bins)
    sums = [int(ppm_N[number_N == number].sum()) for number in range(bins)]
    return [Bin(n, int(cells[n]), int(events[n]), sums[n]) for n in range(bins)]
