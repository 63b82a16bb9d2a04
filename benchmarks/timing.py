"""Timing two ways of doing the same work in turns, so that a ratio holds while the machine's speed drifts."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from core.registry import Registry


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
        """Plain values for JSON."""
        return asdict(self)


BENCHMARKS: Registry[Callable[[], list[Result]]] = Registry("benchmark")


def compare(
    name: str, ours: tuple[str, Callable[[], object]], theirs: tuple[str, Callable[[], object]], *, runs: int = 7
) -> Result:
    """Time two callables in turns, after one call of each that does not count."""
    ours[1](), theirs[1]()
    pairs = [(_seconds(ours[1]), _seconds(theirs[1])) for _ in range(runs)]
    return Result(
        name,
        ours[0],
        theirs[0],
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(b / a for a, b in pairs),
        runs,
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
