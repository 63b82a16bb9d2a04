"""The ingest worker's command: `python -m ingest.run --source DIR`, or `--dwd`, or `--ord`."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from core.errors import ConfigError, NowcastError
from core.logs import set_up_logs
from core.mounts import mount_files
from core.settings import Settings, settings_from_environment
from ingest.sources import SOURCES, Source, SourceContext, check_source_kind
from ingest.store.cleaning import Cleaning
from ingest.store.live import Store
from ingest.store.progress import ProgressRecorder
from ingest.store.retention import Keep
from ingest.worker.loop import IngestWorker
from ingest.worker.served import INSTALLED, served_models

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
log = logging.getLogger(__name__)


@app.command()
def main(
    source: Annotated[Path | None, typer.Option(help="Folder that radar files are dropped into.")] = None,
    dwd: Annotated[bool, typer.Option("--dwd", help="Poll DWD's open data instead.")] = False,
    from_ord: Annotated[bool, typer.Option("--ord", help="Poll EUMETNET's open radar data instead.")] = False,
    source_kind: Annotated[
        str | None, typer.Option(help="A kind of source by its name, instead of NOWCAST_SOURCE_KIND.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Take what is there now, then end.")] = False,
    weights: Annotated[Path, typer.Option(help="Checkpoints to keep windows ready for: NAME/model.json.")] = INSTALLED,
    poll_s: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks; 0.05 or more.")] = 5.0,
    grace_s: Annotated[
        float, typer.Option(min=0, help="Seconds an unreadable file stays unchanged to be refused.")
    ] = 30.0,
) -> None:
    """Store radar files in the live store (NOWCAST_HOME) as they arrive, until SIGTERM or SIGINT."""
    try:
        settings = settings_from_environment()
        set_up_logs("ingest", settings.log_level, settings.log_format)
        stop = threading.Event()
        with stopped_by_signals(stop):
            store = open_store(settings)
            kind = named_kind(source, source_kind, dwd=dwd, from_ord=from_ord)
            chosen = choose_source(settings, store, source, kind=kind, once=once, poll_s=poll_s, grace_s=grace_s)
            worker = build_worker(settings, store, chosen, weights, stop)
            log.info("ingest of %s into %s", chosen.name, store.home)
            worker.run_once() if once else worker.run()
    except NowcastError as err:
        typer.echo(f"ingest: {err}", err=True)
        raise typer.Exit(2 if isinstance(err, ConfigError) else 1) from err
    log.info("ingest ended: %s", worker.totals)


def build_worker(
    settings: Settings, store: Store, source: Source, weights: Path, stop: threading.Event
) -> IngestWorker:
    """Return the worker that takes a source's files by the settings, with windows for the models in `weights`."""
    return IngestWorker(
        source,
        store,
        lambda: served_models(weights, store.home / "models"),
        stop,
        name=source.name,
        keep=Keep.of(settings),
        min_free_bytes=settings.min_free_bytes,
        cleaning=Cleaning.of(settings),
        record=ProgressRecorder(store.engine, "ingest", settings).record,
    )


def open_store(settings: Settings) -> Store:
    """Open the live store of the settings; a source deletes its files once they are stored, so commits are synced."""
    mount_files(settings)
    ahead = timedelta(seconds=settings.ahead_max_s)
    return Store(settings.home, settings.catalogue_url, synced=True, ahead=ahead)


def named_kind(folder: Path | None, kind: str | None, *, dwd: bool, from_ord: bool) -> str | None:
    """Return the kind of source that the command line names, None if it names none.

    Raises:
        ConfigError: two are named.
    """
    flags = [name for name, given in (("dwd", dwd), ("ord", from_ord)) if given]
    others = [f"--source {folder}"] if folder is not None else []
    others += [f"--source-kind {kind}"] if kind is not None and kind not in flags else []
    if flags and len(flags) + len(others) > 1:
        raise ConfigError(f"expected one source, got {' and '.join([*others, *(f'--{flag}' for flag in flags)])}")
    return flags[0] if flags else kind


def choose_source(
    settings: Settings,
    store: Store,
    folder: Path | None,
    *,
    once: bool,
    poll_s: float,
    grace_s: float,
    kind: str | None = None,
) -> Source:
    """Open the source that the command line names, else the one of the settings.

    Raises:
        ConfigError: none is named, no source has that name, or it lacks what it needs.
    """
    kind = kind or ("directory" if folder is not None else settings.source_kind)
    settings = settings.model_copy(update={"source_kind": kind})
    check_source_kind(settings)
    context = SourceContext(
        settings,
        inbox=store.home / "inbox",
        folder=folder or settings.source,
        known=store.has_file_named,
        once=once,
        poll_s=poll_s,
        grace_s=grace_s,
    )
    return SOURCES.get(kind)(context)


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on SIGTERM and SIGINT, so that the current file is completed."""

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    app()
