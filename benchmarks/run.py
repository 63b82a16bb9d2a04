"""`python -m benchmarks.run`: every benchmark, each a ratio of two sides timed alternately, as a page with pictures."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import against_peers as against_peers
from benchmarks import archive as archive
from benchmarks import flood as flood
from benchmarks import folder as folder
from benchmarks import forecast as forecast
from benchmarks import growth as growth
from benchmarks import landing as landing
from benchmarks import limits as limits
from benchmarks import live as live
from benchmarks import loading as loading
from benchmarks import memory as memory
from benchmarks import native as native
from benchmarks import points as points
from benchmarks import reading as reading
from benchmarks import serving as serving
from benchmarks import training_step as training_step
from benchmarks import visible as visible
from benchmarks.page import BENCHMARKS, Section, goals_text, section_text
from benchmarks.setting import BenchmarkSetting, quick
from core.command import errors_in_one_line
from core.errors import ConfigError
from models.cells import CELLS
from models.device import machine

ORDER = ("limits", "forecast", "forecast-1km", "training", "saved-activations", "peak-memory", "peers", "growth")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the figures here")] = None,
    markdown: Annotated[Path | None, typer.Option(help="write the page here, its pictures next to it")] = None,
    only: Annotated[list[str] | None, typer.Option(help="one benchmark by name; may come again")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    batch: Annotated[int, typer.Option(min=1, help="of the training rows")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="pairs timed of each comparison")] = 3,
    compiled: Annotated[bool, typer.Option("--compile", help="also training with torch.compile: minutes")] = False,
    data: Annotated[Path | None, typer.Option(help="folder of radar event files, for the loader")] = None,
    cell: Annotated[list[str] | None, typer.Option(help="only this cell in the tables of all; may come again")] = None,
    small: Annotated[bool, typer.Option("--quick", help="tiny sizes: shows that it runs, no figures")] = False,
) -> None:
    """Run the benchmarks and print the page."""
    setting = BenchmarkSetting(device=device, batch=batch, runs=runs, compiled=compiled, data=data)
    with errors_in_one_line(OSError):
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ConfigError(f"device: expected cpu on a machine without a GPU, got {device!r}")
        setting = _of_cells(setting, cell) if cell else setting
        names = _chosen(only)
        sections = dict(_run(names, quick(setting) if small else setting))
        text = page(sections, setting, small=small, pictures=markdown)
        if markdown is not None:
            markdown.write_text(text)
        if json_file is not None:
            json_file.write_text(json.dumps(_figures(sections, setting), indent=1) + "\n")
    typer.echo(text)


def _of_cells(setting: BenchmarkSetting, chosen: list[str]) -> BenchmarkSetting:
    for name in chosen:
        CELLS.get(name)
    return replace(setting, cells=tuple(chosen), flat_cells=tuple(set(setting.flat_cells) & set(chosen)))


def _chosen(only: list[str] | None) -> list[str]:
    names = only or [*ORDER, *(name for name in BENCHMARKS.names() if name not in ORDER)]
    for name in names:
        BENCHMARKS.get(name)
    return names


def _run(names: list[str], setting: BenchmarkSetting) -> Iterator[tuple[str, Section]]:
    for name in names:
        torch.manual_seed(0)
        start = time.perf_counter()
        section = BENCHMARKS.get(name)(setting)
        typer.echo(f"{name}: {time.perf_counter() - start:.0f} s", err=True)
        yield name, section


def page(
    sections: dict[str, Section], setting: BenchmarkSetting, *, small: bool = False, pictures: Path | None = None
) -> str:
    """Return all sections as Markdown; their pictures are written next to the page if it has a path."""
    parts = ["# Performance", _introduction(setting, small=small), "" if small else goals_text(sections.values())]
    for name, section in sections.items():
        picture = None
        if section.draw is not None and pictures is not None:
            picture = pictures.with_name(f"{pictures.stem}-{name}.png")
            section.draw(picture)
        parts.append(section_text(name, section, command(again=True), picture.name if picture else None))
    return "\n\n".join(part for part in parts if part) + "\n"


def _introduction(setting: BenchmarkSetting, *, small: bool) -> str:
    lines = [
        f"Made by one command on {machine(setting.device)}:",
        f"```\n{command()}\n```",
        "Every figure of speed is a ratio whose two sides were timed in turns in this run; the medians are of as "
        "many pairs as the table says. Above 1 ours is faster.",
    ]
    lines += ["**Tiny sizes (`--quick`): these figures show that it runs, and nothing else.**"] if small else []
    return "\n\n".join(lines)


def command(*, again: bool = False) -> str:
    """Return this command line; with `again` that of a single benchmark, without its files and choices."""
    words = list(sys.argv[1:])
    for option in ("--only", "--json", "--markdown") if again else ():
        while option in words:
            place = words.index(option)
            del words[place : place + 2]
    return " ".join(["python -m benchmarks.run", *words])


def _figures(sections: dict[str, Section], setting: BenchmarkSetting) -> dict[str, Any]:
    results = {name: section.to_dict() for name, section in sections.items()}
    return {"command": command(), "machine": machine(setting.device), "sections": results}


if __name__ == "__main__":
    app()
