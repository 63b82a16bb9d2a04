"""TaxiBJ: taxi flows in Beijing on 32 x 32 cells in steps of 30 minutes (Zhang et al. 2017), 2013 to 2016."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from core.errors import ConfigError
from training.datasets.base import DATASETS, NowcastDataset, Sample, Split
from training.datasets.taxibj_windows import FILE, read_windows, windows_file

SLOTS: Final = 48
"""Half-hours of a day; a date is YYYYMMDDss with ss from 01."""
CELLS: Final = (2, 32, 32)
NAME: Final = "BJ{year}_M32x32_T30_InOut.h5"
Flows = NDArray[np.float32]


class TaxiBJOptions(BaseModel):
    """Options of the data set; defaults are the paper's except for the validation split, which is cut from training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: Literal[1, 2] = Field(1, description="1: inflow, as the paper; 2: inflow and outflow")
    years: tuple[int, ...] = Field((13, 14, 15, 16), min_length=1, description="of the files, in the order of time")
    test_windows: int = Field(
        1344, ge=1, description="last windows, for the test: 28 days of 48 slots; dataset.npz has its own"
    )
    validation_windows: int = Field(1344, ge=0, description="windows before them, kept from training; 0 trains on all")


class TaxiBJWindow(NamedTuple):
    """A run of slots by the index of the first among all frames, and its times in slots since 1970."""

    start: int
    first_slot: int
    last_slot: int


@DATASETS.register("taxibj")
class TaxiBJ(NowcastDataset):
    """Windows of eight half-hours in the order of time, four as input and four to forecast (paper, section 5.1).

    `data` is the folder with the four files BJ13 to BJ16, or OpenSTL's `dataset.npz`, whose windows and test set are
    taken as they are (`channels` and `validation_windows` apply). Of the four files only complete days are used;
    negative flows are set to 0. One minimum and one maximum of both channels, without the last 28 days, scale values to
    0 to 1 (a later maximum is above 1). The last 1,344 windows are the test split; as in the reference, the last slot
    of an unbroken run is in no window. The splits are a window's length apart, so training has a few windows fewer than
    the paper's 19,560. Options: `TaxiBJOptions`.
    """

    options_class: ClassVar[type[BaseModel]] = TaxiBJOptions
    is_rain = False
    cadence_minutes = 30

    def __init__(
        self,
        data: Path | None,
        split: Split,
        *,
        input_steps: int = 4,
        lead_steps: int = 4,
        seed: int = 0,
        options: BaseModel | None = None,
    ) -> None:
        super().__init__(data, split, input_steps=input_steps, lead_steps=lead_steps, seed=seed)
        self.options = options if isinstance(options, TaxiBJOptions) else TaxiBJOptions()
        self.channels = self.options.channels
        files_there = data is not None and (data / NAME.format(year=self.options.years[0])).is_file()
        self.cut_NTCHW: Flows | None = None
        if (path := windows_file(data)) is not None and not files_there:
            self._take_windows(path)
        else:
            self._take_flows(data, input_steps + lead_steps)

    def _take_windows(self, path: Path) -> None:
        """Take the windows of `dataset.npz`; validation is cut from training, a window's length apart."""
        if {"years", "test_windows"} & self.options.model_fields_set:
            raise ConfigError(f"years, test_windows: no effect on {path.name}, which has its own split")
        frames_NTCHW = read_windows(path, "test" if self.split == "test" else "train")
        length, steps, held_out = frames_NTCHW.shape[1], self.input_steps + self.lead_steps, 0
        if steps > length:
            raise ConfigError(f"{path.name}: expected at most {length} frames in a window, got {steps}")
        if self.split != "test":
            held_out = min(self.options.validation_windows, len(frames_NTCHW) // 2)
        end = len(frames_NTCHW) - held_out
        if self.split == "train":
            frames_NTCHW = frames_NTCHW[: max(end - (length if held_out else 0), 0)]
        elif self.split == "validation":
            frames_NTCHW = frames_NTCHW[end:]
        self.cut_NTCHW = np.ascontiguousarray(frames_NTCHW[:, :steps, : self.channels])
        self.windows: list[TaxiBJWindow] = []
        self.fingerprint = {"files": [_digest_of(path)], "windows": len(self)}

    def _take_flows(self, data: Path | None, steps: int) -> None:
        """Cut the flows of DeepST's files into windows, and scale them."""
        split = self.split
        files = _files(data, self.options.years)
        parts = [_complete_days(*read_flows(path), path.name) for path in files]
        flows_TCHW = np.concatenate([flows for flows, _ in parts])
        windows = _windows([slots for _, slots in parts], steps)
        self.windows = self._split(windows)
        if not self.windows and not (split == "validation" and self.options.validation_windows == 0):
            raise ConfigError(
                f"no window for the {split} split: {len(windows)} windows in {', '.join(p.name for p in files)}, of "
                f"which {self.options.test_windows} test and {self.options.validation_windows} validate; expected more"
            )
        self.lowest, self.highest = _extremes(flows_TCHW, self.options.test_windows)
        self.frames_TCHW = flows_TCHW[:, : self.channels] - np.float32(self.lowest)
        self.frames_TCHW /= np.float32(max(self.highest - self.lowest, 1e-9))
        digests = [_digest_of(path) for path in files]
        self.fingerprint = {"files": digests, "windows": len(self.windows), "range": [self.lowest, self.highest]}

    def __len__(self) -> int:
        return len(self.windows) if self.cut_NTCHW is None else len(self.cut_NTCHW)

    def __getitem__(self, index: int) -> Sample:
        self._check(index)
        if self.cut_NTCHW is not None:
            return self._sample(self.cut_NTCHW[index].copy())
        start = self.windows[index].start
        steps = self.input_steps + self.lead_steps
        return self._sample(self.frames_TCHW[start : start + steps].copy())

    @classmethod
    def miniature(cls, folder: Path) -> dict[str, Any]:
        """Write two days of 2013 and two of 2014, one of them without its last slot."""
        random = np.random.default_rng(0)
        for year, days in ((13, ("20130701", "20130702")), (14, ("20140301", "20140303", "20140304"))):
            dates = [f"{day}{slot:02d}".encode() for day in days for slot in range(1, SLOTS + 1)]
            dates = dates[:-1] if year == 14 else dates
            with h5py.File(folder / NAME.format(year=year), "w") as file:
                file["data"] = random.integers(0, 1200, (len(dates), *CELLS)).astype(np.float64)
                file["date"] = np.array(dates)
        return {"years": [13, 14], "test_windows": 20, "validation_windows": 20}

    def _split(self, windows: list[TaxiBJWindow]) -> list[TaxiBJWindow]:
        """Return the windows of the split: train, validation, test in the order of time, a window's length apart."""
        earlier, test = _cut(windows, self.options.test_windows)
        train, validation = _cut(earlier, self.options.validation_windows)
        return {"train": train, "validation": validation, "test": test}[self.split]


def _digest_of(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        return {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _cut(windows: list[TaxiBJWindow], last: int) -> tuple[list[TaxiBJWindow], list[TaxiBJWindow]]:
    later = windows[max(len(windows) - last, 0) :]
    if not later:
        return windows, []
    begin = later[0].first_slot
    return [w for w in windows if 2 * w.last_slot - w.first_slot < begin], later


def _files(data: Path | None, years: tuple[int, ...]) -> list[Path]:
    names = [NAME.format(year=year) for year in years]
    if data is None or not data.is_dir():
        raise ConfigError(
            f"no folder {data or 'data/taxibj'}: expected the TaxiBJ files of DeepST ({', '.join(names)}) in one "
            f"folder, or OpenSTL's {FILE}, --data FOLDER or ./data/taxibj"
        )
    missing = [name for name in names if not (data / name).is_file()]
    if missing:
        raise ConfigError(
            f"{data}: expected the TaxiBJ files {', '.join(names)}, or OpenSTL's {FILE}, got none named "
            f"{', '.join(missing)}"
        )
    return [data / name for name in names]


def read_flows(path: Path) -> tuple[Flows, NDArray[np.int64]]:
    """Return flows (N, 2, 32, 32), not below 0, and their times in slots since 1970.

    Raises:
        ConfigError: not an HDF5 file with `data` and `date` of TaxiBJ's layout.
    """
    try:
        with h5py.File(path, "r") as file:
            flows_TCHW = np.asarray(file["data"], np.float32)
            dates = [bytes(date).decode() for date in file["date"][:]]
        slots = np.array([_slot(date) for date in dates], np.int64)
    except (OSError, KeyError, ValueError, TypeError) as err:
        raise ConfigError(
            f"{path.name}: expected TaxiBJ's HDF5 layout with `data` and `date` (like 2013070101), got {err}"
        ) from err
    if flows_TCHW.shape != (len(slots), *CELLS):
        raise ConfigError(
            f"{path.name}: expected data of (N, 2, 32, 32), got {flows_TCHW.shape} for {len(slots)} dates"
        )
    if (np.diff(slots) <= 0).any():
        order = np.argsort(slots, kind="stable")
        flows_TCHW, slots = flows_TCHW[order], slots[order]
    if (np.diff(slots) == 0).any():
        raise ConfigError(f"{path.name}: expected each half-hour once, got the same date twice")
    return np.maximum(flows_TCHW, 0, out=flows_TCHW), slots


def _slot(date: str) -> int:
    day, slot = datetime.strptime(date[:8], "%Y%m%d").replace(tzinfo=UTC), int(date[8:])
    if not (len(date) == 10 and 1 <= slot <= SLOTS):
        raise ValueError(f"date {date!r}")
    return int(day.timestamp()) // 86_400 * SLOTS + slot - 1


def _complete_days(flows_TCHW: Flows, slots: NDArray[np.int64], name: str) -> tuple[Flows, NDArray[np.int64]]:
    days, counts = np.unique(slots // SLOTS, return_counts=True)
    whole = np.isin(slots // SLOTS, days[counts == SLOTS])
    if not whole.any():
        raise ConfigError(f"{name}: expected complete days of {SLOTS} half-hours, got none among {len(days)}")
    return flows_TCHW[whole], slots[whole]


def _windows(parts: list[NDArray[np.int64]], steps: int) -> list[TaxiBJWindow]:
    """Return every run of `steps` slots of a file that is followed by another slot, as the reference does."""
    windows: list[TaxiBJWindow] = []
    before = 0
    for slots in parts:
        starts = np.flatnonzero(slots[steps:] - slots[:-steps] == steps)
        windows += [TaxiBJWindow(before + int(i), int(slots[i]), int(slots[i]) + steps - 1) for i in starts]
        before += len(slots)
    return windows


def _extremes(flows_TCHW: Flows, last: int) -> tuple[float, float]:
    """Return minimum and maximum of both channels of all frames except the last ones."""
    known = flows_TCHW[:-last] if last < len(flows_TCHW) else flows_TCHW
    return float(known.min()), float(known.max())
