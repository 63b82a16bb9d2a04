"""Packages that a user would install instead: one file per peer; a new one adds one import line here."""

from benchmarks.peers import dgmr as dgmr
from benchmarks.peers import mfai as mfai
from benchmarks.peers import mlcast as mlcast
from benchmarks.peers import pysteps as pysteps
from benchmarks.peers.base import PEERS as PEERS
from benchmarks.peers.base import Peer as Peer
