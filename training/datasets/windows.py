"""Gap-free windows in radar series, and their split in time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from training.datasets.series import RadarSeries


@dataclass(frozen=True, slots=True)
class ClipWindow:
    """A run of fields of one series at one cadence, without a gap."""

    series: RadarSeries
    start: int
    steps: int
    cadence_minutes: int

    @property
    def begin(self) -> int:
        """Return the time of the first field in minutes since 1970."""
        return int(self.series.minutes[self.start])

    @property
    def end(self) -> int:
        """Return the time of the last field in minutes since 1970."""
        return self.begin + (self.steps - 1) * self.cadence_minutes

    @property
    def fields(self) -> list[int]:
        """Return the indices of the window's fields in its series."""
        return [int(i) for i in self.series.window_indices(self.start, self.steps, self.cadence_minutes)]


def fields_of(windows: Iterable[ClipWindow]) -> NDArray[np.int64]:
    """Return the indices of all fields of windows of one series, ascending."""
    shapes: dict[tuple[int, int], list[ClipWindow]] = {}
    for window in windows:
        shapes.setdefault((window.steps, window.cadence_minutes), []).append(window)
    found = [np.empty(0, np.int64)]
    for (steps, cadence), alike in shapes.items():
        minutes = alike[0].series.minutes
        wanted = minutes[[w.start for w in alike]][:, None] + cadence * np.arange(steps)
        found.append(np.searchsorted(minutes, np.unique(wanted)))
    return np.unique(np.concatenate(found))


def all_windows(series: Iterable[RadarSeries], steps: int, cadences: Iterable[int]) -> list[ClipWindow]:
    """Return every window of every series at every cadence; a window starts at each field, so they overlap."""
    cadences = tuple(cadences)
    return [
        ClipWindow(one, int(start), steps, cadence)
        for one in series
        for cadence in cadences
        for start in one.window_starts(steps, cadence)
    ]


def before(windows: Iterable[ClipWindow], time: datetime | None) -> list[ClipWindow]:
    """Return the windows that end before a time."""
    return [w for w in windows if time is None or w.end * 60 < time.timestamp()]


def since(windows: Iterable[ClipWindow], time: datetime | None) -> list[ClipWindow]:
    """Return the windows that begin at a time or later."""
    return [w for w in windows if time is None or w.begin * 60 >= time.timestamp()]


def thinned(windows: list[ClipWindow], most: int) -> list[ClipWindow]:
    """Return at most `most` windows, evenly spread over the given ones; 0 keeps all."""
    count = len(windows)
    return windows if not 0 < most < count else [windows[i * count // most] for i in range(most)]


def split_in_time(
    windows: Sequence[ClipWindow], minutes: NDArray[np.int64], last_share: float
) -> tuple[list[ClipWindow], list[ClipWindow]]:
    """Divide windows into an earlier and a later part with at least a window's length between them.

    The later part holds the last share of the fields. The boundary is moved to the nearest pause between fields that is
    longer than a window, if there is one within a tenth of the fields; and back in time if the later part would hold no
    window otherwise. If the data are too short for both parts, the later one is empty.

    Args:
        windows: of any cadence.
        minutes: times of the fields that are divided, ascending, in minutes since 1970.
        last_share: share of the fields that belong to the later part.
    """
    if not windows:
        return [], []
    gap = max(w.end - w.begin for w in windows)
    cut = min(_cut(minutes, last_share, gap), max(w.begin for w in windows))
    earlier = [w for w in windows if w.end + gap <= cut]
    later = [w for w in windows if w.begin >= cut]
    return (earlier, later) if earlier else (list(windows), [])


def _cut(minutes: NDArray[np.int64], last_share: float, gap: int) -> int:
    """Return the time of the first field of the later part, in minutes since 1970."""
    cut = min(round(len(minutes) * (1 - last_share)), len(minutes) - 1)
    pauses = np.flatnonzero(np.diff(minutes) > gap) + 1
    if pauses.size:
        nearest = int(pauses[np.abs(pauses - cut).argmin()])
        if abs(nearest - cut) <= 0.1 * len(minutes):
            cut = nearest
    return int(minutes[cut])
