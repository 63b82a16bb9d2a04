"""A field at several scales, whatever was observed of it, and how long structures of each scale have lasted."""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field

SCALES_CELLS: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Standard deviations of the blurs; 0 is the field itself."""
KNOWN: Final = 0.3
"""Share of a neighbourhood that has to be observed for its mean to be taken as it is."""
Correlation = NDArray[np.float64]


class Bands(NamedTuple):
    """A field as its blurs and as the differences between them.

    Attributes:
        blurred_SHW: by `SCALES_CELLS`, each filled from the next coarser where little was observed.
        parts_SHW: finest first, the last is the coarsest blur less the mean; their sum and the mean are the field.
        mean: over what was observed.
    """

    blurred_SHW: Float32Field
    parts_SHW: Float32Field
    mean: float


def bands(field_HW: Float32Field) -> Bands:
    """Split a field, NaN where not observed, by scale."""
    blurred_SHW = blurs(field_HW, SCALES_CELLS)
    seen_HW = np.isfinite(field_HW)
    mean = float(field_HW[seen_HW].mean()) if seen_HW.any() else 0.0
    coarser_SHW = np.concatenate([blurred_SHW[1:], np.full_like(blurred_SHW[:1], mean)])
    return Bands(blurred_SHW, blurred_SHW - coarser_SHW, mean)


def blurs(field_HW: Float32Field, scales_cells: tuple[float, ...]) -> Float32Field:
    """Means over neighbourhoods of what was observed, finest first; everywhere finite."""
    seen_HW = np.isfinite(field_HW)
    known_HW = np.where(seen_HW, field_HW, 0.0).astype(np.float32)
    mean = float(known_HW[seen_HW].mean()) if seen_HW.any() else 0.0
    filled_HW, found = np.full(field_HW.shape, mean, np.float32), []
    for scale in sorted(scales_cells, reverse=True):
        weight_HW = blur(seen_HW.astype(np.float32), scale)
        trust_HW = np.clip(weight_HW / KNOWN, 0.0, 1.0)
        filled_HW = trust_HW * blur(known_HW, scale) / np.maximum(weight_HW, 1e-3) + (1.0 - trust_HW) * filled_HW
        found.append(filled_HW)
    return np.stack(found[::-1]).astype(np.float32)


def blur(field_HW: Float32Field, scale_cells: float) -> Float32Field:
    """Gaussian mean, 0 beyond the edge; a wide one on coarser cells."""
    if scale_cells == 0:
        return field_HW
    step = int(scale_cells // 2) if scale_cells >= 4 else 1
    rows, cols = field_HW.shape
    if step == 1 or min(rows, cols) < 4 * step:
        return np.asarray(cv2.GaussianBlur(field_HW, (0, 0), scale_cells, borderType=cv2.BORDER_CONSTANT), np.float32)
    padded_HW = np.pad(field_HW, ((0, -rows % step), (0, -cols % step)))
    small = (padded_HW.shape[1] // step, padded_HW.shape[0] // step)
    coarse_HW = cv2.resize(padded_HW, small, interpolation=cv2.INTER_AREA)
    coarse_HW = cv2.GaussianBlur(coarse_HW, (0, 0), scale_cells / step, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.resize(coarse_HW, padded_HW.shape[::-1])[:rows, :cols], np.float32)


PRIOR_CELLS: Final = 0.02
"""Weight of what is assumed of correlations, beside the variance of what was seen."""


class ScaleCorrelations:
    """Correlations of a field's parts from one step to the next, by scale, as seen in the fields so far.

    Args:
        assumed_S: where nothing was seen.
        highest: bound of a correlation.
    """

    def __init__(self, assumed_S: tuple[float, ...], highest: float) -> None:
        self.assumed_S, self.highest = np.array(assumed_S), highest
        self._products_S = np.zeros(len(assumed_S))
        self._squares_S = np.zeros(len(assumed_S))

    def learn(
        self, before_SHW: Float32Field, after_SHW: Float32Field, both_HW: NDArray[np.bool_], trust: float
    ) -> None:
        """Take in one pair of fields, where both were observed."""
        if np.count_nonzero(both_HW) < 200:
            return
        before_SN, after_SN = before_SHW[:, both_HW].astype(np.float64), after_SHW[:, both_HW]
        self._products_S += trust * (before_SN * after_SN).mean(axis=1)
        self._squares_S += trust * (before_SN**2).mean(axis=1)

    @property
    def correlation_S(self) -> Correlation:
        """By scale, for one step."""
        share_S = (self._products_S + PRIOR_CELLS * self.assumed_S) / (self._squares_S + PRIOR_CELLS)
        return np.asarray(np.clip(share_S, 0.02, self.highest), np.float64)
