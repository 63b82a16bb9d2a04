"""Rules on the command line: `nowcast rules list`, `show ID`, `test ID`, `erase --owner KEY`, `forget ADDRESS`."""

import json
from typing import Annotated

import typer

from core.command import errors_in_one_line
from core.settings import Settings, settings_from_environment
from core.times import iso
from service.alerts import channels as channels
from service.alerts.channels.base import shown_target
from service.alerts.delivery import send_test
from service.alerts.rulebook import FILE, rule_book
from service.alerts.subscribers import forget as forget_address
from service.process.homes import homes_below, running_home

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command("list")
def list_rules(limit: Annotated[int, typer.Option(min=1, help="number of rules, the newest first")] = 100) -> None:
    """Print the rules: id, owner, revision, time of creation, whether an alert is raised, name."""
    with errors_in_one_line():
        for one in rule_book(_settings()).select(None, limit=limit):
            raised = "raised" if one.state.alert_id else "-"
            fields = (one.id, one.owner, str(one.revision), iso(one.created_at), raised, one.definition["name"])
            typer.echo("\t".join(fields))


@app.command()
def show(rule_id: Annotated[str, typer.Argument(help="as `list` prints it")]) -> None:
    """Print the definition of a rule, without secrets."""
    with errors_in_one_line():
        found = rule_book(_settings()).get(rule_id)
        targets = [shown_target(one) for one in found.definition["targets"]]
        typer.echo(json.dumps({**found.definition, "targets": targets}, indent=2, ensure_ascii=False))


@app.command()
def test(rule_id: Annotated[str, typer.Argument(help="as `list` prints it")]) -> None:
    """Send a test message to each target of a rule; end with status 1 if one was not delivered."""
    with errors_in_one_line():
        settings = _settings()
        found = rule_book(settings).get(rule_id)
        problems = []
        for target in found.definition["targets"]:
            problem = send_test(found, dict(target), settings)
            problems += [problem] if problem else []
            typer.echo(f"{target['kind']}: {problem or 'delivered'}")
    if problems:
        raise typer.Exit(1)


@app.command()
def forget(address: Annotated[str, typer.Argument(help="e-mail address")]) -> None:
    """Erase an e-mail address from rules and messages; nobody can have it asked again for 30 days."""
    with errors_in_one_line():
        count = forget_address(rule_book(_settings()).engine, address)
    typer.echo(f"erased from {count} rules", err=True)


@app.command()
def erase(
    owner: Annotated[str, typer.Option(help="id of an API key, or `local`: all of its rules are deleted")],
) -> None:
    """Delete all rules of an owner with their alerts, events and messages."""
    with errors_in_one_line():
        typer.echo(f"{rule_book(_settings()).erase_owner(owner)} rules deleted", err=True)


def _settings() -> Settings:
    """Return the settings with the home of the service that runs: an invented day and a replay have their own."""
    settings = settings_from_environment()
    if settings.database_url:
        return settings
    home = running_home(settings.home)
    others = [one for one in homes_below(settings.home) if (one / FILE).exists()]
    if home != settings.home:
        typer.echo(f"rules of the service that runs in {home}", err=True)
    elif others and not (home / FILE).exists():
        typer.echo(f"no rules are stored in {home}; set NOWCAST_HOME={others[-1]} for those stored there", err=True)
    return settings.model_copy(update={"home": home})


if __name__ == "__main__":
    app()
