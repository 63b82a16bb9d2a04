"""Memory of a training step as the trainer runs it: its precision, its gradients, and Adam's two moments."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from core.errors import InputError

PRECISIONS: Final = ("32-true", "bf16-mixed")
STATE_COPIES: Final = 4
"""Numbers that training holds for each parameter: the weight, its gradient, and Adam's two moments."""


class Allocator(Protocol):
    """The memory of one device."""

    def allocated(self) -> int:
        """Return the bytes that are allocated now."""
        ...

    def restart_peak(self) -> None:
        """Begin a new peak at the bytes that are allocated now."""
        ...

    def peak(self) -> int:
        """Return the most bytes that were allocated at once since then."""
        ...


class CudaAllocator:
    """PyTorch's allocator of the GPU in use."""

    def allocated(self) -> int:
        """Return the bytes of tensors that are allocated now, after all pending work."""
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()

    def restart_peak(self) -> None:
        """Free what is only cached, and begin a new peak."""
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        """Return the peak of the allocated bytes, after all pending work."""
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()


def require_precision(precision: str) -> None:
    """Refuse an unknown precision.

    Raises:
        InputError: it is none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")


@contextmanager
def computed_in(precision: str, device: torch.device) -> Iterator[None]:
    """Compute within this context in a precision, as the trainer does."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
        yield


def state_bytes(model: nn.Module) -> int:
    """Return the bytes of weights, gradients and Adam's moments of a model in training."""
    return STATE_COPIES * sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)


def training_peak(model: nn.Module, forward: Callable[[], Tensor], precision: str, allocator: Allocator) -> int:
    """Return the peak of a training step: weights, gradients, moments, activations and temporary tensors.

    The step is the second one, since Adam allocates its moments in the first. Its rate is 0: the weights stay.

    Args:
        model: on the device that is measured.
        forward: runs the forward pass of training and returns its loss.
        precision: one of `PRECISIONS`.
        allocator: of the device.
    """
    own = sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))
    other = allocator.allocated() - own
    optimiser = torch.optim.Adam(model.parameters(), lr=0.0)
    device = next(model.parameters()).device
    for _ in range(2):
        allocator.restart_peak()
        with computed_in(precision, device):
            loss = forward()
        optimiser.zero_grad(set_to_none=True)  # after the forward pass, as Lightning: the old gradients are still held
        torch.autograd.backward(loss)
        optimiser.step()
        del loss
    peak = allocator.peak() - other
    optimiser.zero_grad(set_to_none=True)
    return peak
