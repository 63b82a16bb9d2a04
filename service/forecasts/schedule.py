"""The schedule: scans that still need a forecast, why none starts, and how many forecasts were never made."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from math import floor
from pathlib import Path
from statistics import mode
from time import monotonic
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.settings import Settings
from core.times import iso
from ingest.store.database import reading, writing
from ingest.store.live import Store
from service.forecasts.periods import Period, place_of
from service.forecasts.records import FORECAST, StoredForecast
from service.forecasts.replacement import outdated
from service.forecasts.tables import ForecastRow, ForecastTimeRow
from verification.baselines import BASELINES

TIMES_KEPT: Final = timedelta(days=367)
"""Longer than the longest period of `GET /verification`."""

SKIPPED_SINCE: Final = timedelta(minutes=10)
"""How long a scan that has no forecast and gets none any more is reported."""

CADENCE_FROM: Final = timedelta(days=1)
"""Scans this far back say how often a forecast is expected; a shorter time may lie in an outage."""

CADENCE_HELD_S: Final = 60.0
"""How long the cadence is not looked up again for the lifetimes of responses."""


@dataclass(frozen=True)
class Refusal:
    """Why a scheduled forecast is refused, and from which scan."""

    scan_time: datetime
    reason: str


@dataclass(frozen=True)
class ScheduledTime:
    """A forecast that the schedule is to make; `made` is how many there are of this time and model already."""

    reference_time: datetime
    model: str
    made: int


@dataclass(frozen=True)
class ScheduleCount:
    """How many forecasts of the schedule were made.

    Attributes:
        model: name of the forecaster.
        start, end: first and last expected reference time.
        cadence_minutes: spacing of the expected times; None if only one scan is known, so that no gap shows.
        expected: reference times of the schedule.
        made: of them, those with a forecast made in time.
    """

    model: str
    start: datetime
    end: datetime
    cadence_minutes: float | None
    expected: int
    made: int

    @property
    def missed(self) -> int:
        """Return the number of expected times without a forecast: outages, and jobs that failed or were late."""
        return self.expected - self.made


class ForecastSchedule:
    """The scheduled forecasts of one service.

    Args:
        settings: of the service.
        store: of the scans.
        engine: of the catalogue.
        now: time against which ages are counted.
    """

    def __init__(self, settings: Settings, store: Store, engine: Engine, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._now = now
        self._cadences: dict[str, tuple[float, timedelta | None]] = {}

    def cadence(self, product: str) -> timedelta | None:
        """Return the cadence of a product's scans, as it was at most a minute ago; None if one scan alone is known."""
        looked_up_at, found = self._cadences.get(product, (-CADENCE_HELD_S, None))
        if found is None or monotonic() - looked_up_at > CADENCE_HELD_S:
            found = self._cadence(product)
            self._cadences[product] = monotonic(), found
        return found

    def refusal_of(self, scan_time: datetime) -> Refusal | None:
        """Return why no scheduled forecast starts from a scan; None unless it is too old."""
        age_s, most_s = (self._now() - scan_time).total_seconds(), self._settings.refuse_after_s
        if age_s <= most_s:
            return None
        return Refusal(
            scan_time,
            f"the scan of {iso(scan_time)} is {age_s:.0f} s old; a scheduled forecast starts from one of at most "
            f"{most_s:.0f} s",
        )

    def refusal(self) -> Refusal | None:
        """Return why no scheduled forecast starts now; None unless the newest scan is too old."""
        newest = self._store.latest()
        return self.refusal_of(newest.valid_time) if newest else None

    def pending(self) -> Sequence[tuple[datetime, str]]:
        """Return (reference time, model) of scans without their scheduled forecast, newest first, none too old.

        In a replay only the newest scan counts: it stands still until the forecast is stored, so the others are those
        of the history, which was written at once.
        """
        return [(one.reference_time, one.model) for one in self.queued() if not one.made]

    def newest_is_pending(self) -> bool:
        """Return whether the newest scan waits for its scheduled forecast: quicker than `pending`."""
        newest, model = self._store.latest(), self._settings.model
        if newest is None or self.refusal_of(newest.valid_time):
            return False
        return not self._forecasts(model, newest.valid_time)[newest.valid_time]

    def queued(self) -> Sequence["ScheduledTime"]:
        """Return the scheduled forecasts that are to be made, newest first, none too old.

        They are those of `pending`, and those whose window lacked scans that have been stored since.
        """
        newest, model = self._store.latest(), self._settings.model
        if newest is None:
            return []
        oldest = self._now() - timedelta(seconds=self._settings.refuse_after_s)
        if self._settings.source_kind == "replay":
            oldest = newest.valid_time
        made = self._forecasts(model, oldest)
        scans = self._store.scans(product=newest.product, start=oldest)
        times = [scan.valid_time for scan in reversed(scans)]
        again = outdated({time: made[time] for time in times}, self._store)
        return [ScheduledTime(time, model, len(made[time])) for time in times if not made[time] or time in again]

    def skipped(self) -> Sequence[datetime]:
        """Return the times of scans that have just become too old for a forecast, without one; oldest first."""
        newest, model = self._store.latest(), self._settings.model
        if newest is None or self._settings.source_kind == "replay" or not self._spans():
            return []
        last = self._now() - timedelta(seconds=self._settings.refuse_after_s)
        first = max(last - SKIPPED_SINCE, min(span.first for span in self._spans()))
        made = self._forecasts(model, first)
        scans = self._store.scans(product=newest.product, start=first, end=last)
        return [scan.valid_time for scan in scans if not made[scan.valid_time]]

    def _forecasts(self, model: str, since: datetime) -> Mapping[datetime, list[StoredForecast]]:
        """Return the forecasts from scans of a model by reference time."""
        row = ForecastRow
        named = (row.model == model) | (row.requested_model == model)
        query = select(row.attributes).where(named, row.origin == "scans", row.reference_time >= since)
        found: dict[datetime, list[StoredForecast]] = defaultdict(list)
        with reading(self._engine) as connection:
            for attributes in connection.scalars(query):
                forecast = FORECAST.from_attributes(attributes, path=Path())
                found[forecast.reference_time].append(forecast)
        return found

    def mark(self, forecast: StoredForecast) -> None:
        """Note that a forecast is one of the schedule: from its reference time on, others are expected."""
        row = ForecastTimeRow
        key = (row.product == forecast.product, row.model == forecast.model)
        with writing(self._engine) as connection:
            enter_time(connection, forecast)
            connection.execute(
                update(row).where(*key, row.reference_time == forecast.reference_time).values(scheduled=True)
            )

    def counts(self, period: Period) -> Sequence[ScheduleCount]:
        """Return the counts of the reference times of a period, for the scheduled models and then the baselines.

        A time is expected from the first forecast of the schedule on, at the cadence of the scans, whether or not there
        is a scan: an outage of the source counts. It is not expected yet while a forecast may still start from it.
        """
        found: dict[str, list[ScheduleCount]] = defaultdict(list)
        for span in self._spans():
            for model, one in self._of_span(span, period).items():
                found[model].append(one)
        if period.model is not None:
            kept = {period.model, *BASELINES} if period.model in found else set()
            found = defaultdict(list, {model: counts for model, counts in found.items() if model in kept})
        return [_joined(found[name]) for name in sorted(found, key=lambda name: (place_of(name), name))]

    def forget(self, before: datetime) -> None:
        """Delete the times before one."""
        with writing(self._engine) as connection:
            connection.execute(delete(ForecastTimeRow).where(ForecastTimeRow.reference_time < before))

    def _spans(self) -> list["_Span"]:
        """Return when which model was scheduled; the newest one still is."""
        row = ForecastTimeRow
        first, last = func.min(row.reference_time), func.max(row.reference_time)
        query = select(row.product, row.model, first, last).where(row.scheduled).group_by(row.product, row.model)
        with reading(self._engine) as connection:
            found = [_Span(*one) for one in connection.execute(query.order_by(last))]
        return [*found[:-1], replace(found[-1], last=None)] if found else []

    def _of_span(self, span: "_Span", period: Period) -> dict[str, ScheduleCount]:
        """Return the counts of a scheduled model and its baselines; empty outside of the period."""
        cadence = self._cadence(span.product)
        possible = self._now() - timedelta(seconds=self._settings.refuse_after_s)
        end = min(period.until, possible if span.last is None else span.last)
        made = self._made(span, period)
        step = cadence or timedelta(days=10_000)
        slots = {model: {round((time - span.first) / step) for time in times} for model, times in made.items()}
        lowest = max(0, floor((period.after - span.first) / step) + 1)
        expected = set(range(lowest, max(lowest, floor((end - span.first) / step) + 1)))
        expected |= slots.get(span.model, set())  # too young to be missed, and made already
        if not expected:
            return {}
        start, end = (span.first + step * slot for slot in (min(expected), max(expected)))
        minutes = cadence / timedelta(minutes=1) if cadence else None
        names = [span.model, *(name for name in BASELINES if name != span.model)]
        return {
            name: ScheduleCount(name, start, end, minutes, len(expected), len(expected & slots.get(name, set())))
            for name in names
        }

    def _made(self, span: "_Span", period: Period) -> Mapping[str, list[datetime]]:
        """Return the reference times within the period whose forecast was made in time, by model."""
        row = ForecastTimeRow
        query = select(row.model, row.reference_time, row.issued_at).where(
            row.product == span.product,
            row.model.in_([span.model, *BASELINES]),
            row.reference_time >= span.first,
            row.reference_time > period.after,
            row.reference_time <= period.until,
        )
        most = timedelta(seconds=self._settings.refuse_after_s + self._settings.task_limit_s)
        replayed = self._settings.source_kind == "replay"  # the age of a replayed scan says nothing
        found: dict[str, list[datetime]] = defaultdict(list)
        with reading(self._engine) as connection:
            for model, time, issued_at in connection.execute(query):
                if (span.last is None or time <= span.last) and (replayed or issued_at - time <= most):
                    found[model].append(time)
        return found

    def _cadence(self, product: str) -> timedelta | None:
        """Return the most frequent spacing of a product's scans; None for a single one."""
        newest = self._store.latest(product)
        if newest is None:
            return None
        times = [scan.valid_time for scan in self._store.scans(product=product, start=newest.valid_time - CADENCE_FROM)]
        steps = [round((later - earlier) / timedelta(minutes=1)) for earlier, later in pairwise(times)]
        steps = [step for step in steps if step]
        return timedelta(minutes=mode(steps)) if steps else None


@dataclass(frozen=True)
class _Span:
    """From when to when a model was scheduled; `last` is None if it still is."""

    product: str
    model: str
    first: datetime
    last: datetime | None


def _joined(counts: Sequence[ScheduleCount]) -> ScheduleCount:
    """Return the sum of the counts of one model."""
    start, end = min(one.start for one in counts), max(one.end for one in counts)
    cadences = {one.cadence_minutes for one in counts}
    cadence = cadences.pop() if len(cadences) == 1 else None
    expected, made = sum(one.expected for one in counts), sum(one.made for one in counts)
    return ScheduleCount(counts[0].model, start, end, cadence, expected, made)


def enter_time(connection: Connection, forecast: StoredForecast) -> None:
    """Note when the forecast of a reference time was made first; one of an upload has none of the schedule."""
    if forecast.origin != "scans":
        return
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values: dict[str, Any] = {
        "product": forecast.product,
        "model": forecast.model,
        "reference_time": forecast.reference_time,
        "issued_at": forecast.issued_at,
        "scheduled": False,
    }
    connection.execute(make(ForecastTimeRow).values(values).on_conflict_do_nothing())
