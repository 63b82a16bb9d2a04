"""The console script `nowcast`: every command of the project under one name.

The modules of the subcommands are named by strings and imported only when their subcommand is called: `nowcast --help`
takes a fraction of a second, and `service` does not depend on `training` or `benchmarks`.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

DISTRIBUTION: Final = "ms-rnn-nowcast"


@dataclass(frozen=True)
class Subcommand:
    """One subcommand: its name, where its application or function stands (`MODULE:ATTRIBUTE`), and its help."""

    name: str
    place: str
    help: str
    panel: str
    hidden: bool = False


SERVICE, RADAR, MODELS, TRAINING = "Service", "Radar data", "Models", "Training and evaluation"
SUBCOMMANDS: Final = (
    Subcommand("run", "service.run:main", "Run the whole service.", SERVICE),
    Subcommand("point", "service.client.bars:app", "Draw the rain of the next hours at a place as bars.", SERVICE),
    Subcommand("animate", "service.client.__main__:animate", "Write a forecast as an animated picture.", SERVICE),
    Subcommand("client", "service.client.__main__:app", "Query a running service.", SERVICE),
    Subcommand("mcp", "service.client.mcp_server:app", "Offer the forecast to assistants (MCP).", SERVICE),
    Subcommand("keys", "service.keys:app", "Create, list and revoke API keys.", SERVICE),
    Subcommand("rules", "service.rules:app", "List, test and erase rules of alerts.", SERVICE),
    Subcommand("models", "service.models:app", "Add model versions and set their aliases.", SERVICE),
    Subcommand("backup", "service.backup:app", "Write a backup into one file, and second copies.", SERVICE),
    Subcommand("restore", "service.backup:load", "Restore a backup from one file.", SERVICE),
    Subcommand("files", "service.files:app", "Put the files of this machine into the store of files.", SERVICE),
    Subcommand("healthcheck", "service.healthcheck:main", "Check that a part of this host does its work.", SERVICE),
    Subcommand("watchdog", "service.watchdog:main", "Check that a worker completes a task.", SERVICE),
    Subcommand("ingest", "ingest.run:app", "Run the ingest worker on a folder or on DWD's open data.", RADAR),
    Subcommand("archive", "ingest.archive.__main__:app", "Build, inspect or fetch a training archive.", RADAR),
    Subcommand("export", "ingest.export:main", "Write scans or forecasts as ODIM HDF5.", RADAR),
    Subcommand("synthetic", "ingest.synthetic:main", "Write RADOLAN files of synthetic weather.", RADAR),
    Subcommand("replay", "service.replay:main", "Play recorded radar files into a watched folder.", RADAR),
    Subcommand("decoder", "ingest.sandbox.decoder:main", "Decode uploads (internal).", RADAR, hidden=True),
    Subcommand("predict", "models.predict:app", "Make one forecast from a file.", MODELS),
    Subcommand("convert", "models.convert.command:app", "Convert a checkpoint of the reference code.", MODELS),
    Subcommand("export-model", "models.export:app", "Write a network as a file of torch.export or ONNX.", MODELS),
    Subcommand("cost", "models.cost.report:app", "Print parameters, operations and memory of a model.", MODELS),
    Subcommand("train", "training.run:app", "Train a model.", TRAINING),
    Subcommand("find-rate", "training.find_rate:app", "Find a learning rate by a range test.", TRAINING),
    Subcommand("sweep", "training.sweep:app", "Search values of a configuration by trials.", TRAINING),
    Subcommand("rain-paper", "training.rain_paper:app", "Train the paper's models on rain, in turn.", TRAINING),
    Subcommand("evaluate", "training.evaluate:app", "Print the test scores of a checkpoint.", TRAINING),
    Subcommand("report", "training.report.command:app", "Write the paper's tables and figures from runs.", TRAINING),
    Subcommand("skill", "training.skill:app", "Print the scores of the model card for radar events.", TRAINING),
    Subcommand("skill-page", "training.skill_page:app", "Write the skill page from the scores of `skill`.", TRAINING),
    Subcommand("picture", "training.picture:app", "Draw a forecast next to the observations.", TRAINING),
    Subcommand("receptive-field", "training.receptive_field:app", "Show how far each layer of a model sees.", TRAINING),
    Subcommand("calibrate", "training.calibrate:app", "Fit the calibration of a checkpoint's probabilities.", TRAINING),
    Subcommand("train-native", "training.train_native:app", "Train the network of the native model.", TRAINING),
    Subcommand("fit-native", "training.fit_native:app", "Draw cells and fit the native model.", TRAINING),
    Subcommand(
        "native-skill",
        "training.native_skill:app",
        "Gains of the native model by folds and on unseen spells.",
        TRAINING,
    ),
    Subcommand(
        "native-steps", "training.native_steps:app", "Probabilities of the native model against STEPS.", TRAINING
    ),
    Subcommand(
        "native-checks", "training.native_checks:app", "Contradictions, ghosts and texture of forecasts.", TRAINING
    ),
    Subcommand("pictures", "training.pictures:app", "Pictures of observation, rate, member and probability.", TRAINING),
    Subcommand("digits", "training.datasets.fetch_digits:app", "Fetch the digits of Moving MNIST.", TRAINING),
    Subcommand("bench", "benchmarks.run:app", "Run the benchmarks (in a checkout only).", TRAINING),
    Subcommand("gpu-check", "benchmarks.gpu:app", "Check a machine's GPU (in a checkout only).", TRAINING),
    Subcommand(
        "structure", "benchmarks.structure:app", "Count the source (in a checkout only).", TRAINING, hidden=True
    ),
)


class LazyGroup(TyperGroup):
    """A group of placeholders that imports a subcommand when it is called or completed."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the name of the subcommand, the command itself, and the remaining arguments."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        found = next((one for one in SUBCOMMANDS if one.name == name), None)
        return name, load(found.place) if found else placeholder, rest


def load(place: str) -> Any:
    """Import the module of `MODULE:ATTRIBUTE` and return its application or function as a command."""
    module, _, attribute = place.partition(":")
    if module.startswith("benchmarks"):
        _find_benchmarks()
    target = getattr(import_module(module), attribute)
    if isinstance(target, typer.Typer):
        return typer.main.get_command(target)
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command()(target)
    return typer.main.get_command(single)


def _find_benchmarks() -> None:
    """Make the package `benchmarks` importable: it is part of a checkout and not of the wheel."""
    checkout = Path(__file__).parents[1]
    if find_spec("benchmarks") is None:
        if not (checkout / "benchmarks" / "run.py").exists():
            raise typer.BadParameter("`nowcast bench` works in a checkout of the project only")
        sys.path.append(str(checkout))


def _print_version(value: bool) -> None:
    if value:
        typer.echo(version(DISTRIBUTION))
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Precipitation nowcasting with MS-RNN: from radar file to scored forecast.",
)


@app.callback()
def options(
    show: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Handle the options of `nowcast` itself."""


def _placeholder(name: str) -> Callable[[], None]:
    """Return the placeholder of a subcommand for the list of subcommands; it is never called."""

    def subcommand() -> None:
        raise AssertionError(f"{name} was not loaded")

    return subcommand


for _one in SUBCOMMANDS:
    app.command(_one.name, help=_one.help, rich_help_panel=_one.panel, hidden=_one.hidden)(_placeholder(_one.name))


def main() -> None:
    """Run the console script."""
    app(prog_name="nowcast")


if __name__ == "__main__":
    main()
