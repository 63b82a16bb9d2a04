"""Backups in one file: `nowcast backup FILE`, `nowcast restore FILE`; and second copies of catalogue, keys and rules.

`python -m service.backup make`, `list`, `restore WHICH` are about the second copies in the live store.

The worker makes one of each a day. A damaged catalogue is repaired from its copy without a command; keys are not, since
an older copy could hold a key that was revoked since.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from core.command import errors_in_one_line
from core.settings import settings_from_environment
from ingest.store import backup
from service.access.copies import Database, databases, folder_of, restore_file
from service.copies import backup_file


class FileGroup(TyperGroup):
    """Takes a first word that is no command as the file of `save`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command of the arguments."""
        is_file = args and args[0] not in self.commands
        return super().resolve_command(ctx, ["save", *args] if is_file else args)


app = typer.Typer(cls=FileGroup, no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
def save(
    file: Annotated[Path, typer.Argument(help="a new file; readable by its owner alone")],
    force: Annotated[bool, typer.Option("--force", help="replace the file")] = False,
) -> None:
    """Write scores, jobs, keys, rules, alerts and models into one file; the service may be at work."""
    with errors_in_one_line():
        settings = settings_from_environment()
        done = backup_file.save(settings, file, force=force)
    typer.echo(f"{done.rows} rows and {done.files} files of models are in {file}", err=True)
    if settings.files_url is not None:
        typer.echo(f"scans and forecasts are in {settings.files_url}, which needs a copy of its own", err=True)


def load(
    file: Annotated[Path, typer.Argument(help="made by `nowcast backup FILE`")],
    force: Annotated[bool, typer.Option("--force", help="replace what is stored, and restore under a service")] = False,
) -> None:
    """Restore a backup into an empty NOWCAST_HOME, or an empty database."""
    with errors_in_one_line():
        done = backup_file.load(settings_from_environment(), file, force=force)
    typer.echo(f"{done.rows} rows and {done.files} files of models are restored; start the service", err=True)


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
