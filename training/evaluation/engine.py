"""The evaluation engine: sums of every score by model and lead, of all clips together or window by window."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from verification.scores import SCORES, Score
from verification.scores.reliability import BINS, ReliabilityBins
from verification.sums import Sums

RESAMPLES: Final = 1000
Key = tuple[str, int, str]
"""Model, lead, and key of the sums."""


@dataclass(frozen=True)
class Measure:
    """A score with its parameters.

    Attributes:
        name: registered name of the score.
        score: with its parameters.
        totals_of: key of its sums, which scores of one family and parameters share.
        threshold_mmh: of the event; None for a score without one.
        window: edge of the neighbourhood as in the label, in km or grid cells; None for a score without one.
    """

    name: str
    score: Score[Any]
    totals_of: str
    threshold_mmh: float | None = None
    window: float | None = None


def measures(
    kinds: Iterable[tuple[str, type[Score[Any]]]],
    thresholds_mmh: Sequence[float],
    pixel_m: float,
    *,
    window_thresholds_mmh: Sequence[float] = (),
    windows_km: Sequence[float] = (),
    labels_in_km: bool = False,
) -> dict[str, Measure]:
    """Return every score with every combination of its parameters, by label: `mse`, `csi_0.5`, `fss_0.5_3`.

    Args:
        kinds: names and classes.
        thresholds_mmh: of scores with a threshold.
        pixel_m: edge of a grid cell.
        window_thresholds_mmh: of scores with a threshold and a window, where they are among `thresholds_mmh`.
        windows_km: of scores with a window.
        labels_in_km: whether a label has the window in km, else in grid cells.
    """
    found = {}
    of_windows = [mmh for mmh in window_thresholds_mmh if mmh in thresholds_mmh]
    for name, kind in kinds:
        chosen = of_windows if kind.has("window_cells") else thresholds_mmh
        for threshold, window_km, score in kind.variants(chosen, windows_km, pixel_m):
            window = window_km if labels_in_km else getattr(score, "window_cells", None)
            parameters = [f"{number:g}" for number in (threshold, window) if number is not None]
            totals_of = "_".join([kind.family or name, *parameters])
            found["_".join([name, *parameters])] = Measure(name, score, totals_of, threshold, window)
    return found


def categorical(found: dict[str, Measure], threshold_mmh: float) -> dict[str, Measure]:
    """Return the measures of the four counts at a threshold, by the name of the score."""
    key = counts_key(threshold_mmh)
    return {measure.name: measure for measure in found.values() if measure.totals_of == key}


def counts_key(threshold_mmh: float) -> str:
    """Return the key of the counts of a threshold."""
    return f"counts_{threshold_mmh:g}"


@dataclass
class Evaluation:
    """Sums by (model, lead, key), and the scores that are taken from them.

    Attributes:
        measures: by label.
        lead_steps: number of forecast frames; their leads are 1 to this.
        clips: number of clips of a data set.
        totals: one entry, or one per window if these are kept apart. Lead 0 and below are one-step forecasts of given
            frames, which only the paper's protocol counts.
        events: number of windows of each event, if several were joined.
    """

    measures: dict[str, Measure]
    lead_steps: int
    clips: int = 0
    totals: dict[Key, list[Sums]] = field(default_factory=dict)
    events: list[int] = field(default_factory=list)

    @classmethod
    def joined(cls, several: Sequence[Self]) -> Self:
        """Return all windows of several events, for pooled scores; only the rows that all of them have."""
        keys = [key for key in several[0].totals if all(key in one.totals for one in several)]
        totals = {key: [sums for one in several for sums in one.totals[key]] for key in keys}
        first = several[0]
        return cls(first.measures, first.lead_steps, 0, totals, [one.windows for one in several])

    @property
    def models(self) -> list[str]:
        """Return the names of the models in the order in which they were added."""
        return list(dict.fromkeys(model for model, _, _ in self.totals))

    @property
    def windows(self) -> int:
        """Return the number of windows that are kept apart."""
        return len(next(iter(self.totals.values()), []))

    def leads(self, model: str) -> list[int]:
        """Return all leads for which a model has sums."""
        return sorted({lead for name, lead, _ in self.totals if name == model})

    def has(self, label: str, model: str) -> bool:
        """Return whether a model has sums for a score."""
        return (model, 1, self.measures[label].totals_of) in self.totals

    def add(self, model: str, frames: Float32Field, observed: Float32Field) -> None:
        """Add predicted frames (B, P, C, H, W), the last of them at the last lead, and the observed ones."""
        first = self.lead_steps - frames.shape[1] + 1
        for position in range(frames.shape[1]):
            for totals_of, score in self._kinds("rain", "pictures"):
                key = (model, first + position, totals_of)
                new = score.totals(frames[:, position], observed[:, position])
                self.totals[key] = [self.totals[key][0] + new if key in self.totals else new]

    def add_window(self, model: str, forecast_LHW: Float32Field, observed_LHW: Float32Field) -> None:
        """Add the deterministic forecast of one window; NaN on either side does not count."""
        for totals_of, score in self._kinds("rain"):
            for lead, (forecast_HW, observed_HW) in enumerate(zip(forecast_LHW, observed_LHW, strict=True), start=1):
                self.totals.setdefault((model, lead, totals_of), []).append(score.totals(forecast_HW, observed_HW))

    def add_probabilities(
        self, model: str, probability_KLHW: Float32Field, thresholds_mmh: Sequence[float], observed_LHW: Float32Field
    ) -> None:
        """Add the exceedance probabilities of one window."""
        for measure in self._first("probabilities"):
            score, one = measure.score, measure.threshold_mmh
            if one is not None and one not in thresholds_mmh:
                continue
            if score.has("thresholds_mmh"):
                score = type(score)(thresholds_mmh=tuple(thresholds_mmh))  # type: ignore[call-arg]
            chosen = slice(None) if one is None else list(thresholds_mmh).index(one)
            for lead, observed_HW in enumerate(observed_LHW, start=1):
                new = score.totals(probability_KLHW[chosen, lead - 1], observed_HW)
                self.totals.setdefault((model, lead, measure.totals_of), []).append(new)

    def pooled(
        self, totals_of: str, model: str, leads: Iterable[int] | None = None, windows: Sequence[int] | None = None
    ) -> Any:
        """Return the sum over leads and windows; by default over all forecast leads and all windows."""
        chosen: list[Any] = []
        for lead in range(1, self.lead_steps + 1) if leads is None else leads:
            every = self.totals[model, lead, totals_of]
            chosen += every if windows is None else [every[number] for number in windows]
        return reduce(add, chosen)

    def per_window(self, totals_of: str, model: str) -> list[Any]:
        """Return the sum over the forecast leads of each window."""
        return [self.pooled(totals_of, model, windows=[number]) for number in range(self.windows)]

    def at(self, label: str, model: str, lead: int) -> float:
        """Return the score at one lead; NaN where it is undefined."""
        measure = self.measures[label]
        return float(measure.score.value(self.pooled(measure.totals_of, model, [lead])))

    def overall(self, label: str, model: str) -> float:
        """Return the headline: the score of the sums over the forecast frames; NaN where it is undefined."""
        measure = self.measures[label]
        return float(measure.score.value(self.pooled(measure.totals_of, model)))

    def paper(self, label: str, model: str) -> float | None:
        """Return the paper's mean over all R = m + n - 1 positions, undefined ones as 0; None without one-step ones."""
        leads = self.leads(model)
        if min(leads) > 0:
            return None
        return float(np.mean([np.nan_to_num(self.at(label, model, lead), nan=0.0) for lead in leads]))

    def resampled(self, block: int) -> list[NDArray[np.int64]]:
        """Return the windows of each bootstrap resample; windows are drawn within their event."""
        return resampled(self.events or [self.windows], block=block)

    def _first(self, *takes: str) -> Iterator[Measure]:
        """Yield one measure of each key of sums."""
        firsts = {measure.totals_of: measure for measure in reversed(self.measures.values())}
        order = dict.fromkeys(measure.totals_of for measure in self.measures.values())
        yield from (firsts[key] for key in order if firsts[key].score.takes in takes)

    def _kinds(self, *takes: str) -> list[tuple[str, Score[Any]]]:
        return [(measure.totals_of, measure.score) for measure in self._first(*takes)]


def score_interval(per_window: Sequence[Sums], name: str, drawn: Sequence[NDArray[np.int64]]) -> tuple[float, float]:
    """Return the 90 % interval of a score over resamples of windows; NaN if it is never defined."""
    score, kind = SCORES.get(name)(), type(per_window[0])
    table_WN = np.array([one.flat() for one in per_window], np.int64)
    values = [score.value(kind.from_flat(table_WN[chosen].sum(axis=0).tolist())) for chosen in drawn]
    return _interval([value for value in values if np.isfinite(value)])


def reliability_intervals(
    per_window: Sequence[ReliabilityBins], drawn: Sequence[NDArray[np.int64]]
) -> list[tuple[float, float]]:
    """Return the 90 % interval of the event's frequency in each bin of probability over resamples of windows."""
    cells_WN, events_WN = (np.array([getattr(one, part) for one in per_window]) for part in ("cells", "events"))
    sums = [(events_WN[chosen].sum(axis=0), cells_WN[chosen].sum(axis=0)) for chosen in drawn]
    return [
        _interval([events_N[number] / cells_N[number] for events_N, cells_N in sums if cells_N[number]])
        for number in range(BINS)
    ]


def resampled(events: Sequence[int], *, block: int, seed: int = 0) -> list[NDArray[np.int64]]:
    """Return indices of windows for each resample: blocks of neighbours from each event, as many as it has."""
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
