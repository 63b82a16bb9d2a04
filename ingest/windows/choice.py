"""The choice of a window's scans among stored ones of several products and grids, before any is read."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

TOLERANCE_MINUTES: Final = 5
"""Largest time between a stored scan and the nominal time for which it is taken."""

PREFERRED: Final = ("RY", "YW", "RV")
"""Order of products that fill a window equally: quality-checked 5-minute rates first, then by name."""


class Timed(Protocol):
    """The properties of a scan that the choice depends on."""

    @property
    def product(self) -> str: ...  # noqa: D102
    @property
    def grid_key(self) -> str: ...  # noqa: D102
    @property
    def valid_time(self) -> datetime: ...  # noqa: D102


Candidate = TypeVar("Candidate", bound=Timed)


def choose(scans: Sequence[Candidate], nominal_times: Sequence[datetime], tolerance: timedelta) -> list[Candidate]:
    """Return the scans nearest to the nominal times, of the product and grid that fills them best.

    Args:
        scans: candidates of any product and grid.
        nominal_times: the last one is the reference time, which needs a scan within the tolerance.
        tolerance: largest time difference of a scan.

    Returns:
        Scans in ascending time; empty without a scan near the reference time.
    """
    families: dict[tuple[str, str], list[Candidate]] = {}
    for scan in scans:
        families.setdefault((scan.product, scan.grid_key), []).append(scan)
    found = [_nearest_each(family, nominal_times, tolerance) for family in families.values()]
    found = [slots for slots in found if slots[-1] is not None]
    if not found:
        return []
    best = min(found, key=lambda slots: _rank(slots, nominal_times))
    return list({scan.valid_time: scan for scan in best if scan is not None}.values())


def _nearest_each(
    family: Sequence[Candidate], nominal_times: Sequence[datetime], tolerance: timedelta
) -> list[Candidate | None]:
    slots: list[Candidate | None] = []
    for time in nominal_times:
        nearest = min(family, key=lambda scan: (abs(scan.valid_time - time), scan.valid_time))
        slots.append(nearest if abs(nearest.valid_time - time) <= tolerance else None)
    return slots


def _rank(slots: Sequence[Candidate | None], nominal_times: Sequence[datetime]) -> tuple[int, timedelta, int, str]:
    off = [abs(scan.valid_time - time) for scan, time in zip(slots, nominal_times, strict=True) if scan is not None]
    product = next(scan.product for scan in slots if scan is not None)
    preference = PREFERRED.index(product) if product in PREFERRED else len(PREFERRED)
    return slots.count(None), sum(off, timedelta()), preference, product
