"""`nowcast files put`: put the files of a live store of one machine into the store of several machines."""

from collections.abc import Iterator
from pathlib import Path

import typer

from core.cache_room import is_export
from core.command import errors_in_one_line
from core.errors import ConfigError
from core.files import DamagedFileError
from core.mounts import mount_files
from core.settings import Settings, settings_from_environment
from core.shared_files import KEPT, SharedFolder, mounted

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.callback()
def files() -> None:
    """Move files into the store of files (NOWCAST_FILES_URL)."""


@app.command()
def put() -> None:
    """Put every file of NOWCAST_HOME that the store lacks; a repetition continues."""
    with errors_in_one_line():
        folder = folder_of(settings_from_environment())
        stored = {one.name: one.size for one in folder.store.list("")}
        done = damaged = 0
        for path in own_files(folder.home):
            if path.relative_to(folder.home).as_posix() in stored:
                continue
            try:
                folder.publish(path)
                done += 1
            except DamagedFileError as err:
                typer.echo(f"left out: {err}", err=True)
                damaged += 1
    typer.echo(f"{done} files are put, {len(stored)} were there, {damaged} are damaged", err=True)


def folder_of(settings: Settings) -> SharedFolder:
    """Return the live store of the settings in front of its store of files.

    Raises:
        ConfigError: the settings name none.
    """
    mount_files(settings)
    folder = mounted(settings.home.resolve())
    if folder is None:
        raise ConfigError("expected a store of files in NOWCAST_FILES_URL, got none")
    return folder


def own_files(home: Path) -> Iterator[Path]:
    """Yield the files of a live store that others cannot make again from the rest."""
    for top in sorted(KEPT):
        folder = home / top
        for path in sorted(folder.rglob("*")) if folder.is_dir() else (folder,):
            is_part = path.name.startswith(".") or path.suffix == ".part"
            if path.is_file() and not is_part and not (top == "forecasts" and is_export(path)):
                yield path


if __name__ == "__main__":
    app()
