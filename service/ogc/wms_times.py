"""What a map request shows: a lead of the newest run that has the time, or the scan of that time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from core.cf import RATE
from core.errors import MAX_SHOWN, shown
from core.times import iso, utc, with_plus
from ingest.store.live import Scan
from service.forecasts.nowcast import NowcastService, StoredForecast
from service.ogc.wms_exceptions import NoSuchTimeError, ParameterError

MOST_RUNS: Final = 100
MOST_LEAD: Final = timedelta(hours=6)
"""Longest lead time that a run may have (`NOWCAST_LEAD_MINUTES`)."""

CURRENT: Final = ("", "current")


@dataclass(frozen=True)
class Moment:
    """What is shown.

    Attributes:
        run: whose lead it is; of a scan, the newest one.
        lead: index of the lead.
        scan: the observation that is shown instead of a lead.
    """

    run: StoredForecast
    lead: int = 0
    scan: Scan | None = None

    @property
    def valid_time(self) -> datetime:
        """Return the time that is shown."""
        return self.run.valid_times[self.lead] if self.scan is None else self.scan.valid_time


@dataclass(frozen=True)
class Span:
    """The value of `TIME`: one time, or both ends of an interval."""

    start: datetime
    end: datetime

    def lead_of(self, run: StoredForecast) -> int | None:
        """Return the first lead within it; of an interval without one, the nearest within half a step."""
        distances = [max(self.start - time, time - self.end, timedelta()) for time in run.valid_times]
        nearest = distances.index(min(distances))
        near = timedelta(minutes=run.lead_minutes[0]) / 2 if self.start < self.end else timedelta()
        return nearest if distances[nearest] <= near else None


def moment_of(service: NowcastService, newest: StoredForecast, layer: str, time: str, reference_time: str) -> Moment:
    """Return what a request shows.

    Args:
        service: with the stored runs and scans.
        newest: the newest run.
        layer: of the map; scans are shown in that of the rate alone.
        time: value of `TIME`; empty is the first lead.
        reference_time: of a run; empty is the newest run that has the time.

    Raises:
        InputError: not a time.
        NoDataError: nothing of that time is stored.
    """
    run = run_of(service, newest, reference_time)
    if time in CURRENT:
        return Moment(run)
    span = _span(run, time)
    if not reference_time and layer == RATE and span.start <= newest.reference_time:
        scans = service.store.scans(product=newest.product, start=span.start, end=min(span.end, newest.reference_time))
        if scans:
            return Moment(newest, scan=scans[0])
    for one in [run] if reference_time else _runs(service, newest, span):
        lead = span.lead_of(one)
        if lead is not None:
            return Moment(one, lead)
    raise _no_such_time(run, time)


def run_of(service: NowcastService, newest: StoredForecast, reference_time: str) -> StoredForecast:
    """Return the run with a reference time; the newest one without a time.

    Raises:
        InputError: not a time.
        NoDataError: no run with that time is stored.
    """
    if not reference_time:
        return newest
    try:
        time = utc(with_plus(reference_time))
        runs = service.list(model=service.settings.model, origin="scans", start=time, end=time, limit=1)
    except (ValueError, OverflowError) as err:
        message = f"reference_time: expected an ISO 8601 time, got {shown(reference_time)}"
        raise ParameterError("reference_time", message) from err
    if not runs:
        raise NoSuchTimeError(
            f"reference_time: no run of {reference_time[:MAX_SHOWN]}; GetCapabilities lists the stored runs"
        )
    return runs[0]


def extents(times: Iterable[datetime]) -> str:
    """Return times as the value of a dimension: START/END/STEP where three or more are equally far apart."""
    left, parts = sorted(set(times)), list[str]()
    while left:
        step = left[1] - left[0] if len(left) > 1 else timedelta()
        count = 1 + next((index for index, (a, b) in enumerate(pairwise(left)) if b - a != step), len(left) - 1)
        if count < 3:
            count = 1
            parts.append(iso(left[0]))
        else:
            parts.append(f"{iso(left[0])}/{iso(left[count - 1])}/{_duration(step)}")
        left = left[count:]
    return ",".join(parts)


def _duration(step: timedelta) -> str:
    seconds = round(step.total_seconds())
    return f"PT{seconds}S" if seconds % 60 else f"PT{seconds // 60}M"


def _runs(service: NowcastService, newest: StoredForecast, span: Span) -> Iterable[StoredForecast]:
    """Yield the newest run, then earlier ones that may have a lead in the interval."""
    yield newest
    try:
        earliest = span.start - MOST_LEAD
    except OverflowError:
        return
    end = min(span.end, newest.reference_time)
    for run in service.list(model=service.settings.model, origin="scans", start=earliest, end=end, limit=MOST_RUNS):
        if run.id != newest.id:
            yield run


def _span(run: StoredForecast, text: str) -> Span:
    parts = with_plus(text).split("/")
    try:
        times = [utc(part) for part in parts[:2]]
    except OverflowError as err:
        raise ParameterError("time", f"time: expected an ISO 8601 time, got {shown(text)}") from err
    except ValueError as err:
        raise _no_such_time(run, text) from err
    if times[0] > times[-1]:
        raise _no_such_time(run, text)
    return Span(times[0], times[-1])


def _no_such_time(run: StoredForecast, time: str) -> NoSuchTimeError:
    stored: Sequence[datetime] = run.valid_times
    return NoSuchTimeError(
        f"time: expected one of {extents(stored)}, an earlier one that GetCapabilities lists, or another "
        f"reference_time, got {shown(time)}"
    )
