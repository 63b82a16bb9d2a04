"""Radar events as crops of many cell sizes and cadences, held out event by event."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.random import Generator
from pydantic import BaseModel, ConfigDict, Field

from core import cf
from core.arrays import Float32Field
from core.cells import mean_edge_m
from core.errors import ConfigError
from core.grid import RADOLAN_900
from core.units import WET_WINDOW_MMH
from training.datasets.base import DATASETS, NowcastDataset, Sample, Split
from training.datasets.event_table import Spell, load_table
from training.datasets.field_cache import resize
from training.datasets.radar_series import IN_MEMORY_BYTES
from training.datasets.series import RadarSeries, find_series

FEWEST: Final = 2
"""Minimum number of input fields and of leads of a window of a short event."""

SPELL_NAME: Final = re.compile(r"[a-z]{2}-\d{4}-\d{2}-\d{2}")
"""Layout of a spell's name; no file of the table has such a part in its name."""


class EventOptions(BaseModel):
    """Options of the data set of radar events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fold: str | None = Field(
        None, description="spell of the event table that is validated on; unseen ones are tested, all others train"
    )
    exclude: tuple[str, ...] = Field((), description="spells, or parts of file names, that are left out")
    held_out: tuple[str, ...] = Field((), description="spells, or parts of file names, that are validated on")
    tested: tuple[str, ...] = Field((), description="spells, or parts of file names, that are tested on")
    height: int = Field(124, ge=1, description="rows of a whole field")
    width: int = Field(124, ge=1, description="columns of a whole field")
    cadence_minutes: int = Field(30, ge=1, description="between two fields of a whole window")
    crop: int = Field(96, ge=8, description="edge of a cut in cells")
    samples: int = Field(1200, ge=1, description="cuts in the training set")
    cadences: tuple[int, ...] = Field((10, 15, 20, 30), description="cadences of cuts")
    cadence_weights: tuple[float, ...] = Field((), description="how often each is drawn; empty: alike")
    smallest_pixel_m: float = Field(1800.0, gt=0, description="smallest cell of crops, unless the source is coarser")
    largest_pixel_m: float = Field(9000.0, gt=0, description="cells of cuts, where the area is large enough")
    intensity_jitter: float = Field(0.25, ge=0, description="spread of the log of a factor that half of the cuts get")
    min_wet: float = Field(0.02, ge=0, le=1, description="share of wet cells that most cuts have in the newest field")


@DATASETS.register("events")
class Events(NowcastDataset):
    """Random crops of the training events; whole windows of the validation and test events.

    An event belongs to one split as a whole: by a fold of the event table, or by names. A crop has its own cell size
    and cadence, and is rotated, flipped and scaled in intensity. If an event is too short for all fields of a window,
    the oldest input fields and the latest leads are missing (NaN), so that short events train long cadences, too. Test
    windows are complete. `pixel_m` is that of whole fields of the split's events, their geometric mean where it
    differs. Options: `EventOptions`.
    """

    options_class: ClassVar[type[BaseModel]] = EventOptions

    def __init__(
        self,
        data: Path | None,
        split: Split,
        *,
        input_steps: int = 5,
        lead_steps: int = 5,
        seed: int = 0,
        options: BaseModel | None = None,
    ) -> None:
        super().__init__(data, split, input_steps=input_steps, lead_steps=lead_steps, seed=seed)
        self.options = options if isinstance(options, EventOptions) else EventOptions()
        self.cadence_minutes = self.options.cadence_minutes
        if self.options.cadence_weights and len(self.options.cadence_weights) != len(self.options.cadences):
            raise ConfigError(
                f"cadence_weights: expected one for each of the cadences {self.options.cadences}, "
                f"got {len(self.options.cadence_weights)}"
            )
        splits = EventSplits(self.options)
        self.series = [one for one in find_series(data) if splits.of(one.path.name) == split]
        _hold(self.series)
        self._by_cadence: dict[int, list[RadarSeries]] = {}
        self.windows = [] if split == "train" else [w for one in self.series for w in self._windows(one)]
        if split == "train" and not self.series:
            raise ConfigError(f"{data}: expected at least one event that is not held out, got none")
        self._measure()
        self.fingerprint = {"files": [one.fingerprint() for one in self.series], "windows": len(self)}

    def __len__(self) -> int:
        return self.options.samples if self.split == "train" else len(self.windows)

    def __getitem__(self, index: int) -> Sample:
        self._check(index)
        if self.split == "train":
            rate_mmh_THW = self._cut(np.random.default_rng((self.seed, index)))
        else:
            one, start, given, leads = self.windows[index]
            size = (self.options.height, self.options.width)
            rate_mmh_THW = self._fields(one, start, given, leads, self.cadence_minutes, None, size)
        return self._sample(rate_mmh_THW[:, None])

    def cadence_of(self, index: int) -> int:
        """Return the cadence of an item in minutes."""
        if self.split != "train":
            return self.cadence_minutes
        return self._cadence(np.random.default_rng((self.seed, index)))

    @classmethod
    def miniature(cls, folder: Path) -> dict[str, Any]:
        """Write three events of ten hours with a shower that drifts east."""
        y, x = np.mgrid[:24, :24]
        for day in (1, 2, 3):
            rate = np.stack([6 * np.exp(-((x - 2 - k / 4) ** 2 + (y - 6 * day) ** 2) / 30) for k in range(40)])
            times = [datetime(2020, 1, day, tzinfo=UTC) + timedelta(minutes=15 * k) for k in range(40)]
            grid = RADOLAN_900.resized(24, 24)
            cf.write_dataset(cf.rate_dataset(rate.astype(np.float32), times, grid), folder / f"event_{day}.nc")
        sizes = {"height": 12, "width": 12, "crop": 12, "smallest_pixel_m": 40_000.0, "largest_pixel_m": 60_000.0}
        return {"held_out": ["event_2"], "tested": ["event_3"], "samples": 6, "cadences": [15, 30], **sizes}

    def _measure(self) -> None:
        """Take the size of cells from whole fields of the split's events; crops are square in metres, so no edges."""
        edges = [one.edges_resized((self.options.height, self.options.width)) for one in self.series]
        if edges:
            self.pixel_m = float(np.exp(np.mean([np.log(mean_edge_m(*each)) for each in edges])))

    def _windows(self, one: RadarSeries) -> list[tuple[RadarSeries, int, int, int]]:
        """Return series, first field, input fields and leads; shorter windows for validation if none is complete."""
        steps = [(self.input_steps, self.lead_steps)]
        if self.split == "validation":
            steps += [(n, n) for n in range(min(self.input_steps, self.lead_steps) - 1, FEWEST - 1, -1)]
        for given, leads in steps:
            starts = one.window_starts(given + leads, self.cadence_minutes)
            if len(starts):
                return [(one, int(start), given, leads) for start in starts]
        return []

    def _cadence(self, random: Generator) -> int:
        weights = np.array(self.options.cadence_weights or (1.0,) * len(self.options.cadences))
        return int(random.choice(self.options.cadences, p=weights / weights.sum()))

    def _cut(self, random: Generator) -> Float32Field:
        cadence = self._cadence(random)
        for _ in range(6):
            fitting = self._fitting(cadence)
            rate_mmh_THW = self._drawn(fitting[int(random.integers(len(fitting)))], cadence, random)
            newest_HW = rate_mmh_THW[self.input_steps - 1]
            wet = float((newest_HW >= WET_WINDOW_MMH).mean())
            if np.isfinite(newest_HW).mean() > 0.25 and (wet >= self.options.min_wet or random.random() < 0.1):
                break
        factor = np.exp(random.normal(0, self.options.intensity_jitter)) if random.random() < 0.5 else 1.0
        rate_mmh_THW = np.rot90(rate_mmh_THW, int(random.integers(4)), axes=(1, 2)) * np.float32(factor)
        return rate_mmh_THW[:, :, ::-1] if random.integers(2) else rate_mmh_THW

    def _fitting(self, cadence: int) -> list[RadarSeries]:
        """Return the events that have a window at a cadence: it is a multiple of theirs, and they are long enough."""
        if cadence not in self._by_cadence:
            whole = self.input_steps + self.lead_steps
            fewest = [(one, whole if _most(one, cadence) >= whole else FEWEST + 1) for one in self.series]
            self._by_cadence[cadence] = [one for one, steps in fewest if len(one.window_starts(steps, cadence))]
        if not self._by_cadence[cadence]:
            raise ConfigError(f"expected an event with a window of fields {cadence} minutes apart, got none")
        return self._by_cadence[cadence]

    def _drawn(self, one: RadarSeries, cadence: int, random: Generator) -> Float32Field:
        given, leads = self.input_steps, self.lead_steps
        if (most := _most(one, cadence)) < given + leads:
            given = int(random.integers(FEWEST, min(3, given) + 1))
            leads = max(min(leads, most - given), 1)
        while not len(starts := one.window_starts(given + leads, cadence)):  # a gap leaves a short event less
            given, leads = (given, leads - 1) if leads > 1 else (given - 1, leads)
        crop, smallest = self.options.crop, max(*one.edges_m, self.options.smallest_pixel_m)
        area_m = min(cells * cell_m for cells, cell_m in zip(one.shape, one.edges_m, strict=True))
        largest = max(min(area_m / crop * 1.15, self.options.largest_pixel_m), smallest)
        pixel_m = float(np.exp(random.uniform(np.log(smallest), np.log(largest))))
        edges = [max(round(crop * pixel_m / cell_m), 1) for cell_m in one.edges_m]
        rooms = [size - edge for size, edge in zip(one.shape, edges, strict=True)]
        corner = [int(random.integers(min(0, room), max(0, room) + 1)) for room in rooms]
        start = int(random.choice(starts))
        return self._fields(one, start, given, leads, cadence, (*corner, *edges), (crop, crop))

    def _fields(
        self,
        one: RadarSeries,
        start: int,
        given: int,
        leads: int,
        cadence: int,
        square: tuple[int, ...] | None,
        size: tuple[int, int],
    ) -> Float32Field:
        """Return the fields of a window, NaN for missing ones; of a square that may exceed the field."""
        rate_mmh_THW = np.full((self.input_steps + self.lead_steps, *size), np.nan, np.float32)
        for step, index in enumerate(one.window_indices(start, given + leads, cadence)):
            field_HW = one.field_mmh(int(index)).astype(np.float32)
            whole = field_HW if square is None else _square(field_HW, *square)
            rate_mmh_THW[self.input_steps - given + step] = resize(whole, size[::-1])
        return rate_mmh_THW


class EventSplits:
    """The split of every event file: by a fold of the event table, or by names of spells and parts of file names.

    Raises:
        ConfigError: an unknown spell or fold, or a fold together with names of what is validated or tested.
    """

    def __init__(self, options: EventOptions) -> None:
        self.options, self.table = options, load_table()
        self.fold = None if options.fold is None else self.table.fold(options.fold)
        if self.fold and (options.held_out or options.tested):
            raise ConfigError(f"fold {options.fold}: expected neither held_out nor tested, which the fold decides")
        for name in (*options.exclude, *options.held_out, *options.tested):
            if SPELL_NAME.fullmatch(name):
                self.table.spell(name)  # a misspelt one would train on what is to be held out

    def of(self, file: str) -> Split | None:
        """Return the split of a file by its name; None for one that is left out.

        Raises:
            ConfigError: a fold is chosen and the event table does not have the file.
        """
        if self.fold:
            return None if self._named(file, self.options.exclude) else self._of_fold(self.table.spell_of(file))
        if self._named(file, self.options.tested):
            return "test"
        if self._named(file, self.options.exclude):
            return None
        return "validation" if self._named(file, self.options.held_out) else "train"

    def _of_fold(self, spell: Spell) -> Split:
        if spell.role == "unseen":
            return "test"
        return "validation" if self.fold and spell == self.fold.held_out else "train"

    def _named(self, file: str, names: tuple[str, ...]) -> bool:
        return any(name in file or self._in_spell(file, name) for name in names)

    def _in_spell(self, file: str, name: str) -> bool:
        return bool(SPELL_NAME.fullmatch(name)) and file in self.table.spell(name).files


def _most(one: RadarSeries, cadence: int) -> int:
    """Return how many fields at a cadence are between the first and the last of an event, without gaps."""
    return int(one.minutes[-1] - one.minutes[0]) // cadence + 1


def _hold(series: list[RadarSeries]) -> None:
    """Hold events in memory as long as all of them together are small; others are read field by field."""
    held = 0
    for one in series:
        held += one.held_bytes
        if held <= IN_MEMORY_BYTES:
            one.keep_in_memory()


def _square(field_HW: Float32Field, top: int, left: int, height: int, width: int) -> Float32Field:
    """Return a square of a field, not observed beyond the field's edge."""
    square_HW = np.full((height, width), np.nan, np.float32)
    rows, cols = (slice(max(first, 0), first + size) for first, size in ((top, height), (left, width)))
    inside_HW = field_HW[rows, cols]
    first_row, first_col = max(-top, 0), max(-left, 0)
    square_HW[first_row : first_row + inside_HW.shape[0], first_col : first_col + inside_HW.shape[1]] = inside_HW
    return square_HW
