"""`python -m benchmarks.run`: every benchmark, each a ratio of two sides timed in turns."""

import json
import platform
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks import forecast as forecast
from benchmarks import reading as reading
from benchmarks.timing import BENCHMARKS
from core.errors import NowcastError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the results here")] = None,
    only: Annotated[str | None, typer.Option(help="one benchmark by name")] = None,
) -> None:
    """Run the benchmarks and print a table."""
    try:
        chosen = [BENCHMARKS.get(only)] if only else [run for _, run in BENCHMARKS.items()]
    except NowcastError as err:
        typer.echo(f"error: {err}", err=True)
        raise typer.Exit(2) from err
    results = [result for run in chosen for result in run()]
    machine = f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
    typer.echo(f"{machine}{torch.get_num_threads()} threads; medians; ratio above 1: ours is faster")
    typer.echo(f"{'work':<20}{'ours':<16}{'s':>9}  {'beside it':<22}{'s':>9}{'ratio':>8}")
    for r in results:
        typer.echo(f"{r.name:<20}{r.ours:<16}{r.ours_s:>9.4f}  {r.theirs:<22}{r.theirs_s:>9.4f}{r.ratio:>8.2f}")
    if json_file is not None:
        command = " ".join(["python -m benchmarks.run", *sys.argv[1:]])
        content = {"command": command, "machine": machine.strip(", "), "results": [r.to_dict() for r in results]}
        json_file.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    app()
