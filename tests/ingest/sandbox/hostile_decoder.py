"""The decoder's process with readers that do what hostile bytes may do to a library: crash, hang, loop, eat, print."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import BinaryIO

import numpy as np

from core.frame import RadarFrame
from core.grid import RADOLAN_900
from ingest.readers.base import READERS, Reader
from ingest.sandbox.decoder import main


def crash(_: BinaryIO) -> list[RadarFrame]:
    ctypes.string_at(0)
    return []


def hang(_: BinaryIO) -> list[RadarFrame]:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.pause()
    return []


def loop(_: BinaryIO) -> list[RadarFrame]:
    signal.setitimer(signal.ITIMER_REAL, 0)  # code that got rid of the timer meets the processor's limit
    while True:
        pass


def eat(_: BinaryIO) -> list[RadarFrame]:
    eaten = [np.ones((1, 2**24), np.float32) for _ in range(64)]
    return [RadarFrame(datetime.now(UTC), RADOLAN_900, eaten[0], "RY")]


def chatter(_: BinaryIO) -> list[RadarFrame]:
    print("0\nthis is no answer")
    sys.stdout.flush()
    return [RadarFrame(datetime(2024, 6, 1, tzinfo=UTC), RADOLAN_900, np.zeros((900, 900), np.float32), "RY")]


def stop(_: BinaryIO) -> list[RadarFrame]:
    os.kill(os.getpid(), signal.SIGTERM)
    return []


def _begins(name: str) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(name.encode())


if __name__ == "__main__":
    deeds = {"crash": crash, "hang": hang, "loop": loop, "eat": eat, "chatter": chatter, "stop": stop}
    for name, read in deeds.items():
        READERS.register(name)(Reader(_begins(name), read))
    main(int(sys.argv[1]))
