"""How often a stated start or end of rain was right within ten minutes: counts over places and forecasts."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from verification.sums import Sums

FAMILY: Final = "rain-times"
TOLERANCE_MINUTES: Final = 10
GROUPS_MINUTES: Final = (30, 60, 120, 360)
"""Last minute of each group of starts or ends; none is later than the longest forecast."""

FIFTHS: Final = 5
STARTS: Final = 1
"""First bin of the starts: for each group five of the stated probability, then one of starts without a probability."""

ENDS: Final = STARTS + len(GROUPS_MINUTES) * (FIFTHS + 1)
BINS: Final = ENDS + len(GROUPS_MINUTES)
DRY: Final = 0
ZEROS: Final = (0,) * BINS


@dataclass(frozen=True)
class RainTimes(Sums):
    """Statements by kind: dry in bin 0, then starts by group and probability, then ends by group.

    `right` counts starts and ends that were observed within ten minutes of the stated minute, and dry places that
    stayed dry; `rained` those with rain at any lead.
    """

    bins: ClassVar[int] = BINS
    cases: tuple[int, ...] = ZEROS
    right: tuple[int, ...] = ZEROS
    rained: tuple[int, ...] = ZEROS

    @classmethod
    def of(cls, statements: Iterable[tuple[int, bool, bool]]) -> "RainTimes":
        """Return the counts of statements, each given as its bin, whether it was right, and whether it rained."""
        columns = [[0] * BINS for _ in range(3)]
        for number, right, rained in statements:
            for column, counts in zip(columns, (True, right, rained), strict=True):
                column[number] += counts
        return cls(*map(tuple, columns))

    def total(self, numbers: Iterable[int]) -> tuple[int, int, int]:
        """Return cases, right ones and those with rain of some bins together."""
        chosen = list(numbers)
        cases, right, rained = (sum(column[n] for n in chosen) for column in (self.cases, self.right, self.rained))
        return cases, right, rained


def group_of(minutes: int) -> int:
    """Return the number of the group of a start or end."""
    return min(bisect_left(GROUPS_MINUTES, minutes), len(GROUPS_MINUTES) - 1)


def start_bin(minutes: int, probability: float | None) -> int:
    """Return the bin of a stated start."""
    fifth = FIFTHS if probability is None else min(int(probability * FIFTHS + 1e-9), FIFTHS - 1)
    return STARTS + group_of(minutes) * (FIFTHS + 1) + fifth


def start_bins(group: int) -> range:
    """Return the bins of the starts of a group: five of the probability, then the one without."""
    return range(STARTS + group * (FIFTHS + 1), STARTS + (group + 1) * (FIFTHS + 1))


def end_bin(minutes: int) -> int:
    """Return the bin of a stated end."""
    return ENDS + group_of(minutes)


def is_right(stated: int, observed: int | None) -> bool:
    """Return whether a start or end was observed within ten minutes of the stated minute."""
    return observed is not None and abs(observed - stated) <= TOLERANCE_MINUTES
