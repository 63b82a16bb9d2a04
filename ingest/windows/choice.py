"""Which stored scans a window needs, by their times alone, so that only those fields are read."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

PREFERRED: Final = ("RY", "YW", "RV")
"""Of products that fill a window alike: quality-checked 5-minute rates first, then by name."""


class Timed(Protocol):
    """A scan as far as the choice looks at it."""

    @property
    def product(self) -> str: ...  # noqa: D102
    @property
    def grid_key(self) -> str: ...  # noqa: D102
    @property
    def valid_time(self) -> datetime: ...  # noqa: D102


S = TypeVar("S", bound=Timed)


def choose(scans: Sequence[S], nominal_times: Sequence[datetime], tolerance: timedelta) -> list[S]:
    """The scans nearest to the nominal times, of the one product and grid that fills them best.

    Args:
        scans: candidates of any product and grid.
        nominal_times: the last one is the reference time, near which a scan must be.
        tolerance: how far off a scan may be.

    Returns:
        Scans in ascending time; empty where none is near the reference time.
    """
    families: dict[tuple[str, str], list[S]] = {}
    for scan in scans:
        families.setdefault((scan.product, scan.grid_key), []).append(scan)
    found = [_nearest_each(family, nominal_times, tolerance) for family in families.values()]
    found = [slots for slots in found if slots[-1] is not None]
    if not found:
        return []
    best = min(found, key=lambda slots: _rank(slots, nominal_times))
    return list({scan.valid_time: scan for scan in best if scan is not None}.values())


def _nearest_each(family: Sequence[S], nominal_times: Sequence[datetime], tolerance: timedelta) -> list[S | None]:
    slots: list[S | None] = []
    for time in nominal_times:
        nearest = min(family, key=lambda scan: (abs(scan.valid_time - time), scan.valid_time))
        slots.append(nearest if abs(nearest.valid_time - time) <= tolerance else None)
    return slots


def _rank(slots: Sequence[S | None], nominal_times: Sequence[datetime]) -> tuple[int, timedelta, int, str]:
    off = [abs(scan.valid_time - time) for scan, time in zip(slots, nominal_times, strict=True) if scan is not None]
    product = next(scan.product for scan in slots if scan is not None)
    preference = PREFERRED.index(product) if product in PREFERRED else len(PREFERRED)
    return slots.count(None), sum(off, timedelta()), preference, product
