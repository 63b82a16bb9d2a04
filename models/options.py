"""Model options from a command line: `--set key=value`."""

import json
from collections.abc import Iterable
from typing import Any

from core.errors import InputError


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Keys and values; a value that is JSON (a number, true) is that, anything else is text.

    Raises:
        InputError: a pair without `=`.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--set {pair}; key=value was due")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return options
