"""Exit of a command: one line on standard error and status 2 after a user error, 130 after Ctrl-C."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from core.errors import NowcastError

USAGE_ERROR: Final = 2
INTERRUPTED: Final = 130
"""Exit status of a command that Ctrl-C ended, as shells have it."""


@contextmanager
def errors_in_one_line(*also: type[Exception]) -> Iterator[None]:
    """End the program with one line on standard error for a `NowcastError` or an error of the given kinds.

    Raises:
        SystemExit: with status 2, from the error; with status 130 after Ctrl-C, which is no error.
    """
    kinds: tuple[type[Exception], ...] = (NowcastError, *also)
    try:
        yield
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    except kinds as err:
        print(f"error: {err}", file=sys.stderr)
        raise SystemExit(USAGE_ERROR) from err
