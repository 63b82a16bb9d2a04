"""Stages of work below the service, for the process that measures them; where none does, nothing is measured."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Measure = Callable[[str], AbstractContextManager[object]]


def _unmeasured(_name: str) -> AbstractContextManager[object]:
    return nullcontext()


_measure: Measure = _unmeasured


def stage(name: str) -> AbstractContextManager[object]:
    """Return the measurement of a stage such as `motion`, which is the block of a `with`."""
    return _measure(name)


def measure_stages(measure: Measure | None) -> None:
    """Measure the stages of this process with a function from now on; None measures none."""
    global _measure
    _measure = measure or _unmeasured
