"""The window of a forecast: its scans at equally spaced times, and the policy for gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, Literal, TypeVar

import numpy as np

from core.arrays import Float32Field
from core.errors import ConflictError
from core.frame import RadarFrame
from core.grid import Grid
from core.times import iso
from ingest.plausibility import FROZEN_SCANS
from ingest.windows.regrid import onto

Slots = list[RadarFrame | None]
Found = TypeVar("Found")
SAME_TIME: Final = timedelta(seconds=1)
"""Times of files that differ by less, or by as much, are equal: writers cut off fractions of a second."""


@dataclass(frozen=True)
class Window:
    """Equally spaced fields that end at the reference time.

    Attributes:
        reference_time: nominal time of the newest field.
        grid: of the scans.
        rate_mmh_THW: one field per nominal time, oldest first; all NaN where there is no scan.
        nominal_times: the times that the fields represent.
        input_times: valid times of the scans used; None without a scan (bridged or empty).
        product: the one product of all scans.
        status: "ok", or "degraded" if any field is not the scan of its nominal time.
        notes: how each such field was filled, as text for users.
        missing_radars: sites that are missing in at least one scan.
        model_usable: False where fields are missing, so that only extrapolation is possible.
        scan_grid: grid of the scans if `grid` is a different one; None: `grid` is the scans' own.
        provider: whose data the newest scan is, as its file states it; None if it does not.
    """

    reference_time: datetime
    grid: Grid
    rate_mmh_THW: Float32Field
    nominal_times: tuple[datetime, ...]
    input_times: tuple[datetime | None, ...]
    product: str
    status: Literal["ok", "degraded"]
    notes: tuple[str, ...]
    missing_radars: tuple[str, ...]
    model_usable: bool
    scan_grid: Grid | None = None
    provider: str | None = None

    @property
    def cadence_minutes(self) -> int:
        """Return the spacing of its fields; 0 for a single one."""
        if len(self.nominal_times) < 2:
            return 0
        return round((self.nominal_times[-1] - self.nominal_times[-2]) / timedelta(minutes=1))


def build_window(
    frames: Sequence[RadarFrame],
    reference_time: datetime | None = None,
    *,
    steps: int = 5,
    cadence_minutes: int = 30,
    tolerance_minutes: float = 5,
    strict: bool = False,
) -> Window:
    """Choose the scans of a window; every deviation from the nominal time is noted and makes the window degraded.

    In this order: the nearest scan within the tolerance; one missing inner field is interpolated linearly in time; with
    the reference scan and one more, the window has `model_usable=False`; otherwise it is refused.

    Args:
        frames: scans in any order; of two with the same time the last one is used.
        reference_time: None: the time of the newest frame.
        steps: number of fields.
        cadence_minutes: spacing of the fields.
        tolerance_minutes: largest time difference of a scan; limited to half the cadence, so that a scan is used once.
        strict: refuse gaps instead of filling them (uploads).

    Raises:
        ConflictError: the frames do not form a window; the message names what was expected and what was found.
    """
    by_time = checked_frames(frames)
    at_least = steps if strict else 1
    if len(by_time) < at_least:
        raise ConflictError(
            f"expected at least {at_least} frames spaced {cadence_minutes} minutes apart, "
            f"got {len(by_time)} frames of different times ({spacing_text(by_time)})"
        )
    reference_time = reference_time or max(by_time)
    cadence = timedelta(minutes=cadence_minutes)
    nominal_times = tuple(reference_time - cadence * step for step in reversed(range(steps)))
    slots: Slots = [nearest(by_time, time, tolerance_minutes, cadence_minutes) for time in nominal_times]
    missing = [time for time, frame in zip(nominal_times, slots, strict=True) if frame is None]
    found = steps - len(missing)
    if missing and (strict or slots[-1] is None or found < 2):
        raise ConflictError(_refusal(missing, by_time, cadence_minutes, tolerance_minutes))
    return _window(slots, nominal_times)


def observations_at(
    frames: Sequence[RadarFrame], grid: Grid, times: Sequence[datetime], tolerance_minutes: float = 0
) -> Float32Field:
    """Return the observed rates at the times on `grid`, shape (T, H, W); all NaN where no frame is near enough.

    Raises:
        ConflictError: a frame is a provider's forecast.
    """
    _refuse_forecasts(frames)
    by_time = {frame.valid_time: frame for frame in frames}
    observed_THW = np.full((len(times), *grid.shape), np.nan, np.float32)
    for field_HW, time in zip(observed_THW, times, strict=True):
        frame = nearest(by_time, time, tolerance_minutes)
        if frame is not None:
            field_HW[:] = onto(frame.rate_mmh_HW[None], frame.grid, grid)[0]
    return observed_THW


def checked_frames(frames: Sequence[RadarFrame]) -> dict[datetime, RadarFrame]:
    """Return frames by valid time, ascending; of two with the same time the last one.

    Raises:
        ConflictError: they are not observations of one product on one grid.
    """
    _refuse_forecasts(frames)
    by_time = {frame.valid_time: frame for frame in sorted(frames, key=lambda frame: frame.valid_time)}
    if not by_time:
        return by_time
    products = sorted({frame.product for frame in frames})
    if len(products) > 1:
        raise ConflictError(f"expected frames of one product, got {', '.join(products)}")
    first, *others = by_time.values()
    for frame in others:
        if frame.grid is not first.grid and not frame.grid.same_place(first.grid):
            raise ConflictError(
                f"expected frames on one grid, got {_place(first)} at {iso(first.valid_time)} and {_place(frame)} at "
                f"{iso(frame.valid_time)}"
            )
    return by_time


def _refuse_forecasts(frames: Sequence[RadarFrame]) -> None:
    ahead = [frame for frame in frames if frame.is_forecast]
    if ahead:
        raise ConflictError(
            f"expected observed frames (lead time 0), got a forecast of {ahead[0].product} for "
            f"{iso(ahead[0].valid_time)}, {ahead[0].lead_minutes} minutes ahead of its scan"
        )


def nearest(
    by_time: Mapping[datetime, Found], time: datetime, tolerance_minutes: float, cadence_minutes: float = np.inf
) -> Found | None:
    """Return the frame nearest to a time within the tolerance, a second at least; the earlier one of two.

    The tolerance is less than half the cadence, so that a frame serves one time only.
    """
    best = min(by_time, key=lambda at: (abs(at - time), at), default=None)
    if best is None:
        return None
    off = abs(best - time)
    near = off <= max(timedelta(minutes=tolerance_minutes), SAME_TIME)
    return by_time[best] if near and off.total_seconds() / 60 < cadence_minutes / 2 else None


def _window(slots: Slots, nominal_times: tuple[datetime, ...]) -> Window:
    """Build the window from slots of which the last is filled."""
    rate_mmh_THW, notes = _fields(slots, nominal_times)
    usable = None not in slots or _bridge(slots) is not None
    return window_of(slots, nominal_times, rate_mmh_THW, notes, model_usable=usable)


def window_of(
    slots: Slots,
    nominal_times: tuple[datetime, ...],
    rate_mmh_THW: Float32Field,
    notes: Sequence[str],
    *,
    model_usable: bool,
) -> Window:
    """Return the window of the frames of its nominal times, of which the last one is there.

    Args:
        slots: a frame for each time; None without one.
        nominal_times: of the fields.
        rate_mmh_THW: the fields, those of missing frames too.
        notes: on fields that are not the scan of their time; with any of them the window is degraded.
        model_usable: whether a model can start from the fields.
    """
    used = [frame for frame in slots if frame is not None]
    if not is_observed(used[-1]):
        notes = [*notes, f"no observed cell in the newest scan, {iso(used[-1].valid_time)}: the forecast is empty"]
    notes = [*notes, *_frozen(used)]
    return Window(
        reference_time=nominal_times[-1],
        grid=used[-1].grid,
        rate_mmh_THW=rate_mmh_THW,
        nominal_times=nominal_times,
        input_times=tuple(frame.valid_time if frame else None for frame in slots),
        product=used[-1].product,
        status="degraded" if notes else "ok",
        notes=tuple(notes),
        missing_radars=tuple(dict.fromkeys(radar for frame in used for radar in frame.missing_radars)),
        model_usable=model_usable,
        provider=used[-1].provider,
    )


def _frozen(used: Sequence[RadarFrame]) -> list[str]:
    """Return a note if the newest scans contain identical rain; identical dry scans are plausible."""
    newest_HW, same = used[-1].rate_mmh_HW, 1
    if not (newest_HW > 0).any():
        return []
    while same < len(used) and np.array_equal(used[-1 - same].rate_mmh_HW, newest_HW, equal_nan=True):
        same += 1
    if same < FROZEN_SCANS:
        return []
    since = iso(used[-same].valid_time)
    return [
        f"the {same} newest scans, since {since}, contain identical rain: a stuck source, and no motion of the rain"
    ]


def is_observed(frame: RadarFrame) -> bool:
    """Return whether a frame has any observed cell."""
    return not np.isnan(frame.rate_mmh_HW).all()


def _fields(slots: Slots, nominal_times: Sequence[datetime]) -> tuple[Float32Field, list[str]]:
    """Return the fields of the slots, and a note on each that is not the scan of its nominal time."""
    shape = next(frame.rate_mmh_HW.shape for frame in slots if frame is not None)
    rate_mmh_THW = np.full((len(slots), *shape), np.nan, np.float32)
    notes = []
    for index, (frame, time) in enumerate(zip(slots, nominal_times, strict=True)):
        if frame is not None:
            rate_mmh_THW[index] = frame.rate_mmh_HW
            if abs(frame.valid_time - time) > SAME_TIME:
                notes.append(f"no scan for {iso(time)}: the scan of {iso(frame.valid_time)} is used instead")
        elif bridge := _bridge(slots):
            rate_mmh_THW[index] = between(*bridge, time)
            ends = " and ".join(iso(end.valid_time) for end in bridge)
            notes.append(f"no scan for {iso(time)}: bridged linearly in time between {ends}")
        else:
            notes.append(f"no scan for {iso(time)}: left empty, so that only extrapolation is possible")
    return rate_mmh_THW, notes


def _bridge(slots: Slots) -> tuple[RadarFrame, RadarFrame] | None:
    """Return the scans before and after the missing field, if exactly one is missing and it is an inner one."""
    if slots.count(None) != 1:
        return None
    index = slots.index(None)
    before, after = (slots[index - 1], slots[index + 1]) if 0 < index < len(slots) - 1 else (None, None)
    return (before, after) if before and after else None


def between(before: RadarFrame, after: RadarFrame, time: datetime) -> Float32Field:
    """Return the field of a time between two frames, linear in time."""
    weight = np.float32((time - before.valid_time) / (after.valid_time - before.valid_time))
    return (np.float32(1) - weight) * before.rate_mmh_HW + weight * after.rate_mmh_HW


def _refusal(
    missing: Sequence[datetime], by_time: Mapping[datetime, RadarFrame], cadence_minutes: int, tolerance_minutes: float
) -> str:
    return (
        f"expected frames spaced {cadence_minutes} minutes apart, got {len(by_time)} frames ({spacing_text(by_time)}): "
        f"none within {tolerance_minutes:g} minutes of {', '.join(map(iso, missing))}"
    )


def spacing_text(by_time: Mapping[datetime, RadarFrame]) -> str:
    """Describe the first and last time and the spacing of the frames."""
    times = sorted(by_time)
    if len(times) < 2:
        return f"at {iso(times[0])}" if times else "none"
    gaps = sorted({(b - a).total_seconds() / 60 for a, b in pairwise(times)})
    apart = f"{gaps[0]:g}" if gaps[0] == gaps[-1] else f"{gaps[0]:g} to {gaps[-1]:g}"
    return f"{iso(times[0])} to {iso(times[-1])}, {apart} minutes apart"


def _place(frame: RadarFrame) -> str:
    height, width = frame.grid.shape
    return f"{height} x {width} {frame.grid.name}".rstrip()
