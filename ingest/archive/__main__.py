"""`python -m ingest.archive build|inspect|fetch`: the training archive."""

import json
import logging
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from core.errors import ConfigError, NowcastError
from core.files import write_bytes_atomically
from ingest.archive.build import build_archive
from ingest.archive.download import Downloader
from ingest.archive.fetch import fetch_dataset, parse_years
from ingest.archive.gaps import as_text
from ingest.archive.inspect import contents_text, draw, inspect_archive
from ingest.archive.settings import archive_settings, program_version

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="YAML file that overrides the built-in archive.yaml.")
]


class Dataset(StrEnum):
    """The data sets that can be fetched."""

    RADOLAN_RY = "radolan-ry"
    RADOLAN_YW = "radolan-yw"
    RADKLIM_YW = "radklim-yw"
    RADKLIM_YW_NETCDF = "radklim-yw-netcdf"
    RYDL = "rydl"
    MLCAST_RADKLIM = "mlcast-radklim"


@app.command()
def build(
    source: Annotated[Path, typer.Option(help="Folder of radar files or archives of them, or one file.")],
    out: Annotated[Path, typer.Option(help="Path of the Zarr archive; an interrupted build is resumed.")],
    workers: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    product: Annotated[
        str | None, typer.Option(help="Archive this product only; default: that of the first file.")
    ] = None,
    settings: SettingsFile = None,
) -> None:
    """Convert radar files (RADOLAN, ODIM, CF NetCDF, RYDL.hdf5) to one Zarr archive."""
    with _errors_in_one_line():
        built = build_archive(source, out, archive_settings(settings), workers=workers, product=product)
    if not built.report:
        typer.echo(f"{built.archive} exists already, made of these files")
        return
    typer.echo(f"{built.archive}\n{as_text(built.report)}", nl=False)


@app.command()
def inspect(
    archive: Annotated[Path, typer.Argument(help="A Zarr archive.")],
    picture: Annotated[Path | None, typer.Option(help="Path of the figure; default: ARCHIVE.png.")] = None,
    fields: Annotated[int, typer.Option(min=1, help="Number of fields to read, evenly spaced.")] = 500,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the statistics to this file.")] = None,
) -> None:
    """Print statistics and gaps of an archive, and draw its coverage and wet fraction."""
    with _errors_in_one_line():
        contents = inspect_archive(archive, fields=fields)
    draw(contents, picture or archive.with_suffix(".png"))
    if json_file is not None:
        write_bytes_atomically(json_file, (json.dumps(contents.report, indent=1) + "\n").encode())
    typer.echo(contents_text(contents.report) + as_text(contents.report), nl=False)


@app.command()
def fetch(
    dataset: Annotated[Dataset, typer.Option(help="What to fetch.")],
    years: Annotated[str, typer.Option(help="First and last year: 2012-2016. RYDL is one file of all years.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    yes: Annotated[bool, typer.Option("--yes", help="Download without asking for confirmation.")] = False,
    settings: SettingsFile = None,
) -> None:
    """Download a public archive; needs the internet. An interrupted download is resumed."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with _errors_in_one_line():
        remotes = archive_settings(settings).fetch
        downloader = Downloader(remotes.user_agent.format(version=program_version()))

        def agreed(what: str) -> bool:
            typer.echo(what)
            return yes or typer.confirm("Fetch it?")

        try:
            done = fetch_dataset(dataset.value, parse_years(years), out, remotes, downloader, agreed)
        finally:
            downloader.close()
    typer.echo(f"fetched into {out}" if done else "nothing fetched")


class _errors_in_one_line:  # noqa: N801 (reads as a statement)
    """Prints an error of this project as one line and exits: with 2 if the command line is wrong, else with 1."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        if isinstance(err, NowcastError):
            typer.echo(f"archive: {err}", err=True)
            raise typer.Exit(2 if isinstance(err, ConfigError) else 1) from err


if __name__ == "__main__":
    app()
