"""The generator of `dgmr` (openclimatefix's re-implementation of DeepMind's Deep Generative Model of Radar)."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from benchmarks.peers.base import PEERS, Padded, Peer, network_peer
from benchmarks.setting import BenchmarkSetting

CONTEXT_FRAMES = 4
MULTIPLE = 32
LATENT, CONTEXT = 768, 384


@PEERS.register("dgmr")
def dgmr(setting: BenchmarkSetting) -> Peer:
    """Build it with its defaults, for the setting's lead steps and, as designed, the newest four frames."""
    with _without_pictures():
        package: Any = importlib.import_module("dgmr")
    edges = tuple(-(-edge // MULTIPLE) for edge in (setting.height, setting.width))
    generator = package.Generator(
        package.ContextConditioningStack(input_channels=1, output_channels=CONTEXT),
        package.LatentConditioningStack(shape=(8, *edges), output_channels=LATENT),
        package.Sampler(forecast_steps=setting.lead_steps, latent_channels=LATENT, context_channels=CONTEXT),
    )
    what = f"generator, {LATENT} latent and {CONTEXT} context channels, one member"
    return network_peer("dgmr", what, Padded(_OfItsLeads(generator), MULTIPLE), setting, frames=CONTEXT_FRAMES)


class _OfItsLeads(nn.Module):
    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, frames_BTCHW: Tensor, lead_steps: int) -> Tensor:
        predicted: Tensor = self.generator(frames_BTCHW)
        return predicted[:, :lead_steps]


@contextmanager
def _without_pictures() -> Iterator[None]:
    """Provide an empty torchvision if none fits this PyTorch: dgmr imports it for the pictures of its training only."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        importlib.import_module("pytorch_lightning")  # it looks for torchvision itself, so import it first
        stand_in = ModuleType("torchvision")
        stand_in.__spec__ = ModuleSpec("torchvision", None)
        sys.modules["torchvision"] = stand_in
        try:
            yield
        finally:
            del sys.modules["torchvision"]
        return
    yield
