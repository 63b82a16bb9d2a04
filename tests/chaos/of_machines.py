"""Faults of what the service stands on: a slow disk, and a database server that is away, slow, or killed."""

import signal
import time
from typing import Final

from tests.chaos.machine import stutter
from tests.chaos.scene import Scene, fault

OF_DATABASE: Final = (
    "the database server is away",
    "the database server is halted",
    "a slow database server",
    "a transaction of the database server is killed",
)
"""Kinds of faults that need a database server."""

OF_SQLITE: Final = (
    "delete the catalogue",
    "garbage in the catalogue",
    "no header of the catalogue",
    "a lock on the catalogue",
)
"""Kinds of faults that need a catalogue in a file, which an installation with a database server has not."""


@fault("a slow disk")
def slow_disk(scene: Scene) -> str:
    """Each sync of a file of the store takes a second or so, and each write a hundredth of it."""
    if scene.disk is None:
        return ""
    sync_s, for_s = scene.chance.uniform(0.2, 2.0), scene.chance.uniform(3, 8)
    with scene.disk.slow(scene.home, sync_s, sync_s / 100):
        time.sleep(for_s)
    return f"{sync_s:.1f} s a sync, for {for_s:.1f} s"


@fault("the database server is away")
def database_away(scene: Scene) -> str:
    if scene.database is None:
        return ""
    for_s = scene.chance.uniform(1, 8)
    scene.database.kill()
    time.sleep(for_s)
    scene.database.start()
    return f"{for_s:.1f} s"


@fault("the database server is halted")
def database_halted(scene: Scene) -> str:
    """Its connections stay open, and nothing comes."""
    if scene.database is None:
        return ""
    for_s = scene.chance.uniform(1, 6)
    scene.database.send(signal.SIGSTOP)
    time.sleep(for_s)
    scene.database.send(signal.SIGCONT)
    return f"{for_s:.1f} s"


@fault("a slow database server")
def database_slow(scene: Scene) -> str:
    if scene.database is None:
        return ""
    for_s = scene.chance.uniform(2, 6)
    stutter(scene.database.send, for_s)
    return f"{for_s:.1f} s"


@fault("a transaction of the database server is killed")
def database_transaction(scene: Scene) -> str:
    pid = scene.database.kill_transaction() if scene.database else 0
    return f"process {pid}" if pid else ""
