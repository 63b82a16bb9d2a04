"""The HalfUNet of `mfai` (Météo-France): all frames in as channels, all leads out as channels, at once."""

from importlib import import_module
from typing import Any

from torch import Tensor, nn

from benchmarks.peers.base import PEERS, Peer, network_peer
from benchmarks.setting import BenchmarkSetting


@PEERS.register("mfai-halfunet")
def mfai_half_unet(setting: BenchmarkSetting) -> Peer:
    """Build it with its defaults: 64 filters."""
    half_unet: Any = import_module("mfai.pytorch.models.half_unet")
    size = (setting.height, setting.width)
    options = half_unet.HalfUNetSettings(autopad_enabled=True)
    network = half_unet.HalfUNet(setting.input_steps, setting.lead_steps, size, settings=options)
    return network_peer("mfai", "HalfUNet, 64 filters, all leads at once", _OnFrames(network), setting)


class _OnFrames(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames_BTCHW: Tensor, lead_steps: int) -> Tensor:
        predicted_BTHW: Tensor = self.network(frames_BTCHW[:, :, 0])
        return predicted_BTHW[:, :lead_steps, None]
