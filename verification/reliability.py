"""How often what was said to be so probable came: whole numbers per bin of probability, which add up exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.arrays import Float32Field
from verification.scores.base import events_of
from verification.scores.reliability import BINS, binned

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


@dataclass(frozen=True)
class BrierParts:
    """The Brier score of one model at one lead and threshold, in the parts of Murphy (1973).

    Each probability counts as the mean of its bin; what that leaves out is the spread within a tenth.

    Attributes:
        reliability: mean squared distance between what was said and what came; 0 is perfect.
        resolution: how far the bins' frequencies are from the mean one; the more the better.
        uncertainty: the score of who always says the mean frequency.
    """

    model: str
    lead_minutes: int
    threshold_mmh: float
    cells: int
    events: int
    reliability: float
    resolution: float
    uncertainty: float
    version: str | None = None

    @property
    def brier(self) -> float:
        """Mean squared difference between probability and event; 0 is perfect."""
        return self.reliability - self.resolution + self.uncertainty

    @property
    def skill(self) -> float | None:
        """1 - score / uncertainty; None where the event came never or always."""
        return (self.resolution - self.reliability) / self.uncertainty if self.uncertainty else None


def brier_table(rows: Sequence[ReliabilityRow]) -> Sequence[BrierParts]:
    """The Brier score of every model, version, lead and threshold, in the order of their coming."""
    groups: dict[tuple[str, str | None, int, float], list[Bin]] = {}
    for row in rows:
        groups.setdefault((row.model, row.version, row.lead_minutes, row.threshold_mmh), []).append(row.bin)
    return [
        _parts(model, version, lead, threshold, [one for one in bins if one.cells])
        for (model, version, lead, threshold), bins in groups.items()
        if any(one.cells for one in bins)
    ]


def _parts(model: str, version: str | None, lead_minutes: int, threshold_mmh: float, bins: Sequence[Bin]) -> BrierParts:
    cells, events = sum(one.cells for one in bins), sum(one.events for one in bins)
    share = events / cells
    gaps = [(one.probability_ppm / PPM - one.events) ** 2 / one.cells for one in bins]
    turns = [one.cells * (one.events / one.cells - share) ** 2 for one in bins]
    parts = sum(gaps) / cells, sum(turns) / cells, share * (1 - share)
    return BrierParts(model, lead_minutes, threshold_mmh, cells, events, *parts, version)


def reliability(
    probability_HW: Float32Field, observed_mmh_HW: Float32Field, threshold_mmh: float, bins: int = BINS
) -> Sequence[Bin]:
    """Count the cells that have a probability and are observed; every bin is there, empty ones too.

    Raises:
        ValueError: fields of two shapes, or a probability outside of 0 to 1.
    """
    probability_N, event_N = events_of(probability_HW, observed_mmh_HW, threshold_mmh)
    number_N, cells, events = binned(probability_N, event_N, bins)
    ppm_N = np.rint(probability_N * PPM).astype(np.int64)
    sums = [int(ppm_N[number_N == number].sum()) for number in range(bins)]
    return [Bin(n, int(cells[n]), int(events[n]), sums[n]) for n in range(bins)]
