"""Scores of forecasters on a data set: sums over its clips by model and lead."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from core.arrays import Float32Field
from core.errors import ForecastError
from core.progress import Progress
from core.units import MAIN_THRESHOLDS_MMH, THRESHOLDS_MMH
from models.forecaster import Forecaster, NetworkForecaster
from training.datasets import NowcastDataset
from training.evaluation.engine import Evaluation, Measure, measures
from training.evaluation.shared_work import added_up, own_share
from verification.scores import SCORES

BATCH = 8
OWN_SCALE: Final[Mapping[str, Any]] = MappingProxyType({})
ForecastSteps = Callable[[Float32Field, int], Float32Field]
FSS_WINDOWS_KM = (20.0, 50.0)


def measures_of(dataset: NowcastDataset, thresholds_mmh: Iterable[float] = THRESHOLDS_MMH) -> dict[str, Measure]:
    """Return the scores that the values of a data set allow, by label."""
    takes = "rain" if dataset.is_rain else "pictures"
    return measures(
        [(name, kind) for name, kind in SCORES.items() if kind.takes == takes],
        tuple(thresholds_mmh),
        dataset.pixel_m,
        window_thresholds_mmh=MAIN_THRESHOLDS_MMH,
        windows_km=FSS_WINDOWS_KM,
    )


def evaluate(
    forecasters: Iterable[Forecaster],
    dataset: NowcastDataset,
    thresholds_mmh: Iterable[float] = THRESHOLDS_MMH,
    *,
    clips: int | None = None,
    one_step: bool = False,
) -> Evaluation:
    """Return the sums over a data set, or over N of its clips, evenly spread.

    Grid cells of rain count if the observation and every input field have a value, the same cells for all forecasters.
    Processes of one launcher share the clips.

    Args:
        forecasters: their names are the rows.
        dataset: rain or pictures.
        thresholds_mmh: of rain.
        clips: None takes all.
        one_step: also the one-step forecasts of given frames, over which the paper averages as well.

    Raises:
        ForecastError: a forecast that is not finite.
    """
    forecasters = list(forecasters)
    result = Evaluation(measures_of(dataset, thresholds_mmh), dataset.lead_steps)
    loader = DataLoader(Subset(dataset, own_share(chosen_clips(len(dataset), clips))), batch_size=BATCH)
    with Progress(len(loader.dataset), "clip") as progress:  # type: ignore[arg-type]
        for past_BTCHW, future_BTCHW in loader:
            true_BTCHW = torch.cat([past_BTCHW[:, 1:], future_BTCHW], dim=1).numpy().copy()
            unseen_BCHW = past_BTCHW.isnan().any(dim=1).numpy()
            true_BTCHW[np.broadcast_to(unseen_BCHW[:, None], true_BTCHW.shape)] = np.nan
            for one in forecasters:
                scale = scale_of(dataset) if one.any_scale else {}
                frames_BTCHW = predictions(one, past_BTCHW, dataset.lead_steps, one_step=one_step, scale=scale)
                seen_BTCHW = true_BTCHW[:, -frames_BTCHW.shape[1] :]
                if not np.isfinite(frames_BTCHW[np.isfinite(seen_BTCHW)]).all():
                    raise ForecastError(f"{one.name} {one.version} returned values that are not finite")
                result.add(one.name, frames_BTCHW, seen_BTCHW)
            result.clips += len(past_BTCHW)
            progress.step(count=len(past_BTCHW))
    result.totals, result.clips = added_up(result.totals, result.clips)
    return result


def chosen_clips(length: int, clips: int | None) -> list[int]:
    """Return the indices of N clips, evenly spread over all; None is all."""
    if clips is None or clips >= length:
        return list(range(length))
    return [int(index) for index in np.linspace(0, length - 1, clips).round()]


def scale_of(dataset: NowcastDataset) -> dict[str, Any]:
    """Return cadence and cell size of a data set's frames, as forecasters take them; empty for pictures."""
    found = {"cadence_minutes": float(dataset.cadence_minutes), "pixel_m": float(dataset.pixel_m)}
    return {name: value for name, value in found.items() if value}


def predictions(
    forecaster: Forecaster,
    past_BTCHW: Tensor,
    lead_steps: int,
    *,
    one_step: bool,
    scale: Mapping[str, Any] = OWN_SCALE,
) -> Float32Field:
    """Return forecast frames (B, P, C, H, W): P = lead_steps, with `one_step` T - 1 one-step forecasts before them.

    A model without one-step forecasts (SimVP, Earthformer) has P = lead_steps in both cases.

    Args:
        forecaster: network or not.
        past_BTCHW: given frames.
        lead_steps: number of frames to forecast.
        one_step: see above.
        scale: of the frames (`scale_of`), for a forecaster that is no network; empty: its own.
    """
    if isinstance(forecaster, NetworkForecaster):
        return _of_network(forecaster, past_BTCHW, lead_steps, one_step=one_step)

    def forecast(past_THW: Float32Field, steps: int) -> Float32Field:
        return forecaster.forecast(np.maximum(past_THW, 0.0), steps, **scale).rate_mmh_LHW

    fewest = forecaster.minimum_steps if one_step else None
    return np.stack([_of_clip(forecast, past_TCHW.numpy(), lead_steps, fewest) for past_TCHW in past_BTCHW])


def _of_network(forecaster: NetworkForecaster, past_BTCHW: Tensor, lead_steps: int, *, one_step: bool) -> Float32Field:
    model, transform = forecaster.model, forecaster.transform
    every: Any = getattr(model, "predict_all", model) if one_step else model
    with torch.inference_mode():
        value_BTCHW = every(transform.encode(past_BTCHW).to(forecaster.device), lead_steps)
        return np.array(transform.decode(value_BTCHW.float()).cpu().numpy(), np.float32)


def _of_clip(forecast: ForecastSteps, past_TCHW: Float32Field, lead_steps: int, fewest: int | None) -> Float32Field:
    """Forecast each channel alone; one-step forecasts before need `fewest` frames, else they are the newest frame."""
    forecasts = [_by_channel(forecast, past_TCHW, lead_steps)]
    for given in range(len(past_TCHW) - 1, 0, -1) if fewest is not None else ():
        known_TCHW = past_TCHW[:given]
        enough = fewest is not None and given >= fewest
        forecasts.insert(0, _by_channel(forecast, known_TCHW, 1) if enough else known_TCHW[-1:])
    return np.concatenate(forecasts)


def _by_channel(forecast: ForecastSteps, past_TCHW: Float32Field, lead_steps: int) -> Float32Field:
    by_channel = [forecast(past_THW, lead_steps) for past_THW in np.moveaxis(past_TCHW, 1, 0)]
    return np.stack(by_channel, axis=1)
