"""A live store that gets scan after scan with invented rain, and a plain script that works out the alerts of rules."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from core.frame import RadarFrame
from core.grid import Grid
from service.alerts.rule import checked_definition
from service.alerts.rulebook import RuleBook
from service.forecasts.records import StoredForecast
from service.schemas.rules import RuleIn
from tests.service.api_support import chance_of
from tests.service.conftest import CENTRE_GRID, START, Fading, World

CHANCES_MMH = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEP = timedelta(minutes=30)


def rainy_world(open_world: Callable[..., World], **settings: Any) -> World:
    """A world whose model gives probabilities at all thresholds."""
    model = Fading(
        thresholds_mmh=CHANCES_MMH,
        chances=lambda rate_LHW: np.stack([chance_of(rate_LHW, mmh) for mmh in CHANCES_MMH]),
    )
    return open_world(model, members=0, stale_after_s=3600, **settings)


def showers(index: int, seed: int = 3, grid: Grid = CENTRE_GRID) -> RadarFrame:
    """Scan number `index`, 30 minutes apart: showers that come and go, and sometimes a part that no radar sees."""
    random = np.random.default_rng([seed, index])
    y_HW, x_HW = np.mgrid[: grid.height, : grid.width].astype(np.float32)
    rate_mmh_HW = np.zeros(grid.shape, np.float32)
    for _ in range(random.integers(0, 4)):
        row, col, peak = random.uniform(0, 40), random.uniform(0, 40), random.exponential(12)
        rate_mmh_HW += np.float32(peak) * np.exp(-((x_HW - col) ** 2 + (y_HW - row) ** 2) / 30).astype(np.float32)
    rate_mmh_HW[rate_mmh_HW < 0.05] = 0
    rate_mmh_HW[:4, :4] = np.nan
    if random.random() < 0.2:
        rate_mmh_HW[:, 25:] = np.nan
    return RadarFrame(START + STEP * index, grid, rate_mmh_HW, "RY")


def play(world: World, first: int, last: int, frame: Callable[[int], RadarFrame] = showers) -> Iterator[StoredForecast]:
    """The forecasts of scans, one after the other, each while its scan is the newest."""
    for index in range(first, last):
        world.put(frame(index))
        world.now = START + STEP * index + timedelta(minutes=3)
        if index >= 4:
            yield world.service.forecast_stored(with_baselines=False)


def sent_rules(count: int, seed: int = 1, grid: Grid = CENTRE_GRID) -> list[dict[str, Any]]:
    """Rules of all kinds at random places and boxes."""
    random = np.random.default_rng(seed)
    corners = np.array(grid.corners_lon_lat())
    (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
    rules = []
    for index in range(count):
        lon, lat = float(random.uniform(west, east)), float(random.uniform(south, north))
        area: dict[str, Any] = {"place": {"lat": lat, "lon": lon}}
        if index % 4 == 1:
            area = {"bbox": [lon, lat, lon + 0.08, lat + 0.05]}
        if index % 4 == 2:
            ring = [[lon, lat], [lon + 0.09, lat], [lon + 0.04, lat + 0.08], [lon, lat]]
            area = {"polygon": {"type": "Polygon", "coordinates": [ring]}}
        quantity = ("rate", "start", "end", "sum_60min")[int(random.integers(0, 4))]
        rule = {
            "name": f"rule {index}",
            **area,
            "quantity": quantity,
            "threshold": float(random.choice([1, 5, 10]) if quantity == "sum_60min" else random.choice([0.1, 1, 5])),
            "probability": float(random.choice([0.3, 0.5, 0.8])),
            "dry_minutes": int(random.choice([0, 30, 60])),
        }
        if quantity != "sum_60min":
            rule |= {"lead_from_minutes": int(random.choice([0, 30])), "lead_to_minutes": int(random.choice([60, 120]))}
        rules.append(rule)
    return rules


def stored(book: RuleBook, sent: Mapping[str, Any], owner: str = "somebody") -> str:
    return book.create(owner, checked_definition(RuleIn.model_validate(sent))).id


def frames_of(forecast: StoredForecast) -> tuple[np.ndarray, np.ndarray]:
    """Ages in minutes and rates (T, H, W) of the window, the newest last."""
    with xr.open_dataset(forecast.inputs_path) as inputs:
        rates = inputs["rainfall_rate"].values.astype(np.float32)
    return (forecast.cadence_minutes or 30) * np.arange(len(rates))[::-1], rates


def fields_of_file(forecast: StoredForecast) -> dict[str, np.ndarray]:
    """Everything in the file of a forecast, and its leads as `minutes`."""
    with xr.open_dataset(forecast.path, decode_timedelta=True) as file:
        fields = {str(name): file[name].values for name in file.data_vars}
        fields = {name: each.astype(np.float32) if each.dtype.kind == "f" else each for name, each in fields.items()}
        return {**fields, "minutes": np.rint(file["forecast_period"].values / np.timedelta64(1, "m")).astype(int)}


def trapezoid(rates: np.ndarray, step: int) -> np.ndarray:
    """Depth in mm of rates `step` minutes apart, in 32 bits as in the files: a depth may be a threshold exactly."""
    depth = np.zeros(rates.shape[1:], np.float32)
    for before, after in pairwise(rates):
        depth += (before + after) / 2 * np.float32(step / 60)
    return depth


class PlainRule:
    """One rule worked out from the files of forecasts, without the service's code; `cells` are rows and columns."""

    def __init__(self, sent: Mapping[str, Any], cells: Sequence[tuple[int, int]]) -> None:
        self.rule = {"lead_from_minutes": 0, "lead_to_minutes": 60, **sent}
        self.at = tuple(np.array(axis, int) for axis in zip(*cells, strict=True)) if cells else (np.zeros(0, int),) * 2
        self.since: datetime | None = None
        self.held: datetime | None = None
        self.last: tuple[datetime, Any, datetime | None] = (START, None, None)
        self.events: list[tuple[str, datetime]] = []
        self.open: list[list[Any]] = []
        self.outcomes = {"hit": 0, "false_alarm": 0, "unknown": 0, "miss": 0}
        self.gained = 0.0

    def look(self, time: datetime, forecast: Mapping[str, Any], window: tuple[np.ndarray, np.ndarray]) -> None:
        rule, dry = self.rule, self.rule["dry_minutes"]
        threshold, quantity = np.float32(rule["threshold"]), rule["quantity"]
        ages, observed = window[0].tolist(), window[1][:, self.at[0], self.at[1]]
        step = ages[-2] if len(ages) > 1 else 30
        seen_at = {age: self._highest(rates) for age, rates in zip(ages, observed, strict=True)}
        wet = {age: rate is not None and rate >= threshold for age, rate in seen_at.items()}
        known_now, seen = seen_at[0] is not None, wet[0]
        recent = any(wet[age] for age in wet if age == 0 or age < dry)
        begins = seen and not any(wet[age] for age in wet if 0 < age <= max(dry, step))
        if quantity == "sum_60min":
            before, now = self._depth(ages, observed, step), self._depth(ages, observed, 0)
            known_now, seen = now is not None, now is not None and now >= threshold
            begins = seen and not (before is not None and before >= threshold)
            best, expected = self._sum(forecast, observed[-1], step)
        else:
            best, expected = self._best(forecast)
        if quantity == "end":
            seen, ended_now = known_now and not recent, any(wet[age] for age in wet if dry <= age < dry + step)
            begins = seen and ended_now
        met = best is not None and best >= np.float32(rule["probability"])
        possible = {"start": known_now and not recent, "end": recent}
        starts = met and possible.get(quantity, True)
        holds = (met and recent) if quantity == "end" else (met or seen)
        self._step(time, best, expected, starts=starts, holds=holds, known=known_now, seen=seen, begins=begins)

    def _best(self, forecast):
        """The highest probability in the lead window, and the first lead with the rule's."""
        rule, leads = self.rule, forecast["minutes"].tolist()
        name = f"exceedance_probability_{rule['threshold']:g}".replace(".", "p")
        chances = [self._top(field[self.at]) for field in forecast[name]]
        found = []
        for minutes, chance in zip(leads, chances, strict=True):
            value = chance
            if rule["quantity"] == "end":
                until = minutes + rule["dry_minutes"]
                later = [other for other, one in zip(chances, leads, strict=True) if minutes <= one <= until]
                value = None if None in later else min(np.float32(1) - one for one in later)
            if rule["lead_from_minutes"] <= minutes <= rule["lead_to_minutes"] and value is not None:
                found.append((minutes, value))
        reached = [minutes for minutes, value in found if value >= np.float32(rule["probability"])]
        return max((value for _, value in found), default=None), reached[0] if reached else None

    def _sum(self, forecast, now, step):
        """Whether the rates of the next hour give the depth: 1 or 0, None where they are not known."""
        count = 60 // step
        leads = np.stack([now, *(field[self.at] for field in forecast["rainfall_rate"][:count])])
        highest = self._top(trapezoid(leads, step))
        if highest is None:
            return None, None
        best = float(highest >= np.float32(self.rule["threshold"]))
        return best, 60 if best else None

    def _depth(self, ages, observed, age) -> Any:
        """Depth of the hour until a scan; None where it is not known in half of the cells."""
        if age + 60 not in ages:
            return None
        step = ages[-2]
        hour = [observed[ages.index(one)] for one in range(age + 60, age - 1, -step)]
        return self._highest(trapezoid(np.stack(hour), step))

    @staticmethod
    def _highest(values: np.ndarray) -> Any:
        known = values[np.isfinite(values)]
        return known.max() if known.size and known.size * 2 >= values.size else None

    @staticmethod
    def _top(values: np.ndarray) -> Any:
        known = values[np.isfinite(values)]
        return known.max() if known.size else None

    def _step(self, time, best, expected, *, starts, holds, known, seen, begins) -> None:
        dry = timedelta(minutes=self.rule["dry_minutes"])
        expected_at = None if expected is None else time + timedelta(minutes=expected)
        was_raised, raised_now = self.since is not None, False
        if not was_raised:
            if starts:
                self.since, self.held, self.last, raised_now = time, time, (time, best, expected_at), True
                self.events.append(("raised", time))
        elif holds:
            self.held = time
            at, chance, when = self.last
            moved = expected_at and when and when > time and abs(expected_at - when) >= timedelta(minutes=15)
            moved = moved and self.rule["quantity"] != "sum_60min"  # its hour always ends an hour from now
            likely = best is not None and chance is not None and abs(best - chance) >= 0.2 - 1e-6
            if time - at >= timedelta(minutes=10) and (moved or likely):
                self.events.append(("updated", time))
                self.last = (time, best, expected_at)
        elif best is None and not known:
            if time - self.held >= max(dry, timedelta(minutes=10)):
                self._end("cancelled", time)
        elif time - self.held >= dry:
            self._end("ended", time)
        self._score(time, seen=seen, known=known, begins=begins, was_raised=was_raised, raised_now=raised_now)

    def _end(self, kind: str, time: datetime) -> None:
        self.since = None
        self.events.append((kind, time))

    def _score(self, time, *, seen, known, begins, was_raised, raised_now) -> None:
        dry = timedelta(minutes=self.rule["dry_minutes"] if self.rule["quantity"] == "end" else 0)
        if raised_now:
            self.open.append([time, 0, 0])
        if begins and not was_raised and not self.open:
            self.outcomes["miss"] += 1
        for alert in list(self.open):
            if time - dry <= alert[0] + timedelta(minutes=self.rule["lead_to_minutes"]):
                alert[1:] = alert[1] + 1, alert[2] + known
                if not seen:
                    continue
                self.outcomes["hit"] += 1
                self.gained += max(0.0, (time - dry - alert[0]).total_seconds() / 60)
            else:
                observed = alert[2] > 0 and alert[2] * 2 >= alert[1]
                self.outcomes["false_alarm" if observed else "unknown"] += 1
            self.open.remove(alert)
