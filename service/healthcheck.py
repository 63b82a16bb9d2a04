"""`python -m service.healthcheck PART`: whether a part of this host does its work; exit status 0 or 1.

Made for containers: with `--end` it also ends a part that is frozen, so that the container is started again. Under
Docker that needs `init: true`, since a first process cannot be killed from inside; Kubernetes restarts by itself. Only
processes with the live store of this one's settings are ended: a machine may have several installations.
"""

import os
import signal
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated, Final, cast

import typer

from core.command import errors_in_one_line
from core.errors import NowcastError
from core.settings import PREFIX, Settings, settings_from_environment
from ingest.store.database import open_engine
from service.process.supervisor import STARTING_S
from service.tasks.liveness import WORKERS, Process, last_work, silence_s

TIMEOUT_S: Final = 5.0
CONFIRM_S: Final = 30.0
"""Before a part is ended it has this time to record work: after a step of the clock its last one looks old. A worker
has the time to its next synthetic task besides."""

LONGEST_CONFIRM_S: Final = 90.0
"""The supervisors of the checks (`docker-compose.yml`, `deploy/systemd`) end one that takes much longer."""

POLL_S: Final = 1.0
PROC: Final = Path("/proc")


class ContainerPart(StrEnum):
    """A part that runs in a container of its own."""

    API = "api"
    INGEST = "ingest"
    WORKER = "worker"
    BEAT = "beat"
    ALERTS = "alerts"


COMMANDS: Final[Mapping[ContainerPart, tuple[frozenset[str], ...]]] = {
    ContainerPart.API: (frozenset({"service.app:app"}),),
    ContainerPart.INGEST: (frozenset({"ingest.run"}), frozenset({"nowcast", "ingest"})),
    ContainerPart.WORKER: (frozenset({"service.worker", "worker"}),),
    ContainerPart.BEAT: (frozenset({"service.worker", "beat"}),),
    ContainerPart.ALERTS: (frozenset({"service.alerter", "worker"}),),
}
"""Words by which the command line of a part is known: all of one of the sets."""

OTHER_NAME: Final = frozenset({"--hostname", "-n"})
"""Options of a further worker of a host: its work is recorded under its own name, which no check looks at."""

HOME: Final = f"{PREFIX}HOME"
CREDENTIALS: Final = f"{PREFIX}CREDENTIALS"


def main(
    part: Annotated[ContainerPart, typer.Argument(help="which part")],
    port: Annotated[int | None, typer.Option(help="of the API; default: NOWCAST_PORT")] = None,
    end: Annotated[bool, typer.Option("--end", help="end the part if it is frozen")] = False,
) -> None:
    """Check that a part of this host, which may be a container, does its own work."""
    with errors_in_one_line():
        settings = settings_from_environment()
        is_api = part is ContainerPart.API
        check = api_check(port or settings.port) if is_api else work_check(part, settings)
        trouble = check()
        if trouble and end and confirmed(check, confirm_s(part, settings)):
            limit_s = settings.part_late_s if is_api else silence_s(cast("Process", part.value), settings)
            kill_part(part, settings.home, older_than_s=limit_s + STARTING_S)
    if trouble:
        typer.echo(f"{part}: {trouble}", err=True)
        raise typer.Exit(1)
    typer.echo("ok")


def api_check(port: int) -> Callable[[], str]:
    """Return a check that the API answers on this host; it returns the reason, empty if it does."""

    def check() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=TIMEOUT_S):
                return ""
        except OSError as err:
            return f"no answer from port {port}: {getattr(err, 'reason', err)}"

    return check


def work_check(part: ContainerPart, settings: Settings, host: str | None = None) -> Callable[[], str]:
    """Return a check of the last work that a part of a host has recorded; it returns the reason, empty if it is recent.

    A catalogue that does not respond is not the fault of the part.
    """
    engine, process = open_engine(settings.catalogue_url), cast("Process", part.value)
    limit_s = silence_s(process, settings)

    def check() -> str:
        try:
            last = last_work(engine, process, host)
        except NowcastError as err:
            typer.echo(f"not known: {err}", err=True)
            return ""
        if last is None:
            return "it has recorded no work on this host"
        age_s = (datetime.now(UTC) - last.latest).total_seconds()
        return f"expected work within {limit_s:.0f} s, its last one was {age_s:.0f} s ago" if age_s > limit_s else ""

    return check


def confirm_s(part: ContainerPart, settings: Settings) -> float:
    """Return how long a part that seems frozen is looked at before it is ended."""
    if part.value not in WORKERS:
        return CONFIRM_S
    return min(CONFIRM_S + settings.heartbeat_s, LONGEST_CONFIRM_S)


def confirmed(check: Callable[[], str], within_s: float = CONFIRM_S, wait: Callable[[float], None] = sleep) -> bool:
    """Return whether a part stays without work for a while."""
    ends_at = monotonic() + within_s
    while monotonic() < ends_at:
        wait(POLL_S)
        if not check():
            return False
    return True


def kill_part(part: ContainerPart, home: Path, older_than_s: float) -> None:
    """Kill the processes of a part of one installation, except those that may be starting still."""
    for pid, age_s in processes_of(part, home):
        if age_s > older_than_s:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def processes_of(part: ContainerPart, home: Path, folder: Path = PROC) -> Iterator[tuple[int, float]]:
    """Yield the processes of a part that have a live store, and their ages in seconds.

    Those whose environment this one may not read belong to others.
    """
    for one in folder.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            if int(one.name) == os.getpid() or not is_part(part, _strings(one / "cmdline")):
                continue
            variables = dict(text.partition("=")[::2] for text in _strings(one / "environ"))
            if home_of(variables, (one / "cwd").readlink()) == home.resolve():
                ticks = int((one / "stat").read_text().rsplit(")", 1)[1].split()[19])
                uptime_s = float((folder / "uptime").read_text().split()[0])
                yield int(one.name), uptime_s - ticks / os.sysconf("SC_CLK_TCK")


def is_part(part: ContainerPart, command: Sequence[str]) -> bool:
    """Return whether a command line is that of a part, and of no further worker of the host."""
    words = {Path(word).name for word in command}
    if part is ContainerPart.WORKER and any(word.partition("=")[0] in OTHER_NAME for word in command):
        return False
    return any(wanted <= words for wanted in COMMANDS[part])


def home_of(variables: Mapping[str, str], folder: Path) -> Path:
    """Return the live store of a process.

    Args:
        variables: of its environment.
        folder: in which it works.
    """
    home = variables.get(HOME)
    if home is None and variables.get(CREDENTIALS):
        with suppress(FileNotFoundError):
            home = (folder / variables[CREDENTIALS] / HOME.lower()).read_text().strip()
    return (folder / (Settings.model_fields["home"].default if home is None else home)).resolve()


def _strings(file: Path) -> list[str]:
    return [os.fsdecode(text) for text in file.read_bytes().split(b"\0")]


if __name__ == "__main__":
    typer.run(main)
