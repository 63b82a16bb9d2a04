"""Scores of the next hour's sum: counts and squared errors by model, mask, threshold, choice of windows and day."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from core.arrays import BoolField, Float32Field
from core.cells import on_grid
from models import Forecaster
from training.catrare.folder import PIXEL_M
from training.catrare.protocol import CADENCE_MINUTES, HOUR_STEPS
from training.catrare.windows import HourWindow
from verification.counts import Counts, contingencies
from verification.scores.brier import Brier, BrierSums
from verification.sums import Sums
from verification.table import MASKS, Mask

Starts = Literal["reached", "every"]
STARTS: Final[tuple[Starts, Starts]] = ("reached", "every")
"""Windows whose observed sum reaches the threshold somewhere, as RainNet2024 has them, and all windows."""

KNOWN_BY: Final = "extrapolation"
"""The forecaster whose known cells are the mask `known` of all rows."""

FAMILIES: Final[Mapping[str, type[Sums]]] = {"counts": Counts, "brier": BrierSums}


@dataclass(frozen=True)
class HourForecast:
    """A forecast of the sum of the next hour.

    Attributes:
        sum_mm_HW: mm; NaN outside the coverage of the newest field. With members the largest sum that at least half of
            them reach, else the sum of the rates.
        known_HW: where the forecast rests on something observed at every lead.
        probability_KHW: share of the members that reach each threshold; None without members.
    """

    sum_mm_HW: Float32Field
    known_HW: BoolField
    probability_KHW: Float32Field | None = None


class HourKey(NamedTuple):
    """What one row of sums is about."""

    model: str
    family: str
    threshold_mm: float
    mask: Mask
    starts: Starts


def next_hour(
    forecaster: Forecaster, past_THW: Float32Field, thresholds_mm: Sequence[float], members: int = 0
) -> HourForecast:
    """Forecast the sum of the next hour from fields five minutes apart."""
    fields = forecaster.forecast(
        past_THW, HOUR_STEPS, cadence_minutes=CADENCE_MINUTES, pixel_m=PIXEL_M, members=members
    )
    known_HW = np.asarray(fields.known_LHW.all(axis=0))
    if fields.members_MLHW is None:
        sum_mm_HW = np.asarray(fields.rate_mmh_LHW.mean(axis=0, dtype=np.float64), np.float32)
        return HourForecast(sum_mm_HW, known_HW)
    sum_mm_MHW = on_grid(fields.members_MLHW.mean(axis=1), fields.probability_grid_factor, known_HW.shape)
    probability_KHW = np.stack([(sum_mm_MHW >= mm).mean(axis=0, dtype=np.float32) for mm in thresholds_mm])
    half = len(sum_mm_MHW) - math.ceil(len(sum_mm_MHW) / 2)
    return HourForecast(np.partition(sum_mm_MHW, half, axis=0)[half], known_HW, probability_KHW)


def window_sums(
    window: HourWindow, forecasts: Mapping[str, HourForecast], thresholds_mm: Sequence[float]
) -> dict[HourKey, Sums]:
    """Return the sums of one window, for `every` window and, of the thresholds that it reaches, for `reached`.

    Cells count where the whole hour is observed, within the coverage of the newest field; in the mask `known` those
    whose origin was observed. A missing value of a forecast counts as dry.
    """
    all_HW = np.isfinite(window.observed_mm_HW) & np.isfinite(window.past_THW[-1])
    masks: dict[Mask, BoolField] = {"all": np.ones(int(all_HW.sum()), np.bool_)}
    masks["known"] = forecasts[KNOWN_BY].known_HW[all_HW]
    observed_N = window.observed_mm_HW[all_HW]
    sums_N = {name: np.nan_to_num(one.sum_mm_HW[all_HW], nan=0.0) for name, one in forecasts.items()}
    found: dict[HourKey, Sums] = {
        HourKey(name, "counts", mm, mask, "every"): counts
        for (name, mask, mm), counts in contingencies(sums_N, observed_N, thresholds_mm, masks).items()
    }
    for name, one in forecasts.items():
        for number, mm in enumerate(thresholds_mm if one.probability_KHW is not None else ()):
            probability_N = one.probability_KHW[number][all_HW]  # type: ignore[index]
            for mask in MASKS:
                sums = Brier(mm).totals(probability_N[masks[mask]], observed_N[masks[mask]])
                found[HourKey(name, "brier", mm, mask, "every")] = sums
    largest_mm = float(observed_N.max(initial=0.0))
    return found | {
        key._replace(starts="reached"): sums for key, sums in found.items() if largest_mm >= key.threshold_mm
    }


@dataclass
class HourScores:
    """Sums of all windows by key and day of the event, and the number of windows.

    Attributes:
        sums: of each day on which an event starts; the memory does not grow with the number of windows.
        windows: number of windows by choice of windows and threshold.
        events: names of the events with a window, by day.
    """

    sums: dict[HourKey, dict[str, Sums]] = field(default_factory=lambda: defaultdict(dict))
    windows: dict[tuple[Starts, float], int] = field(default_factory=lambda: defaultdict(int))
    events: dict[str, list[str]] = field(default_factory=dict)

    def add(self, window: HourWindow, found: Mapping[HourKey, Sums]) -> None:
        """Add the sums of one window."""
        day = window.event.day
        for key, sums in found.items():
            by_day = self.sums[key]
            by_day[day] = by_day[day] + sums if day in by_day else sums
        for starts, mm in {(key.starts, key.threshold_mm) for key in found}:
            self.windows[starts, mm] += 1
        named = self.events.setdefault(day, [])
        if window.event.name not in named:
            named.append(window.event.name)

    @property
    def number(self) -> int:
        """Return the number of all windows."""
        return max(self.windows.values(), default=0)

    def by_day(self, key: HourKey) -> dict[str, Sums]:
        """Return the sums of each day of the choice of windows; days without such a window are absent."""
        return dict(self.sums.get(key, {}))

    def total(self, key: HourKey) -> Any:
        """Return the sums over all days."""
        return reduce(add, self.by_day(key).values(), FAMILIES[key.family]())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as `from_dict` reads them."""
        return {
            "sums": [[*key, day, sums.flat()] for key, by_day in self.sums.items() for day, sums in by_day.items()],
            "windows": [[*key, number] for key, number in self.windows.items()],
            "events": self.events,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "HourScores":
        """Return the scores of `to_dict`'s values."""
        scores = cls()
        for *key, day, flat in values["sums"]:
            one = HourKey(*key)
            scores.sums[one][day] = FAMILIES[one.family].from_flat(flat)
        for starts, mm, number in values["windows"]:
            scores.windows[starts, mm] = number
        scores.events.update({day: list(names) for day, names in values["events"].items()})
        return scores


def score_window(
    window: HourWindow, forecasters: Iterable[tuple[Forecaster, int]], thresholds_mm: Sequence[float]
) -> dict[HourKey, Sums]:
    """Forecast one window with every forecaster, each with its number of members, and return the sums."""
    forecasts = {one.name: next_hour(one, window.past_THW, thresholds_mm, members) for one, members in forecasters}
    return window_sums(window, forecasts, thresholds_mm)
