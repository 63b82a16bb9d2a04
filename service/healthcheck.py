"""`python -m service.healthcheck PART`: whether a part of this host does its work; exit status 0 or 1.

Made for containers: with `--end` it also ends a part that is frozen, so that the container is started again. Under
Docker that needs `init: true`, since a first process cannot be killed from inside; Kubernetes restarts by itself.
"""

import os
import signal
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated, Final, cast

import typer

from core.command import errors_in_one_line
from core.errors import NowcastError
from core.settings import Settings, settings_from_environment
from ingest.store.database import open_engine
from service.process.supervisor import STARTING_S
from service.tasks.liveness import Process, last_work, silence_s

TIMEOUT_S: Final = 5.0
CONFIRM_S: Final = 30.0
"""Before a part is ended it has this time to record work: after a step of the clock its last one looks old."""

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
        if trouble and end and confirmed(check):
            limit_s = settings.part_late_s if is_api else silence_s(cast("Process", part.value), settings)
            kill_part(part, older_than_s=limit_s + STARTING_S)
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


def confirmed(check: Callable[[], str], within_s: float = CONFIRM_S, wait: Callable[[float], None] = sleep) -> bool:
    """Return whether a part stays without work for a while."""
    ends_at = monotonic() + within_s
    while monotonic() < ends_at:
        wait(POLL_S)
        if not check():
            return False
    return True


def kill_part(part: ContainerPart, older_than_s: float) -> None:
    """Kill the processes of a part, except those that may be starting still."""
    for pid, age_s in processes_of(part):
        if age_s > older_than_s:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def processes_of(part: ContainerPart, folder: Path = PROC) -> Iterator[tuple[int, float]]:
    """Yield the processes of a part and their ages in seconds."""
    for one in folder.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            words = {Path(os.fsdecode(word)).name for word in (one / "cmdline").read_bytes().split(b"\0")}
            if any(wanted <= words for wanted in COMMANDS[part]) and int(one.name) != os.getpid():
                ticks = int((one / "stat").read_text().rsplit(")", 1)[1].split()[19])
                uptime_s = float((folder / "uptime").read_text().split()[0])
                yield int(one.name), uptime_s - ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    typer.run(main)
