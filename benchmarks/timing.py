"""Alternating timing of two ways of doing the same work, so that a ratio holds while the machine's speed drifts."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch

SLOW_S = 20.0
"""Seconds from which a first pair counts: its share of warming up is then smaller than the machine's drift."""

Side = tuple[str, Callable[[], object]]
"""Name and work of one side."""


@dataclass(frozen=True)
class Result:
    """One comparison: median seconds of both sides, and the median of their ratios run by run.

    Attributes:
        name: what was done.
        ours, theirs: what the two sides are.
        ours_s, theirs_s: median seconds.
        ratio: theirs / ours; above 1 ours is faster.
        runs: how many pairs were timed.
    """

    name: str
    ours: str
    theirs: str
    ours_s: float
    theirs_s: float
    ratio: float
    runs: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def compare(name: str, ours: Side, theirs: Side, *, runs: int = 7) -> Result:
    """Time two callables alternately, after one call of each that does not count.

    If that first pair takes more than `SLOW_S`, it counts, and one more is run.
    """
    pairs = [(seconds(ours[1]), seconds(theirs[1]))]
    pairs, more = (pairs, 1) if sum(pairs[0]) > SLOW_S else ([], runs)
    pairs += [(seconds(ours[1]), seconds(theirs[1])) for _ in range(more)]
    return Result(
        name,
        ours[0],
        theirs[0],
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(b / a for a, b in pairs),
        len(pairs),
    )


def typical_seconds(work: Callable[[], object], *, runs: int = 3) -> float:
    """Return the median time of some work, after a call that does not count unless it takes more than `SLOW_S`."""
    first = seconds(work)
    return first if first > SLOW_S else statistics.median(seconds(work) for _ in range(runs))


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call, with the work that it left to a GPU."""
    finish()
    start = time.perf_counter()
    work()
    finish()
    return time.perf_counter() - start


def finish() -> None:
    """Wait for the pending work of a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def geometric_mean(ratios: Iterable[float]) -> float:
    """Return the geometric mean of positive numbers."""
    return statistics.geometric_mean(ratios)
