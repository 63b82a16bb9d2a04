"""Devices: their choice, a description of this machine, and how a device fails (out of memory, or lost)."""

import gc
import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor

from core.errors import InputError, shown

DeviceFailure = Literal["out of memory", "gone"]

_GONE: Final = ("CUDA error", "CUDA driver", "cuDNN error", "CUBLAS_STATUS", "device-side assert", "HIP error")
"""Parts of PyTorch's messages for a lost device, where it raises a plain RuntimeError."""


CPU_INFO: Final = Path("/proc/cpuinfo")


class NoDeviceError(InputError):
    """A device that this machine does not have."""


def pick_device(device: str) -> torch.device:
    """Return the device of that name; `auto` is a GPU if the machine has one, else the CPU.

    On a GPU float32 then has all its bits everywhere (`with_whole_float32`).

    Raises:
        InputError: this machine has no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as err:
        raise InputError(f"device: expected auto, cpu or cuda[:N], got {shown(device)}") from err
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise NoDeviceError(f"device: expected auto or cpu, since this machine has no GPU, got {shown(device)}")
    if chosen.type == "cuda":
        with_whole_float32()
    return chosen


def with_whole_float32(*, tf32: bool = False) -> None:
    """Let convolutions and products of float32 keep their 23 bits; PyTorch's own setting rounds convolutions to 10.

    Scores and forecasts in float32 are then those of a CPU, to rounding; models in bfloat16 are not affected.

    Args:
        tf32: round to 10 bits (TF32) instead, on GPUs that multiply those faster.
    """
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32


@lru_cache(maxsize=64)
def constants(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a tensor of these values, made once: each copy to a GPU would wait for its pending work."""
    with torch.inference_mode(mode=False):
        return torch.tensor(values, dtype=dtype, device=device)


def device_failure(err: BaseException) -> DeviceFailure | None:
    """Return how a device failed, or None if the error is not the device's; on a failure the CPU may still succeed."""
    if isinstance(err, torch.OutOfMemoryError):
        return "out of memory"
    if isinstance(err, (torch.AcceleratorError, NoDeviceError)):
        return "gone"
    if isinstance(err, RuntimeError) and any(words in str(err) for words in _GONE):
        return "out of memory" if "out of memory" in str(err) else "gone"
    return None


def free_cached_memory() -> None:
    """Release the GPU memory that PyTorch caches, for the next attempt or for another process."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def machine(device: str) -> str:
    """Return processor, cores, threads and versions in one line; with the GPU if one is used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [
        _processor(),
        f"{cores} cores",
        f"{torch.get_num_threads()} threads",
        f"Python {platform.python_version()}",
    ]
    parts += [f"torch {torch.__version__}", f"CPU capability {torch.backends.cpu.get_cpu_capability()}"]
    if device.startswith("cuda"):
        parts.append(f"{torch.cuda.get_device_name(device)}, cuDNN {torch.backends.cudnn.version()}")  # type: ignore[no-untyped-call]
    return ", ".join(parts)


def _processor() -> str:
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
