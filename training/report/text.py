"""A table of the report as Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Sequence

from models.cost.tables import table as markdown_table
from training.report.runs import TrainingRun, command
from training.report.tables import COSTS, Table, TableRow, change, column

LATEX = str.maketrans({"_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#"})


def cells(table: Table, *, each_seed: bool) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows: ours over the forecast frames, ours over the paper's frames, the paper's.

    Args:
        table: the table to write.
        each_seed: append the values of all seeds to their mean.
    """
    parts, paper_frames = any(row.part for row in table.rows), any(any(row.all_frames.values()) for row in table.rows)
    changes = [key for key in table.columns if key in ("memory", "macs") and _has_pairs(table)]
    head = ["Model", *(["Part"] if parts else [])]
    for key in table.columns:
        one = column(key)
        head.append(f"{one.label}, {one.ours}")
        head += [f"{one.label}, all frames"] if key not in COSTS and paper_frames else []
        head.append(f"{one.label}, {one.printed}" if key in COSTS else f"{one.label}, paper")
        head += ["change", "change, paper"] if key in changes else []
    lines = []
    for row in table.rows:
        line = [row.name, *([row.part] if parts else [])]
        for key in table.columns:
            line.append(_number(row.ours.get(key, []), column(key).digits, each_seed=each_seed and key not in COSTS))
            if key not in COSTS and paper_frames:
                line.append(_number(row.all_frames[key], column(key).digits, each_seed=each_seed))
            line.append(row.printed.get(key, ""))
            if key in changes:
                line += [_percent(change(table, row, key, printed=printed)) for printed in (False, True)]
        lines.append(line)
    return head, lines


def _has_pairs(table: Table) -> bool:
    return sum(not row.part and bool(row.printed) for row in table.rows) > 0 and any(
        change(table, row, table.columns[0], printed=True) is not None for row in table.rows if row.printed
    )


def _number(values: Sequence[float], digits: int, *, each_seed: bool) -> str:
    if not values:
        return ""
    mean = f"{sum(values) / len(values):.{digits}f}"
    return f"{mean} ({', '.join(f'{value:.{digits}f}' for value in values)})" if each_seed and len(values) > 1 else mean


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f} %"


def markdown(table: Table) -> str:
    """Return the table with its title, and the rows that were not run."""
    head, lines = cells(table, each_seed=True)
    body = markdown_table(head, lines)
    seeds = [row for row in table.rows if len(row.runs) > 1]
    notes = [f"Runs: {', '.join(run.name for run in table.runs)}."]
    if seeds:
        notes.append(f"Of more than one seed: mean and each ({', '.join(row.name for row in seeds)}).")
    if table.not_run:
        notes.append(f"Not run: {', '.join(table.not_run)}.")
    return f"### Table {table.number}. {table.title}\n\n{body}\n\n{' '.join(notes)}\n"


def csv_text(table: Table) -> str:
    """Return one line per row: the mean of the seeds, and the names of the runs."""
    head, lines = cells(table, each_seed=False)
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow([*head, "runs", "seeds"])
    for row, line in zip(table.rows, lines, strict=True):
        rows.writerow([*line, *_runs(row)])
    return file.getvalue()


def _runs(row: TableRow) -> tuple[str, str]:
    return " ".join(run.name for run in row.runs), " ".join(str(run.config.get("seed")) for run in row.runs)


def latex(table: Table) -> str:
    """Return a `table` float with plain rules, which needs no LaTeX package."""
    head, lines = cells(table, each_seed=True)
    first = "l" * (2 if head[1] == "Part" else 1)
    body = [" & ".join(cell.translate(LATEX) for cell in line) + r" \\" for line in (head, *lines)]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{table.title.translate(LATEX)} (Table {table.number} of the paper).}}",
            rf"\begin{{tabular}}{{{first}{'r' * (len(head) - len(first))}}}",
            r"\hline",
            body[0],
            r"\hline",
            *body[1:],
            r"\hline",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def setting_text(runs: Sequence[TrainingRun]) -> str:
    """Describe the scale of a group of runs in words."""
    one, stacks = runs[0], [run for run in runs if run.skip is not None]
    frame_CHW = (one.evaluation or {})["frame_CHW"]
    options = ", ".join(f"{key}={value}" for key, value in one.config.get("dataset_options", {}).items())
    steps = one.card.get("training", {}).get("steps")
    width = f"{stacks[0].width[0]} channels, {stacks[0].width[1]} layers; " if stacks else ""
    return (
        f"{one.config['dataset']}: frames of {frame_CHW[1]} x {frame_CHW[2]}{f' ({options})' if options else ''}, "
        f"{one.config['input_steps']} in and {one.config['lead_steps']} out; {width}{steps:,} steps of "
        f"{one.config['batch_size']} clips"
    )


def runs_table(runs: Sequence[TrainingRun]) -> str:
    """Return a table of the runs with seed, steps and time."""
    head = ["run", "model", "skip", "loss", "seed", "steps", "lr", "precision", "seconds", "clips scored", "code"]
    lines = [
        [
            run.name,
            run.model,
            run.skip or "",
            str(run.config.get("loss")),
            str(run.config.get("seed")),
            f"{run.card.get('training', {}).get('steps')}",
            f"{run.config.get('learning_rate')}",
            str(run.config.get("precision")),
            "" if run.seconds is None else f"{run.seconds:.0f}",
            f"{(run.evaluation or {}).get('windows')} of {(run.evaluation or {}).get('windows_in_the_test_set')}",
            str(run.card.get("code_revision", ""))[:12],
        ]
        for run in runs
    ]
    return markdown_table(head, lines)


def machines(runs: Sequence[TrainingRun]) -> str:
    """Return a paragraph per machine on which runs were trained; empty if no run names one."""
    places: dict[str, list[str]] = {}
    for run in runs:
        if run.machines:
            places.setdefault("; then ".join(run.machines), []).append(run.name)
    return "".join(f"Trained on {place}: {', '.join(names)}.\n\n" for place, names in places.items())


def commands(runs: Sequence[TrainingRun]) -> str:
    """Return the commands that trained and scored each run."""
    lines = [f"{command(run)} --out RUNS/{run.name}" for run in runs]
    lines += sorted({str((run.evaluation or {}).get("command")) for run in runs})
    return "```text\n" + "\n".join(lines) + "\n```"
