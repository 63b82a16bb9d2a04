"""The layers of the tiles: what a name and a time select, observed or forecast, and the list of all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from core.arrays import BoolField, Float32Field
from core.cf import RATE
from core.colours import RAIN_COLOURS, Classes
from core.errors import NoDataError
from core.grid import Grid
from core.times import iso
from ingest.store.live import Scan, Store
from service.forecasts.fields import FIELDS
from service.forecasts.members import member_count, member_field, members_path
from service.forecasts.nowcast import StoredForecast
from service.queries.observed import FRAMES
from service.queries.probabilities import probability_field
from service.queries.quantities import quantities_of
from service.queries.sums import HOUR, hour_ahead_mm, hour_before_mm, scans_of_hour
from service.schemas.forecasts import Time

HOUR_AHEAD: Final = "sum60"
HOUR_BEFORE: Final = "past60"
MEMBER: Final = "member-"
MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, eq=False)
class TileField:
    """A field to draw as a tile.

    Attributes:
        known_HW: where it rests on an observation; None if that is not known, or if it is an observation.
    """

    field_HW: Float32Field
    known_HW: BoolField | None
    grid: Grid
    classes: Classes = RAIN_COLOURS


@dataclass(frozen=True, eq=False)
class LayerSource:
    """Where a tile comes from, known before any field is read.

    Attributes:
        content: what distinguishes it from other contents at the same time, for its validator.
        is_observed: whether a late scan may change it.
        read: returns the field.
    """

    content: str
    is_observed: bool
    read: Callable[[], TileField]


def layer_source(store: Store, forecast: StoredForecast, layer: str, time: Time) -> LayerSource:
    """Return where the field of a layer and a time comes from.

    Raises:
        NoDataError: no such layer, or nothing of that time.
    """
    if layer == HOUR_BEFORE:
        return _past_hour(store, forecast, time)
    if layer == RATE and time <= forecast.reference_time:
        return _scan(store, forecast, time)
    content = iso(time)
    if layer == HOUR_AHEAD:
        start = (time - forecast.reference_time) / MINUTE
        return LayerSource(content, is_observed=False, read=lambda: _hour(forecast, start))
    if layer.startswith(MEMBER):
        member = _member_of(forecast, layer)
        lead = _lead(forecast, time)
        made = members_path(forecast).stat().st_mtime_ns
        return LayerSource(f"{content}-{made}", is_observed=False, read=lambda: _member(forecast, member, lead))
    _check_name(forecast, layer)
    lead = _lead(forecast, time)
    return LayerSource(content, is_observed=False, read=lambda: _quantity(forecast, layer, lead))


def _scan(store: Store, forecast: StoredForecast, time: Time) -> LayerSource:
    scan = _scan_at(store, forecast, time)

    def read() -> TileField:
        frame = FRAMES.read(store, scan)
        return TileField(frame.rate_mmh_HW, None, frame.grid)

    return LayerSource(scan.sha256[:32], is_observed=True, read=read)


def _past_hour(store: Store, forecast: StoredForecast, time: Time) -> LayerSource:
    end = _scan_at(store, forecast, time)
    scans = scans_of_hour(store.scans(product=forecast.product, start=time - HOUR, end=time), end)
    if scans is None:
        raise NoDataError(f"not every scan of {forecast.product} in the hour up to {iso(time)} is stored")

    def read() -> TileField:
        sum_mm_HW, grid = hour_before_mm(store, scans)
        return TileField(sum_mm_HW, None, grid)

    return LayerSource("".join(scan.sha256[:6] for scan in scans), is_observed=True, read=read)


def _scan_at(store: Store, forecast: StoredForecast, time: Time) -> Scan:
    scans = store.scans(product=forecast.product, start=time, end=time)
    if not scans:
        raise NoDataError(f"no scan of {forecast.product} at {iso(time)} is stored")
    return scans[-1]


def _hour(forecast: StoredForecast, start: float) -> TileField:
    sum_mm_HW, known_HW = hour_ahead_mm(forecast, int(start) if start.is_integer() else -1)
    return TileField(sum_mm_HW, known_HW, forecast.grid)


def _member(forecast: StoredForecast, member: int, lead: int) -> TileField:
    rate_mmh_HW = member_field(forecast, member, lead)
    return TileField(rate_mmh_HW, FIELDS.read(forecast).known_HW(lead), forecast.grid)


def _member_of(forecast: StoredForecast, layer: str) -> int:
    """Return the index of the member that a layer names, counted from 1.

    Raises:
        NoDataError: there is no such member (yet).
    """
    count, number = member_count(forecast), layer.removeprefix(MEMBER)
    if not (number.isascii() and number.isdigit() and len(number) <= 4 and 1 <= int(number) <= count):
        expected = f"{MEMBER}1 to {MEMBER}{count}" if count else "a forecast with ensemble members"
        raise NoDataError(f"layer: expected {expected}, got {layer!r}")
    return int(number) - 1


def _quantity(forecast: StoredForecast, layer: str, lead: int) -> TileField:
    quantity, fields = quantities_of(forecast)[layer], FIELDS.read(forecast)
    if quantity.threshold_mmh is None:
        field_HW = fields.rate_mmh_HW(lead)
    else:
        field_HW = probability_field(forecast, lead, quantity.threshold_mmh)
    return TileField(field_HW, fields.known_HW(lead), forecast.grid, quantity.classes)


def _check_name(forecast: StoredForecast, layer: str) -> None:
    known = [name for name, one in quantities_of(forecast).items() if name == RATE or one.threshold_mmh]
    if layer not in known:
        expected = ", ".join([*known, HOUR_AHEAD, HOUR_BEFORE, f"{MEMBER}1 ..."])
        raise NoDataError(f"layer: expected one of {expected}, got {layer!r}")


def _lead(forecast: StoredForecast, time: Time) -> int:
    if time not in forecast.valid_times:
        first, last = iso(forecast.valid_times[0]), iso(forecast.valid_times[-1])
        raise NoDataError(f"time: expected a lead of {first} to {last}, got {iso(time)}")
    return forecast.valid_times.index(time)
