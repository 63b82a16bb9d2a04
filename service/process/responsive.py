"""Settings of a process that must answer while it computes: no long pauses of its own, and threads of low priority.

Three things delayed `/livez` of a process under load, in this order: a full garbage collection, which visits the half
million objects of the loaded libraries and holds the interpreter lock all the while; the switch interval of 5 ms,
several of which pass before a response is complete; and the processors themselves, which the threads of numeric
libraries and the decoders of uploads keep busy. Threads that hold the interpreter lock keep their priority: a thread
that is scheduled late while it holds the lock would stop all others.
"""

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

NICENESS: Final = 5
"""Added niceness of threads that only compute: a third of the processor's time where others want it too."""

SWITCH_INTERVAL_S: Final = 0.001
SCAN_EVERY_S: Final = 1.0


@contextmanager
def gc_frozen_after() -> Iterator[None]:
    """Collect no garbage in this block, and never visit the objects that exist at its end: they are loaded to stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class LibraryThreads:
    """The threads that numeric libraries keep for their loops; they never hold the interpreter lock.

    Args:
        tasks: the folder with a folder for each thread of this process; where it does not exist nothing happens.
        lower: lowers the priority of the thread with a given number.
    """

    def __init__(self, tasks: Path = Path("/proc/self/task"), lower: Callable[[int], None] | None = None) -> None:
        self._tasks, self._lower = tasks, lower or _lower
        self._seen: set[int] = set()
        self._lowered: set[int] = set()

    def lower_known(self) -> None:
        """Lower the priority of threads that the last scan saw too: a new one may be Python's, not registered yet."""
        with suppress(OSError):
            there = {int(one.name) for one in self._tasks.iterdir()}
            others = there - {thread.native_id for thread in threading.enumerate()}
            for number in (others & self._seen) - self._lowered:
                self._lower(number)
                self._lowered.add(number)
            self._seen, self._lowered = others, self._lowered & others

    def follow(self, stop: threading.Event) -> None:
        """Scan again and again until `stop` is set, in a thread of its own."""

        def scan_again() -> None:
            while not stop.wait(SCAN_EVERY_S):
                self.lower_known()

        threading.Thread(target=scan_again, name="library threads", daemon=True).start()


def shorten_switch_interval() -> None:
    """Limit how long a thread waits for another one that computes in Python."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def _lower(number: int) -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, number, NICENESS)
