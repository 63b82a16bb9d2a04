"""`python -m training.evaluate --checkpoint C --dataset D`: the test table of a model and the baselines."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from core.command import errors_in_one_line
from core.errors import ConfigError
from core.map_plot import check_format
from models import Forecaster, load_forecaster
from training.catrare.run import Outputs, print_catrare
from training.config import is_first_process, key_value
from training.datasets import DATASETS, NowcastDataset, build_dataset
from training.datasets.series import find_series
from training.evaluation.clips import evaluate as evaluate
from training.evaluation.document import as_csv, as_json, write_json, write_text
from training.evaluation.engine import Evaluation, counts_key
from training.evaluation.event_windows import HOUR, NATIVE, PAPER
from training.evaluation.shared_work import launched_together
from training.evaluation.text import text_table
from training.frame_rows import draw_clip
from training.skill import (
    CacheFolder,
    CsvFile,
    EveryMinutes,
    JournalFile,
    JsonFile,
    SkillOptions,
    command_line,
    report,
)
from verification.baselines import BASELINES
from verification.counts import Counts

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
FRAME_OPTIONS = ("size", "height", "width", "channels", "digit_size", "digits_per_clip", "cadence_minutes")
"""Options that determine the frames: taken from the checkpoint's training, and other values are refused."""
TEST_OPTIONS = (
    *("digits", "invented_digits", "test_clips", "test_set"),
    *("stride", "running_stride", "ranges"),
    *("years", "test_windows"),
    *("validation_from", "test_from", "test_until", "min_wet_window"),
    *("fold", "trained", "validated", "tested", "table"),
)
"""Options that determine the test clips: taken from the checkpoint's training as well."""

FRAMES: Final = 5
"""Most given frames of a clip for a model of any scale, whose own number is one of 5-minute scans."""
MOST_NAMED: Final = 5
"""Series that a message describes."""

MODULE: Final = "training.evaluate"


class Protocol(StrEnum):
    """The frames over which a mean is taken, windows of radar events (`training.skill`), or RainNet2024's benchmark."""

    forecast = "forecast"
    paper = "paper"
    skill = "skill"
    native = "native"
    hour = "hour"
    catrare = "catrare"


UNUSED: Final = {
    **dict.fromkeys(("forecast", "paper"), ("catalogue", "every-minutes", "cache", "journal")),
    **dict.fromkeys(("skill", "native", "hour"), ("dataset", "clips", "catalogue", "transfer", "set", "plot")),
    "catrare": ("dataset", "clips", "every-minutes", "cache", "transfer", "plot"),
}
"""Options without a meaning, by protocol: refused, since a result that ignores one is not the requested one."""

EVENT_WINDOWS: Final = {Protocol.skill: PAPER, Protocol.native: NATIVE, Protocol.hour: HOUR}

Checkpoint = Annotated[str, typer.Option(help="a shipped name, or a checkpoint's folder")]
DatasetName = Annotated[
    str | None, typer.Option(help="germany, moving_mnist, ...; default: that of the checkpoint's card, or germany")
]
DataPath = Annotated[Path | None, typer.Option(help="file or folder; default ./data/DATASET where it exists")]
Frames = Annotated[
    Protocol,
    typer.Option(
        help="paper: one-step frames too; skill: radar events on 124 x 124 cells; native: on their own cells; "
        "hour: amounts of the next hour; catrare: RainNet2024's benchmark"
    ),
]
Clips = Annotated[int | None, typer.Option(min=1, help="number of test clips, evenly spread; default all")]
Catalogue = Annotated[Path | None, typer.Option(help="catrare: CSV of CatRaRE; --data has RADKLIM YW")]
Transfer = Annotated[bool, typer.Option("--transfer", help="score a model that was trained on other data or sizes")]
Plot = Annotated[
    Path | None,
    typer.Option(help="picture of one test clip: given, observed, and each forecast; protocols forecast and paper"),
]
Sets = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the data set's options")]


@app.command()
def main(
    checkpoint: Checkpoint = "default",
    dataset: DatasetName = None,
    data: DataPath = None,
    protocol: Frames = Protocol.forecast,
    clips: Clips = None,
    catalogue: Catalogue = None,
    every_minutes: EveryMinutes = None,
    cache: CacheFolder = None,
    journal: JournalFile = None,
    json_file: JsonFile = None,
    csv_file: CsvFile = None,
    plot: Plot = None,
    transfer: Transfer = False,
    sets: Sets = None,
) -> None:
    """Score a checkpoint, persistence and extrapolation on the test clips of a data set.

    The size of the frames and the test split are those of the checkpoint's training. Processes of torchrun share the
    clips. Protocols `skill`, `native` and `hour` score windows of radar events as `training.skill` does, with every
    baseline.
    """
    given = {"dataset": dataset, "clips": clips, "catalogue": catalogue, "every-minutes": every_minutes, "cache": cache}
    with errors_in_one_line(), launched_together():
        _refuse_unused(protocol, {**given, "journal": journal, "transfer": transfer, "set": sets, "plot": plot})
        options, outputs = dict(map(key_value, sets or [])), Outputs(command_line(MODULE), json_file, csv_file)
        forecaster = load_forecaster(checkpoint, precision="float32")  # so that a table is the same on every machine
        if protocol is Protocol.catrare:
            print_catrare(checkpoint, data, catalogue, options, journal, outputs)
        elif protocol in EVENT_WINDOWS:
            how = SkillOptions(EVENT_WINDOWS[protocol], every_minutes, journal=journal, cache=cache)
            report([forecaster], [data] if data else [], replace(how, csv_file=csv_file, json_file=json_file), MODULE)
        else:
            name = _scored_on(forecaster, dataset, transfer=transfer)
            test = scored_set(forecaster, name, data, options, transfer=transfer)
            _print_table(forecaster, test, name, outputs, plot, clips=clips, one_step=protocol is Protocol.paper)


def _refuse_unused(protocol: Protocol, given: Mapping[str, object]) -> None:
    """Refuse options without a meaning, and a picture of an unknown format, before any work."""
    for name in UNUSED[protocol.value]:
        if given[name]:
            others = ", ".join(other for other in UNUSED if name not in UNUSED[other])
            raise ConfigError(f"--{name}: expected --protocol {others}, got --protocol {protocol.value}")
    check_format(cast(Path | None, given["plot"]), "--plot")


def _print_table(
    forecaster: Forecaster,
    test: NowcastDataset,
    dataset: str,
    outputs: Outputs,
    plot: Path | None,
    *,
    clips: int | None,
    one_step: bool,
) -> None:
    """Print the table of a data set in the first process, write it to the files that are given, and draw a clip."""
    table = evaluate_with_baselines(forecaster, test, clips=clips, one_step=one_step)
    if not is_first_process():
        return
    typer.echo(text_table(table, test, forecaster))
    if outputs.csv_file is not None:
        write_text(outputs.csv_file, as_csv(table, test))
    if outputs.json_file is not None:
        content = as_json(table, test, forecaster, dataset_name=dataset, command=outputs.command)
        write_json(outputs.json_file, content)
    if plot is not None:
        clip = draw_clip(with_baselines(forecaster), test, dataset, plot)
        typer.echo(f"wrote {plot}: clip {clip} of the test set")


def scored_set(
    forecaster: Forecaster, dataset: str, data: Path | None, options: dict[str, Any], *, transfer: bool = False
) -> NowcastDataset:
    """Return the test split on which a checkpoint is scored.

    Args:
        forecaster: its card names its training data.
        dataset: name of a data set.
        data: None is ./data/DATASET if that exists.
        options: of the data set, in preference to those of the checkpoint's training.
        transfer: accept another data set, or frames of another size, than in training.

    Raises:
        ConfigError: unusable data, or without `transfer` other data than the checkpoint was trained on.
    """
    kind = DATASETS.get(dataset)
    trained = trained_on(forecaster)
    if not transfer:
        _refuse_other_data(forecaster, dataset, trained)
    own = trained.get("dataset_options", {}) if trained.get("dataset") == dataset else {}
    if not transfer and not own.get("crop"):  # random cuts are of all sizes
        _refuse_other_frames(forecaster.name, own, options, kind.options_class.model_fields)
    kept = {key: own[key] for key in (*FRAME_OPTIONS, *TEST_OPTIONS) if key in own}
    default = Path("data") / dataset
    path = data or (default if default.exists() or kind.is_rain else None)
    test = build_dataset(
        dataset,
        path,
        "test",
        {**kept, **options},
        input_steps=min(forecaster.input_steps, FRAMES) if forecaster.any_scale else forecaster.input_steps,
        lead_steps=int(forecaster.card.get("lead_steps", 5)),
        seed=0,
    )
    if not len(test):
        raise ConfigError(_without_windows(test, path, {**kept, **options}))
    return test


def _without_windows(test: NowcastDataset, path: Path | None, options: dict[str, Any]) -> str:
    """Return what a test set without a window holds."""
    needed = f"{test.input_steps} + {test.lead_steps} fields"
    needed += f" {test.cadence_minutes} minutes apart" if test.cadence_minutes else ""
    try:
        held = [one.contents for one in find_series(path)[:MOST_NAMED]]
    except ConfigError:
        held = []
    chosen = ", ".join(f"{key}={value}" for key, value in options.items())
    return (
        f"--data: expected at least one test window of {needed}, got 0 windows in {path or 'the data set'}: "
        f"{'; '.join(held) or 'no readable field'}; options of the test set: {chosen or 'none'}"
    )


def trained_on(forecaster: Forecaster) -> dict[str, Any]:
    """Return the configuration of the training run; empty if the card has none (baselines)."""
    return dict(forecaster.card.get("training", {}).get("config", {}))


def trained_text(forecaster: Forecaster) -> str:
    """Return name and options of the data set that a forecaster was trained on, for a sentence."""
    trained = trained_on(forecaster)
    options = trained.get("dataset_options", {})
    sizes = ", ".join(f"{key}={options[key]}" for key in FRAME_OPTIONS if key in options)
    return f"{trained.get('dataset', 'no stated data set')}{f' ({sizes})' if sizes else ''}"


def _scored_on(forecaster: Forecaster, given: str | None, *, transfer: bool) -> str:
    """Return the data set to score on: the given one, else that of the card; say both with `transfer`."""
    dataset = given or str(trained_on(forecaster).get("dataset", "germany"))
    if transfer and is_first_process():
        typer.echo(f"--transfer: trained on {trained_text(forecaster)}, scored on {dataset}\n")
    return dataset


def _refuse_other_data(forecaster: Forecaster, dataset: str, trained: Mapping[str, Any]) -> None:
    if trained and trained["dataset"] != dataset:
        raise ConfigError(
            f"--dataset: expected {trained['dataset']}, on which {forecaster.name} was trained, got {dataset}; "
            f"--transfer scores it on {dataset} nevertheless"
        )
    if "sha256" in forecaster.card and not trained and not DATASETS.get(dataset).is_rain:
        raise ConfigError(
            f"--dataset: expected rain for {forecaster.name}, whose card names no data set, got {dataset}; --transfer "
            "scores it nevertheless"
        )


def _refuse_other_frames(name: str, own: dict[str, Any], given: dict[str, Any], fields: dict[str, Any]) -> None:
    for key in FRAME_OPTIONS:
        if key in given and own:
            was = own.get(key, fields[key].default if key in fields else None)
            if given[key] != was:
                raise ConfigError(
                    f"--set {key}: expected {was}, with which {name} was trained, got {given[key]}; "
                    "--transfer scores it nevertheless"
                )


def evaluate_with_baselines(
    forecaster: Forecaster, test: NowcastDataset, *, clips: int | None = None, one_step: bool = False
) -> Evaluation:
    """Return the rows of every table: the checkpoint, persistence and extrapolation."""
    return evaluate(with_baselines(forecaster), test, clips=clips, one_step=one_step)


def with_baselines(forecaster: Forecaster) -> list[Forecaster]:
    """Return a forecaster and the baselines that it is compared with."""
    return [forecaster, *(load_forecaster(name) for name in BASELINES if name != forecaster.name)]


def counts_over_leads(table: Evaluation, model: str, threshold_mmh: float) -> Counts:
    """Return the counts of one model over all leads."""
    counts: Counts = table.pooled(counts_key(threshold_mmh), model)
    return counts


if __name__ == "__main__":
    app()
