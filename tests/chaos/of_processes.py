"""Faults of processes: killed, halted, slowed, without handles, memory or large files, and a stepped clock."""

import os
import resource
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos.machine import stutter as stutter_all
from tests.chaos.scene import FAULTS, Scene, fault

KILLED: Final = ("worker", "api", "ingest", "beat", "queue", "alerts")
HALTED: Final = ("worker", "api", "ingest", "beat", "queue")


def _kill(scene: Scene, part: str) -> str:
    pid = scene.part(part)
    os.kill(pid, signal.SIGKILL)
    return f"process {pid}"


def _halt(scene: Scene, part: str) -> str:
    pid, for_s = scene.part(part), scene.chance.uniform(1, 6)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(for_s)
        os.kill(pid, signal.SIGCONT)
    return f"{for_s:.1f} s"


for _part in KILLED:
    FAULTS[f"kill {_part}"] = partial(_kill, part=_part)
for _part in HALTED:
    FAULTS[f"halt {_part}"] = partial(_halt, part=_part)


@fault("slow worker and ingest")
def stutter(scene: Scene) -> str:
    """Nine tenths of the time they stand still, as on a disk or processor that others use."""
    pids = [scene.part("worker"), scene.part("ingest")]

    def send(number: signal.Signals) -> None:
        for pid in pids:
            os.kill(pid, number)

    with suppress(ProcessLookupError):
        stutter_all(send, scene.chance.uniform(2, 5))
    return f"processes {pids}"


def _handles(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir())) + 2


def _address_space(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize() + 2**20


def _few_handles(scene: Scene, part: str) -> str:
    scene.limited(part, resource.RLIMIT_NOFILE, _handles, scene.chance.uniform(2, 5))
    return part


def _no_memory(scene: Scene, part: str) -> str:
    scene.limited(part, resource.RLIMIT_AS, _address_space, scene.chance.uniform(2, 5))
    return part


def _small_files(scene: Scene, part: str) -> str:
    scene.limited(part, resource.RLIMIT_FSIZE, lambda pid: 4096, scene.chance.uniform(2, 5))
    return part


for _part in ("worker", "api", "ingest"):
    FAULTS[f"few handles of {_part}"] = partial(_few_handles, part=_part)
for _part in ("worker", "ingest"):
    FAULTS[f"no memory for {_part}"] = partial(_no_memory, part=_part)
    FAULTS[f"no large file of {_part}"] = partial(_small_files, part=_part)


@fault("full disk")
def fill_disk(scene: Scene) -> str:
    """The file system of the store has not one free block for some seconds."""
    if not scene.is_mounted:
        return ""
    for_s = scene.chance.uniform(2, 6)
    scene.shrink(for_s)
    return f"{for_s:.1f} s"


@fault("clock step")
def step_clock(scene: Scene) -> str:
    """The wall clock of every process is a minute off, or right again."""
    if scene.clock is None:
        return ""
    scene.clock.step_to(scene.chance.choice([step for step in (-60, 0, 60) if step != scene.clock.offset_s]))
    return f"{scene.clock.offset_s:+d} s"
