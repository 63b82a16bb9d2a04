"""`python -m service.replay`: play radar files into a watched folder, as fast as the forecasts follow."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from core.settings import Settings, settings_from_environment
from ingest.sources.replay import HISTORY, day_start, invented, play, recorded
from ingest.store.live import Store
from service.forecasts.catalogue import Catalogue
from service.forecasts.pace import ReplayPace
from service.forecasts.schedule import ForecastSchedule


def pace_of(settings: Settings, speed: float) -> ReplayPace:
    """Return what holds a replay into the live store of the settings."""
    store = Store(settings.home, settings.catalogue_url)

    def now() -> datetime:
        newest = store.latest()
        return newest.valid_time if newest else datetime.now(UTC)

    schedule = ForecastSchedule(settings, store, Catalogue(settings.home, settings.catalogue_url).engine, now)

    def is_settled(scan_time: datetime) -> bool:
        return bool(store.scans(start=scan_time, end=scan_time)) and not schedule.pending()

    return ReplayPace(settings.home, speed, is_settled, limit_s=settings.task_limit_s, say=_print)


def main(
    inbox: Annotated[Path, typer.Option(help="the watched folder to write into")],
    speed: Annotated[float, typer.Option(min=0.01, help="replayed minutes per minute, at most")] = 20.0,
    recorded_in: Annotated[
        Path | None,
        typer.Option("--recorded", exists=True, file_okay=False, help="folder of radar files; default: synthetic ones"),
    ] = None,
) -> None:
    """Play recorded radar files, or a synthetic radar day; each scan waits for the forecast of the one before it."""
    inbox.mkdir(parents=True, exist_ok=True)
    hold = pace_of(settings_from_environment(), speed)
    if recorded_in:
        played = play(recorded(recorded_in), inbox, speed, hold=hold)
    else:
        start = day_start(datetime.now(UTC))
        played = play(invented(inbox, start), inbox, speed, start + HISTORY, hold=hold)
    _print(f"played to the end: {played} scans")


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    typer.run(main)
