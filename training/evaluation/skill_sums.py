"""Totals of every score, window by window, so that sums, leads and bootstrap samples are all taken from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.units import MAIN_THRESHOLDS_MMH, THRESHOLDS_MMH
from verification.counts import Counts
from verification.scores import Score
from verification.scores.brier import Brier
from verification.scores.crps import CRPS
from verification.scores.csi import CSI
from verification.scores.fss import FSS
from verification.scores.rate_mae import RateMAE
from verification.scores.reliability import BINS, Reliability, ReliabilityBins

RATES_MMH: Final = THRESHOLDS_MMH[:-1]
FSS_WINDOWS_KM: Final = (17.0, 35.0)
RESAMPLES: Final = 1000
LEAST_CELLS: Final = 2000


def field_scores(pixel_m: float) -> dict[str, Score[Any]]:
    """What a field of rain is scored by."""
    found: dict[str, Score[Any]] = {f"counts_{mmh:g}": CSI(mmh) for mmh in RATES_MMH}
    for mmh in MAIN_THRESHOLDS_MMH:
        for km in FSS_WINDOWS_KM:
            found[f"fss_{mmh:g}_{km:g}"] = FSS.of_km(mmh, km, pixel_m)
    found["mae"] = RateMAE()
    return found


def probability_scores(mmh: float) -> dict[str, Score[Any]]:
    """What the probability of a rate is scored by."""
    return {f"brier_{mmh:g}": Brier(mmh), f"reliability_{mmh:g}": Reliability(mmh)}


@dataclass
class SkillSums:
    """Totals by (model, label, lead), one per window; lead 1 is the first.

    Attributes:
        totals: windows without a compared cell have totals of nothing.
        events: windows of each event, where several were joined.
    """

    totals: dict[tuple[str, str, int], list[Any]] = field(default_factory=dict)
    events: list[int] = field(default_factory=list)

    @classmethod
    def joined(cls, several: Sequence["SkillSums"]) -> "SkillSums":
        """All windows of several events, for pooled scores; the rows that all of them have."""
        keys = [key for key in several[0].totals if all(key in one.totals for one in several)]
        totals = {key: [totals for one in several for totals in one.totals[key]] for key in keys}
        return cls(totals, [one.windows for one in several])

    def add_field(self, model: str, forecast_LHW: Float32Field, observed_LHW: Float32Field, pixel_m: float) -> None:
        """Add one window's field forecast; NaN in either does not count."""
        for label, score in field_scores(pixel_m).items():
            for lead, (forecast_HW, observed_HW) in enumerate(zip(forecast_LHW, observed_LHW, strict=True), start=1):
                self._add((model, label, lead), score.totals(forecast_HW, observed_HW))

    def add_probabilities(
        self, model: str, chance_KLHW: Float32Field, rates_mmh: Sequence[float], observed_LHW: Float32Field
    ) -> None:
        """Add one window's probabilities."""
        for lead, observed_HW in enumerate(observed_LHW, start=1):
            chance_KHW = chance_KLHW[:, lead - 1]
            for mmh in RATES_MMH:
                if mmh in rates_mmh:
                    for label, score in probability_scores(mmh).items():
                        key = (model, label, lead)
                        self._add(key, score.totals(chance_KHW[list(rates_mmh).index(mmh)], observed_HW))
            crps = CRPS(thresholds_mmh=tuple(rates_mmh))
            self._add((model, "crps", lead), crps.totals(chance_KHW, observed_HW))

    def pooled(self, model: str, label: str, leads: Iterable[int], windows: Sequence[int] | None = None) -> Any:
        """Sum over leads and over windows, all of them or those that are named."""
        chosen: list[Any] = []
        for lead in leads:
            every = self.totals[model, label, lead]
            chosen += every if windows is None else [every[number] for number in windows]
        return reduce(add, chosen)

    @property
    def windows(self) -> int:
        """How many were added."""
        return len(next(iter(self.totals.values()), []))

    def resampled(self, block: int) -> list[NDArray[np.int64]]:
        """Windows of each resample for the bootstrap; those of an event stay its own."""
        return resampled(self.events or [self.windows], block=block)

    @property
    def models(self) -> list[str]:
        """In the order in which they came."""
        return list(dict.fromkeys(model for model, _, _ in self.totals))

    def _add(self, key: tuple[str, str, int], totals: Any) -> None:
        self.totals.setdefault(key, []).append(totals)


def counts_interval(
    per_window: Sequence[Counts], score: str, drawn: Sequence[NDArray[np.int64]]
) -> tuple[float, float]:
    """90 % interval of a categorical score over resamples of windows."""
    table_W4 = np.array([[c.hits, c.misses, c.false_alarms, c.correct_negatives] for c in per_window], np.int64)
    values = [Counts(*table_W4[chosen].sum(axis=0).tolist()).value(score) for chosen in drawn]
    return _interval([value for value in values if value is not None])


def reliability_intervals(
    per_window: Sequence[ReliabilityBins], drawn: Sequence[NDArray[np.int64]]
) -> list[tuple[float, float]]:
    """90 % interval of the event's frequency in each bin of probability over resamples of windows."""
    cells_WN, events_WN = (np.array([getattr(one, part) for one in per_window]) for part in ("cells", "events"))
    sums = [(events_WN[chosen].sum(axis=0), cells_WN[chosen].sum(axis=0)) for chosen in drawn]
    return [
        _interval([events_N[number] / cells_N[number] for events_N, cells_N in sums if cells_N[number]])
        for number in range(BINS)
    ]


def resampled(events: Sequence[int], *, block: int, seed: int = 0) -> list[NDArray[np.int64]]:
    """Indices of windows for each resample: of each event blocks of neighbours, as many as make up the whole."""
    random = np.random.default_rng(seed)
    parts, first = [], 0
    for count in events:
        length = max(1, min(block, count))
        starts = random.integers(0, count - length + 1, (RESAMPLES, -(-count // length)))
        parts.append([first + (row[:, None] + np.arange(length)).ravel()[:count] for row in starts])
        first += count
    return [np.concatenate(of_all) for of_all in zip(*parts, strict=True)]


def _interval(values: Sequence[float]) -> tuple[float, float]:
    return (float(np.quantile(values, 0.05)), float(np.quantile(values, 0.95))) if len(values) else (np.nan, np.nan)
