"""The ConvGRU encoder and decoder of `mlcast` (EUMETNET's machine-learning nowcasting group)."""

from importlib import import_module
from typing import Any

from benchmarks.peers.base import PEERS, Peer, network_peer
from benchmarks.setting import BenchmarkSetting


@PEERS.register("mlcast-convgru")
def mlcast_convgru(setting: BenchmarkSetting) -> Peer:
    """Build it with its defaults: four blocks, 1, 4, 16 and 64 channels."""
    convgru: Any = import_module("mlcast.models.convgru")
    return network_peer("mlcast", "ConvGruModel, 4 blocks, one member", convgru.ConvGruModel(), setting)
