"""Predictors of a statistical model: fields carried to a lead time, at several scales and damped by their age.

A field is split into bands by scale, and the persistence of each band is estimated from the input window itself.
"""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field, Float64Field
from models.guided.advection import FORGETTING, Displacement, displacements_LCHW, motion_CHW, warped

SCALES_CELLS: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Standard deviations of the Gaussian blurs in cells; 0 is the field itself."""
KNOWN: Final = 0.3
"""Share of a neighbourhood that must be observed for its mean to count fully."""
EVENTS_MMH: Final = (0.5, 2.0, 5.0)
EVENT_SCALES: Final = (1.0, 2.0, 4.0, 8.0)
TREND_SCALES: Final = (1.0, 4.0, 8.0)
LAGS: Final = (1, 2)
CARRIED: Final = (0.27, 0.45, 0.63, 0.72, 0.81, 0.87)
"""Prior correlation over one step along the motion, by scale; `IN_PLACE` is that without motion."""
IN_PLACE: Final = (0.18, 0.3, 0.42, 0.48, 0.54, 0.58)
NAMES: Final = (
    *(f"carried_{scale:g}" for scale in SCALES_CELLS),
    *("damped", "damped_in_place", "damped_over_spread", "damped_in_place_over_spread"),
    *(f"share_{mmh:g}_{scale:g}" for mmh in EVENTS_MMH for scale in EVENT_SCALES),
    *("covered", "covered_6"),
    *(f"{what}_{lag}" for lag in LAGS for what in ("before", *(f"trend_{scale:g}" for scale in TREND_SCALES))),
    *("in_place_0", "in_place_2", "speed", "inverse_spread", "spread", "lead_step", "log_lead_hours"),
)
PRIOR_CELLS: Final = 0.02
"""Weight of the prior correlations relative to the variance that was observed."""


class Bands(NamedTuple):
    """A field as its blurs and as the differences between them.

    Attributes:
        blurred_SHW: by `SCALES_CELLS`, each filled from the next coarser where little was observed.
        parts_SHW: finest first, the last is the coarsest blur minus the mean; their sum plus the mean is the field.
        mean: over the observed cells.
    """

    blurred_SHW: Float32Field
    parts_SHW: Float32Field
    mean: float


def bands(field_HW: Float32Field) -> Bands:
    """Split a field, NaN where not observed, into bands by scale."""
    blurred_SHW = blurs(field_HW, SCALES_CELLS)
    seen_HW = np.isfinite(field_HW)
    mean = float(field_HW[seen_HW].mean()) if seen_HW.any() else 0.0
    coarser_SHW = np.concatenate([blurred_SHW[1:], np.full_like(blurred_SHW[:1], mean)])
    return Bands(blurred_SHW, blurred_SHW - coarser_SHW, mean)


def blurs(field_HW: Float32Field, scales_cells: tuple[float, ...]) -> Float32Field:
    """Return means over neighbourhoods of the observed cells, finest first; everywhere finite."""
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
    """Return the Gaussian mean, with 0 beyond the edge; wide ones are computed on coarser cells."""
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


class ScaleCorrelations:
    """Correlations of a field's bands from one step to the next, estimated from the pairs of fields so far.

    Args:
        assumed_S: prior correlations, which count where little was observed.
        highest: upper bound of a correlation.
    """

    def __init__(self, assumed_S: tuple[float, ...], highest: float) -> None:
        self.assumed_S, self.highest = np.array(assumed_S), highest
        self._products_S = np.zeros(len(assumed_S))
        self._squares_S = np.zeros(len(assumed_S))

    def learn(
        self, before_SHW: Float32Field, after_SHW: Float32Field, both_HW: NDArray[np.bool_], trust: float
    ) -> None:
        """Add one pair of fields to the estimate, at the cells where both were observed."""
        if np.count_nonzero(both_HW) < 200:
            return
        before_SN, after_SN = before_SHW[:, both_HW].astype(np.float64), after_SHW[:, both_HW]
        self._products_S += trust * (before_SN * after_SN).mean(axis=1)
        self._squares_S += trust * (before_SN**2).mean(axis=1)

    @property
    def correlation_S(self) -> Float64Field:
        """Return the correlation over one step, by scale."""
        share_S = (self._products_S + PRIOR_CELLS * self.assumed_S) / (self._squares_S + PRIOR_CELLS)
        return np.asarray(np.clip(share_S, 0.02, self.highest), np.float64)


def log_rate(rate_mmh: Float32Field) -> Float32Field:
    """Return ln(1 + R / 0.1 mm/h); NaN stays NaN."""
    return np.asarray(np.log1p(rate_mmh / np.float32(0.1)), np.float32)


class WindowAnalysis(NamedTuple):
    """Properties of the input window that do not depend on the lead.

    Attributes:
        rate_mmh_THW: the input fields.
        back_LCHW: displacements of 1, 2, ... steps.
        newest: the newest field's bands.
        carried, in_place: correlations along the motion and without it.
        speed_HW: cells per step, divided by 8.
    """

    rate_mmh_THW: Float32Field
    back_LCHW: Displacement
    newest: Bands
    carried: ScaleCorrelations
    in_place: ScaleCorrelations
    speed_HW: Float32Field


def predictors_LFHW(rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: float) -> Float32Field:
    """Return the predictors `NAMES` for each lead, (lead_steps, F, H, W), everywhere finite.

    Args:
        rate_mmh_THW: mm/h, NaN where not observed; the newest last.
        lead_steps: number of leads, multiples of the cadence.
        cadence_minutes: spacing of the fields.
    """
    motion = motion_CHW(rate_mmh_THW)
    back_LCHW = displacements_LCHW(motion, lead_steps + max(LAGS))
    speed_HW = np.hypot(motion[0], motion[1]).astype(np.float32) / 8
    carried, in_place = ScaleCorrelations(CARRIED, 0.995), ScaleCorrelations(IN_PLACE, 0.99)
    newest = _learn(rate_mmh_THW, back_LCHW[0], carried, in_place)
    known = WindowAnalysis(rate_mmh_THW, back_LCHW, newest, carried, in_place, speed_HW)
    return np.stack([_at_lead(known, lead, cadence_minutes) for lead in range(1, lead_steps + 1)])


def _learn(
    rate_mmh_THW: Float32Field, back_CHW: Displacement, carried: ScaleCorrelations, in_place: ScaleCorrelations
) -> Bands:
    """Estimate the correlations from all neighbouring fields; return the newest field's bands."""
    logs_THW = log_rate(rate_mmh_THW)
    before = bands(logs_THW[0])
    for t in range(1, len(logs_THW)):
        after = bands(logs_THW[t])
        seen_HW, trust = np.isfinite(logs_THW[t]), FORGETTING ** (len(logs_THW) - 1 - t)
        if seen_HW.any() and np.isfinite(logs_THW[t - 1]).any():
            moved_HW = log_rate(warped(rate_mmh_THW[t - 1], back_CHW))
            carried.learn(bands(moved_HW).parts_SHW, after.parts_SHW, seen_HW & np.isfinite(moved_HW), trust)
            both_HW = seen_HW & np.isfinite(logs_THW[t - 1])
            in_place.learn(before.parts_SHW, after.parts_SHW, both_HW, trust)
        before = after
    return before


def _at_lead(known: WindowAnalysis, lead: int, cadence_minutes: float) -> Float32Field:
    moved_HW = warped(known.rate_mmh_THW[-1], known.back_LCHW[lead - 1])
    seen_HW = np.isfinite(moved_HW)
    now = bands(log_rate(moved_HW))
    fields = [*now.blurred_SHW, *_damped(known, now, lead)]
    for mmh in EVENTS_MMH:
        event_HW = np.where(seen_HW, (moved_HW >= mmh).astype(np.float32), np.float32(np.nan))
        fields += list(blurs(event_HW, EVENT_SCALES))
    fields += [seen_HW.astype(np.float32), blur(seen_HW.astype(np.float32), 6.0)]
    for lag in LAGS:
        fields += _trend(known, now, lead, lag)
    fields += [known.newest.blurred_SHW[0], known.newest.blurred_SHW[2], known.speed_HW]
    spread = _spread(known, lead)
    for number in (1 / spread, spread, lead / 5, np.log(lead * cadence_minutes / 60)):
        fields.append(np.full(moved_HW.shape, number, np.float32))
    return np.stack(fields).astype(np.float32)


def _damped(known: WindowAnalysis, now: Bands, lead: int) -> list[Float32Field]:
    """Damp each scale by its own correlation (as S-PROG, Seed 2003), along the motion and in place."""
    spread, newest = np.float32(_spread(known, lead)), known.newest
    sums = [
        newest.mean + np.tensordot((memory.correlation_S**lead).astype(np.float32), parts_SHW, 1)
        for memory, parts_SHW in ((known.carried, now.parts_SHW), (known.in_place, newest.parts_SHW))
    ]
    return [*sums, *(field_HW / spread for field_HW in sums)]


def _spread(known: WindowAnalysis, lead: int) -> float:
    """Return the standard deviation of the part that has decayed."""
    seen_HW = np.isfinite(known.rate_mmh_THW[-1])
    variance_S = (
        np.square(known.newest.parts_SHW[:, seen_HW]).mean(axis=1) if seen_HW.any() else np.ones(len(SCALES_CELLS))
    )
    return float(np.sqrt(((1 - known.carried.correlation_S ** (2 * lead)) * variance_S).sum() + 0.01))


def _trend(known: WindowAnalysis, now: Bands, lead: int, lag: int) -> list[Float32Field]:
    """Return an older field advected to the lead, and the growth of the newest over it; 0 where it is missing."""
    here = now.blurred_SHW[[SCALES_CELLS.index(scale) for scale in TREND_SCALES]]
    older = here
    if len(known.rate_mmh_THW) > lag and np.isfinite(known.rate_mmh_THW[-1 - lag]).any():
        moved_HW = warped(known.rate_mmh_THW[-1 - lag], known.back_LCHW[lead + lag - 1])
        older = blurs(log_rate(moved_HW), TREND_SCALES)
    return [older[0], *(here - older)]
