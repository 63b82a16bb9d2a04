"""Radar rain rates: the Germany setting of the paper, on archives and on event files."""

import logging
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self, cast

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from core import cf
from core.arrays import Float32Field
from core.cells import mean_edge_m
from core.errors import ConfigError
from core.grid import RADOLAN_900, Grid
from core.times import utc
from core.units import PAPER_PIXEL_M, WET_WINDOW_MMH
from training.datasets.base import DATASETS, NowcastDataset, Sample, Split
from training.datasets.field_cache import ResizedFields, cache_folder, resize
from training.datasets.series import RadarSeries, common_edges, find_series, join_in_time
from training.datasets.windows import ClipWindow, all_windows, before, fields_of, since, split_in_time, thinned

log = logging.getLogger(__name__)
MOST_NAMED: Final = 5
"""Series that a message describes."""

OF_CUTS: Final = ("cadences", "scale_jitter", "samples", "dry_share", "min_wet")
"""Options of random cuts alone."""

Day = Annotated[str | None, BeforeValidator(lambda value: value.isoformat() if isinstance(value, date) else value)]
"""A time in ISO 8601; YAML parses one without quotes as a date."""


class GermanyOptions(BaseModel):
    """Options of the data set; the paper's years and its number of windows are in the preset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    height: int = Field(124, ge=1, description="rows of a whole field")
    width: int = Field(124, ge=1, description="columns of a whole field")
    cadence_minutes: int = Field(30, ge=1, description="between two fields")
    train_from: Day = Field(None, description="first day of the training set, where test_from divides the data")
    test_from: Day = Field(None, description="first day of the test set; None: every window may be tested")
    test_until: Day = Field(None, description="day after the test set, where test_from divides the data")
    validation_fraction: float = Field(0.2, gt=0, lt=1, description="last share of the fields, kept from training")
    max_windows: int = Field(0, ge=0, description="windows of a split, evenly thinned to so many; 0 keeps all")
    min_wet_window: float = Field(
        0.0, ge=0, le=1, description="share of wet cells in the last given field of a training or validation window"
    )
    flips: bool = Field(False, description="mirror and turn whole training windows too")
    cache: Path | None = Field(
        None, description="folder for resized fields and unpacked files; None: .cache in the data folder"
    )
    exclude: tuple[str, ...] = Field((), description="parts of file names that are left out")
    crop: int = Field(0, ge=0, description="edge of random training cuts in cells; 0 trains on whole fields")
    cadences: tuple[int, ...] = Field((), description="cadences of random cuts; empty: cadence_minutes alone")
    pixel_m: float = Field(
        PAPER_PIXEL_M, gt=0, description="cell size of a cut at cadence_minutes; whole fields have that of the data"
    )
    scale_jitter: float = Field(0.5, ge=0, description="a cut's cells are larger or smaller by up to this share")
    samples: int = Field(4000, ge=1, description="random cuts in an epoch")
    dry_share: float = Field(
        0.0, ge=0, le=1, description="share of cuts that are made all dry: rain from nothing costs"
    )
    min_wet: float = Field(
        0.03, ge=0, le=1, description="share of wet cells that a cut is drawn again for (four tries)"
    )

    @model_validator(mode="after")
    def _keys_of_cuts_have_an_effect(self) -> Self:
        given = [key for key in OF_CUTS if getattr(self, key) != type(self).model_fields[key].default]
        if given and not self.crop:
            raise ValueError(f"{', '.join(given)}: no effect without crop, which trains on random cuts")
        if self.flips and self.crop:
            raise ValueError("flips: no effect with crop, whose cuts are always flipped and turned")
        return self

    @model_validator(mode="after")
    def _days_are_times_in_order(self) -> Self:
        days = [utc(day) for day in (self.train_from, self.test_from, self.test_until) if day is not None]
        if sorted(set(days)) != days:
            raise ValueError("expected train_from before test_from before test_until")
        return self


@DATASETS.register("germany")
class Germany(NowcastDataset):
    """Windows of fields 30 minutes apart on 124 x 124 cells by plain bilinear resizing (paper, section 5.1).

    Training and validation are divided in time, with at least a window between them; if the data are too short for
    that, the validation split is empty. `test_from` applies if there are data before and after it; otherwise every
    window is used for training and test, with a log message. With `crop`, a training item is a random crop of a random
    window: its cell size grows with its cadence, so that speeds in cells per step stay alike, and it is flipped and
    rotated. Item i of a seed is always the same. Options: `GermanyOptions`.
    """

    options_class: ClassVar[type[BaseModel]] = GermanyOptions

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
        self.options = options if isinstance(options, GermanyOptions) else cast(GermanyOptions, self.options_class())
        self.cadence_minutes, self.pixel_m = self.options.cadence_minutes, self.options.pixel_m
        self.random_cuts = split == "train" and self.options.crop > 0
        found = self._find(data)
        found = [one for one in found if not any(part in one.path.name for part in self.options.exclude)]
        series = join_in_time(found)
        self.divided = _divides(series, self.options.test_from)
        if self.options.test_from and not self.divided:
            log.warning("no data on both sides of test_from %s: every window may be trained on", self.options.test_from)
        self.windows = self._split(series) if series else []
        if not self.windows and split != "validation":
            raise ConfigError(
                f"no window of {input_steps + lead_steps} fields {self.cadence_minutes} minutes apart for the {split} "
                f"split; {len(series)} series in {data} were looked at: "
                + "; ".join(one.contents for one in series[:MOST_NAMED])
            )
        self._prepare(series)

    def __len__(self) -> int:
        return self.options.samples if self.random_cuts else len(self.windows)

    def __getitem__(self, index: int) -> Sample:
        self._check(index)
        rate_mmh_THW = self._random_cut(index) if self.random_cuts else self._whole(index)
        return self._sample(rate_mmh_THW[:, None])

    def grid_at(self, index: int) -> Grid | None:
        """Return the grid of a whole field; a random cut, which may be turned, has none."""
        grid = None if self.random_cuts else self.windows[index].series.grid
        return None if grid is None else grid.resized(self.options.height, self.options.width)

    @classmethod
    def miniature(cls, folder: Path) -> dict[str, Any]:
        """Write an event file of 30 hours with a shower that drifts east."""
        y, x = np.mgrid[:24, :24]
        rate = np.stack([6 * np.exp(-((x - 2 - k / 4) ** 2 + (y - 12) ** 2) / 30) for k in range(60)])
        times = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * k) for k in range(60)]
        cf.write_dataset(
            cf.rate_dataset(rate.astype(np.float32), times, RADOLAN_900.resized(24, 24)), folder / "event.nc"
        )
        return {"height": 12, "width": 12, "test_from": "2020-01-01T18:00", "train_from": None, "test_until": None}

    def _find(self, data: Path | None) -> list[RadarSeries]:
        """Return the series of all files in the order of time; data sets in other layouts have their own."""
        return find_series(data, self.options.cache)

    def _prepare(self, series: list[RadarSeries]) -> None:
        """Open what the windows need, drop the dry ones, and describe the data in the fingerprint."""
        shape, folder = (
            (self.options.height, self.options.width),
            cache_folder(self.options.cache, Path(str(self.data))),
        )
        used = [one for one in series if any(w.series is one for w in self.windows)]
        for one in series:
            if one not in used:
                log.info("%s holds no window of the %s split", one.path.name, self.split)
        for one in used:
            one.keep_in_memory()
        if self.options.min_wet_window and self.split != "test":
            self.windows = self._wet(used, shape, folder)
        if not self.random_cuts:
            self.windows = thinned(self.windows, self.options.max_windows)
            fields = {one.path: fields_of(w for w in self.windows if w.series is one) for one in used}
            self._measure(used, shape)
            self._resized = {one.path: ResizedFields(one, shape, folder, fields[one.path]) for one in used}
        self.fingerprint = {
            "files": [each for one in used for each in one.fingerprints()],
            "windows": len(self.windows),
            "test_from": self.options.test_from if self.divided else None,
        }
        self._groups = _groups(self.windows)

    def _measure(self, used: list[RadarSeries], shape: tuple[int, int]) -> None:
        """Take the cell size of whole fields from the data; a run on crops may be validated on files of several."""
        try:
            self.edges_m = common_edges(used, shape) if used else None
        except ConfigError as err:
            if not self.options.crop:
                raise
            log.warning("cells of the %s split are taken as %.0f m: %s", self.split, self.pixel_m, err)
        if self.edges_m:
            self.pixel_m = mean_edge_m(*self.edges_m)

    def _split(self, series: list[RadarSeries]) -> list[ClipWindow]:
        steps = self.input_steps + self.lead_steps
        days = (self.options.train_from, self.options.test_from, self.options.test_until)
        first, first_test, end = (utc(day) if day and self.divided else None for day in days)
        if self.split == "test":
            return before(since(all_windows(series, steps, [self.cadence_minutes]), first_test), end)
        cadences = self.options.cadences or (self.cadence_minutes,)
        if not self.options.crop and self.split == "train":
            cadences = (self.cadence_minutes,)
        windows = before(since(all_windows(series, steps, cadences), first), first_test)
        train, held_out = split_in_time(windows, _minutes(series, first, first_test), self.options.validation_fraction)
        if self.split == "train":
            return train
        slowest = max((w.cadence_minutes for w in held_out), default=0)
        return [w for w in held_out if w.cadence_minutes == slowest]

    def _wet(self, used: list[RadarSeries], shape: tuple[int, int], folder: Path) -> list[ClipWindow]:
        """Return the windows with rain in their last input field; every such field is examined once."""
        log.info("looking for rain in the %d windows of the %s split", len(self.windows), self.split)
        wet: list[ClipWindow] = []
        for one in used:
            windows = [w for w in self.windows if w.series is one]
            last_given = np.array([w.fields[self.input_steps - 1] for w in windows], np.int64)
            needed = np.unique(last_given)
            shares = ResizedFields(one, shape, folder, needed).wet_shares(WET_WINDOW_MMH)[
                np.searchsorted(needed, last_given)
            ]
            wet += [w for w, share in zip(windows, shares, strict=True) if share >= self.options.min_wet_window]
        return wet

    def _whole(self, index: int) -> Float32Field:
        window = self.windows[index]
        rate_mmh_THW = self._resized[window.series.path].fields_mmh(window.fields)
        if self.split == "train" and self.options.flips:
            return _turned(rate_mmh_THW, np.random.default_rng((self.seed, index)))
        return rate_mmh_THW

    def _random_cut(self, index: int) -> Float32Field:
        random = np.random.default_rng((self.seed, index))
        for _ in range(4):
            rate_mmh_THW = self._cut(random)
            if (rate_mmh_THW[self.input_steps - 1] >= WET_WINDOW_MMH).mean() >= self.options.min_wet:
                break
        if self.options.dry_share and random.random() < self.options.dry_share:
            rate_mmh_THW = np.minimum(rate_mmh_THW, 0.0)
        return _turned(rate_mmh_THW, random)

    def _cut(self, random: Generator) -> Float32Field:
        group = self._groups[int(random.integers(len(self._groups)))]
        window = group[int(random.integers(len(group)))]
        jitter = (1 + self.options.scale_jitter) ** random.uniform(-1, 1)
        pixel_m = self.options.pixel_m * jitter * window.cadence_minutes / self.cadence_minutes
        edges = [
            max(round(self.options.crop * pixel_m / cell_m), self.options.crop) for cell_m in window.series.edges_m
        ]
        rows, cols = (_random_span(*each, random) for each in zip(window.series.shape, edges, strict=True))
        size = (self.options.crop, self.options.crop)
        return np.stack([resize(_padded(window.series.field_mmh(i)[rows, cols], *edges), size) for i in window.fields])


def _divides(series: list[RadarSeries], test_from: str | None) -> bool:
    """Return whether there are fields before a day and after it."""
    if test_from is None or not series:
        return False
    day = utc(test_from).timestamp() / 60
    return any(one.minutes[0] < day for one in series) and any(one.minutes[-1] >= day for one in series)


def _minutes(series: list[RadarSeries], first: datetime | None, end: datetime | None) -> NDArray[np.int64]:
    """Return the times of all fields of a period, in minutes since 1970, ascending."""
    minutes = np.sort(np.concatenate([one.minutes for one in series]))
    since_first = minutes if first is None else minutes[minutes * 60 >= first.timestamp()]
    return since_first if end is None else since_first[since_first * 60 < end.timestamp()]


def _groups(windows: list[ClipWindow]) -> list[list[ClipWindow]]:
    """Return windows by series and cadence, so that a long event or a fast cadence does not crowd out the others."""
    groups: dict[tuple[str, int], list[ClipWindow]] = {}
    for window in windows:
        groups.setdefault((window.series.path.name, window.cadence_minutes), []).append(window)
    return list(groups.values())


def _turned(rate_mmh_THW: Float32Field, random: Generator) -> Float32Field:
    """Return one of the eight orientations of a square field; one of four for any other field."""
    quarters = int(random.integers(4))
    if rate_mmh_THW.shape[1] != rate_mmh_THW.shape[2]:
        quarters = 2 * (quarters // 2)
    rate_mmh_THW = np.rot90(rate_mmh_THW, quarters, axes=(1, 2))
    return rate_mmh_THW[:, :, ::-1] if random.integers(2) else rate_mmh_THW


def _random_span(size: int, edge: int, random: Generator) -> slice:
    if edge >= size:
        return slice(0, size)
    start = int(random.integers(size - edge + 1))
    return slice(start, start + edge)


def _padded(field_HW: NDArray[np.floating[Any]], rows: int, cols: int) -> Float32Field:
    """Return a field of rows x cols cells, not observed beyond the field's edge."""
    height, width = field_HW.shape
    padding = ((0, rows - height), (0, cols - width))
    return np.pad(field_HW.astype(np.float32), padding, constant_values=np.nan)
