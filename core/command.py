"""Exit of a command after a user error: one line on standard error and exit status 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from core.errors import NowcastError

USAGE_ERROR: Final = 2


@contextmanager
def errors_in_one_line(*also: type[Exception]) -> Iterator[None]:
    """End the program with one line on standard error for a `NowcastError` or an error of the given kinds.

    Raises:
        SystemExit: with status 2, from the error.
    """
    kinds: tuple[type[Exception], ...] = (NowcastError, *also)
    try:
        yield
    except kinds as err:
        print(f"error: {err}", file=sys.stderr)
        raise SystemExit(USAGE_ERROR) from err
