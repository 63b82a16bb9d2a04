"""Radar rain rates: the Germany setting of the paper, on a Zarr archive or on event files."""

import logging
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from core.errors import ConfigError
from core.frame import utc
from training.datasets.base import DATASETS, NowcastDataset, Sample, Split
from training.datasets.series import Float32Field, RadarSeries, find_series
from training.datasets.windows import Window, all_windows, before, since, split_in_time

log = logging.getLogger(__name__)
WET_MMH = 0.5


class GermanyOptions(BaseModel):
    """Options of the data set; defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    height: int = Field(124, ge=1, description="rows of a whole field")
    width: int = Field(124, ge=1, description="columns of a whole field")
    cadence_minutes: int = Field(30, ge=1, description="between two fields")
    test_from: str | None = Field(None, description="first day of the test set; None: every window may be tested")
    validation_fraction: float = Field(0.2, gt=0, lt=1, description="last share of the fields, kept from training")
    exclude: tuple[str, ...] = Field((), description="parts of file names that are left out")
    crop: int = Field(0, ge=0, description="edge of random training cuts in cells; 0 trains on whole fields")
    cadences: tuple[int, ...] = Field((), description="cadences of random cuts; empty: cadence_minutes alone")
    pixel_m: float = Field(900_000 / 124, gt=0, description="cell size of a cut at cadence_minutes")
    scale_jitter: float = Field(0.5, ge=0, description="a cut's cells are larger or smaller by up to this share")
    samples: int = Field(4000, ge=1, description="random cuts in an epoch")
    dry_share: float = Field(
        0.0, ge=0, le=1, description="share of cuts that are made all dry: rain from nothing costs"
    )
    min_wet: float = Field(
        0.03, ge=0, le=1, description="share of wet cells that a cut is drawn again for (four tries)"
    )


@DATASETS.register("germany")
class Germany(NowcastDataset):
    """Windows of fields 30 minutes apart on 124 x 124 cells by plain bilinear resizing (paper, section 5.1).

    Training and validation are cut in time, with at least a window between them; data too short for that leave the
    validation empty. With `crop`, a training item is a
    random cut of a random window: its cells grow with its cadence, so that speeds in cells per step stay alike, and it
    is flipped and turned. Item i of a seed is always the same. Options: `GermanyOptions`.
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
        self.options = options if isinstance(options, GermanyOptions) else GermanyOptions()
        self.cadence_minutes, self.pixel_m = self.options.cadence_minutes, self.options.pixel_m
        self.random_cuts = split == "train" and self.options.crop > 0
        series = [s for s in find_series(data) if not any(part in s.path.name for part in self.options.exclude)]
        self.windows = self._split(series) if series else []
        if not self.windows and split != "validation":
            raise ConfigError(
                f"no window of {input_steps + lead_steps} fields {self.cadence_minutes} minutes apart for the {split} "
                f"split; {len(series)} series in {data} were looked at"
            )
        used = [one for one in series if any(w.series is one for w in self.windows)]
        for one in series:
            if one not in used:
                log.info("%s holds no window of the %s split", one.path.name, split)
        for one in used:
            one.keep_in_memory()
        self.fingerprint = {"files": [one.fingerprint() for one in used]}
        self._groups = _groups(self.windows)

    def __len__(self) -> int:
        return self.options.samples if self.random_cuts else len(self.windows)

    def __getitem__(self, index: int) -> Sample:
        self._check(index)
        rate_mmh_THW = self._random_cut(index) if self.random_cuts else self._whole(self.windows[index])
        frames_TCHW = torch.from_numpy(np.ascontiguousarray(rate_mmh_THW, np.float32))[:, None]
        return Sample(frames_TCHW[: self.input_steps], frames_TCHW[self.input_steps :])

    def _split(self, series: list[RadarSeries]) -> list[Window]:
        steps = self.input_steps + self.lead_steps
        first_test = utc(self.options.test_from) if self.options.test_from else None
        if self.split == "test":
            return since(all_windows(series, steps, [self.cadence_minutes]), first_test)
        cadences = self.options.cadences or (self.cadence_minutes,)
        if not self.options.crop and self.split == "train":
            cadences = (self.cadence_minutes,)
        windows = before(all_windows(series, steps, cadences), first_test)
        train, held_out = split_in_time(windows, series, self.options.validation_fraction)
        if self.split == "train":
            return train
        slowest = max((w.cadence_minutes for w in held_out), default=0)
        return [w for w in held_out if w.cadence_minutes == slowest]

    def _whole(self, window: Window) -> Float32Field:
        size = (self.options.width, self.options.height)
        return np.stack([_resize(window.series.field_mmh(i).astype(np.float32), size) for i in window.fields])

    def _random_cut(self, index: int) -> Float32Field:
        random = np.random.default_rng((self.seed, index))
        for _ in range(4):
            rate_mmh_THW = self._cut(random)
            if (rate_mmh_THW[self.input_steps - 1] >= WET_MMH).mean() >= self.options.min_wet:
                break
        if self.options.dry_share and random.random() < self.options.dry_share:
            rate_mmh_THW = np.minimum(rate_mmh_THW, 0.0)
        rate_mmh_THW = np.rot90(rate_mmh_THW, int(random.integers(4)), axes=(1, 2))
        return rate_mmh_THW[:, :, ::-1] if random.integers(2) else rate_mmh_THW

    def _cut(self, random: Generator) -> Float32Field:
        group = self._groups[int(random.integers(len(self._groups)))]
        window = group[int(random.integers(len(group)))]
        jitter = (1 + self.options.scale_jitter) ** random.uniform(-1, 1)
        pixel_m = self.options.pixel_m * jitter * window.cadence_minutes / self.cadence_minutes
        edge = max(round(self.options.crop * pixel_m / window.series.pixel_m), self.options.crop)
        rows, cols = (_random_span(size, edge, random) for size in window.series.shape)
        size = (self.options.crop, self.options.crop)
        return np.stack([_resize(_padded(window.series.field_mmh(i)[rows, cols], edge), size) for i in window.fields])


def _groups(windows: list[Window]) -> list[list[Window]]:
    """Windows by series and cadence, so that a long event or a fast cadence does not crowd out the others."""
    groups: dict[tuple[str, int], list[Window]] = {}
    for window in windows:
        groups.setdefault((window.series.path.name, window.cadence_minutes), []).append(window)
    return list(groups.values())


def _random_span(size: int, edge: int, random: Generator) -> slice:
    if edge >= size:
        return slice(0, size)
    start = int(random.integers(size - edge + 1))
    return slice(start, start + edge)


def _padded(field_HW: NDArray[np.floating[Any]], edge: int) -> Float32Field:
    """A field of edge x edge, not observed beyond the end of what there is."""
    height, width = field_HW.shape
    padding = ((0, edge - height), (0, edge - width))
    return np.pad(field_HW.astype(np.float32), padding, constant_values=np.nan)


def _resize(field_HW: Float32Field, size: tuple[int, int]) -> Float32Field:
    """Bilinear, centre-aligned, without anti-aliasing; NaN spreads to every cell that it has a part in."""
    return np.asarray(cv2.resize(np.ascontiguousarray(field_HW), size, interpolation=cv2.INTER_LINEAR), np.float32)
