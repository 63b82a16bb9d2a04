"""Quality of a field: statistics that are stored with each scan, and plausibility checks."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ingest.plausibility import FROZEN_SCANS, rate_remark

JUMP: Final = 5.0
"""Largest plausible ratio of the wet-cell means of two scans; wrong units (mm for mm/h: x 12, or dBZ) exceed it."""

JUMP_WITHIN: Final = timedelta(minutes=15)
WET_ENOUGH: Final = 0.002
"""Fraction of wet cells above which their mean is representative."""


@dataclass(frozen=True)
class QualityFacts:
    """Statistics of one field.

    Attributes:
        wet_fraction: fraction of the observed grid cells with any rain, 0 where nothing is observed.
        wet_mean_mmh: mean over the wet cells, 0 where there are none.
        max_mmh: largest rate, 0 where nothing is observed.
        field_digest: hash of the field alone; equal fields of different times have the same.
    """

    wet_fraction: float
    wet_mean_mmh: float
    max_mmh: float
    field_digest: str


def facts_of(rate_mmh_HW: NDArray[np.float32]) -> QualityFacts:
    """Compute the statistics of a field; NaN is "not observed"."""
    wet = rate_mmh_HW[rate_mmh_HW > 0]
    observed = int(np.isfinite(rate_mmh_HW).sum())
    return QualityFacts(
        wet_fraction=wet.size / observed if observed else 0.0,
        wet_mean_mmh=float(wet.mean(dtype=np.float64)) if wet.size else 0.0,
        max_mmh=float(wet.max()) if wet.size else 0.0,
        field_digest=hashlib.blake2b(np.ascontiguousarray(rate_mmh_HW).data, digest_size=16).hexdigest(),
    )


def is_frozen(newest_first: Sequence[QualityFacts]) -> bool:
    """Return whether the newest scans contain identical rain; identical dry fields are not frozen."""
    last = newest_first[:FROZEN_SCANS]
    same = len({facts.field_digest for facts in last}) == 1
    return len(last) == FROZEN_SCANS and same and last[0].max_mmh > 0


def implausible(facts: QualityFacts, before: QualityFacts | None) -> str | None:
    """Return why a field is implausible as a rain rate in mm/h, or None; `before` is the preceding scan, if any."""
    if remark := rate_remark(facts.max_mmh, facts.wet_mean_mmh):
        return remark
    if before is None or min(facts.wet_fraction, before.wet_fraction) < WET_ENOUGH:
        return None
    factor = facts.wet_mean_mmh / before.wet_mean_mmh
    if 1 / JUMP < factor < JUMP:
        return None
    return f"the mean of all wet cells is {factor:.2g} times that of the preceding scan: another unit?"
