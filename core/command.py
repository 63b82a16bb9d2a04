"""How a command ends when its user made a mistake: one line, and exit status 2."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from core.errors import NowcastError


@contextmanager
def errors_in_one_line(*also: type[Exception]) -> Iterator[None]:
    """Turn an error of ours, or one of the kinds that are given, into a line on stderr and `typer.Exit(2)`."""
    told: tuple[type[Exception], ...] = (NowcastError, *also)
    try:
        yield
    except told as err:
        typer.echo(f"error: {err}", err=True)
        raise typer.Exit(2) from err
