"""`python -m training.evaluate --checkpoint C --dataset D`: the test table of a model and the baselines."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from core.command import errors_in_one_line
from core.errors import ConfigError
from models import Forecaster, load_forecaster
from training import skill
from training.catrare.run import Outputs, print_catrare
from training.config import is_first_process, key_value
from training.datasets import DATASETS, NowcastDataset, build_dataset
from training.evaluation.clips import evaluate as evaluate
from training.evaluation.document import as_json, write_json
from training.evaluation.engine import Evaluation, counts_key
from training.evaluation.shared_work import launched_together
from training.evaluation.text import text_table
from verification.baselines import BASELINES
from verification.counts import Counts

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
FRAME_OPTIONS = ("size", "height", "width", "channels", "digit_size", "digits_per_clip", "cadence_minutes")
"""Options that determine the frames: taken from the checkpoint's training, and other values are refused."""
TEST_OPTIONS = (
    *("digits", "invented_digits", "test_clips"),
    *("stride", "running_stride", "ranges"),
    *("years", "test_windows"),
    *("test_from", "test_until", "min_wet_window"),
)
"""Options that determine the test clips: taken from the checkpoint's training as well."""


class Protocol(StrEnum):
    """The frames over which a mean is taken, the skill protocol on radar events, or the benchmark of RainNet2024."""

    forecast = "forecast"
    paper = "paper"
    skill = "skill"
    catrare = "catrare"


@app.command()
def main(
    checkpoint: Annotated[str, typer.Option(help="a shipped name, or a checkpoint's folder")] = "default",
    dataset: Annotated[str, typer.Option(help="germany, moving_mnist, ...")] = "germany",
    data: Annotated[Path | None, typer.Option(help="file or folder; default ./data/DATASET where it exists")] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(help="paper: one-step frames too; skill: training.skill; catrare: RainNet2024's benchmark"),
    ] = Protocol.forecast,
    clips: Annotated[int | None, typer.Option(min=1, help="number of test clips, evenly spread; default all")] = None,
    catalogue: Annotated[Path | None, typer.Option(help="catrare: CSV of CatRaRE; --data has RADKLIM YW")] = None,
    journal: Annotated[Path | None, typer.Option(help="catrare: an interrupted run goes on from this file")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="catrare: also write the rows here")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the table here")] = None,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="score a model that was trained on other data or sizes")
    ] = False,
    sets: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the data set's options")] = None,
) -> None:
    """Score a checkpoint, persistence and extrapolation on the test clips of a data set.

    The size of the frames and the test split are those of the checkpoint's training. Processes of torchrun share the
    clips.
    """
    with errors_in_one_line(), launched_together():
        options = dict(key_value(text) for text in sets or [])
        if protocol is Protocol.skill:
            _print_skill(checkpoint, data, json_file)
        elif protocol is Protocol.catrare:
            outputs = Outputs(skill.command_line("training.evaluate"), json_file, csv_file)
            print_catrare(checkpoint, data, catalogue, options, journal, outputs)
        else:
            forecaster = load_forecaster(checkpoint, precision="float32")  # a table is the same on every machine
            test = scored_set(forecaster, dataset, data, options, transfer=transfer)
            table = evaluate_with_baselines(forecaster, test, clips=clips, one_step=protocol is Protocol.paper)
            _print_table(table, test, forecaster, dataset, json_file)


def _print_table(
    table: Evaluation, test: NowcastDataset, forecaster: Forecaster, dataset: str, json_file: Path | None
) -> None:
    """Print the table of a data set in the first process, and write it as JSON if a file is given."""
    if not is_first_process():
        return
    typer.echo(text_table(table, test, forecaster))
    if json_file is not None:
        command = " ".join(["python -m training.evaluate", *sys.argv[1:]])
        write_json(json_file, as_json(table, test, forecaster, dataset_name=dataset, command=command))


def _print_skill(checkpoint: str, data: Path | None, json_file: Path | None) -> None:
    """Print every score of the model card for an event, or for a folder of events."""
    files = sorted(data.glob("*.nc")) if data is not None and data.is_dir() else [data] if data is not None else []
    if not files:
        raise ConfigError(f"--data: expected a NetCDF file of an event or a folder of them, got {data or 'nothing'}")
    content = skill.printed(skill.with_ablations([load_forecaster(checkpoint, precision="float32")]), files)
    if json_file is not None:
        write_json(json_file, {"command": skill.command_line("training.evaluate"), **content})


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
    if trained and trained["dataset"] != dataset and not transfer:
        raise ConfigError(
            f"--dataset: expected {trained['dataset']}, on which {forecaster.name} was trained, got {dataset}; "
            f"--transfer scores it on {dataset} nevertheless"
        )
    own = trained.get("dataset_options", {}) if trained.get("dataset") == dataset else {}
    if not transfer and not own.get("crop"):  # random cuts are of all sizes
        _refuse_other_frames(forecaster.name, own, options, kind.options_class.model_fields)
    kept = {key: own[key] for key in (*FRAME_OPTIONS, *TEST_OPTIONS) if key in own}
    default = Path("data") / dataset
    return build_dataset(
        dataset,
        data or (default if default.exists() or kind.is_rain else None),
        "test",
        {**kept, **options},
        input_steps=forecaster.input_steps,
        lead_steps=int(forecaster.card.get("lead_steps", 5)),
        seed=0,
    )


def trained_on(forecaster: Forecaster) -> dict[str, Any]:
    """Return the configuration of the training run; empty if the card has none (baselines, converted weights)."""
    return dict(forecaster.card.get("training", {}).get("config", {}))


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
    baselines = [load_forecaster(name) for name in BASELINES if name != forecaster.name]
    return evaluate([forecaster, *baselines], test, clips=clips, one_step=one_step)


def counts_over_leads(table: Evaluation, model: str, threshold_mmh: float) -> Counts:
    """Return the counts of one model over all leads."""
    counts: Counts = table.pooled(counts_key(threshold_mmh), model)
    return counts


if __name__ == "__main__":
    app()
