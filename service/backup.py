"""Second copies of catalogue, keys and rules: `python -m service.backup make`, `list`, `restore WHICH`.

The worker makes one of each a day. A damaged catalogue is repaired from its copy without a command; keys are not, since
an older copy could hold a key that was revoked since.
"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from core.command import errors_in_one_line
from core.settings import settings_from_environment
from ingest.store import backup
from service.access.copies import Database, databases, folder_of, restore_file

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def make() -> None:
    """Copy the databases now."""
    with errors_in_one_line():
        settings = settings_from_environment()
        for database in databases(settings).values():
            if database.is_file():
                typer.echo(backup.make_copy(database, folder_of(settings), datetime.now(UTC)))


@app.command("list")
def list_copies() -> None:
    """Print the copies, the newest first."""
    with errors_in_one_line():
        settings = settings_from_environment()
        for database in databases(settings).values():
            for copy in backup.copies_of(database, folder_of(settings)):
                typer.echo(copy)


@app.command()
def restore(which: Annotated[Database, typer.Argument(help="which database")] = "catalogue") -> None:
    """Restore from the newest sound copy: missing rows of the catalogue, or all keys or rules."""
    with errors_in_one_line():
        settings = settings_from_environment()
        database, folder = databases(settings)[which], folder_of(settings)
        if which == "catalogue":
            typer.echo(f"{backup.restore_rows(database, folder)} rows are restored", err=True)
        else:
            typer.echo(f"{restore_file(database, folder)} is restored; revoke what it should not hold", err=True)


if __name__ == "__main__":
    app()
