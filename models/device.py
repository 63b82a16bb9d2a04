"""Devices: which machine this is, and how a device fails (out of memory, which may pass; gone, until a new start)."""

import gc
import os
import platform
from pathlib import Path
from typing import Final, Literal

import torch

from core.errors import InputError

DeviceFailure = Literal["out of memory", "gone"]

_GONE: Final = ("CUDA error", "CUDA driver", "cuDNN error", "CUBLAS_STATUS", "device-side assert", "HIP error")
"""How torch's messages of a lost device begin or what they hold, where it raises a plain RuntimeError."""


CPU_INFO: Final = Path("/proc/cpuinfo")


class NoDeviceError(InputError):
    """A device that is not there."""


def device_failure(err: BaseException) -> DeviceFailure | None:
    """Whether an error is the device's and not the model's: after it the same work may succeed on the CPU."""
    if isinstance(err, torch.OutOfMemoryError):
        return "out of memory"
    if isinstance(err, (torch.AcceleratorError, NoDeviceError)):
        return "gone"
    if isinstance(err, RuntimeError) and any(words in str(err) for words in _GONE):
        return "out of memory" if "out of memory" in str(err) else "gone"
    return None


def free_cached_memory() -> None:
    """Give back what torch keeps on a GPU for later, so that the next try, or another process, may have it."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def machine(device: str) -> str:
    """Processor, cores, threads, versions; the GPU where one is used."""
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
