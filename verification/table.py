"""The table of sums in memory: rows by model, version, lead, threshold, window and mask, of all scores alike."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from verification.sums import Sums

Mask = Literal["all", "known"]
MASKS: Final[tuple[Mask, Mask]] = ("all", "known")


@dataclass(frozen=True)
class SumRow:
    """Sums of one model at one lead.

    Attributes:
        model: name of the forecaster.
        lead_minutes: lead time.
        family: name of the sums: `counts`, which all categorical scores share, else the name of the score.
        sums: the columns, a `Sums` whose class is given by the family; typed as Any so that readers need no check.
        threshold_mmh: of the event; None for a score without one.
        window_km: edge of the neighbourhood; None for a score without one.
        mask: `all` observed grid cells, or those whose forecast is `known` to rest on an observation.
        version: of the model; None for several together.
        period_minutes: of amounts in mm, which end at the lead; the threshold is in mm then. None for rates in mm/h.
    """

    model: str
    lead_minutes: int
    family: str
    sums: Any
    threshold_mmh: float | None = None
    window_km: float | None = None
    mask: Mask = "all"
    version: str | None = None
    period_minutes: int | None = None


def of_family(rows: Iterable[SumRow], family: str, mask: Mask = "all") -> list[SumRow]:
    """Return the rows of one family and mask, in their order."""
    return [row for row in rows if row.family == family and row.mask == mask]


def pooled(rows: Iterable[SumRow]) -> list[SumRow]:
    """Sum rows that differ in the version only, in the order of their first."""
    found: dict[SumRow, SumRow] = {}
    for row in rows:
        key = replace(row, version=None, sums=Sums())
        before = found.get(key)
        if before is None:
            found[key] = row
        else:
            version = row.version if row.version == before.version else None
            found[key] = replace(row, sums=before.sums + row.sums, version=version)
    return list(found.values())
