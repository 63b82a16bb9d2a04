"""The window of a model of any scale: all scans of the last two hours, at the cadence of the scans themselves."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count, pairwise
from statistics import median_low
from typing import Final

import numpy as np

from core.arrays import Float32Field
from core.errors import ConflictError
from core.frame import RadarFrame
from core.times import iso
from ingest.windows.choice import PREFERRED, TOLERANCE_MINUTES, Candidate
from ingest.windows.window import (
    Slots,
    Window,
    between,
    checked_frames,
    is_observed,
    nearest,
    spacing_text,
    window_of,
)

WINDOW_MINUTES: Final = 120
SHORTEST_CADENCE_MINUTES: Final = 5
"""Of a source with more frequent scans every n-th one is taken."""

SPACINGS: Final = 6
"""The newest spacings decide the cadence, so that a source may change it; their median is not that of a single gap."""

USABLE_MINUTES: Final = 30
FEWEST: Final = 2
"""Fewest fields that a model starts from, and of which a motion can be estimated."""

UPLOAD_TOLERANCE_MINUTES: Final = 1.0
UPLOAD_FEWEST: Final = 5
IN_TIME: Final = timedelta(seconds=30)
"""A scan at most this far from its nominal time needs no note: some sources write seconds, or the start of a sweep."""


def cadence_of(times: Sequence[datetime]) -> int | None:
    """Return the cadence in minutes of scans at these times; None for a single time.

    It is the median or the mean of the newest spacings, in whole minutes or halves: the mean, over which times that are
    off by half a minute even out, where more of the newest scans fit it. Of scans more frequent than every 5 minutes it
    is the smallest multiple that is a whole number of at least 5 minutes.
    """
    spacings = [(later - earlier) / timedelta(minutes=1) for earlier, later in pairwise(sorted(set(times)))]
    spacings = [minutes for minutes in spacings if _half_minutes(minutes)][-SPACINGS:]
    if not spacings:
        return None
    median = median_low(map(_half_minutes, spacings))
    spacing = max(median, _mean_half_minutes(spacings, median), key=lambda half: _fitting(spacings, half))
    return next(
        spacing * n // 2 for n in count(1) if spacing * n % 2 == 0 and spacing * n >= 2 * SHORTEST_CADENCE_MINUTES
    )


def nominal_times(reference_time: datetime, cadence_minutes: int, at_least: int = FEWEST) -> tuple[datetime, ...]:
    """Return the times of the two hours up to the reference time, and some times at least, oldest first."""
    steps = max(WINDOW_MINUTES // cadence_minutes, at_least - 1)
    return tuple(reference_time - timedelta(minutes=cadence_minutes * step) for step in range(steps, -1, -1))


def choose_series(scans: Sequence[Candidate], reference_time: datetime) -> list[Candidate]:
    """Return the scans of the window that ends at a time, of the product and grid that have the most of them.

    Args:
        scans: candidates of any product and grid, those of the window's two hours; later ones are left out.
        reference_time: a product without a scan near this time is left out.

    Returns:
        Scans in ascending time; empty without a scan near the reference time.
    """
    families: dict[tuple[str, str], list[Candidate]] = {}
    for scan in scans:
        if scan.valid_time <= reference_time + IN_TIME:
            families.setdefault((scan.product, scan.grid_key), []).append(scan)
    found = [_series(family, reference_time) for family in families.values()]
    return min((series for series in found if series), key=_rank, default=[])


def series_window(frames: Sequence[RadarFrame], reference_time: datetime | None = None) -> Window:
    """Return the window of all scans of two hours, at their own cadence.

    Single missing inner fields are interpolated linearly in time; those of longer gaps and before the first scan are
    left empty. A scan without an observed cell, other than the newest one, counts as missing. Each is noted, and makes
    the window degraded. `model_usable` needs two fields of the last 30 minutes, or of the last cadence where that is
    longer, with observed cells.

    Args:
        frames: scans in any order; of two with the same time the last one is used.
        reference_time: None: the time of the newest frame.

    Raises:
        ConflictError: the frames do not form a window; the message names what was expected and what was found.
    """
    by_time = checked_frames(frames)
    reference_time = reference_time or max(by_time, default=None)
    cadence = cadence_of([time for time in by_time if reference_time and time <= reference_time + IN_TIME])
    if reference_time is None or cadence is None:
        raise ConflictError(f"expected at least {FEWEST} frames equally spaced, got {spacing_text(by_time)}")
    return _window(by_time, nominal_times(reference_time, cadence), FEWEST, TOLERANCE_MINUTES)


def upload_window(frames: Sequence[RadarFrame]) -> Window:
    """Return the window of a user's frames: as `series_window`, but it begins with the first frame.

    Raises:
        ConflictError: fewer than five frames that are equally spaced, two products or grids, or forecasts.
    """
    by_time = checked_frames(frames)
    cadence = cadence_of(list(by_time))
    if cadence is None or len(by_time) < UPLOAD_FEWEST:
        raise ConflictError(
            f"expected at least {UPLOAD_FEWEST} frames equally spaced, got {len(by_time)} frames of different times "
            f"({spacing_text(by_time)})"
        )
    first = min(by_time) - IN_TIME
    nominal = tuple(time for time in nominal_times(max(by_time), cadence, UPLOAD_FEWEST) if time >= first)
    return _window(by_time, nominal, UPLOAD_FEWEST, UPLOAD_TOLERANCE_MINUTES)


def _half_minutes(minutes: float) -> int:
    """Return a spacing in half minutes: a whole minute where it is within 20 seconds of one."""
    return 2 * round(minutes) if abs(minutes - round(minutes)) <= 1 / 3 else round(2 * minutes)


def _mean_half_minutes(spacings: Sequence[float], median: int) -> int:
    """Return the mean spacing in half minutes, where longer spacings count as several: a whole minute if nearer."""
    mean = sum(spacings) / sum(round(2 * minutes / median) for minutes in spacings)
    return 2 * round(mean) if abs(mean - round(mean)) < IN_TIME / timedelta(minutes=1) else round(2 * mean)


def _fitting(spacings: Sequence[float], half_minutes: int) -> int:
    """Return how many scans with these spacings are within `IN_TIME` of a whole number of steps before the last one."""
    ages = np.cumsum(spacings[::-1])
    off = np.abs(ages - np.round(2 * ages / half_minutes) * half_minutes / 2)
    return int(np.count_nonzero(off <= IN_TIME / timedelta(minutes=1) + 1e-6))


def _series(family: Sequence[Candidate], reference_time: datetime) -> list[Candidate]:
    by_time = {scan.valid_time: scan for scan in family}
    if nearest(by_time, reference_time, TOLERANCE_MINUTES) is None:
        return []
    cadence = cadence_of(list(by_time))
    if cadence is None:
        return list(by_time.values())
    slots = [nearest(by_time, time, TOLERANCE_MINUTES, cadence) for time in nominal_times(reference_time, cadence)]
    return [scan for scan in slots if scan is not None]


def _rank(series: Sequence[Candidate]) -> tuple[int, int, str]:
    product = series[0].product
    return -len(series), PREFERRED.index(product) if product in PREFERRED else len(PREFERRED), product


def _window(
    by_time: Mapping[datetime, RadarFrame], nominal: tuple[datetime, ...], at_least: int, tolerance_minutes: float
) -> Window:
    """Build the window of some nominal times.

    Raises:
        ConflictError: too few frames are near a nominal time, or none is near the last one.
    """
    cadence = round((nominal[-1] - nominal[0]) / timedelta(minutes=1)) // max(len(nominal) - 1, 1)
    slots: Slots = [nearest(by_time, time, tolerance_minutes, cadence or np.inf) for time in nominal]
    if slots[-1] is None or len(slots) - slots.count(None) < at_least:
        raise ConflictError(
            f"expected at least {at_least} frames spaced {cadence} minutes apart up to {iso(nominal[-1])}, got "
            f"{len(slots) - slots.count(None)} of {len(by_time)} frames ({spacing_text(by_time)})"
        )
    notes = [*_shifts(slots, nominal), *_blanks(slots[:-1])]
    slots = [frame if frame is slots[-1] or (frame and is_observed(frame)) else None for frame in slots]
    rate_mmh_THW, bridged, empty = _fields(slots, nominal)
    notes += _gaps(nominal, bridged, "bridged linearly in time", cadence)
    notes += _gaps(nominal, empty, "left empty", cadence)
    usable = recent_fields(rate_mmh_THW, cadence) >= FEWEST
    return window_of(slots, nominal, rate_mmh_THW, notes, model_usable=usable)


def recent_fields(rate_mmh_THW: Float32Field, cadence_minutes: int) -> int:
    """Return how many fields of the last `USABLE_MINUTES`, or of the last cadence, have an observed cell."""
    recent = max(USABLE_MINUTES, cadence_minutes) // cadence_minutes + 1
    return sum(not np.isnan(field_HW).all() for field_HW in rate_mmh_THW[-recent:])


def _fields(slots: Slots, nominal: Sequence[datetime]) -> tuple[Float32Field, list[int], list[int]]:
    """Return the fields of the slots, and the indices of those that are interpolated and of those that are empty."""
    shape = next(frame.rate_mmh_HW.shape for frame in slots if frame is not None)
    rate_mmh_THW = np.empty((len(slots), *shape), np.float32)
    bridged, empty = [], []
    for index, frame in enumerate(slots):
        before, after = (slots[index - 1], slots[index + 1]) if 0 < index < len(slots) - 1 else (None, None)
        if frame is not None:
            rate_mmh_THW[index] = frame.rate_mmh_HW
        elif before is not None and after is not None and is_observed(after):
            rate_mmh_THW[index] = between(before, after, nominal[index])
            bridged.append(index)
        else:
            rate_mmh_THW[index] = np.nan
            empty.append(index)
    return rate_mmh_THW, bridged, empty


def _shifts(slots: Slots, nominal: Sequence[datetime]) -> list[str]:
    """Return a note where scans are off their nominal times."""
    off = [abs(frame.valid_time - time) for frame, time in zip(slots, nominal, strict=True) if frame is not None]
    off = [one for one in off if one > IN_TIME]
    if not off:
        return []
    return [f"{len(off)} scans are up to {max(off) / timedelta(minutes=1):.1f} minutes off their nominal times"]


def _blanks(slots: Slots) -> list[str]:
    """Return a note on the scans that have no observed cell."""
    times = [iso(frame.valid_time) for frame in slots if frame is not None and not is_observed(frame)]
    if not times:
        return []
    which = times[0] if len(times) == 1 else f"{times[0]} to {times[-1]} ({len(times)} scans)"
    return [f"no observed cell in the scan of {which}: taken as missing"]


def _gaps(nominal: Sequence[datetime], missing: Sequence[int], filled: str, cadence: int) -> list[str]:
    """Return a note for each run of missing scans."""
    runs: list[list[int]] = []
    for index in missing:
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    texts = []
    for run in runs:
        first, last = iso(nominal[run[0]]), iso(nominal[run[-1]])
        times = first if len(run) == 1 else f"{first} to {last} ({len(run)} fields {cadence} minutes apart)"
        texts.append(f"no scan for {times}: {filled}")
    return texts
