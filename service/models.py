"""`python -m service.models add|alias|list`: the model registry of the live store (NOWCAST_HOME).

Running processes follow an alias with their next request or task; no restart is needed.
"""

from pathlib import Path
from typing import Annotated

import typer

from core.command import errors_in_one_line
from core.errors import InputError, UnavailableError
from core.mounts import mount_files
from core.settings import Settings, settings_from_environment
from service.inference.predictor import Predictor, load_version
from service.inference.registry import ModelRegistry, ModelVersion, refused

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def add(
    checkpoint: Annotated[Path, typer.Argument(help="folder with model.json and model.safetensors")],
    name: Annotated[str | None, typer.Option(help="of the model; by default the folder's")] = None,
) -> None:
    """Copy a checkpoint into the live store after it has loaded and run; no alias points to it yet."""
    with errors_in_one_line():
        settings = settings_from_environment()
        folder = checkpoint.resolve()
        name = name or (folder.parent.name if folder.name == "checkpoint" else folder.name)
        added = _registry(settings).add(folder, name, lambda copy: checked_version(name, copy))
    typer.echo(added.reference)


@app.command()
def alias(
    alias: Annotated[str, typer.Argument(help="default, production, canary, ...")],
    model: Annotated[str, typer.Argument(help="NAME@VERSION, or NAME for what that means now")],
) -> None:
    """Set an alias to a version that loads and runs; also the way back to an earlier version."""
    with errors_in_one_line():
        settings = settings_from_environment()
        registry = _registry(settings)
        target = registry.find(model)
        try:
            Predictor.from_settings(settings, registry).warm(target.reference)
        except UnavailableError as err:
            raise refused(target.reference, err) from err
        set_now = registry.set_alias(alias, target)
    before = f" (before: {set_now.before[-1]})" if set_now.before else ""
    typer.echo(f"{set_now.alias} is {set_now.name}@{set_now.version}{before}")


@app.command("list")
def list_models() -> None:
    """Print versions (reference, when added, aliases) and the previous targets of each alias."""
    with errors_in_one_line():
        registry = _registry(settings_from_environment())
        aliases = registry.aliases().values()
        for one in registry.versions():
            added = one.added_at.isoformat(timespec="seconds") if one.added_at else "part of the package"
            named = ", ".join(each.alias for each in aliases if (each.name, each.version) == (one.name, one.version))
            typer.echo("\t".join((one.reference, added, named or "-")))
        for each in aliases:
            typer.echo(
                f"{each.alias}\tis {each.name}@{each.version} since {each.since}\t{', '.join(each.before) or '-'}"
            )


def checked_version(name: str, folder: Path) -> str:
    """Return the version of a checkpoint that loads (its weights have the sha256 of its card) and runs.

    Raises:
        InputError: it does not load or run.
    """
    one = ModelVersion(name, "new", folder)
    try:
        predictor = Predictor(lambda _: load_version(one, "cpu", "auto", 0))
        predictor.warm(name)
        return predictor.forecaster(name).version
    except UnavailableError as err:
        raise InputError(f"the checkpoint of {name} is refused: {err}") from err


def _registry(settings: Settings) -> ModelRegistry:
    mount_files(settings)
    return ModelRegistry(settings.home, also=[settings.model])


if __name__ == "__main__":
    app()
