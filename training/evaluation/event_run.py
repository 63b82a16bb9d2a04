"""Scores of forecasters on windows of events: one window after the other, resumable, with progress."""

import hashlib
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from core.errors import ConfigError
from core.progress import Progress
from core.units import THRESHOLDS_MMH
from models.forecaster import Forecaster
from training.datasets.event_table import load_table
from training.datasets.series import open_series
from training.evaluation.event_amounts import AMOUNTS_MM, NEARBY_MM, as_amounts
from training.evaluation.event_windows import (
    EventWindow,
    WindowProtocol,
    count_windows,
    event_windows,
    spell_name,
)
from training.evaluation.journal import WindowJournal
from training.evaluation.skill_sums import (
    WINDOWS_KM,
    Part,
    SkillSums,
    compared_window,
    from_text,
    rows_of_leads,
    tiles_of_leads,
    to_text,
)
from training.evaluation.window_forecasts import ENSEMBLES, ForecastCache, LeadFields, window_forecasts
from verification.table import SumRow

ENSEMBLE_WINDOWS: Final = 20
"""Most windows of an event file that STEPS is run on, evenly spread over its reference times."""


@dataclass(frozen=True)
class EventPlan:
    """What is evaluated.

    Attributes:
        files: event files.
        protocol: which windows they have.
        every_minutes: reference times are multiples of it in UTC; None is the protocol's own choice.
        all_leads: whether every lead of the source counts, not only the protocol's.
        ensemble_windows: most windows of a file that STEPS is run on.
        most_windows: of all files together, one from the middle of each of that many equal parts; None takes all.
        only: families of sums (`verification.scores.families`); None takes every one.
    """

    files: tuple[Path, ...]
    protocol: WindowProtocol
    every_minutes: int | None = None
    all_leads: bool = False
    ensemble_windows: int = ENSEMBLE_WINDOWS
    most_windows: int | None = None
    only: tuple[str, ...] | None = None

    def counts(self) -> dict[Path, int]:
        """Return the number of windows of each file that has any.

        Raises:
            ConfigError: no file has a window; the message says what each holds.
        """
        found = self.found()
        if not found:
            raise ConfigError(
                f"expected a window of {_wanted(self.protocol)} for protocol {self.protocol.name}, got none in "
                + "; ".join(open_series(path).contents for path in self.files)
            )
        return found

    def found(self) -> dict[Path, int]:
        """Return the number of windows of each file that has any."""
        found = {}
        for path in self.files:
            count = count_windows(path, self.protocol, every_minutes=self.every_minutes, all_leads=self.all_leads)
            found[path] = count.windows
        return {path: number for path, number in found.items() if number}

    def places(self, counts: dict[Path, int]) -> list[tuple[Path, int]]:
        """Return file and place of the windows that are evaluated."""
        every = [(path, place) for path, count in counts.items() for place in range(count)]
        if self.most_windows is None:
            return every
        number = min(self.most_windows, len(every))
        return [every[(2 * part + 1) * len(every) // (2 * number)] for part in range(number)]  # the middle of each part

    def windows(self, path: Path, shard: tuple[int, int] = (0, 1)) -> Iterator[EventWindow]:
        """Yield the windows of one file, or a share of them."""
        every = self.every_minutes
        yield from event_windows(path, self.protocol, every_minutes=every, shard=shard, all_leads=self.all_leads)


def evaluate_events(
    forecasters: Sequence[Forecaster],
    plan: EventPlan,
    *,
    journal: Path | None = None,
    cache: Path | None = None,
    workers: int = 1,
) -> SkillSums:
    """Return the sums of all forecasters, baselines among them, over the windows of all files.

    Args:
        forecasters: rows; extrapolation must be among them, since it gives the mask `known`.
        plan: files and windows.
        journal: file that keeps the sums of every window; the windows in it are not evaluated again.
        cache: folder for the forecasts of slow baselines.
        workers: processes that share the windows.

    Raises:
        ConfigError: no window, or a journal of another run.
    """
    counts = plan.counts()
    digests = {path.name: digest_of(path) for path in counts}
    sums = SkillSums()
    work = WindowWork(tuple(forecasters), plan, ForecastCache(cache, digests), counts)
    if journal is None:
        for line in _evaluated(work, set(), workers):
            _add(sums, line)
        return sums
    with WindowJournal(journal, _conditions(forecasters, plan, digests)) as book:
        done = set()
        for line in book.windows():
            done.add((line["file"], line["place"]))
            _add(sums, line)
        for line in _evaluated(work, done, workers):
            _add(sums, line)
            book.append(line)
    return sums


@dataclass(frozen=True)
class WindowWork:
    """What a process needs to evaluate windows.

    Attributes:
        forecasters: all rows.
        plan: which windows.
        cache: of slow baselines.
        counts: number of windows by file.
    """

    forecasters: tuple[Forecaster, ...]
    plan: EventPlan
    cache: ForecastCache
    counts: dict[Path, int]

    def lines(self, path: Path, done: set[tuple[str, int]], only: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield what the journal keeps of each window of a file that is not done, or of one only."""
        count = self.counts[path]
        sampled = chosen_places(count, self.plan.ensemble_windows)
        shard = (0, 1) if only is None else (only, count)
        for place, window in enumerate(self.plan.windows(path, shard), start=only or 0):
            if (path.name, place) not in done:
                chosen = place in sampled
                line = evaluated_window(self.forecasters, window, self.cache, self.plan, sampled=chosen)
                yield {"place": place, **line}


def _evaluated(work: WindowWork, done: set[tuple[str, int]], workers: int) -> Iterator[dict[str, Any]]:
    """Yield what the journal keeps of each window that is not done, and show the progress."""
    places = work.plan.places(work.counts)
    if done:
        print(f"{len(done)} of {len(places)} windows are in the journal", file=sys.stderr, flush=True)
    left = [(path, place) for path, place in places if (path.name, place) not in done]
    lines: Iterator[dict[str, Any]]
    if workers > 1:
        lines = _shared(work, left, workers)
    elif work.plan.most_windows is None:
        lines = (line for path in work.counts for line in work.lines(path, done))
    else:
        lines = (line for path, place in left for line in work.lines(path, done, place))
    with Progress(len(places), "window", before=len(done)) as progress:
        for line in lines:
            yield line
            progress.step(line["file"])


def _shared(work: WindowWork, left: list[tuple[Path, int]], workers: int) -> Iterator[dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (work,)) as pool:
        yield from pool.map(_line_of_worker, left)


_here: list[WindowWork] = []
"""The work of this process, if it is a worker."""


def _start_worker(work: WindowWork) -> None:
    torch.set_num_threads(1)
    _here[:] = [work]


def _line_of_worker(task: tuple[Path, int]) -> dict[str, Any]:
    path, place = task
    return next(_here[0].lines(path, set(), place))


def evaluated_window(
    forecasters: Sequence[Forecaster],
    window: EventWindow,
    cache: ForecastCache,
    plan: EventPlan,
    *,
    sampled: bool,
) -> dict[str, Any]:
    """Return the sums of one window as the journal keeps them.

    Args:
        forecasters: all rows.
        window: input and observation.
        cache: of slow baselines.
        plan: with the protocol: on an event's own cells a model gets fields at its own scale (`window_forecasts`).
        sampled: whether STEPS is run on this window.
    """
    fields: dict[str, LeadFields] = {}
    protocol = plan.protocol
    for one in forecasters:
        if sampled or one.name not in ENSEMBLES:
            fields |= window_forecasts(one, window, own_scale=protocol.shape is None, cache=cache)
    if protocol.amount_minutes:
        leads = compared_window(*as_amounts(fields, window, protocol.amount_minutes))
        rows = rows_of_leads(leads, AMOUNTS_MM, window_thresholds_mmh=NEARBY_MM, only=plan.only)
    else:
        leads = compared_window(fields, window)
        rows = rows_of_leads(leads, only=plan.only)
    parts: dict[Part, list[SumRow]] = {"every": [row for row in rows if row.model not in ENSEMBLES]}
    if any(name in fields for name in ENSEMBLES):
        parts["ensemble"] = rows
    return {
        "file": window.file,
        "spell": window.spell,
        "time": window.reference_time.isoformat(),
        "parts": {part: to_text(of_part) for part, of_part in parts.items()},
        "tiles": {model: counts.ravel().tolist() for model, counts in tiles_of_leads(leads).items()},
    }


def chosen_places(count: int, most: int) -> set[int]:
    """Return the places of at most `most` windows, evenly spread over all from the first to the last."""
    return set(np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist())


def digest_of(path: Path) -> str:
    """Return the sha256 of a file, or of the names and sizes of a folder's files."""
    if path.is_dir():
        listed = "".join(f"{one.relative_to(path)} {one.stat().st_size}" for one in sorted(path.rglob("*")))
        return hashlib.sha256(listed.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(sums: SkillSums, line: dict[str, Any]) -> None:
    for part, rows in line["parts"].items():
        sums.add(part, line["file"], line["spell"], from_text(rows))
    sums.add_tiles(line["file"], line.get("tiles", {}))


def _conditions(forecasters: Sequence[Forecaster], plan: EventPlan, digests: dict[str, str]) -> dict[str, Any]:
    """Return what the sums depend on."""
    return {
        "protocol": plan.protocol.name,
        "leads": plan.protocol.lead_minutes,
        "every_minutes": plan.every_minutes,
        "all_leads": plan.all_leads,
        "ensemble_windows": plan.ensemble_windows,
        "thresholds_mmh": AMOUNTS_MM if plan.protocol.amount_minutes else THRESHOLDS_MMH,
        "windows_km": WINDOWS_KM,
        "files": digests,
        "spells": {name: spell_name(name, load_table()) for name in digests},
        "models": {one.name: [one.version, one.card.get("sha256")] for one in forecasters},
        **_unusual(plan),
    }


def _unusual(plan: EventPlan) -> dict[str, Any]:
    """Return what differs from the defaults, so that journals of earlier runs stay valid."""
    protocol = plan.protocol
    found: dict[str, Any] = {"most_windows": plan.most_windows, "only": plan.only}
    if protocol.shape is None:
        found |= {"cadence": protocol.cadence_minutes, "most_cells": protocol.most_cells}
        found |= {"cell_factor": protocol.cell_factor if protocol.cell_factor > 1 else None}
    return {name: value for name, value in found.items() if value is not None}


def _wanted(protocol: WindowProtocol) -> str:
    cadence = f"{protocol.cadence_minutes} minutes apart" if protocol.cadence_minutes else "at the event's cadence"
    return f"fields {cadence}, {protocol.past_minutes} minutes before to {protocol.lead_minutes[-1]} minutes after it"
