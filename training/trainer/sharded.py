"""One copy of weights, gradients and moments, distributed over all processes (FSDP2, `fully_shard` of PyTorch)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning.strategies import ModelParallelStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from core.errors import ConfigError
from training.config import RunConfig

FORWARD = "predict_with_loss"
"""The method of a model that training and validation call instead of `forward`."""


def is_sharded(config: RunConfig) -> bool:
    """Return whether the processes of a run share one copy of the model; a single process has all of it."""
    return config.fsdp and config.devices > 1


def require_shardable(config: RunConfig) -> None:
    """Refuse what a sharded model cannot do.

    Raises:
        ConfigError: averaged weights, a compiled stack, or float16.
    """
    wrong = [
        *([f"ema_decay=0, got {config.ema_decay}"] if config.ema_decay else []),
        *(["compile=false, got true"] if config.compile else []),
        *([f"precision 32-true or bf16-mixed, got {config.precision}"] if config.precision == "16-mixed" else []),
    ]
    if is_sharded(config) and wrong:
        raise ConfigError(f"fsdp: expected {'; '.join(wrong)}")


def strategy_of(config: RunConfig) -> Strategy | str:
    """Return Lightning's strategy: its checkpoints are whole, so that any number of processes can resume them."""
    if not is_sharded(config):
        return "auto"
    return ModelParallelStrategy(
        data_parallel_size=config.devices, tensor_parallel_size=1, save_distributed_checkpoint=False
    )


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Distribute a model in place, as one unit: the weights are together from a forward pass to its backward pass.

    A unit per layer would gather a recurrent layer's weights, and reduce its gradients, at every time step.

    Args:
        model: each process has the same weights.
        mesh: the processes, in one dimension.
    """
    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # else FSDP refuses the weights
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
    register_fsdp_forward_method(model, FORWARD)


def gather(model: nn.Module) -> None:
    """Bring the weights of a sharded model together on all processes, with buffers of the first; all must call it."""
    if isinstance(model, FSDPModule):
        model.unshard()
        for buffer in model.buffers():  # the running means of batch normalisation
            dist.broadcast(buffer, src=0)


def gathered_forward(model: nn.Module) -> Callable[..., Any]:
    """Return the forward method that neither gathers nor releases, for use between `gather` and `release`.

    Processes may call it different numbers of times. The registered method would release the weights of a model whose
    own method calls `forward`, since FSDP then takes the outer call for one after the forward pass.
    """
    method: Callable[..., Any] = getattr(type(model), FORWARD)
    return partial(method, model)


def release(model: nn.Module) -> None:
    """Keep the own part of a sharded model alone."""
    if isinstance(model, FSDPModule):
        model.reshard()


def whole_weights(model: nn.Module, *, wanted: bool = True) -> dict[str, Tensor]:
    """Return a copy of the weights on the CPU.

    Args:
        model: if it is sharded, every process must call this; the first one gets the weights.
        wanted: of a model that is not sharded: False returns nothing, for processes that do not write.
    """
    if isinstance(model, FSDPModule):
        whole: Any = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        return dict(whole)
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()} if wanted else {}
