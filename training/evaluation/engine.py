"""Scores of forecasters on a data set: totals by model and lead, summed over clips; values are taken from the sums."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import typer
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from core.arrays import Float32Field
from core.errors import ForecastError
from core.units import MAIN_THRESHOLDS_MMH, THRESHOLDS_MMH
from models.forecaster import Forecaster, NetworkForecaster
from training.datasets import NowcastDataset
from training.evaluation.shared_work import added_up, own_share
from verification.scores import SCORES, CategoricalScore, Score
from verification.scores.fss import FSS

BATCH = 8
FSS_WINDOWS_KM = (20.0, 50.0)


@dataclass(frozen=True)
class Measure:
    """A score, and under which key its totals are kept: scores of one threshold share their counts."""

    score: Score[Any]
    totals_of: str


@dataclass
class Evaluation:
    """Totals by (model, lead, key), and the values of them.

    Attributes:
        measures: by label, such as `mse` or `csi_0.5`.
        lead_steps: forecast frames; their leads are 1 to this.
        totals: lead 0 and below are one-step forecasts of given frames, which only the paper's protocol counts.
    """

    measures: dict[str, Measure]
    lead_steps: int
    clips: int = 0
    totals: dict[tuple[str, int, str], Any] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """In the order in which they were given."""
        return list(dict.fromkeys(model for model, _, _ in self.totals))

    def leads(self, model: str) -> list[int]:
        """All leads that a model has totals of."""
        return sorted({lead for name, lead, _ in self.totals if name == model})

    def add(self, model: str, frames: Float32Field, observed: Float32Field) -> None:
        """Add predicted frames (B, P, C, H, W), the last of them at the last lead, and what was observed then."""
        first = self.lead_steps - frames.shape[1] + 1
        scores = {measure.totals_of: measure.score for measure in self.measures.values()}
        for position in range(frames.shape[1]):
            for totals_of, score in scores.items():
                key = (model, first + position, totals_of)
                new = score.totals(frames[:, position], observed[:, position])
                self.totals[key] = self.totals[key] + new if key in self.totals else new

    def at(self, label: str, model: str, lead: int) -> float:
        """The score at one lead."""
        measure = self.measures[label]
        return measure.score.value(self.totals[model, lead, measure.totals_of])

    def pooled(self, totals_of: str, model: str) -> Any:
        """Totals over the forecast frames."""
        first, *others = (self.totals[model, lead, totals_of] for lead in range(1, self.lead_steps + 1))
        return sum(others, first)

    def overall(self, label: str, model: str) -> float:
        """The headline: the score of the totals over the forecast frames."""
        measure = self.measures[label]
        return measure.score.value(self.pooled(measure.totals_of, model))

    def paper(self, label: str, model: str) -> float | None:
        """The paper's mean over all R = m + n - 1 positions, undefined ones as 0; None without one-step forecasts."""
        leads = self.leads(model)
        if min(leads) > 0:
            return None
        return float(np.mean([np.nan_to_num(self.at(label, model, lead), nan=0.0) for lead in leads]))


def measures_of(dataset: NowcastDataset, thresholds_mmh: Iterable[float] = THRESHOLDS_MMH) -> dict[str, Measure]:
    """The scores that the values of a data set allow."""
    found: dict[str, Measure] = {}
    thresholds_mmh = tuple(thresholds_mmh)
    for name, kind in SCORES.items():
        if kind.takes != ("rain" if dataset.is_rain else "pictures"):
            continue
        if issubclass(kind, CategoricalScore):
            for mmh in thresholds_mmh:
                found[f"{name}_{mmh:g}"] = Measure(kind(threshold_mmh=mmh), counts_key(mmh))
        elif issubclass(kind, FSS):
            for fss in _neighbourhoods(dataset.pixel_m, thresholds_mmh):
                label = f"{name}_{fss.threshold_mmh:g}_{fss.window_cells}"
                found[label] = Measure(fss, label)
        else:
            found[name] = Measure(kind(), name)
    return found


def counts_key(threshold_mmh: float) -> str:
    """Where the counts of a threshold are kept."""
    return f"counts_{threshold_mmh:g}"


def _neighbourhoods(pixel_m: float, thresholds_mmh: tuple[float, ...]) -> Iterator[FSS]:
    for mmh in [mmh for mmh in MAIN_THRESHOLDS_MMH if mmh in thresholds_mmh]:
        for km in FSS_WINDOWS_KM:
            yield FSS.of_km(mmh, km, pixel_m)


def evaluate(
    forecasters: Iterable[Forecaster],
    dataset: NowcastDataset,
    thresholds_mmh: Iterable[float] = THRESHOLDS_MMH,
    *,
    clips: int | None = None,
    one_step: bool = False,
) -> Evaluation:
    """Totals over a data set, or over so many of its clips, evenly spread.

    Cells of rain count where the observation and every input field are there, the same ones for all forecasters.
    Processes that were started together share the clips.

    Args:
        forecasters: their names are the rows.
        dataset: rain or pictures.
        thresholds_mmh: of rain.
        clips: None is all.
        one_step: also the one-step forecasts of given frames, which the paper averages over as well.

    Raises:
        ForecastError: a forecast that is not finite.
    """
    forecasters = list(forecasters)
    result = Evaluation(measures_of(dataset, thresholds_mmh), dataset.lead_steps)
    loader = DataLoader(Subset(dataset, own_share(chosen_clips(len(dataset), clips))), batch_size=BATCH)
    with typer.progressbar(loader, file=sys.stderr) as batches:
        for past_BTCHW, future_BTCHW in batches:
            true_BTCHW = torch.cat([past_BTCHW[:, 1:], future_BTCHW], dim=1).numpy().copy()
            unseen_BCHW = past_BTCHW.isnan().any(dim=1).numpy()
            true_BTCHW[np.broadcast_to(unseen_BCHW[:, None], true_BTCHW.shape)] = np.nan
            for one in forecasters:
                frames_BTCHW = predictions(one, past_BTCHW, dataset.lead_steps, one_step=one_step)
                due_BTCHW = true_BTCHW[:, -frames_BTCHW.shape[1] :]
                if not np.isfinite(frames_BTCHW[np.isfinite(due_BTCHW)]).all():
                    raise ForecastError(f"{one.name} {one.version} gave values that are not finite")
                result.add(one.name, frames_BTCHW, due_BTCHW)
            result.clips += len(past_BTCHW)
    result.totals, result.clips = added_up(result.totals, result.clips)
    return result


def chosen_clips(length: int, clips: int | None) -> list[int]:
    """Indices of so many clips, evenly spread over all; None is all."""
    if clips is None or clips >= length:
        return list(range(length))
    return [int(index) for index in np.linspace(0, length - 1, clips).round()]


def predictions(forecaster: Forecaster, past_BTCHW: Tensor, lead_steps: int, *, one_step: bool) -> Float32Field:
    """Forecast frames (B, P, C, H, W): P = lead_steps, with `one_step` T - 1 one-step forecasts before them.

    A model that gives no one-step forecasts (SimVP, Earthformer) has P = lead_steps all the same.
    """
    if isinstance(forecaster, NetworkForecaster):
        return _of_network(forecaster, past_BTCHW, lead_steps, one_step=one_step)
    clips = [_of_clip(forecaster, past_TCHW.numpy(), lead_steps, one_step=one_step) for past_TCHW in past_BTCHW]
    return np.stack(clips)


def _of_network(forecaster: NetworkForecaster, past_BTCHW: Tensor, lead_steps: int, *, one_step: bool) -> Float32Field:
    model, transform = forecaster.model, forecaster.transform
    every: Any = getattr(model, "predict_all", model) if one_step else model
    with torch.inference_mode():
        value_BTCHW = every(transform.encode(past_BTCHW).to(forecaster.device), lead_steps)
        return np.array(transform.decode(value_BTCHW.float()).cpu().numpy(), np.float32)


def _of_clip(forecaster: Forecaster, past_TCHW: Float32Field, lead_steps: int, *, one_step: bool) -> Float32Field:
    """Each channel alone; where there are too few frames yet for a forecaster, its one step is the newest frame."""
    forecasts = [_by_channel(forecaster, past_TCHW, lead_steps)]
    for given in range(len(past_TCHW) - 1, 0, -1) if one_step else ():
        known_TCHW = past_TCHW[:given]
        enough = given >= forecaster.minimum_steps
        forecasts.insert(0, _by_channel(forecaster, known_TCHW, 1) if enough else known_TCHW[-1:])
    return np.concatenate(forecasts)


def _by_channel(forecaster: Forecaster, past_TCHW: Float32Field, lead_steps: int) -> Float32Field:
    by_channel = [
        forecaster.forecast(np.maximum(past_THW, 0.0), lead_steps).rate_mmh_LHW
        for past_THW in np.moveaxis(past_TCHW, 1, 0)
    ]
    return np.stack(by_channel, axis=1)
