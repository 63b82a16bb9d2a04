"""API keys on the command line: `python -m service.keys create NAME --scope forecast`, `list`, `revoke NAME`."""

from typing import Annotated

import typer

from core.command import errors_in_one_line
from core.settings import settings_from_environment
from core.times import iso
from service.access.keybook import KeyBook, Scope
from service.access.limits import parsed_limit

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="who will hold it")],
    scope: Annotated[Scope, typer.Option(help="read < forecast < admin")] = "read",
    limit: Annotated[str | None, typer.Option(help='"600/minute"; without it that of NOWCAST_LIMIT_PER_KEY')] = None,
) -> None:
    """Create a key and print it; it is shown only now, since only its hash is stored."""
    with errors_in_one_line():
        if limit is not None:
            parsed_limit(limit)
        key = _book().create(name, scope, limit)
    typer.echo(f"{scope} key of {name}, sent as X-API-Key or Authorization: Bearer; it is not shown again:", err=True)
    typer.echo(key)


@app.command("list")
def list_keys() -> None:
    """Print the keys: id, scope, limit, time of creation, validity, name."""
    with errors_in_one_line():
        for key in _book().list():
            until = f"revoked {iso(key.revoked_at)}" if key.revoked_at else "valid"
            typer.echo("\t".join((key.id, key.scope, key.rate_limit or "-", iso(key.created_at), until, key.name)))


@app.command()
def revoke(id_or_name: Annotated[str, typer.Argument(help="as `list` prints it")]) -> None:
    """End the validity of a key; running processes notice within seconds."""
    with errors_in_one_line():
        key = _book().revoke(id_or_name)
    typer.echo(f"revoked {key.id} of {key.name}", err=True)


def _book() -> KeyBook:
    return KeyBook.from_settings(settings_from_environment())


if __name__ == "__main__":
    app()
