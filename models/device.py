"""What a failure of a device looks like: out of memory, which may pass, or gone, which lasts until a new start."""

import gc
from typing import Final, Literal

import torch

from core.errors import InputError

DeviceFailure = Literal["out of memory", "gone"]

_GONE: Final = ("CUDA error", "CUDA driver", "cuDNN error", "CUBLAS_STATUS", "device-side assert", "HIP error")
"""How torch's messages of a lost device begin or what they hold, where it raises a plain RuntimeError."""


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
