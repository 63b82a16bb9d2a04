"""The two sides of the tables: this package with its defaults, and the textbook in float32, eager and contiguous."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.setting import BenchmarkSetting
from core.arrays import Float32Field
from core.units import PAPER_PIXEL_M
from models import Forecaster, build_model
from models.cost import measure_work, measuring_on
from models.fields import ForecastFields
from models.transforms import ReflectivityTransform
from tests.reference import build_textbook
from training.trainer.losses import LOSSES

DRIFT = 2
"""Speed of the invented rain in cells per step."""


def rain_mmh(height: int, width: int, steps: int, *, seed: int = 0) -> Float32Field:
    """Return smooth showers that drift, (T, H, W): about a quarter of the grid cells is wet."""
    noise = np.random.default_rng(seed).standard_normal((height, width + DRIFT * steps))
    smooth = gaussian_filter(noise, 4)
    shower_HW = 5 * np.maximum(smooth / smooth.std() - 0.6, 0) ** 2
    fields = [shower_HW[:, DRIFT * t : DRIFT * t + width] for t in range(steps)]
    return np.stack(fields).astype(np.float32)


class PlainForecaster(Forecaster):
    """Any module on (B, T, 1, H, W) in float32, unchanged, with our transform around it."""

    def __init__(self, model: nn.Module, name: str, *, device: str = "cpu", input_steps: int = 5) -> None:
        super().__init__(name, "0", input_steps=input_steps, cadence_minutes=30, pixel_m=PAPER_PIXEL_M)
        self.model = model.to(device).eval()
        self.device = torch.device(device)
        self.transform = ReflectivityTransform()

    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Sequence[ForecastFields]:
        del cadence_minutes, pixel_m
        newest_BTHW = np.ascontiguousarray(rate_mmh_BTHW[:, -self.input_steps :])
        with torch.inference_mode():
            frames_BTCHW = self.transform.encode(torch.from_numpy(newest_BTHW)[:, :, None]).to(self.device)
            value_BTCHW = self.model(frames_BTCHW, lead_steps)
            rate_BLHW = np.array(self.transform.decode(value_BTCHW)[:, :, 0].cpu().numpy(), np.float32)
        pairs = zip(rate_BLHW, newest_BTHW, strict=True)
        return [ForecastFields.known_in_coverage(rate_LHW, each_THW[-1]) for rate_LHW, each_THW in pairs]


def our_forecaster(name: str, setting: BenchmarkSetting) -> Forecaster:
    """Build our forecaster with the defaults of `Forecaster.from_model`."""
    model = build_model(name, hidden_channels=setting.hidden_channels)
    return Forecaster.from_model(model, device=setting.device, input_steps=setting.input_steps)


def textbook_forecaster(name: str, setting: BenchmarkSetting) -> Forecaster:
    """Build the same forecaster around the textbook's model."""
    model = build_textbook(name, hidden_channels=setting.hidden_channels)
    return PlainForecaster(model, f"textbook {name}", device=setting.device, input_steps=setting.input_steps)


class Training:
    """Training of one model on one batch with Adam.

    Args:
        model: ours or the textbook's.
        frames_BTCHW: given and later frames in network values.
        given: how many of them are given.
        device: where to run.
        mixed: channels last and autocast to bfloat16, as `training.run --precision bf16-mixed`; else plain float32.
    """

    def __init__(self, model: nn.Module, frames_BTCHW: Tensor, given: int, *, device: str, mixed: bool) -> None:
        self.model: Any = model.train()
        self.model = self.model.to(device)
        if mixed:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.frames_BTCHW, self.given = frames_BTCHW.to(device), given
        self.device, self.mixed = torch.device(device), mixed
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=3e-4)

    def step(self) -> None:
        """Run forward over all predictions, loss, backward, update."""
        precision: AbstractContextManager[Any] = nullcontext()
        if self.mixed:
            precision = torch.autocast(self.device.type, torch.bfloat16)
        with precision:
            leads = self.frames_BTCHW.shape[1] - self.given
            predicted_BTCHW, own_loss = self.model.predict_with_loss(self.frames_BTCHW[:, : self.given], leads)
            target_BTCHW = self.frames_BTCHW[:, 1:]
            loss = LOSSES.get("l1+l2")(predicted_BTCHW.float(), target_BTCHW, torch.ones_like(target_BTCHW))
            loss = loss if own_loss is None else loss + own_loss
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def our_training(name: str, setting: BenchmarkSetting, *, recompute: bool = False, compiled: bool = False) -> Training:
    """Prepare training as `training.run --precision bf16-mixed [--recompute] [--compile]` does."""
    model: Any = build_model(name, hidden_channels=setting.hidden_channels)
    model.recompute = recompute
    if compiled:
        model.stack.compile()
    return _training(model, setting, mixed=True)


def textbook_training(name: str, setting: BenchmarkSetting) -> Training:
    """Prepare training in float32, eager, contiguous."""
    return _training(build_textbook(name, hidden_channels=setting.hidden_channels), setting, mixed=False)


def _training(model: nn.Module, setting: BenchmarkSetting, *, mixed: bool) -> Training:
    return Training(model, network_frames(setting), setting.input_steps, device=setting.device, mixed=mixed)


def network_frames(setting: BenchmarkSetting) -> Tensor:
    """Return given and later frames in network values, (B, T + lead, 1, H, W)."""
    steps = setting.input_steps + setting.lead_steps
    samples = [rain_mmh(setting.height, setting.width, steps, seed=seed) for seed in range(setting.batch)]
    return ReflectivityTransform().encode(torch.from_numpy(np.stack(samples))[:, :, None])


def forecast_macs(model: nn.Module, shape: tuple[int, ...], lead_steps: int) -> int:
    """Return the multiply-accumulates of one forecast, counted on shapes; the model loses its numbers."""
    with measuring_on("shapes", model):
        return measure_work(model, torch.zeros(shape), lead_steps).total


def convolution_type(work: Callable[[], object]) -> torch.dtype:
    """Return the type of most of its convolutions, which selects the peak to compare with."""
    with _ConvolutionTypes() as seen:
        work()
    return seen.counts.most_common(1)[0][0] if seen.counts else torch.float32


class _ConvolutionTypes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[torch.dtype] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "conv" in str(func) and args and isinstance(args[0], Tensor):
            self.counts[args[0].dtype] += 1
        return func(*args, **(kwargs or {}))
