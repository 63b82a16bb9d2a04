"""What keeps a process answering while it computes: no long pauses of its own, and threads that give way.

Three things held up `/livez` of a process under load, in this order: a full collection of garbage, which visits the
half million objects of the loaded libraries and holds the interpreter all the while; the interpreter's turns of 5 ms,
of which an answer needs several; and the processors themselves, which the libraries' own threads and the decoders of
uploads keep busy. Threads that hold the interpreter keep their priority: one that gave way while it holds it would
stop all others.
"""

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

GIVES_WAY: Final = 5
"""Steps that what only computes stands behind what answers (`nice`): a third of the time where both want it."""

TURN_S: Final = 0.001
LOOK_S: Final = 1.0


@contextmanager
def held_for_good() -> Iterator[None]:
    """Nothing is collected in this block, and what there is at its end never is: it is loaded to stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def give_way() -> None:
    """Let this process, and what it starts, stand behind the others."""
    with suppress(OSError):
        os.nice(GIVES_WAY)


class LibraryThreads:
    """The threads that numeric libraries keep for their loops; they never hold the interpreter, and so may give way.

    Args:
        tasks: the folder with a folder for each thread of this process; where there is none nothing happens.
        lower: lets the thread of a number give way.
    """

    def __init__(self, tasks: Path = Path("/proc/self/task"), lower: Callable[[int], None] | None = None) -> None:
        self._tasks, self._lower = tasks, lower or _lower
        self._seen: set[int] = set()
        self._lowered: set[int] = set()

    def look(self) -> None:
        """Lower those that are there since the last look: one of Python's own may not be known as such at once."""
        with suppress(OSError):
            there = {int(one.name) for one in self._tasks.iterdir()}
            others = there - {thread.native_id for thread in threading.enumerate()}
            for number in (others & self._seen) - self._lowered:
                self._lower(number)
                self._lowered.add(number)
            self._seen, self._lowered = others, self._lowered & others

    def follow(self, stop: threading.Event) -> None:
        """Look again and again until `stop` is set, in a thread of its own."""

        def look_again() -> None:
            while not stop.wait(LOOK_S):
                self.look()

        threading.Thread(target=look_again, name="library threads", daemon=True).start()


def take_short_turns() -> None:
    """A thread that wants the interpreter waits so long at most for one that computes in Python."""
    sys.setswitchinterval(TURN_S)


def _lower(number: int) -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, number, GIVES_WAY)
