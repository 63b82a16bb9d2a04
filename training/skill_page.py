"""`python -m training.skill_page --json F --out DIR`: a page of the scores of `training.skill`, with figures."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from core.command import errors_in_one_line
from core.errors import ConfigError
from core.files import write_bytes_atomically
from core.units import MAIN_THRESHOLDS_MMH
from training.evaluation.skill_figures import (
    LEAST_TILE_CELLS,
    JsonTable,
    draw_curves,
    draw_maps,
    draw_performance,
    draw_reliability,
    draw_spectra,
    rows_of,
)
from verification.bootstrap import LEAST_OBSERVED_CELLS
from verification.table import MASKS

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
MEAN_WORDS: Final = {"pooled": "pooled over leads", "leads": "mean of the leads"}
RULES: Final = f"""Every row of a table is scored on the same grid cells. Mask `all`: observed at the valid time and
within the coverage of the newest scan, where a baseline without a value forecasts no rain. Mask `known`: of these, the
cells whose origin was observed (for extrapolation). Intervals are 90 % by bootstrap over spells of weather, paired for
differences; nothing is claimed below {LEAST_OBSERVED_CELLS:,} observed cells, or with fewer than three spells."""
MAP_WORDS: Final = f"""CSI at 0.5 mm/h of the model less that of extrapolation by part of the field, of the rainiest
event files. Blue: the model is better; white: fewer than {LEAST_TILE_CELLS} observed cells with rain."""
CSV_COLUMNS: Final = (
    *("protocol", "group", "part", "windows", "spells", "mask", "model", "threshold_mmh", "lead"),
    *("csi", "low", "high", "cells", "events"),
)
PROTOCOLS: Final = {
    "paper": "Windows of 124 x 124 cells, 30 minutes apart",
    "native": "Windows on the event's own cells and cadence",
    "short": "Windows of 124 x 124 cells with three fields in and three out",
}


@app.command()
def main(
    json_file: Annotated[list[Path], typer.Option("--json", help="files that training.skill --json wrote")],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    model: Annotated[str, typer.Option(help="the model that the page is about")] = "default",
    picture: Annotated[list[str], typer.Option(help="FILE=CAPTION of a picture in the folder, shown as well")] = [],  # noqa: B006
) -> None:
    """Write README.md with gains and scores, the figures as PNG, and CSI of all rows as CSV."""
    with errors_in_one_line():
        documents = [_read(path, model) for path in json_file]
        out.mkdir(parents=True, exist_ok=True)
        parts = [f"# Skill of `{model}`", RULES]
        for number, document in enumerate(documents):
            parts += _section(document, model, out, "" if number == 0 else f"_{document['protocol']}")
        if picture:
            parts.append("## Forecasts and observations")
            parts += [f"![{text}]({name})\n\n{text}" for name, _, text in (one.partition("=") for one in picture)]
        page = "\n\n".join(part.rstrip() for part in parts) + "\n"
        write_bytes_atomically(out / "README.md", page.encode())
        write_bytes_atomically(out / "csi.csv", csi_csv(documents).encode())
    typer.echo(f"wrote {out / 'README.md'}")


def _read(path: Path, model: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        names = {row["model"] for table in document["tables"] for row in table["scores"]}
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ConfigError(f"{path}: expected a file of training.skill --json, got {err}") from err
    if model not in names:
        raise ConfigError(
            f"--model: expected one of {', '.join(sorted(names))}, got {model}, of which {path} has no row"
        )
    return document


def _section(document: dict[str, Any], model: str, out: Path, suffix: str) -> list[str]:
    """Return the parts of one evaluation, and draw its figures."""
    tables: list[JsonTable] = document["tables"]
    whole = tables[0]
    ensemble = next((one for one in tables if one["part"] == "ensemble" and one["group"] == whole["group"]), whole)
    draw_curves([whole], MAIN_THRESHOLDS_MMH, out / f"csi_by_lead{suffix}.png")
    draw_performance(ensemble, MAIN_THRESHOLDS_MMH, out / f"performance{suffix}.png")
    draw_reliability(ensemble, MAIN_THRESHOLDS_MMH, out / f"reliability{suffix}.png")
    draw_spectra(ensemble, out / f"spectra{suffix}.png")
    if document["maps"]:
        draw_maps(document["maps"], model, "extrapolation", out / f"maps{suffix}.png")
    every = [table for table in tables if table["part"] == "every"]
    parts = [f"## {PROTOCOLS.get(document['protocol'], document['protocol'])}", f"```text\n{document['command']}\n```"]
    parts += [f"![CSI by lead](csi_by_lead{suffix}.png)"]
    for mask in MASKS:
        parts += [f"### CSI of `{model}` and of the better baseline, mask `{mask}`", _gains(every, model, mask)]
    if ensemble is not whole:
        parts += ["### Compared with STEPS, on the windows that it was run on"]
        steps = [table for table in tables if table["part"] == "ensemble"]
        parts += [_gains(steps, model, mask) for mask in MASKS]
    parts += ["### Scores of all rows", _scores(whole), _scores(ensemble) if ensemble is not whole else ""]
    parts += [f"![performance diagram](performance{suffix}.png)", f"![reliability](reliability{suffix}.png)"]
    parts += ["### Texture", f"![spectra](spectra{suffix}.png)"]
    if document["maps"]:
        parts += ["### Where it wins", MAP_WORDS, f"![maps](maps{suffix}.png)"]
    return [part for part in parts if part]


def _gains(tables: list[JsonTable], model: str, mask: str) -> str:
    """Return the model's CSI and its difference to the better baseline, by group, mean and threshold."""
    lines = [
        f"| {mask}: events (windows) | mean | " + " | ".join(f"{mmh:g} mm/h" for mmh in MAIN_THRESHOLDS_MMH) + " |",
        "|---|---|" + "---|" * len(MAIN_THRESHOLDS_MMH),
    ]
    for table in tables:
        for mean, words in MEAN_WORDS.items():
            cells = [_gain(table, model, mask, mean, mmh) for mmh in MAIN_THRESHOLDS_MMH]
            lines.append(f"| {table['group']} ({table['windows']}) | {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _gain(table: JsonTable, model: str, mask: str, mean: str, mmh: float) -> str:
    rows = {row["model"]: row for row in rows_of(table, "csi", mask, mmh)}
    row = rows.get(model)
    if row is None:
        return "-"
    found = next((one for one in row["comparisons"] if one["mean"] == mean and "network" not in one["reference"]), None)
    if found is None:
        return f"{_text(row[mean]['value'])}; {row['events']:,} cells"
    other = rows[found["reference"]][mean]["value"]
    value = row[mean]["value"]
    gain = f"{value / other - 1:+.0%}" if value is not None and other else "-"
    interval = found["difference"]["interval"]
    ends = f" ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else ""
    difference = found["difference"]["value"]
    signed = "-" if difference is None else f"{difference:+.3f}"
    return (
        f"{_text(value)} to {_text(other)} ({found['reference']}): {gain}; {signed}{ends}, {found['verdict']}; "
        f"{row['events']:,} cells"
    )


def csi_csv(documents: list[dict[str, Any]]) -> str:
    """Return CSI of every row at the main thresholds: both means of every group, and the leads of the first one."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for document in documents:
        first = document["tables"][0]["group"]
        for table in document["tables"]:
            head = [document["protocol"], table["group"], table["part"], table["windows"], table["spells"]]
            for row in table["scores"]:
                if row["score"] == "csi" and row["threshold_mmh"] in MAIN_THRESHOLDS_MMH:
                    writer.writerows([*head, *line] for line in _csv_lines(row, leads=table["group"] == first))
    return file.getvalue()


def _csv_lines(row: dict[str, Any], *, leads: bool) -> Iterator[list[Any]]:
    what, cells = [row["mask"], row["model"], row["threshold_mmh"]], [row["cells"], row["events"]]
    for lead, value in row["by_lead"].items() if leads else ():
        yield [*what, lead, _text(value, 4), "", "", *cells]
    for mean in MEAN_WORDS:
        low, high = row[mean]["interval"] or (None, None)
        yield [*what, mean, *(_text(number, 4) for number in (row[mean]["value"], low, high)), *cells]


def _scores(table: JsonTable) -> str:
    """Return every score of all rows that has no lead, pooled over leads, mask all."""
    models = list(dict.fromkeys(row["model"] for row in table["scores"]))
    labels: dict[str, dict[str, Any]] = {}
    for row in table["scores"]:
        if row["mask"] == "all" and row["threshold_mmh"] in (None, *MAIN_THRESHOLDS_MMH):
            threshold = "" if row["threshold_mmh"] is None else f" {row['threshold_mmh']:g} mm/h"
            window = "" if row["window_km"] is None else f" {row['window_km']:g} km"
            labels.setdefault(f"{row['score']}{threshold}{window}", {})[row["model"]] = row
    lines = [
        f"| {table['group']}, {table['windows']} windows, mask all | " + " | ".join(models) + " | cells | events |"
    ]
    lines.append("|---|" + "---|" * (len(models) + 2))
    for label, rows in labels.items():
        values = [_text(rows[one]["pooled"]["value"]) if one in rows else "-" for one in models]
        first = next(iter(rows.values()))
        lines.append(f"| {label} | {' | '.join(values)} | {first['cells']} | {first['events']} |")
    return "\n".join(lines)


def _text(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    app()
