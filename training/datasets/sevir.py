"""SEVIR: vertically integrated liquid of storms over the United States (Veillette et al. 2020), from its HDF5 files."""

import csv
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import cv2
import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.arrays import Float32Field
from core.errors import ConfigError, FrameError
from core.times import utc
from training.datasets.base import DATASETS, NowcastDataset, Sample, Split
from training.datasets.radar_series import digest_of

log = logging.getLogger(__name__)
CATALOGUE: Final = "CATALOG.csv"
FRAMES: Final = 49
"""Frames of an event, 5 minutes apart."""
CELL_M: Final = 1000.0
EDGE: Final = 384
MISSING: Final = 255
EXPECTED: Final = (
    f"expected SEVIR's {CATALOGUE} and below it data/vil/2019/SEVIR_VIL_....h5 (of its bucket), by --data FOLDER or in "
    "./data/sevir"
)


class SEVIROptions(BaseModel):
    """Options of the data set; the days are those of Earthformer's evaluation (Gao et al. 2022)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(EDGE, ge=2, description="edge of a frame in pixels; fewer than 384 are means over areas")
    stride: int = Field(12, ge=1, description="frames between the starts of windows of one event")
    validation_from: str = Field("2019-01-01", description="first day of the validation set")
    test_from: str = Field("2019-06-01", description="first day of the test set")

    @model_validator(mode="after")
    def _days_in_order(self) -> Self:
        if not utc(self.validation_from) < utc(self.test_from):
            raise ValueError("expected validation_from before test_from")
        return self


@dataclass(frozen=True)
class StormEvent:
    """One event of the catalogue: its file and place in it, and the time of its middle frame."""

    path: Path
    index: int
    time: datetime


@DATASETS.register("sevir")
class SEVIR(NowcastDataset):
    """Windows of 5-minute frames of vertically integrated liquid, as pictures with values 0 to 1 (255ths).

    Events with a missing pixel (`pct_missing` of the catalogue) are left out. Options: `SEVIROptions`.
    """

    options_class: ClassVar[type[BaseModel]] = SEVIROptions
    is_rain = False
    cadence_minutes = 5

    def __init__(
        self,
        data: Path | None,
        split: Split,
        *,
        input_steps: int = 13,
        lead_steps: int = 12,
        seed: int = 0,
        options: BaseModel | None = None,
    ) -> None:
        super().__init__(data, split, input_steps=input_steps, lead_steps=lead_steps, seed=seed)
        self.options = options if isinstance(options, SEVIROptions) else SEVIROptions()
        if data is None or not (data / CATALOGUE).is_file():
            raise ConfigError(f"no {CATALOGUE} in {data or 'data/sevir'}: {EXPECTED}")
        steps = input_steps + lead_steps
        if steps > FRAMES:
            raise ConfigError(f"input_steps and lead_steps: expected at most {FRAMES} together, got {steps}")
        self.pixel_m = CELL_M * EDGE / self.options.size
        self.events = [one for one in read_catalogue(data) if self._split_of(one.time) == split]
        starts = range(0, FRAMES - steps + 1, self.options.stride)
        self.windows = [(event, start) for event in self.events for start in starts]
        if not self.windows:
            raise ConfigError(f"{data}: expected at least one complete event for the {split} split, got none")
        about = [f"{event.path.name} {event.index}" for event in self.events]
        self.fingerprint = {
            "catalogue": digest_of(data / CATALOGUE),
            "events": len(self.events),
            "sha256": hashlib.sha256("\n".join(about).encode()).hexdigest(),
        }

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Sample:
        self._check(index)
        event, start = self.windows[index]
        return self._sample(self._frames(event, start, self.input_steps + self.lead_steps)[:, None])

    @classmethod
    def miniature(cls, folder: Path) -> dict[str, Any]:
        """Write four events in two files of the true layout, and a fifth with missing pixels, and their catalogue."""
        y, x = np.mgrid[:24, :24]
        days = ("2018-06-01", "2018-07-01", "2019-02-01", "2019-07-01", "2018-08-01")
        rows: list[dict[str, Any]] = []
        for number, day in enumerate(days):
            drift = [200 * np.exp(-((x - 2 - t / 4) ** 2 + (y - 5 - 3 * number) ** 2) / 20) for t in range(FRAMES)]
            name = f"vil/{day[:4]}/SEVIR_VIL_STORMEVENTS_{day[:4]}_0101_1231.h5"
            place = sum(row["file_name"] == name for row in rows)
            missing = 0.5 if number == 4 else 0.0
            row = {"id": f"S{number}", "file_name": name, "file_index": place, "img_type": "vil"}
            rows.append(row | {"time_utc": f"{day} 12:00:00", "pct_missing": missing})
            path = folder / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "a") as file:
                _append(file, f"S{number}", np.stack(drift, axis=-1).astype(np.uint8))
        with (folder / CATALOGUE).open("w", newline="") as text:
            table = csv.DictWriter(text, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
        return {"size": 12}

    def _split_of(self, time: datetime) -> Split:
        if time >= utc(self.options.test_from):
            return "test"
        return "validation" if time >= utc(self.options.validation_from) else "train"

    def _frames(self, event: StormEvent, start: int, steps: int) -> Float32Field:
        """Return frames (T, size, size), 0 to 1."""
        with h5py.File(event.path, "r") as file:  # a handle does not survive the fork of a loader's worker
            pixels_HWT = file["vil"][event.index, :, :, start : start + steps]
        if pixels_HWT.ndim != 3 or pixels_HWT.shape[2] != steps or (pixels_HWT == MISSING).any():
            raise FrameError(
                f"{event.path.name}: expected complete frames (rows, columns, {FRAMES}) at {event.index}, "
                f"got {pixels_HWT.shape}, {int((pixels_HWT == MISSING).sum())} pixels missing"
            )
        size = (self.options.size, self.options.size)
        frames: Float32Field = np.moveaxis(pixels_HWT.astype(np.float32) / 255, 2, 0)
        if frames.shape[1:] == size:
            return frames
        return np.stack([cv2.resize(frame_HW, size, interpolation=cv2.INTER_AREA) for frame_HW in frames])


def read_catalogue(data: Path) -> list[StormEvent]:
    """Return the complete events of vertically integrated liquid whose file exists, in the order of the catalogue.

    Raises:
        ConfigError: not SEVIR's catalogue, or none of its files.
    """
    try:
        with (data / CATALOGUE).open(newline="") as text:
            rows = [row for row in csv.DictReader(text) if row["img_type"] == "vil"]
        events = [StormEvent(_file(data, row["file_name"]), int(row["file_index"]), _time(row)) for row in _whole(rows)]
    except (OSError, KeyError, ValueError, UnicodeDecodeError) as err:
        raise ConfigError(f"{CATALOGUE}: expected SEVIR's columns, got {err!r}; {EXPECTED}") from err
    there = {event.path for event in events if event.path.is_file()}
    found = [event for event in events if event.path in there]
    log.info("%d of %d events of %s are complete; %d have a file", len(events), len(rows), CATALOGUE, len(found))
    if not found:
        raise ConfigError(f"{data}: expected the files of at least one complete event, got none; {EXPECTED}")
    return found


def _whole(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in rows if not float(row["pct_missing"] or 0)]


def _file(data: Path, name: str) -> Path:
    return next((path for path in (data / "data" / name, data / name) if path.is_file()), data / "data" / name)


def _time(row: dict[str, str]) -> datetime:
    return datetime.fromisoformat(row["time_utc"]).replace(tzinfo=UTC)


def _append(file: h5py.File, name: str, pixels_HWT: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Append an event to a file of the true layout: `id` (N), `vil` (N, rows, columns, 49)."""
    if "vil" not in file:
        file.create_dataset("id", (0,), maxshape=(None,), dtype="S10")
        file.create_dataset("vil", (0, *pixels_HWT.shape), maxshape=(None, *pixels_HWT.shape), dtype=np.uint8)
    for key, value in (("id", name.encode()), ("vil", pixels_HWT)):
        file[key].resize(len(file[key]) + 1, axis=0)
        file[key][-1] = value
