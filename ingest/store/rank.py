"""Of two files for the same product and time, which one is kept, whatever the order in which they come."""

from datetime import datetime
from typing import Final, Protocol

COVERAGE_MARGIN: Final = 0.02
"""A later issue may lose so much of the grid to its own quality control and still be the better one."""


class Ranked(Protocol):
    """A scan as far as the choice looks at it."""

    @property
    def missing_radars(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def grid_key(self) -> str: ...  # noqa: D102
    @property
    def coverage(self) -> float: ...  # noqa: D102
    @property
    def issued_at(self) -> datetime: ...  # noqa: D102


def is_worse(new: Ranked, old: Ranked) -> bool:
    """Whether the stored scan stays: it has more radars, or clearly more of the grid, or was issued later.

    So the final file replaces the provisional one, and a provisional one that comes late or again does not come back.
    """
    more_missing = len(new.missing_radars) - len(old.missing_radars)
    if more_missing:
        return more_missing > 0
    if new.grid_key == old.grid_key and abs(new.coverage - old.coverage) > COVERAGE_MARGIN:
        return new.coverage < old.coverage
    return new.issued_at < old.issued_at
