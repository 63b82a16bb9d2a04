"""The evaluation of data sets: sums of every score by model and lead, of all clips together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from core.arrays import Float32Field
from verification.scores import Score

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
        window: edge of the neighbourhood in grid cells; None for a score without one.
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
) -> dict[str, Measure]:
    """Return every score with every combination of its parameters, by label: `mse`, `csi_0.5`, `fss_0.5_3`.

    Args:
        kinds: names and classes.
        thresholds_mmh: of scores with a threshold.
        pixel_m: edge of a grid cell.
        window_thresholds_mmh: of scores with a threshold and a window, where they are among `thresholds_mmh`.
        windows_km: of scores with a window.
    """
    found = {}
    of_windows = [mmh for mmh in window_thresholds_mmh if mmh in thresholds_mmh]
    for name, kind in kinds:
        chosen = of_windows if kind.has("window_cells") else thresholds_mmh
        for threshold, _, score in kind.variants(chosen, windows_km, pixel_m):
            window = getattr(score, "window_cells", None)
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
        totals: sums of all clips. Lead 0 and below are one-step forecasts of given frames, which only the paper's
            protocol counts.
    """

    measures: dict[str, Measure]
    lead_steps: int
    clips: int = 0
    totals: dict[Key, Any] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """Return the names of the models in the order in which they were added."""
        return list(dict.fromkeys(model for model, _, _ in self.totals))

    def leads(self, model: str) -> list[int]:
        """Return all leads for which a model has sums."""
        return sorted({lead for name, lead, _ in self.totals if name == model})

    def add(self, model: str, frames: Float32Field, observed: Float32Field) -> None:
        """Add predicted frames (B, P, C, H, W), the last of them at the last lead, and the observed ones."""
        first = self.lead_steps - frames.shape[1] + 1
        for position in range(frames.shape[1]):
            for totals_of, score in self._kinds("rain", "pictures"):
                key = (model, first + position, totals_of)
                new = score.totals(frames[:, position], observed[:, position])
                self.totals[key] = self.totals[key] + new if key in self.totals else new

    def pooled(self, totals_of: str, model: str, leads: Iterable[int] | None = None) -> Any:
        """Return the sum over leads; by default over all forecast leads."""
        chosen = range(1, self.lead_steps + 1) if leads is None else leads
        return reduce(add, [self.totals[model, lead, totals_of] for lead in chosen])

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

    def _first(self, *takes: str) -> Iterator[Measure]:
        """Yield one measure of each key of sums."""
        firsts = {measure.totals_of: measure for measure in reversed(self.measures.values())}
        order = dict.fromkeys(measure.totals_of for measure in self.measures.values())
        yield from (firsts[key] for key in order if firsts[key].score.takes in takes)

    def _kinds(self, *takes: str) -> list[tuple[str, Score[Any]]]:
        return [(measure.totals_of, measure.score) for measure in self._first(*takes)]
