"""Limits of the machine as PyTorch reaches them: matrix and convolution peak by type, and memory bandwidth."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.page import BENCHMARKS, Row, Section
from benchmarks.setting import BenchmarkSetting
from benchmarks.timing import seconds

REPEATS = 7
COPY_BYTES = 512 * 2**20
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class HardwareLimits:
    """Limits of a machine, each the best of several runs.

    Attributes:
        matmul_flops, convolution_flops: operations per second by type, two per multiply-accumulate.
        copy_bytes_per_s: bytes read and written by a copy that exceeds the caches.
    """

    matmul_flops: dict[str, float]
    convolution_flops: dict[str, float]
    copy_bytes_per_s: float

    def peak_flops(self, dtype: torch.dtype) -> float:
        """Return the higher of the peaks of matrix product and convolution, for a type."""
        name = str(dtype).removeprefix("torch.")
        return max(self.matmul_flops[name], self.convolution_flops[name])

    def fraction(self, macs: float, time_s: float, dtype: torch.dtype) -> float:
        """Return the share of the peak that some work reached."""
        return 2 * macs / time_s / self.peak_flops(dtype)


@lru_cache(maxsize=1)
def measure_limits(device: str, scale: float = 1.0) -> HardwareLimits:
    """Measure the limits once per process, in less than a minute."""
    matmul = {name: _matmul(device, dtype, scale) for name, dtype in DTYPES.items()}
    convolution = {name: _convolution(device, dtype, scale) for name, dtype in DTYPES.items()}
    return HardwareLimits(matmul, convolution, _copy(device, scale))


def _matmul(device: str, dtype: torch.dtype, scale: float) -> float:
    def rate(edge: int) -> float:
        a, b = (torch.randn(edge, edge, device=device).to(dtype) for _ in range(2))
        return 2 * edge**3 / _best(lambda: a @ b)

    return max(rate(int(edge * scale) + 1) for edge in (1024, 2048, 4096))


def _convolution(device: str, dtype: torch.dtype, scale: float) -> float:
    def rate(channels: int, out: int, edge: int) -> float:
        x = _channels_last(torch.randn(1, channels, edge, edge, device=device).to(dtype))
        weight = _channels_last(torch.randn(out, channels, 3, 3, device=device).to(dtype))
        return 2 * 9 * channels * out * edge**2 / _best(lambda: F.conv2d(x, weight, padding=1))

    shapes = ((64, 256, 124), (128, 256, 124), (256, 256, 124), (256, 256, 248))
    return max(rate(channels, out, int(edge * scale) + 1) for channels, out, edge in shapes)


def _copy(device: str, scale: float) -> float:
    source = torch.zeros(int(COPY_BYTES * scale) // 4, device=device)
    target = torch.ones_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source))


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _best(work: Callable[[], object]) -> float:
    with torch.inference_mode():
        work()
        return min(seconds(work) for _ in range(REPEATS))


@BENCHMARKS.register("limits")
def limits(setting: BenchmarkSetting) -> Section:
    """List the peaks to which the fractions of the other tables refer."""
    measured = measure_limits(setting.device, setting.scale)
    rows: list[Row] = [
        {
            "type": name,
            "matrix product, GFLOP/s": measured.matmul_flops[name] / 1e9,
            "3x3 convolution, channels last, GFLOP/s": measured.convolution_flops[name] / 1e9,
            "peak, GFLOP/s": measured.peak_flops(dtype) / 1e9,
        }
        for name, dtype in DTYPES.items()
    ]
    text = (
        f"Best of {REPEATS} runs and of several shapes. A fraction of the peak is twice the multiply-accumulates over "
        "the seconds, over the better of matrix product and convolution in the type that the convolutions run in. "
        f"Copying memory: {measured.copy_bytes_per_s / 1e9:.1f} GB/s, {int(COPY_BYTES * setting.scale) / 2**20:.0f} "
        "MiB read and as many written, both counted."
    )
    return Section("The machine's limits", text, rows)
