"""`python -m training.skill_page --json F --out DIR`: a page of the skill protocol, with curves and reliability."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from core.command import errors_in_one_line
from core.errors import ConfigError
from core.files import write_bytes_atomically
from core.units import MAIN_THRESHOLDS_MMH
from training.evaluation.skill_figures import counts_of, draw_curves, draw_reliability
from verification.baselines import BASELINES
from verification.scores import value_of

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
ALL_BASELINES: Final = (*BASELINES, "extrapolation-native")
HEAD = """# Skill of `{model}` on weather that training never saw

Made of the tables of one command:

```text
{command}
```

Fields are resized bilinearly to 124 x 124 cells 30 minutes apart, a window begins at every field, and every row is
scored on the same cells: those where all fields are observed. Intervals are 90 % by bootstrap over blocks of three
windows of an event; windows overlap further than that, so they are rather too narrow.
"""


@app.command()
def main(
    json_file: Annotated[Path, typer.Option("--json", help="file that training.skill --json wrote")],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    model: Annotated[str, typer.Option(help="the model that the page is about")] = "default",
    picture: Annotated[list[str], typer.Option(help="FILE=CAPTION of a picture in the folder, shown as well")] = [],  # noqa: B006
) -> None:
    """Write README.md with gains, scores and reliability, and the figures as PNG."""
    with errors_in_one_line():
        tables = _read(json_file, model)
        out.mkdir(parents=True, exist_ok=True)
        draw_curves(tables["events"], MAIN_THRESHOLDS_MMH, out / "csi_by_lead.png")
        whole = tables.get("pooled", tables["events"][0])
        draw_reliability(whole, model, out / "reliability.png")
        write_bytes_atomically(out / "README.md", page(tables, model, picture).encode())
    typer.echo(f"wrote {out / 'README.md'}")


def page(tables: dict[str, Any], model: str, pictures: list[str]) -> str:
    """Return the page as Markdown."""
    parts = [
        HEAD.format(model=model, command=tables["command"]),
        "## Gain over the better baseline",
        _gains(tables, model),
    ]
    parts += ["## CSI by lead", "![CSI by lead](csi_by_lead.png)"]
    parts += [_scores(event, event["event"]) for event in tables["events"]]
    if "pooled" in tables:
        parts += [_biases(tables["pooled"], model)]
    whole = tables.get("pooled", tables["events"][0])
    parts += ["## Probabilities", "![reliability](reliability.png)", _probabilities(whole)]
    if pictures:
        parts.append("## Forecasts and observations")
        parts += [f"![{caption}]({name})\n\n{caption}" for name, _, caption in (one.partition("=") for one in pictures)]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _read(path: Path, model: str) -> dict[str, Any]:
    try:
        tables: dict[str, Any] = json.loads(path.read_text())
        names = {row["model"] for event in tables["events"] for row in event["pooled"]}
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ConfigError(f"{path}: expected a file of training.skill --json, got {err}") from err
    if model not in names:
        raise ConfigError(
            f"--model: expected one of {', '.join(sorted(names))}, got {model}, of which {path} has no row"
        )
    return tables


def _gains(tables: dict[str, Any], model: str) -> str:
    """Return a table of the model's CSI over that of the best baseline, by event."""
    lines = [
        "| event | " + " | ".join(f"{mmh:g} mm/h" for mmh in MAIN_THRESHOLDS_MMH) + " |",
        "|---|" + "---|" * len(MAIN_THRESHOLDS_MMH),
    ]
    for event in tables["events"]:
        cells = []
        for mmh in MAIN_THRESHOLDS_MMH:
            rows = {row["model"]: row for row in event["pooled"] if row["rate_mmh"] == mmh}
            best = max((rows[name] for name in ALL_BASELINES if name in rows), key=lambda row: row["csi"] or 0.0)
            gain = rows[model]["csi"] / best["csi"] - 1 if best["csi"] else float("nan")
            few = "" if rows[model]["claimed"] else f" ({rows[model]['observed_cells']} cells: not claimed)"
            cells.append(f"{rows[model]['csi']:.3f} over {best['csi']:.3f} ({best['model']}): {gain:+.1%}{few}")
        lines.append(f"| {event['event']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _scores(event: dict[str, Any], name: str) -> str:
    fss = {(row["model"], row["rate_mmh"], row["window_km"]): row["fss"] for row in event["fss"]}
    windows = sorted({row["window_km"] for row in event["fss"]})
    heads = [f"CSI {mmh:g} (90 %)" for mmh in MAIN_THRESHOLDS_MMH] + [f"HSS {mmh:g}" for mmh in MAIN_THRESHOLDS_MMH]
    heads += [f"bias {mmh:g}" for mmh in MAIN_THRESHOLDS_MMH[:2]] + [
        f"FSS {MAIN_THRESHOLDS_MMH[0]:g}, {km:g} km" for km in windows
    ]
    lines = [f"### {name}: {event['windows']} windows", "", "| | " + " | ".join([*heads, "MAE mm/h"]) + " |"]
    lines.append("|---|" + "---|" * (len(heads) + 1))
    for model in dict.fromkeys(row["model"] for row in event["pooled"]):
        rows = [
            next(r for r in event["pooled"] if r["model"] == model and r["rate_mmh"] == mmh)
            for mmh in MAIN_THRESHOLDS_MMH
        ]
        cells = [f"{_text(r['csi'])} ({_text(r['csi_90'][0])} to {_text(r['csi_90'][1])})" for r in rows]
        cells += [_text(r["hss"]) for r in rows] + [_text(r["bias"], 2) for r in rows[:2]]
        cells += [_text(fss[model, MAIN_THRESHOLDS_MMH[0], km]) for km in windows] + [_text(event["mae_mmh"][model])]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    observed = ", ".join(
        f"{row['observed_cells']} at {row['rate_mmh']:g} mm/h"
        for row in event["pooled"]
        if row["model"] == "persistence" and row["rate_mmh"] in MAIN_THRESHOLDS_MMH
    )
    return "\n".join([*lines, "", f"Observed cells over all leads: {observed}."])


def _biases(pooled: dict[str, Any], model: str) -> str:
    """Return a table of the frequency bias by lead, pooled over the events."""
    lines = ["### Frequency bias, pooled over the events that count"]
    leads = sorted({row["lead_minutes"] for row in pooled["counts"]})
    lines += ["", "| | " + " | ".join(f"+{lead}" for lead in leads) + " |", "|---|" + "---|" * len(leads)]
    for name in dict.fromkeys(["persistence", model]):
        for mmh in MAIN_THRESHOLDS_MMH[:2]:
            cells = []
            for lead in leads:
                row = next(
                    r for r in pooled["counts"] if (r["model"], r["rate_mmh"], r["lead_minutes"]) == (name, mmh, lead)
                )
                cells.append(_text(value_of("bias", counts_of(row)), 2))
            lines.append(f"| {name}, {mmh:g} mm/h | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _probabilities(whole: dict[str, Any]) -> str:
    lines = [
        "| | rate | Brier score | skill over climatology | over persistence | largest gap (bins above 1,000 cells) |",
        "|---|---|---|---|---|---|",
    ]
    for table in whole["probabilities"]:
        for row in table["by_rate"]:
            skills = [_text(row[key]) for key in ("skill_climatology", "skill_persistence", "largest_gap")]
            lines.append(f"| {table['model']} | {row['rate_mmh']:g} mm/h | {row['brier']:.4f} | {' | '.join(skills)} |")
    values = ", ".join(f"{table['model']} {table['crps_mmh']:.4f} mm/h" for table in whole["probabilities"])
    return "\n".join([*lines, "", f"CRPS: {values}; that of a deterministic forecast is its MAE."])


def _text(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    app()
