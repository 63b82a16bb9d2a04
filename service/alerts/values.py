"""What a forecast and its newest scans say about areas: the highest value of the cells of each, vectorised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.cf import RATE
from service.alerts.cells import Cells
from service.alerts.rule import SUM_MINUTES
from service.forecasts.members import read_amounts
from service.forecasts.netcdf import read_packed, variables_of
from service.forecasts.packing import Packed
from service.forecasts.probabilities import read_packed_probabilities
from service.forecasts.records import StoredForecast, read_rate

CELLS_AT_ONCE: Final = 500_000
"""Cells of areas that are read together: 60 MB of 30 leads."""

LEAST_KNOWN: Final = 0.5
"""Share of an area's cells that must be observed, so that it counts as observed."""


@dataclass(frozen=True, eq=False)
class AreaValues:
    """Highest values over the cells of areas; NaN is unknown.

    Attributes:
        minutes_L: lead times.
        rate_mmh_LP: of the forecast.
        probability_LP: by threshold; rates as 0 and 1 where the forecast has no probabilities.
        is_calibrated: whether they are probabilities.
        observed_mmh_TP: of the scans of the last two hours.
        age_T: their age in minutes at the reference time, descending to 0.
        observed_mm_TP: depth of the last hour, at the scan before and at the newest one.
        sum_probability_P: by depth in mm: of the next hour.
        sums_are_calibrated: whether these are probabilities.
    """

    minutes_L: NDArray[np.int_]
    rate_mmh_LP: Float32Field
    probability_LP: Mapping[float, Float32Field]
    is_calibrated: bool
    observed_mmh_TP: Float32Field
    age_T: NDArray[np.int_]
    observed_mm_TP: Float32Field
    sum_probability_P: Mapping[float, Float32Field]
    sums_are_calibrated: bool


def area_values(
    forecast: StoredForecast,
    areas: Sequence[Cells],
    thresholds_mmh: Mapping[float, Sequence[int]],
    sums_mm: Sequence[float],
) -> AreaValues:
    """Return the values of areas.

    Args:
        forecast: which one.
        areas: cells of each.
        thresholds_mmh: rates, and the indices of the areas in which each is needed.
        sums_mm: depths of the next hour.
    """
    minutes_L = np.array(forecast.lead_minutes)
    rate_mmh_LP = _highest(read_packed_rate(forecast), areas)
    calibrated = _probabilities(forecast, areas, thresholds_mmh)
    probability_LP = calibrated or {mmh: _reached(rate_mmh_LP, mmh) for mmh in thresholds_mmh}
    frames_THW, age_T = observed_frames(forecast)
    whole = Packed(frames_THW)
    depths_THW = observed_depths(frames_THW, age_T) if sums_mm else frames_THW[:0]
    sums, are_calibrated = _sums(forecast, areas, sums_mm)
    return AreaValues(
        minutes_L,
        rate_mmh_LP,
        probability_LP,
        bool(calibrated),
        _highest(whole, areas, LEAST_KNOWN),
        age_T,
        _highest(Packed(depths_THW), areas, LEAST_KNOWN),
        sums,
        are_calibrated,
    )


def read_packed_rate(forecast: StoredForecast) -> Packed:
    """Return the rates of a forecast (L, H, W)."""
    return read_packed(forecast.path, RATE)


def observed_frames(forecast: StoredForecast) -> tuple[Float32Field, NDArray[np.int_]]:
    """Return the frames of the window (T, H, W) in mm/h and their ages in minutes; none where they are not kept."""
    if not forecast.has_inputs or RATE not in variables_of(forecast.inputs_path):
        return np.full((1, *forecast.grid.shape), np.nan, np.float32), np.zeros(1, np.int_)
    frames_THW = read_rate(forecast.inputs_path)
    count = len(frames_THW)
    if forecast.cadence_minutes is None:
        return frames_THW[-1:], np.zeros(1, np.int_)
    return frames_THW, np.arange(count)[::-1] * forecast.cadence_minutes


def observed_depths(frames_THW: Float32Field, age_T: NDArray[np.int_]) -> Float32Field:
    """Return the depth of an hour in mm until the scan before the newest one and until the newest one, (2, H, W)."""
    before = slice(0, max(len(age_T) - 1, 1))
    shifted_T = age_T[before] - age_T[before][-1]
    pairs = ((frames_THW[before], shifted_T), (frames_THW, age_T))
    return np.stack([depth_of(part_THW[ages <= SUM_MINUTES], ages[ages <= SUM_MINUTES]) for part_THW, ages in pairs])


def depth_of(rate_mmh_THW: Float32Field, age_T: NDArray[np.int_]) -> Float32Field:
    """Return the depth in mm by the trapezoid rule; NaN where a frame is missing or the hour is not covered."""
    if len(age_T) < 2 or age_T[0] < SUM_MINUTES:
        return np.full(rate_mmh_THW.shape[1:], np.nan, np.float32)
    depth_HW = np.zeros(rate_mmh_THW.shape[1:], np.float32)
    for before, after in pairwise(range(len(age_T))):
        hours = np.float32((age_T[before] - age_T[after]) / 60)
        depth_HW += (rate_mmh_THW[before] + rate_mmh_THW[after]) / 2 * hours
    return depth_HW


def _probabilities(
    forecast: StoredForecast, areas: Sequence[Cells], thresholds_mmh: Mapping[float, Sequence[int]]
) -> dict[float, Float32Field]:
    """Return the highest probability of each threshold by lead and area; empty where the forecast has none."""
    known = forecast.thresholds_mmh
    if not known:
        return {}
    found: dict[float, Float32Field] = {}
    for mmh, wanted in thresholds_mmh.items():
        low, high, share = _between(known, mmh)
        chosen = [low] if share == 0 else [low, high]
        read = read_packed_probabilities(forecast.path, thresholds=chosen)
        if read is None:
            return {}
        some = [areas[index] for index in wanted]
        parts_P = [_highest(each, some) for each in read[1]]
        mixed_P = parts_P[0] if share == 0 else parts_P[0] * (1 - share) + parts_P[1] * share
        whole_LP = np.full((mixed_P.shape[0], len(areas)), np.nan, np.float32)
        whole_LP[:, list(wanted)] = mixed_P
        found[mmh] = whole_LP
    return found


def _between(known_mmh: Sequence[float], mmh: float) -> tuple[int, int, float]:
    """Return the known thresholds around one, by index, and how far it is from the lower, by its logarithm.

    Beyond the highest one its probability counts, which is an upper bound.
    """
    high = int(np.searchsorted(np.array(known_mmh), mmh * (1 - 1e-6)))
    if high >= len(known_mmh):
        return len(known_mmh) - 1, len(known_mmh) - 1, 0.0
    if high == 0 or np.isclose(known_mmh[high], mmh, rtol=1e-6):
        return high, high, 0.0
    low = high - 1
    return low, high, float(np.log(mmh / known_mmh[low]) / np.log(known_mmh[high] / known_mmh[low]))


def _sums(
    forecast: StoredForecast, areas: Sequence[Cells], sums_mm: Sequence[float]
) -> tuple[dict[float, Float32Field], bool]:
    """Return the probability of each depth in the next hour, and whether it is one: else the rates make 0 and 1."""
    if not sums_mm:
        return {}, True
    amounts = read_amounts(forecast)
    if amounts is not None and SUM_MINUTES in amounts.minutes and set(sums_mm) <= set(amounts.thresholds_mm):
        period_KHW = amounts.probability_SKHW[amounts.minutes.index(SUM_MINUTES)]
        return {
            mm: _highest(Packed(period_KHW[amounts.thresholds_mm.index(mm)][None]), areas)[0] for mm in sums_mm
        }, True
    depth_P = _highest(Packed(_forecast_depth(forecast)[None]), areas)[0]
    return {mm: _reached(depth_P, mm) for mm in sums_mm}, False


def _forecast_depth(forecast: StoredForecast) -> Float32Field:
    """Return the depth of the next hour by the forecast rates; NaN where it is not covered."""
    leads = [index for index, minutes in enumerate(forecast.lead_minutes) if minutes <= SUM_MINUTES]
    now_HW = observed_frames(forecast)[0][-1]
    rates_THW = np.concatenate([now_HW[None], read_rate(forecast.path, leads)])
    minutes = np.array([0, *(forecast.lead_minutes[index] for index in leads)])
    return depth_of(rates_THW, SUM_MINUTES - minutes if minutes[-1] == SUM_MINUTES else minutes[:1])


def _reached(values: Float32Field, threshold: float) -> Float32Field:
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(values), np.float32("nan"), (values >= np.float32(threshold)).astype(np.float32))


def _highest(field: Packed, areas: Sequence[Cells], least_known: float = 0.0) -> Float32Field:
    """Return the highest value over the cells of each area (T, A); NaN without any, or with too few known cells."""
    count = field.shape[0]
    highest_TP = np.full((count, len(areas)), np.nan, np.float32)
    flat = Packed(field.codes.reshape(count, field.shape[1] * field.shape[2]), field.table)
    for some in _groups(areas):
        cells_N = np.concatenate([areas[index] for index in some])
        starts = np.cumsum([0, *(areas[index].size for index in some[:-1])])
        values_TN = flat[:, cells_N]
        found_TP = np.fmax.reduceat(values_TN, starts, axis=1)
        if least_known:
            known_TP: NDArray[Any] = np.add.reduceat(np.isfinite(values_TN), starts, axis=1, dtype=np.int32)
            sizes_P = np.array([areas[index].size for index in some])
            found_TP = np.where(known_TP >= least_known * sizes_P, found_TP, np.float32("nan"))
        highest_TP[:, some] = found_TP
    return highest_TP


def _groups(areas: Sequence[Cells]) -> list[list[int]]:
    """Return the indices of areas with cells, in groups of so few cells that they fit in memory together."""
    groups: list[list[int]] = [[]]
    count = 0
    for index, cells in enumerate(areas):
        if count and count + cells.size > CELLS_AT_ONCE:
            groups.append([])
            count = 0
        if cells.size:
            groups[-1].append(index)
            count += cells.size
    return [group for group in groups if group]
