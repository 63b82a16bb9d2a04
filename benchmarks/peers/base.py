"""What a peer is: a forecaster on the same fields, and what has to be said about it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.setting import BenchmarkSetting
from benchmarks.sides import PlainForecaster
from core.registry import Registry
from models import Forecaster


@dataclass(frozen=True)
class Peer:
    """Something else that forecasts rain.

    Attributes:
        package: as on PyPI; its version stands in the table.
        what: its parts and sizes, in words.
        forecaster: rate in mm/h in and out, like ours.
        network: what is in it, for counting; None where it is no network.
        frames: how many frames it sees of those given.
    """

    package: str
    what: str
    forecaster: Forecaster
    network: nn.Module | None = None
    frames: int = 5


PEERS: Registry[Callable[[BenchmarkSetting], Peer]] = Registry("peer")
"""A factory imports its package when it is called, so that a missing one is an ImportError there."""


class Padded(nn.Module):
    """A network that needs sides divisible by some number: zeros below and to the right, cut off again behind it."""

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network, self.multiple = network, multiple

    def forward(self, frames_BTCHW: Tensor, lead_steps: int) -> Tensor:
        """As `RecurrentModel.forward`."""
        height, width = frames_BTCHW.shape[-2:]
        padded = F.pad(frames_BTCHW, (0, -width % self.multiple, 0, -height % self.multiple))
        predicted: Tensor = self.network(padded, lead_steps)
        return predicted[..., :height, :width]


def network_peer(
    package: str, what: str, network: nn.Module, setting: BenchmarkSetting, *, frames: int | None = None
) -> Peer:
    """A peer that is a module on (B, T, 1, H, W) and lead steps."""
    seen = frames or setting.input_steps
    forecaster = PlainForecaster(network, package, device=setting.device, input_steps=seen)
    return Peer(package, what, forecaster, network, seen)
