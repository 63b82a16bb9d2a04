"""Measured cost of a model: multiply-accumulates, saved activations, the allocator's peak.

On the device "shapes" tensors have no numbers (PyTorch's fake tensors), so a full-size model is counted in seconds and
without allocating it: operators and autograd graph, and thus every count, are those of a run on the CPU.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from core.errors import ConfigError, UnavailableError
from models.cost.training_memory import CudaAllocator, computed_in, require_precision, state_bytes, training_peak

DEVICES = ("auto", "shapes", "cpu", "cuda")
TAPS = 4
"""Multiply-accumulates per output value of bilinear resampling and warping."""

_ATEN = torch.ops.aten
PRODUCTS = (_ATEN.mul, _ATEN.mul_, _ATEN.addcmul, _ATEN.lerp)
"""Operators with one elementwise product per value."""


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates of one forward pass, each counted once as it is computed; biases do not count.

    Attributes:
        products: elementwise multiplications (gates, scaling), which `total` leaves out, as the paper does.
    """

    convolutions: int
    matrix_products: int
    resampling: int
    products: int

    @property
    def total(self) -> int:
        """Return all multiply-accumulates but the elementwise products."""
        return self.convolutions + self.matrix_products + self.resampling


@dataclass(frozen=True)
class MemoryUse:
    """Memory that one training forward pass saves for its gradient.

    Attributes:
        activation_bytes: unique storages that autograd saves, without parameters and tensors made of them only.
        joined_weight_bytes: saved copies of weights (`JointConv2d` joins its parts at every step).
        state_bytes: weights, gradients and Adam's moments, which training holds all the time.
        peak_bytes: the allocator's peak of a whole training step, `state_bytes` included; None without a GPU.
    """

    activation_bytes: int
    joined_weight_bytes: int
    state_bytes: int
    peak_bytes: int | None = None


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers training fits."""
    return sum(parameter.numel() for parameter in model.parameters())


def measure_work(model: nn.Module, frames_BTCHW: Tensor, lead_steps: int) -> Work:
    """Count the multiply-accumulates of one forward pass."""
    taps, once = _per_output_value(TAPS), _per_output_value(1)
    warps = {_ATEN._embedding_bag: _four_rows, _ATEN._embedding_bag_forward_only: _four_rows}
    resampling = {_ATEN.upsample_bilinear2d: taps, **warps}
    attention = {_ATEN._scaled_dot_product_flash_attention_for_cpu: _attention}
    counter = FlopCounterMode(
        display=False, custom_mapping={**resampling, **attention, **dict.fromkeys(PRODUCTS, once)}
    )
    with counter, torch.no_grad():
        model(frames_BTCHW, lead_steps)
    counts = {str(operator): flops // 2 for operator, flops in counter.get_flop_counts()["Global"].items()}
    convolutions = sum(count for name, count in counts.items() if "conv" in name)
    sampled = sum(counts.get(str(operator), 0) for operator in resampling)
    products = sum(counts.get(str(operator), 0) for operator in PRODUCTS)
    return Work(convolutions, sum(counts.values()) - convolutions - sampled - products, sampled, products)


def _per_output_value(times: int) -> Callable[..., int]:
    def flops(*_: Any, out_shape: Any, **__: Any) -> int:
        return 2 * times * int(prod(out_shape))

    return flops


def _four_rows(*_: Any, out_shape: Any, **__: Any) -> int:
    """Count the operations of `models.cells.warp`: four weighted rows per sample, the first of its results."""
    return 2 * TAPS * int(prod(out_shape[0]))


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Count two products per head: (B, heads, L, C) with (B, heads, S, C), and its (L, S) with (B, heads, S, V)."""
    return 2 * int(prod(query[:3])) * int(key[2]) * (int(query[3]) + int(value[3]))


def measure_memory(model: nn.Module, frames_BTCHW: Tensor, lead_steps: int, *, precision: str = "32-true") -> MemoryUse:
    """Measure what one training forward pass saves; on a GPU also the allocator's peak of a whole training step.

    Args:
        model: what is trained.
        frames_BTCHW: given frames, on the model's device.
        lead_steps: frames to forecast.
        precision: that trains, 32-true or bf16-mixed.

    Raises:
        InputError: another precision.
    """
    require_precision(precision)
    own = {_key(tensor) for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        if _key(tensor) not in own:
            kept[_key(tensor)] = tensor.untyped_storage()
        return tensor

    before = _alive()
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with computed_in(precision, frames_BTCHW.device), _MadeOf(own) as joined, hooks:
        result = _train_forward(model, frames_BTCHW, lead_steps)
    not_kept = own | before.keys() | {_key(result)}
    kept |= {key: storage for key, storage in _alive().items() if key not in not_kept}
    copies = sum(storage.nbytes() for key, storage in kept.items() if key in joined.keys)
    activations = sum(storage.nbytes() for storage in kept.values()) - copies
    kept.clear()
    del result, joined
    peak: int | None = None
    if frames_BTCHW.is_cuda:
        forward = partial(_train_forward, model, frames_BTCHW, lead_steps)
        peak = training_peak(model, forward, precision, CudaAllocator())
    return MemoryUse(activations, copies, state_bytes(model), peak)


def _alive() -> dict[int, torch.UntypedStorage]:
    """Return the storages of all tensors that Python holds; inputs of recomputed parts are found in this way."""
    gc.collect()
    tensors = [held for held in gc.get_objects() if issubclass(type(held), Tensor)]
    return {_key(tensor): tensor.untyped_storage() for tensor in tensors}


def _train_forward(model: nn.Module, frames_BTCHW: Tensor, lead_steps: int) -> Tensor:
    """Run the forward pass of training, with the cells' additional loss if they have one."""
    with_loss = getattr(model, "predict_with_loss", None)
    loss: Tensor | None = None
    predictions: Tensor
    if with_loss is None:
        predictions = model(frames_BTCHW, lead_steps)
    else:
        predictions, loss = with_loss(frames_BTCHW, lead_steps)
    return predictions.sum() if loss is None else predictions.sum() + loss


def _key(tensor: Tensor) -> int:
    # `data_ptr` is 0 for every fake tensor; the address of the storage object tells them apart (a private name, which
    # tests/models/test_library_internals.py names).
    return int(tensor.untyped_storage()._cdata)


class _MadeOf(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tracks which storages are computed from the given ones alone; keeps them alive so that no address is reused."""

    def __init__(self, keys: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys = set(keys)
        self.alive: list[torch.UntypedStorage] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sources = [_key(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        made = bool(sources) and self.keys.issuperset(sources)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor) and made:
                self.keys.add(_key(leaf))
                self.alive.append(leaf.untyped_storage())
            elif isinstance(leaf, Tensor):
                self.keys.discard(_key(leaf))
        return out


@contextmanager
def measuring_on(name: str, model: nn.Module) -> Iterator[torch.device]:
    """Move a model to one of `DEVICES` within this context; `auto` is a GPU if there is one, else shapes.

    On shapes the model loses its numbers permanently.

    Raises:
        ConfigError: no such device on this machine.
        UnavailableError: the GPU is too small for the measurement.
    """
    if name not in DEVICES or (name == "cuda" and not torch.cuda.is_available()):
        raise ConfigError(
            f"device: expected one of {', '.join(DEVICES)}, and cuda only if PyTorch sees a GPU, got {name!r}"
        )
    try:
        if chosen(name) == "shapes":
            _forget()
            with _without_numbers(model):
                yield torch.device("cpu")
        else:
            model.to(chosen(name))
            yield torch.device(chosen(name))
    except torch.OutOfMemoryError as err:
        raise UnavailableError(
            f"device {name} has too little memory for this measurement; --device shapes needs none"
        ) from err
    finally:
        _forget()


def chosen(name: str) -> str:
    """Return the device that `auto` stands for on this machine."""
    return ("cuda" if torch.cuda.is_available() else "shapes") if name == "auto" else name


def _without_numbers(model: nn.Module) -> FakeTensorMode:
    """Replace all numbers of a built model by shapes; building it needs numbers, for rejection sampling."""
    shapes = FakeTensorMode()
    for module in model.modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in own:
            setattr(module, name, shapes.from_tensor(tensor))
    return shapes


def _forget() -> None:
    """Clear the caches of the cells: tensors with and without numbers must not be mixed."""
    for module in [module for key, module in sys.modules.items() if key.startswith("models.cells.")]:
        for entry in vars(module).values():
            if hasattr(entry, "cache_clear"):
                entry.cache_clear()
