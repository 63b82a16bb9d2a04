"""Whole spells of weather in the paper's Germany setting: one cell size for fields of any extent, split by spell."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import yaml
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from core import cf
from core.arrays import Float32Field
from core.errors import ConfigError
from core.grid import RADOLAN_900
from core.units import PAPER_PIXEL_M, WET_WINDOW_MMH
from training.datasets.base import DATASETS, NowcastDataset, Sample, Split
from training.datasets.event_table import EventTable, load_table
from training.datasets.field_cache import cached_array, resize
from training.datasets.series import RadarSeries, open_series
from training.datasets.windows import ClipWindow, all_windows

log = logging.getLogger(__name__)
TRIES: Final = 6
"""How often a training cut with little rain is drawn again."""


class SpellOptions(BaseModel):
    """Options of the data set; the spells are names of the event table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trained: tuple[str, ...] = Field(("de-2018-07-11", "it-2025-03-21"), description="spells that are trained on")
    validated: tuple[str, ...] = Field(("it-2025-03-09",), description="spells of the validation split")
    tested: tuple[str, ...] = Field(
        ("eu-2018-08-24", "it-2025-02-25", "nl-2010-08-26", "nl-2011-09-10"), description="spells of the test split"
    )
    exclude: tuple[str, ...] = Field(("opera_europe",), description="parts of file names that are left out")
    table: Path | None = Field(None, description="event table; None is that of the package")
    height: int = Field(124, ge=1, description="rows of a field, cut or padded in its middle")
    width: int = Field(124, ge=1, description="columns of a field, cut or padded in its middle")
    pixel_m: float = Field(PAPER_PIXEL_M, gt=0, description="edge of a cell of all fields; their own are resized to it")
    cadence_minutes: int = Field(30, ge=1, description="between two fields")
    crop: int = Field(0, ge=0, description="edge of random training cuts in cells; 0 trains on whole fields")
    samples: int = Field(4000, ge=1, description="samples in an epoch of training")
    min_wet: float = Field(0.03, ge=0, le=1, description="share of wet cells that most training samples have")
    cache: Path | None = Field(None, description="folder for resized fields; None keeps them in memory")


@DATASETS.register("spells")
class Spells(NowcastDataset):
    """Windows of the fields of named spells on cells of one size, cut or padded (NaN) to one number of cells.

    A spell belongs to one split as a whole. A training sample is a window of one of the spells, each as likely as the
    other, rotated and mirrored, and with `crop` a random square of it; item i of a seed is always the same. Validation
    and test have the whole fields of every window. Options: `SpellOptions`.
    """

    options_class: ClassVar[type[BaseModel]] = SpellOptions

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
        self.options = options if isinstance(options, SpellOptions) else SpellOptions()
        self.cadence_minutes, self.pixel_m = self.options.cadence_minutes, self.options.pixel_m
        names = _spells_of(split, self.options, table := load_table(self.options.table))
        self.groups = [self._windows(_files(data, table, name, self.options.exclude)) for name in names]
        self.groups = [group for group in self.groups if group]
        self.windows = [window for group in self.groups for window in group]
        if not self.windows:
            raise ConfigError(
                f"{data}: expected files with {input_steps + lead_steps} fields {self.cadence_minutes} minutes apart "
                f"of the spells {', '.join(names)}, got no window for the {split} split"
            )
        used = {window.series.path.name: window.series for window in self.windows}
        self._fields = {name: self._stored(one) for name, one in used.items()}
        self.fingerprint = {"files": [one.fingerprint() for one in used.values()], "windows": len(self.windows)}

    def __len__(self) -> int:
        return self.options.samples if self.split == "train" else len(self.windows)

    def __getitem__(self, index: int) -> Sample:
        self._check(index)
        if self.split == "train":
            rate_mmh_THW = self._drawn(np.random.default_rng((self.seed, index)))
        else:
            rate_mmh_THW = self._whole(self.windows[index])
        return self._sample(rate_mmh_THW[:, None])

    @classmethod
    def miniature(cls, folder: Path) -> dict[str, Any]:
        """Write three spells of ten hours with a shower that drifts east, and their table."""
        y, x = np.mgrid[:24, :24]
        source = {"rates": "surface", "method": "invented", "licence": "none", "attribution": "nobody"}
        spells: dict[str, Any] = {}
        for day in (1, 3, 5):
            rate = np.stack([6 * np.exp(-((x - 2 - k / 4) ** 2 + (y - 4 * day) ** 2) / 30) for k in range(20)])
            times = [datetime(2020, 1, day, tzinfo=UTC) + timedelta(minutes=30 * k) for k in range(20)]
            grid = RADOLAN_900.resized(24, 24)
            cf.write_dataset(cf.rate_dataset(rate.astype(np.float32), times, grid), folder / f"spell_{day}.nc")
            ends = [times[0].isoformat(), times[-1].isoformat()]
            role = "unseen" if day == 5 else "train"
            spells[f"s{day}"] = {"region": "nowhere", "source": "toy", "role": role, "files": {f"spell_{day}.nc": ends}}
        (folder / "table.yaml").write_text(yaml.safe_dump({"sources": {"toy": source}, "spells": spells}))
        chosen = {"trained": ["s1"], "validated": ["s3"], "tested": ["s5"], "table": str(folder / "table.yaml")}
        return {**chosen, "height": 12, "width": 10, "pixel_m": 75_000.0, "samples": 6}

    def _windows(self, series: list[RadarSeries]) -> list[ClipWindow]:
        return all_windows(series, self.input_steps + self.lead_steps, [self.cadence_minutes])

    def _stored(self, one: RadarSeries) -> NDArray[np.float16]:
        """Return all fields of a file on the data set's cells; from the cache if there is one."""
        shape, options = (self.options.height, self.options.width), self.options

        def make() -> NDArray[np.float16]:
            return np.stack([fitted(one, index, shape, self.pixel_m) for index in range(len(one.minutes))])

        if options.cache is None:
            return make()
        key = f"{one.fingerprint()['sha256'][:12]}-{shape[0]}x{shape[1]}-{self.pixel_m:.2f}"
        return cached_array(options.cache / f"{one.path.stem}-{key}.npy", make)

    def _whole(self, window: ClipWindow) -> Float32Field:
        return self._fields[window.series.path.name][window.fields].astype(np.float32)

    def _drawn(self, random: Generator) -> Float32Field:
        for _ in range(TRIES):
            group = self.groups[int(random.integers(len(self.groups)))]
            rate_mmh_THW = self._cut(self._whole(group[int(random.integers(len(group)))]), random)
            if (rate_mmh_THW[self.input_steps - 1] >= WET_WINDOW_MMH).mean() >= self.options.min_wet:
                break
        quarters = int(random.integers(4))
        if rate_mmh_THW.shape[1] != rate_mmh_THW.shape[2]:
            quarters = 2 * (quarters // 2)
        rate_mmh_THW = np.rot90(rate_mmh_THW, quarters, axes=(1, 2))
        return rate_mmh_THW[:, :, ::-1] if random.integers(2) else rate_mmh_THW

    def _cut(self, rate_mmh_THW: Float32Field, random: Generator) -> Float32Field:
        """Return a random square of a window, or all of it."""
        edge = self.options.crop
        if not edge:
            return rate_mmh_THW
        row, col = (int(random.integers(max(size - edge, 0) + 1)) for size in rate_mmh_THW.shape[1:])
        return rate_mmh_THW[:, row : row + edge, col : col + edge]


def fitted(one: RadarSeries, index: int, shape: tuple[int, int], pixel_m: float) -> NDArray[np.float16]:
    """Return a field on cells of `pixel_m`, cut or padded (NaN) in its middle to a number of rows and columns."""
    resized_shape = [
        max(round(size * edge_m / pixel_m), 1) for size, edge_m in zip(one.shape, one.edges_m, strict=True)
    ]
    resized_HW = resize(one.field_mmh(index).astype(np.float32), (resized_shape[1], resized_shape[0]))
    fitted_HW = np.full(shape, np.nan, np.float16)
    here, there = zip(*(_middles(*sizes) for sizes in zip(shape, resized_shape, strict=True)), strict=True)
    fitted_HW[here] = resized_HW[there]
    return fitted_HW


def _middles(wanted: int, found: int) -> tuple[slice, slice]:
    """Return the part of a wanted axis and the part of a found one that are laid on each other, centred."""
    both = min(wanted, found)
    starts = [(size - both) // 2 for size in (wanted, found)]
    return slice(starts[0], starts[0] + both), slice(starts[1], starts[1] + both)


def _spells_of(split: Split, options: SpellOptions, table: EventTable) -> tuple[str, ...]:
    """Return the names of a split's spells after a check of all three."""
    parts = {"train": options.trained, "validation": options.validated, "test": options.tested}
    every = [name for names in parts.values() for name in names]
    if twice := sorted({name for name in every if every.count(name) > 1}):
        raise ConfigError(f"trained, validated, tested: expected every spell once, got {', '.join(twice)} twice")
    for name in (*options.trained, *options.validated):
        if table.spell(name).role == "unseen":
            raise ConfigError(f"trained, validated: expected spells with the role train, got {name} (unseen)")
    return parts[split]


def _files(data: Path | None, table: EventTable, name: str, exclude: tuple[str, ...]) -> list[RadarSeries]:
    """Return the series of a spell's files in a folder, in the order of time; missing files are logged."""
    if data is None or not data.is_dir():
        found = "no data given" if data is None else f"no folder {data}"
        raise ConfigError(f"{found}: expected a folder of event files, by --data PATH or in ./data/spells")
    names = [file for file in table.spell(name).files if not any(part in file for part in exclude)]
    if missing := [file for file in names if not (data / file).is_file()]:
        log.warning("spell %s: %s has no %s", name, data, ", ".join(missing))
    series = [open_series(data / file) for file in names if file not in missing]
    return sorted(series, key=lambda one: int(one.minutes[0]))
