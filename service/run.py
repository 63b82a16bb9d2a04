"""The whole service as one supervised tree: queue, ingest, worker, beat, API, and without radar files a replay.

`python -m service.run [--source DIR | --dwd | --ord | --replay DIR --speed N] [--host HOST --port PORT]`
"""

import asyncio
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from core.errors import ConfigError
from core.mounts import mount_files
from core.settings import Settings, settings_from_environment
from ingest.sources import check_source_kind
from ingest.sources.history import history_is_stored
from service.access.start import check_start, local_access_text, with_local_access
from service.inference.leads import check_model
from service.process.announce import announce
from service.process.broker import Broker, check_port, embedded, free_port, server_answers
from service.process.homes import INVENTED, REPLAY, alone_in
from service.process.supervisor import ProcessSpec, SupervisedProcess, log_line
from service.tasks.liveness import sign_of_answers, watched
from service.tasks.queue import ALERTS

FETCHED: Final = {"dwd": "DWD's open data", "ord": "EUMETNET's open radar data"}
"""Kinds of sources with an option of their own, which need no folder."""

BROKER_WAIT_S: Final = 30.0
HISTORY_WAIT_S: Final = 180.0
"""Longest wait for the history of a replay; a schedule that begins earlier makes a forecast of a part of it first."""

REPLAY_CYCLE_S: Final = 1.0
"""Longest time between two looks for new scans of a replay, which stands still until their forecast is stored."""
UVICORN: Final = (
    *("--http", "service.process.connections:BoundedHttp"),
    *("--no-access-log", "--no-proxy-headers", "--timeout-graceful-shutdown", "3"),
)
"""Options of the web server: our own code finds the client's address, and open event streams do not delay the end."""

PYTHON: Final = (sys.executable, "-m")
ALERTER: Final = (
    *("worker", "--hostname", "alerts@%h", "--queues", ALERTS),
    *("--pool", "threads", "--concurrency", "2", "--loglevel", "WARNING"),
)
"""Options of the process of rules: one thread may wait for receivers while the other evaluates."""


@dataclass(frozen=True)
class StackPlan:
    """What will run: the settings of every process, and which radar files are played, if any."""

    settings: Settings
    source: Path | None
    """Watched folder; None is a source that is fetched, such as DWD's open data."""
    replay: Path | None = None
    """Recorded files to play into `source`."""

    @property
    def plays(self) -> bool:
        """Return whether this tree itself plays the radar files."""
        return self.settings.source_kind == "replay"

    def history_is_in(self) -> bool:
        """Return whether the schedule may begin: at once, or once a replay's history is stored."""
        return not (self.plays and self.source) or history_is_stored(self.settings.home, self.source)

    def environment(self, redis_url: str) -> dict[str, str]:
        """Return the variables that every process gets in addition to those it inherits."""
        variables = {
            "HOME": self.settings.home,
            "KEYS_HOME": self.settings.keys_home or self.settings.home,
            "HOST": self.settings.host,
            "PORT": self.settings.port,
            "INVENTED": self.settings.invented,
            "SOURCE_KIND": self.settings.source_kind,
            "REPLAY_SPEED": self.settings.replay_speed,
            "CYCLE_S": self.settings.cycle_s,
            "REDIS_URL": redis_url,
        }
        if self.source:
            variables["SOURCE"] = self.source
        if self.settings.local_without_key is not None:
            variables["LOCAL_WITHOUT_KEY"] = self.settings.local_without_key
        return {f"NOWCAST_{name}": str(value) for name, value in variables.items()}


def plan(
    settings: Settings,
    source: Path | None,
    *,
    dwd: bool,
    replay: Path | None,
    now: datetime,
    from_ord: bool = False,
    kind: str | None = None,
) -> StackPlan:
    """Decide what runs; a replay and an invented day get a home of their own, apart from observed scans.

    Raises:
        ConfigError: more than one source, or a folder that does not exist.
    """
    if sum((source is not None or kind is not None, dwd, from_ord, replay is not None)) > 1:
        raise ConfigError("expected one of --source (with --source-kind), --dwd, --ord and --replay, got more than one")
    kind = kind or ("dwd" if dwd else "ord" if from_ord else "replay" if replay else None)
    kind = kind or ("directory" if source else settings.source_kind)
    check_source_kind(settings.model_copy(update={"source_kind": kind}))
    if not (source or replay):
        source = settings.source if kind not in (*FETCHED, "replay") else None
        replay = settings.source if kind == "replay" else None
    if missing := next((folder for folder in (source, replay) if folder and not folder.is_dir()), None):
        raise ConfigError(f"expected a folder of radar files, got {missing}, which does not exist")
    home = settings.home.resolve()
    keys_home = (settings.keys_home or home).resolve()  # one set of keys, whatever is shown
    if source or kind not in ("directory", "replay"):
        changes = {"home": home, "keys_home": keys_home, "source_kind": kind, "invented": False}
        return StackPlan(settings.model_copy(update=changes), source.resolve() if source else None)
    home = home / REPLAY / f"{now:%Y%m%dT%H%M%SZ}" if replay else home / INVENTED
    changes = {"home": home, "keys_home": keys_home, "source_kind": "replay", "invented": replay is None}
    changes["cycle_s"] = min(settings.cycle_s, REPLAY_CYCLE_S)
    return StackPlan(settings.model_copy(update=changes), home / "inbox", replay.resolve() if replay else None)


def process_specs(chosen: StackPlan, redis_url: str, broker: Broker | None) -> list[ProcessSpec]:
    """Return the processes of the tree except the queue; each is a command that also runs by itself."""
    environment = chosen.environment(redis_url)
    settings = chosen.settings
    listen = ("--host", settings.host, "--port", str(settings.port))
    celery = (*PYTHON, "celery", "--quiet", "-A", "service.worker")
    worker = (*celery, "worker", "--loglevel", settings.log_level)
    made = [
        ProcessSpec("api", (*PYTHON, "uvicorn", "service.app:app", *listen, *UVICORN), environment),
        ProcessSpec("ingest", (*PYTHON, "ingest.run", *_ingest_options(chosen)), environment),
        ProcessSpec(
            "worker", worker, environment, before_start=broker.requeue_unacknowledged if broker else lambda: None
        ),
        ProcessSpec("alerts", (*PYTHON, "celery", "--quiet", "-A", "service.alerter", *ALERTER), environment),
        ProcessSpec(
            "beat",
            (*celery, "beat", "--loglevel", "WARNING"),
            environment,
            after=chosen.history_is_in,
            after_s=HISTORY_WAIT_S,
        ),
    ]
    if chosen.plays:
        recorded = ("--recorded", str(chosen.replay)) if chosen.replay else ()
        options = ("--inbox", str(chosen.source), "--speed", str(settings.replay_speed), *recorded)
        command = (*PYTHON, "service.replay", *options)
        made.append(ProcessSpec("radar", command, environment, ends=True))
    return made


def _ingest_options(chosen: StackPlan) -> tuple[str, ...]:
    """Return the options of the ingest worker: where its radar files are."""
    kind = chosen.settings.source_kind
    if kind in FETCHED:
        return (f"--{kind}",)
    folder: tuple[str, ...] = ("--source", str(chosen.source)) if chosen.source else ()
    return folder if kind in ("directory", "replay") else (*folder, "--source-kind", kind)


async def serve(chosen: StackPlan) -> None:
    """Run the tree until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    url = chosen.settings.redis_url
    broker = None if url else embedded(chosen.settings.home)
    running: list[SupervisedProcess] = []
    starting: asyncio.Task[None] | None = None
    try:
        if broker:
            sign, silent_s = sign_of_answers(broker.answers), chosen.settings.part_late_s
            running.append(SupervisedProcess(ProcessSpec("queue", broker.command, sign=sign, silent_s=silent_s)))
            await _until_it_answers(broker, stop)
        if not stop.is_set():
            redis_url = broker.url if broker else url.get_secret_value() if url else ""
            answers = broker.answers if broker else partial(server_answers, redis_url)
            specs = watched(process_specs(chosen, redis_url, broker), chosen.settings, _address(chosen), answers)
            running += [SupervisedProcess(spec) for spec in specs]
            starting = asyncio.create_task(announce(_address(chosen), _greeting(chosen), partial(log_line, "run")))
        await stop.wait()
        log_line("run", "stopping")
    finally:
        if starting is not None:
            starting.cancel()
        await asyncio.gather(*(kept.stop() for kept in running[1 if broker else 0 :]))
        for kept in running[: 1 if broker else 0]:
            await kept.stop()


async def _until_it_answers(broker: Broker, stop: asyncio.Event) -> None:
    async with asyncio.timeout(BROKER_WAIT_S):
        while not stop.is_set() and not broker.answers():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.05)


def _address(chosen: StackPlan) -> str:
    host = "127.0.0.1" if chosen.settings.host in ("0.0.0.0", "::") else chosen.settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{chosen.settings.port}"


def _greeting(chosen: StackPlan) -> str:
    settings = chosen.settings
    radar = f"files in {chosen.source}" if chosen.source else f"the source {settings.source_kind!r}"
    radar = FETCHED.get(settings.source_kind, radar)
    if chosen.plays:
        radar = f"{chosen.replay or 'an invented radar day'}, {settings.replay_speed:g} times as fast"
        radar += " or as fast as its forecasts are ready"
    return f"{_address(chosen)} shows {radar}; data in {settings.home}; Ctrl-C stops everything"


def check_files_and_model(chosen: StackPlan) -> None:
    """Check the scheduled model of a plan, which may be in the store of files.

    Raises:
        ConfigError: there is no such model, or the plan has no use for a store of files.
    """
    if chosen.plays and chosen.settings.files_url is not None:
        raise ConfigError("played radar files stay on one machine: unset NOWCAST_FILES_URL, or name a source")
    mount_files(chosen.settings)
    check_model(chosen.settings)


def make_inbox(chosen: StackPlan) -> None:
    """Make the folder that this tree plays into: the ingest process may be ready before the replay."""
    if chosen.plays and chosen.source:
        chosen.source.mkdir(parents=True, exist_ok=True)


def main(
    source: Annotated[Path | None, typer.Option(help="watched folder of radar files")] = None,
    dwd: Annotated[bool, typer.Option("--dwd", help="DWD's open radar data")] = False,
    from_ord: Annotated[bool, typer.Option("--ord", help="EUMETNET's open radar data of Europe")] = False,
    source_kind: Annotated[str | None, typer.Option(help="a kind of source by its name")] = None,
    replay: Annotated[Path | None, typer.Option(help="recorded radar files, played with current times")] = None,
    speed: Annotated[float | None, typer.Option(min=0.01, help="replayed minutes per minute")] = None,
    host: Annotated[str | None, typer.Option()] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one")] = None,
) -> None:
    """Run the whole service; without radar files it plays an invented radar day."""
    try:
        options = {"replay_speed": speed, "host": host, "port": port}
        settings = settings_from_environment()
        settings = settings.model_copy(update={name: value for name, value in options.items() if value is not None})
        if settings.port == 0:
            settings = settings.model_copy(update={"port": free_port(settings.host)})
        settings = with_local_access(settings, embedded=True)
        chosen = plan(
            settings, source, dwd=dwd, from_ord=from_ord, replay=replay, now=datetime.now(UTC), kind=source_kind
        )
        check_files_and_model(chosen)
        check_start(chosen.settings, settings.host)
        check_port(settings.host, settings.port)
        with alone_in(chosen.settings.home):
            log_line("run", local_access_text(settings))
            make_inbox(chosen)
            asyncio.run(serve(chosen))
    except (ConfigError, TimeoutError) as err:
        typer.echo(f"cannot start: {err or 'the queue server does not answer'}", err=True)
        raise typer.Exit(2) from err


if __name__ == "__main__":
    typer.run(main)
