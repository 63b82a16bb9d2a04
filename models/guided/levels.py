"""Predictors of a window on a pyramid of grids: each scale is blurred first, on cells of about half of its width.

Scales are in kilometres and ages in minutes, so that cells of 0.25 to 10 km and cadences of 5 to 30 minutes share one
set of weights. A lead only carries the finished fields along the motion (`models.guided.trajectories`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from core.arrays import BoolField, Float32Field
from models.guided.advection import warped
from models.guided.statistics import log_rate
from models.guided.trajectories import WIDEST, Trajectories, cells_within

SCALES_KM: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Standard deviations of the Gaussian blurs; 0 is the field itself."""
SHARES_MMH: Final = (0.1, 0.5, 2.0, 5.0, 10.0, 20.0)
"""Thresholds of the shares of a neighbourhood at or above a rate."""
HISTORY_KM: Final = (1.0, 4.0, 16.0)
HOUR: Final = 60.0
FULLY_SEEN: Final = 0.3
"""Share of a neighbourhood that must be observed for its mean to count fully."""


def names_of(scale_km: float) -> tuple[str, ...]:
    """Return the names of the predictors of one scale, in the order of their fields."""
    found = [f"log_{scale_km:g}", *(f"share_{mmh:g}_{scale_km:g}" for mmh in SHARES_MMH)]
    if scale_km in HISTORY_KM:
        found += [f"{what}_{scale_km:g}" for what in ("since_10", "since_30", "hour")]
    return tuple(found)


CARRIED: Final = tuple(name for scale in SCALES_KM for name in names_of(scale))
"""Predictors that are carried along the motion, by scale."""
COVERAGE: Final = ("origin_seen", "origin_seen_8")
WINDOW: Final = ("log_pixel", "log_cadence", "log_wet", "log_heavy", "memory_1", "memory_4", "memory_16", "speed")
"""Numbers that describe the whole window."""


@dataclass(frozen=True)
class ScaleLevel:
    """Predictors of all scales that share one grid.

    Attributes:
        factor: edge of its cells in grid cells, a power of 2.
        scales_km: whose predictors it holds, ascending.
        fields_CHW: the predictors (`names_of`), one scale after the other, everywhere finite.
    """

    factor: int
    scales_km: tuple[float, ...]
    fields_CHW: Float32Field


@dataclass(frozen=True)
class WindowLevels:
    """All predictors of a window.

    Attributes:
        shape: rows and columns of the input.
        carried: levels, finest first; their grids cover a whole number of the coarsest cells.
        seen_CHW: the predictors `COVERAGE` before they are carried, on the padded grid.
        window_G: the numbers `WINDOW`.
    """

    shape: tuple[int, int]
    carried: tuple[ScaleLevel, ...]
    seen_CHW: Float32Field
    window_G: Float32Field


def factor_of(width_km: float, pixel_km: float) -> int:
    """Return the edge of a cell of half the width of a scale, in grid cells: a power of 2, between 1 and `WIDEST`.

    On grid cells below 0.125 km it is smaller, so that the grids of the scales stay 1, 2, 4, ... `WIDEST` cells wide.
    """
    if width_km == 0:
        return 1
    return min(cells_within(width_km, pixel_km), max(round(2 * WIDEST * width_km / SCALES_KM[-1]), 1))


def padded(rate_mmh_THW: Float32Field, pixel_km: float) -> Float32Field:
    """Return fields with NaN added below and to the right, so that every coarse grid fits."""
    step = max(factor_of(scale / 2, pixel_km) for scale in SCALES_KM)
    rows, cols = rate_mmh_THW.shape[1:]
    return np.pad(rate_mmh_THW, ((0, 0), (0, -rows % step), (0, -cols % step)), constant_values=np.nan)


def coarsened(field_HW: Float32Field, factor: int) -> Float32Field:
    """Return means over squares of cells."""
    if factor == 1:
        return field_HW
    rows, cols = field_HW.shape
    return np.asarray(cv2.resize(field_HW, (cols // factor, rows // factor), interpolation=cv2.INTER_AREA), np.float32)


def blurred(field_HW: Float32Field, scale_km: float, pixel_km: float) -> Float32Field:
    """Return the Gaussian mean on the scale's own grid, 0 beyond the edge; the identity for scales within a cell."""
    factor = factor_of(scale_km / 2, pixel_km)
    coarse_HW, cell_km = coarsened(field_HW, factor), factor * pixel_km
    variance = (scale_km**2 - (cell_km**2 - pixel_km**2) / 12) / cell_km**2
    if scale_km < 0.4 * pixel_km or scale_km == 0:
        return coarse_HW
    return np.asarray(
        cv2.GaussianBlur(coarse_HW, (0, 0), float(np.sqrt(variance)), borderType=cv2.BORDER_CONSTANT), np.float32
    )


def smoothed_SCHW(
    fields_CHW: Sequence[Float32Field], seen_HW: BoolField, scales_km: Sequence[float], pixel_km: float
) -> list[Float32Field]:
    """Return the means of the observed cells at several scales, each on its grid, in the order of the scales.

    Where little was observed, the next coarser scale counts; at the coarsest the mean of the field.
    """
    weight_HW = seen_HW.astype(np.float32)
    known = [np.where(seen_HW, field_HW, np.float32(0.0)) for field_HW in fields_CHW]
    total = max(float(weight_HW.sum()), 1.0)
    filled = [np.full((1, 1), float(field_HW.sum()) / total, np.float32) for field_HW in known]
    found: list[Float32Field] = []
    for scale in sorted(scales_km, reverse=True):
        share_HW = blurred(weight_HW, scale, pixel_km)
        trust_HW = np.clip(share_HW / np.float32(FULLY_SEEN), 0.0, 1.0)
        size = share_HW.shape[::-1]
        filled = [
            trust_HW * blurred(field_HW, scale, pixel_km) / np.maximum(share_HW, np.float32(1e-3))
            + (1 - trust_HW) * cv2.resize(coarse_HW, size, interpolation=cv2.INTER_LINEAR)
            for field_HW, coarse_HW in zip(known, filled, strict=True)
        ]
        found.append(np.stack(filled))
    return found[::-1]


def window_levels(
    rate_mmh_THW: Float32Field, shape: tuple[int, int], paths: Trajectories, cadence_minutes: float, pixel_km: float
) -> WindowLevels:
    """Return the predictors of a window.

    Args:
        rate_mmh_THW: padded fields (`padded`), NaN where not observed, the newest last.
        shape: rows and columns without the padding.
        paths: of the same fields.
        cadence_minutes: spacing of the fields.
        pixel_km: edge of a cell.
    """
    newest_HW = rate_mmh_THW[-1]
    seen_HW = np.isfinite(newest_HW)
    log_HW = log_rate(newest_HW)
    shares = [(newest_HW >= np.float32(mmh)).astype(np.float32) for mmh in SHARES_MMH]
    now = smoothed_SCHW([log_HW, *shares], seen_HW, SCALES_KM, pixel_km)
    history = _history(rate_mmh_THW, log_HW, paths, cadence_minutes, pixel_km)
    levels: dict[int, list[tuple[float, Float32Field]]] = {}
    for scale, fields_CHW in zip(SCALES_KM, now, strict=True):
        more = [history.by_scale[scale]] if scale in HISTORY_KM else []
        levels.setdefault(factor_of(scale / 2, pixel_km), []).append((scale, np.concatenate([fields_CHW, *more])))
    carried = tuple(
        ScaleLevel(factor, tuple(scale for scale, _ in pairs), np.concatenate([fields for _, fields in pairs]))
        for factor, pairs in sorted(levels.items())
    )
    weight_HW = seen_HW.astype(np.float32)
    soft_HW = cv2.resize(blurred(weight_HW, 8.0, pixel_km), weight_HW.shape[::-1])
    numbers = (np.log(pixel_km), np.log(cadence_minutes / 10), *_wetness(newest_HW[seen_HW]), *history.memory)
    return WindowLevels(
        shape,
        carried,
        np.stack([weight_HW, soft_HW]),
        np.array([*numbers, paths.mean_speed_kmh(pixel_km) / 50], np.float32),
    )


def _wetness(rate_mmh_N: Float32Field) -> tuple[float, float]:
    """Return the logarithms of the shares of observed cells with rain and with heavy rain."""
    if not rate_mmh_N.size:
        return (float(np.log(1e-3)),) * 2
    return tuple(float(np.log(1e-3 + (rate_mmh_N >= mmh).mean())) for mmh in (0.1, 5.0))  # type: ignore[return-value]


@dataclass(frozen=True)
class _History:
    """What older fields add: differences to the newest by scale, and correlations over about ten minutes."""

    by_scale: dict[float, Float32Field]
    memory: tuple[float, ...]


def _history(
    rate_mmh_THW: Float32Field, log_HW: Float32Field, paths: Trajectories, cadence_minutes: float, pixel_km: float
) -> _History:
    """Compare older fields, carried to the newest time, with the newest field."""
    ages = [steps for steps in _ages(cadence_minutes) if steps < len(rate_mmh_THW)]
    shape = (log_HW.shape[0], log_HW.shape[1])
    older = {age: warped(log_rate(rate_mmh_THW[-1 - age]), paths.back_CHW(age, shape, 1)) for age in ages}
    recent, half_hour = _age(10, cadence_minutes), _age(30, cadence_minutes)
    stack = np.stack([log_HW, *older.values()])
    count_HW = np.isfinite(stack).sum(axis=0)
    hour_HW = np.nansum(stack, axis=0) / np.maximum(count_HW, 1).astype(np.float32)
    changes = []
    for field_HW in (older.get(recent), older.get(half_hour), hour_HW):
        change_HW = np.zeros_like(log_HW) if field_HW is None else log_HW - field_HW
        changes.append(np.nan_to_num(change_HW, nan=0.0))
    seen_HW = np.isfinite(log_HW)
    by_scale = dict(zip(HISTORY_KM, smoothed_SCHW(changes, seen_HW, HISTORY_KM, pixel_km), strict=True))
    memory = _memory(log_HW, older.get(recent), recent * cadence_minutes, pixel_km)
    return _History(by_scale, memory)


def _age(minutes: float, cadence_minutes: float) -> int:
    """Return the number of steps nearest to an age, at least 1."""
    return max(round(minutes / cadence_minutes), 1)


def _ages(cadence_minutes: float) -> list[int]:
    """Return the ages in steps whose fields count for the mean of the last hour."""
    return sorted({_age(minutes, cadence_minutes) for minutes in range(10, int(HOUR) + 1, 10)})


def _memory(log_HW: Float32Field, older_HW: Float32Field | None, minutes: float, pixel_km: float) -> tuple[float, ...]:
    """Return the correlation along the motion over ten minutes, by scale; 0.8 where it cannot be estimated."""
    if older_HW is None:
        return (0.8,) * len(HISTORY_KM)
    both_HW = np.isfinite(log_HW) & np.isfinite(older_HW)
    pairs = smoothed_SCHW([log_HW, older_HW], both_HW, HISTORY_KM, pixel_km)
    found = []
    for (now_HW, then_HW), scale in zip(pairs, HISTORY_KM, strict=True):
        chosen = coarsened(both_HW.astype(np.float32), factor_of(scale / 2, pixel_km)) > 0.5
        now_N, then_N = now_HW[chosen].astype(np.float64), then_HW[chosen].astype(np.float64)
        if now_N.size < 30 or now_N.std() < 1e-3 or then_N.std() < 1e-3:
            found.append(0.8)
        else:
            correlation = float(np.clip(np.corrcoef(now_N, then_N)[0, 1], 0.05, 0.999))
            found.append(correlation ** (10 / minutes))
    return tuple(found)
