"""Interface of a peer: a forecaster on the same fields, and its description."""

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
    """Another package that forecasts rain.

    Attributes:
        package: as on PyPI; its version is in the table.
        what: its parts and sizes, in words.
        forecaster: rate in mm/h in and out, like ours.
        network: its network, for counting; None if it has none.
        frames: how many of the given frames it uses.
    """

    package: str
    what: str
    forecaster: Forecaster
    network: nn.Module | None = None
    frames: int = 5


PEERS: Registry[Callable[[BenchmarkSetting], Peer]] = Registry("peer")
"""Factories of peers; each imports its package when called, so that a missing one is an ImportError there."""


class Padded(nn.Module):
    """A network that needs sides of certain multiples: padded with zeros below and to the right, then cut again."""

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network, self.multiple = network, multiple

    def forward(self, frames_BTCHW: Tensor, lead_steps: int) -> Tensor:
        """Return the forecast of padded frames, as `RecurrentModel.forward`."""
        height, width = frames_BTCHW.shape[-2:]
        padded = F.pad(frames_BTCHW, (0, -width % self.multiple, 0, -height % self.multiple))
        predicted: Tensor = self.network(padded, lead_steps)
        return predicted[..., :height, :width]


def network_peer(
    package: str, what: str, network: nn.Module, setting: BenchmarkSetting, *, frames: int | None = None
) -> Peer:
    """Return a peer that is a module on (B, T, 1, H, W) and lead steps."""
    seen = frames or setting.input_steps
    forecaster = PlainForecaster(network, package, device=setting.device, input_steps=seen)
    return Peer(package, what, forecaster, network, seen)
