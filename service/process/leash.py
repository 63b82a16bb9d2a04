"""Start a program that ends with its parent: `python service/process/leash.py PARENT_PID PROGRAM [ARGUMENT ...]`.

Linux sends the signal itself when the parent has ended, however it ended (`prctl`); elsewhere only an orderly stop ends
the program. The file imports nothing of the project, so that it costs a few milliseconds only.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Become `command`, killed when process `parent` ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(f"process {parent} has ended; {command[0]} is not started")
    try:
        os.execvp(command[0], command)
    except OSError as err:
        sys.exit(f"cannot run {command[0]}: {err.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
