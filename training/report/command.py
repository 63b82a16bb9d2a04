"""`python -m training.report --runs DIR --out DIR`: the paper's tables and figures from run folders and records."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from core.command import errors_in_one_line
from core.errors import ConfigError, NowcastError
from core.files import write_bytes_atomically
from models import Forecaster, load_forecaster
from training.datasets import NowcastDataset
from training.evaluate import scored_set
from training.evaluation.clips import evaluate, predictions
from training.evaluation.document import as_json, write_json
from training.evaluation.engine import Evaluation
from training.frame_rows import LAYOUTS
from training.report.claim import claim
from training.report.figures import draw_example, draw_memory, one_of_each
from training.report.records import RECORDS, Example, read_example, record_of
from training.report.runs import TrainingRun, all_runs, by_setting, evaluation_file, read_evaluation
from training.report.tables import Table, make_table, paper_tables
from training.report.text import commands, csv_text, latex, machines, markdown, runs_table, setting_text
from verification.baselines import BASELINES

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
HEAD = """# Tables and figures of the paper, from runs

Next to each of our numbers is the paper's. Ours are over the forecast frames; "all frames" is the paper's mean over
its m + n - 1 positions, one-step forecasts of given frames among them. The paper's numbers hold for its scale (64
channels; 64 x 64 Moving MNIST, 88 x 88 KTH, 32 x 32 TaxiBJ, 124 x 124 Germany), its budget and its data: compare what
changes from row to row, not the numbers. MSE, MAE and GDL are sums over a frame, so they grow with its size. "MiB
saved" is what one training forward of one clip keeps for its gradient, counted on shapes by `models.cost.measure`
(float32); the paper's GB are of one card. Multiply-adds are of one forward of one clip. An empty place was not run.
"""


@app.command()
def main(
    runs: Annotated[list[Path], typer.Option(help="folder of run folders, or of a report's records; may be repeated")],
    out: Annotated[Path, typer.Option(help="folder to write to; its notes.md, if there is one, opens the page")],
    evaluate_missing: Annotated[bool, typer.Option("--evaluate", help="evaluate runs that lack it")] = False,
    again: Annotated[bool, typer.Option("--again", help="with --evaluate: evaluate every run again")] = False,
    clips: Annotated[int | None, typer.Option(min=1, help="with --evaluate: number of test clips, default all")] = None,
    evaluations: Annotated[
        Path | None, typer.Option(help="folder of NAME.json, instead of RUN/evaluation.json")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="file or folder, instead of the one each run was trained on")
    ] = None,
    clip: Annotated[int, typer.Option(min=0, help="the test clip that is drawn, from 0")] = 0,
) -> None:
    """Write README.md, tables as Markdown, CSV and LaTeX, figures as PNG, and a record of every run into `runs`.

    Unfinished runs are listed. The page can be made again from the records alone.
    """
    with errors_in_one_line(OSError):
        found, left_out = all_runs(runs, evaluations, forget=again)
        if evaluate_missing:
            found, failed = evaluate_runs(found, clips=clips, evaluations=evaluations, data=data)
            left_out |= failed
        left_out |= {run.name: "not evaluated; --evaluate evaluates it" for run in found if run.evaluation is None}
        usable = [run for run in found if run.evaluation is not None]
        write_report(usable, left_out, out, data=data, clip=clip)
    typer.echo(f"wrote {out / 'README.md'}: {len(usable)} runs, {len(left_out)} left out")


def evaluate_runs(
    runs: Sequence[TrainingRun], *, clips: int | None, evaluations: Path | None, data: Path | None
) -> tuple[list[TrainingRun], dict[str, str]]:
    """Return the runs with their evaluations, made if missing, and the reasons why others could not be evaluated."""
    done, failed = [], {}
    baselines: dict[str, Evaluation] = {}
    for run in runs:
        try:
            done.append(run if run.evaluation else _evaluated(run, clips, evaluations, data, baselines))
        except NowcastError as err:
            failed[run.name] = f"not evaluated: {err}"
    return done, failed


def _evaluated(
    run: TrainingRun, clips: int | None, evaluations: Path | None, data: Path | None, baselines: dict[str, Evaluation]
) -> TrainingRun:
    """Score a run by the paper's protocol; the baselines of one setting are scored once."""
    if not run.has_weights:
        raise ConfigError(f"{run.folder} has neither weights nor an evaluation of them")
    typer.echo(f"evaluating {run.name}", err=True)
    forecaster = _forecaster(run)
    test, where = _test_clips(run, data, forecaster), json.dumps([run.setting, str(_data(run, data))])
    table = evaluate([forecaster], test, clips=clips, one_step=True)
    if where not in baselines:
        baselines[where] = evaluate([load_forecaster(name) for name in BASELINES], test, clips=clips, one_step=True)
    table.totals.update(baselines[where].totals)
    dataset = str(run.config["dataset"])
    command = (
        f"python -m training.evaluate --checkpoint RUNS/{run.name}/checkpoint --dataset {dataset} --protocol paper"
    )
    command += (" --data DATA" if _data(run, data) else "") + (f" --clips {clips}" if clips else "")
    content = as_json(table, test, forecaster, dataset_name=dataset, command=command)
    file = evaluation_file(run, evaluations)
    write_json(file, content)
    return replace(run, evaluation=read_evaluation(file, run.card))


def _data(run: TrainingRun, data: Path | None) -> Path | None:
    own = run.config.get("data")
    return data or (Path(own) if own else None)


def _forecaster(run: TrainingRun) -> Forecaster:
    return load_forecaster(run.folder / "checkpoint", precision="float32")


def _test_clips(run: TrainingRun, data: Path | None, forecaster: Forecaster) -> NowcastDataset:
    return scored_set(forecaster, str(run.config["dataset"]), _data(run, data), {})


def write_report(
    runs: Sequence[TrainingRun],
    left_out: dict[str, str],
    out: str | Path,
    *,
    data: str | Path | None = None,
    clip: int = 0,
) -> None:
    """Write the page, its tables, its figures and the records of the runs.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    out = Path(out)
    groups = by_setting(runs)
    examples = examples_of(runs, None if data is None else Path(data), clip)
    notes = out / "notes.md"
    sections = [HEAD, *([notes.read_text()] if notes.is_file() else [])]
    for number, group in enumerate(groups, start=1):
        alone = sum(group[0].config["dataset"] == other[0].config["dataset"] for other in groups) == 1
        sections.append(_section(group, out, "" if alone else f"setting-{number}", examples))
    if left_out:
        sections.append("## Runs that are not used\n\n" + "\n".join(f"- {n}: {why}" for n, why in left_out.items()))
    for run in runs:
        known = examples[run.name]
        record_of(run, known if isinstance(known, Example) else None, out / RECORDS)
    _write(out / "README.md", "\n\n".join(section.rstrip() for section in sections) + "\n")


def examples_of(runs: Sequence[TrainingRun], data: Path | None, clip: int) -> dict[str, Example | NowcastError]:
    """Return each run's forecast of a test clip by name, from its weights or its record, or why there is none."""
    tests: dict[str, NowcastDataset] = {}
    found: dict[str, Example | NowcastError] = {}
    for run in runs:
        try:
            found[run.name] = _made(run, data, clip, tests) if run.has_weights else _recorded(run, clip)
        except NowcastError as err:
            found[run.name] = err
    return found


def _made(run: TrainingRun, data: Path | None, clip: int, tests: dict[str, NowcastDataset]) -> Example:
    forecaster, where = _forecaster(run), json.dumps([run.setting, str(_data(run, data))])
    if where not in tests:
        tests[where] = _test_clips(run, data, forecaster)
    test = tests[where]
    if clip >= len(test):
        raise ConfigError(f"clip: expected 0 to {len(test) - 1}, got {clip}")
    past_TCHW, future_TCHW = test[clip]
    forecast_BTCHW = predictions(forecaster, past_TCHW[None], test.lead_steps, one_step=False)
    first = (past_TCHW[:, 0].numpy(), future_TCHW[:, 0].numpy(), forecast_BTCHW[0, :, 0])
    return Example(clip, *first, test.grid_at(clip)).rounded(is_rain=test.is_rain)


def _recorded(run: TrainingRun, clip: int) -> Example:
    example = read_example(run)
    if example is None or example.clip != clip:
        kept = "no clip" if example is None else f"clip {example.clip}"
        raise ConfigError(f"the record of {run.name} keeps {kept}, and it has no weights to forecast clip {clip}")
    return example


def _section(runs: list[TrainingRun], out: Path, folder: str, examples: Mapping[str, Example | NowcastError]) -> str:
    """Return the section of one setting: its tables, its figures, its runs and their commands."""
    where = out / folder
    made = f"{setting_text(runs)}.\n\n{runs_table(runs)}\n\n{machines(runs)}{commands(runs)}\n"
    parts = [f"## {setting_text(runs)}", *_differences(runs)]
    numbers = [n for n, spec in paper_tables().items() if spec["dataset"] == runs[0].config["dataset"]]
    tables = [table for table in (make_table(number, runs) for number in numbers) if table.runs]
    for table in tables:
        _write_table(table, where, made)
        parts.append(markdown(table))
    parts += [claim(tables), *_figures(runs, where, out, examples)]
    placed = {run.name for table in tables for run in table.runs}
    others = [f"{run.name} ({run.variant or 'no such row'})" for run in runs if run.name not in placed]
    parts += [f"In no table of the paper: {', '.join(others)}."] if others else []
    return "\n\n".join(
        part.rstrip() for part in [*filter(None, parts), "### Runs and commands", made.split("\n\n", 1)[1]]
    )


def _differences(runs: Sequence[TrainingRun]) -> list[str]:
    """Return what makes a comparison of these runs' scores unfair."""
    clips = {(run.evaluation or {})["windows"] for run in runs}
    tests = {json.dumps((run.evaluation or {})["data"], sort_keys=True) for run in runs}
    differences = [f"The runs were scored on different numbers of clips: {sorted(clips)}."] if len(clips) > 1 else []
    return differences + (["The runs were scored on different data."] if len(tests) > 1 else [])


def _write_table(table: Table, where: Path, made: str) -> None:
    own = f"Setting: {made}"
    _write(where / f"table{table.number}.md", f"{markdown(table)}\n{own}")
    _write(where / f"table{table.number}.csv", csv_text(table))
    _write(where / f"table{table.number}.tex", latex(table))


def _figures(
    runs: list[TrainingRun], where: Path, out: Path, examples: Mapping[str, Example | NowcastError]
) -> list[str]:
    """Draw the figures of a setting; return them as Markdown, with the reasons for missing ones."""
    drawn = one_of_each(runs)
    if not drawn:
        return []
    parts = []
    path = draw_memory(runs, where)
    parts.append(f"### Figure 1. Memory against score\n\n![memory against score]({path.relative_to(out)})")
    dataset = str(runs[0].config["dataset"])
    title = f"### Figure {LAYOUTS[dataset].number}. Forecasts" if dataset in LAYOUTS else "### Forecasts"
    known = {run.name: examples[run.name] for run in drawn}
    try:
        shown = {name: one for name, one in known.items() if isinstance(one, Example)}
        missing = [one for one in known.values() if isinstance(one, NowcastError)]
        if missing:
            raise missing[0]
        path = draw_example(drawn, shown, where)
        parts.append(f"{title}\n\n![forecasts]({path.relative_to(out)})")
    except NowcastError as err:
        parts.append(f"{title}\n\nNot drawn: {err}")
    return parts


def _write(path: Path, text: str) -> None:
    try:
        write_bytes_atomically(path, text.encode())
    except OSError as err:
        raise ConfigError(f"{path} cannot be written: {err.strerror}") from err
