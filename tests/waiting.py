"""Waiting for a condition as long as the whole suite may take, so that no test fails because the machine is busy."""

import subprocess
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

PATIENCE_S: Final = 900.0
"""Limit of every wait that asserts nothing about time: it is reached only where the condition never becomes true."""

PAUSE_S: Final = 0.05
"""Between two looks, so that looking does not take the machine from what is looked for."""

Found = TypeVar("Found")


def wait_until(
    look: Callable[[], Found],
    what: str,
    log: Callable[[], str] = str,
    *,
    process: subprocess.Popen[Any] | None = None,
    within_s: float = PATIENCE_S,
) -> Found:
    """Return what `look` finds as soon as it is true.

    Args:
        look: called again and again.
        what: is waited for, for the message of a failure.
        log: what to show in a failure.
        process: must not end meanwhile.
        within_s: shorter only where a test asserts how long something takes.
    """
    ends_at = time.monotonic() + within_s
    while not (found := look()):
        assert process is None or process.poll() is None, f"the process ended, still no {what}\n{log()}"
        assert time.monotonic() < ends_at, f"no {what} within {within_s:g} s\n{log()}"
        time.sleep(PAUSE_S)
    return found
