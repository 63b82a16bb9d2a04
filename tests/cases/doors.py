"""The five ways that radar files enter the product, called "doors", each with an outcome that tests can compare."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from core.cf_reading import find_grid, find_rate, times_of
from core.errors import NowcastError
from core.frame import RadarFrame
from core.grid import Grid
from ingest.archive.build import build_archive
from ingest.archive.settings import archive_settings
from ingest.readers.read import analyses_of
from ingest.store.intake import ingest_file
from ingest.store.live import Store
from models import predict
from models.baselines import Persistence
from tests.ingest.archive.sources import read_archive
from training.datasets.series import find_series

DOORS = ("upload", "folder", "archive", "predict", "training")
READER_DOORS = ("upload", "folder", "archive", "predict")
"""The doors that read every radar format; training's loaders read NetCDF, Zarr and RYDL.hdf5."""


@dataclass(frozen=True)
class CaseFrame:
    """One field as a door reads it: `north_west` is longitude and latitude of the outer corner, None if not known."""

    time: datetime
    north_west: tuple[float, float] | None
    max_mmh: float
    mean_mmh: float
    mask_HW: np.ndarray = field(repr=False, compare=False)
    rate_mmh_HW: np.ndarray = field(repr=False, compare=False)
    lead_minutes: int = 0
    product: str = ""


@dataclass(frozen=True)
class CaseOutcome:
    """What a door made of the files: fields in the order of time, the text of a refusal, notes."""

    frames: tuple[CaseFrame, ...] = ()
    refusal: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The refusal and the notes in one text."""
        return " ".join([self.refusal or "", *self.notes])


Files = Mapping[str, bytes] | Sequence[Path] | Path
Door = Callable[[Files], CaseOutcome]


def contents_of(files: Files) -> dict[str, bytes]:
    """Name and bytes of each file."""
    if isinstance(files, Path):
        files = [files]
    return dict(files) if isinstance(files, Mapping) else {path.name: path.read_bytes() for path in files}


def case_frame(
    time: datetime, grid: Grid | None, rate_mmh_HW: np.ndarray, *, lead_minutes: int = 0, product: str = ""
) -> CaseFrame:
    """Summarize one field."""
    rate = np.asarray(rate_mmh_HW, np.float32)
    mask = np.isfinite(rate)
    observed = rate[mask].astype(np.float64)
    corner = grid.corners_lon_lat()[0] if grid is not None else None
    highest, mean = (float(observed.max()), float(observed.mean())) if observed.size else (np.nan, np.nan)
    return CaseFrame(time, corner, highest, mean, mask, rate, lead_minutes, product)


def of_frames(frames: Sequence[RadarFrame]) -> tuple[CaseFrame, ...]:
    """Summarize radar frames, in the order of time."""
    ordered = sorted(frames, key=lambda frame: frame.valid_time)
    return tuple(
        case_frame(f.valid_time, f.grid, f.rate_mmh_HW, lead_minutes=f.lead_minutes, product=f.product) for f in ordered
    )


def written(folder: Path, files: Files) -> Path:
    """Write the files into a new folder."""
    folder.mkdir(parents=True)
    for name, content in contents_of(files).items():
        (folder / name).write_bytes(content)
    return folder


def outcome_of_upload(client: Any, frames: Files, seen: list[RadarFrame]) -> CaseOutcome:
    """POST the files to /nowcast; a refusal begins with the status of the response."""
    seen.clear()
    parts = [("frames", (name, content)) for name, content in contents_of(frames).items()]
    answer = client.post("/nowcast", files=parts, data={"model": "persistence"})
    body = answer.json()
    refusal = None if answer.status_code == 200 else f"{answer.status_code}: {body.get('detail')}"
    return CaseOutcome(of_frames(seen), refusal, tuple(body.get("notes") or ()))


def outcome_of_folder(home: Path, files: Files) -> CaseOutcome:
    """Ingest the files into a new live store; a provider's forecasts are not among the frames, but in the notes."""
    store, refusals, notes = Store(home), [], []
    for path in sorted(written(home.with_name(home.name + "-in"), files).iterdir()):
        outcome = ingest_file(path, store)
        refusals += [outcome.rejected] if outcome.rejected else []
        notes += [f"{outcome.forecasts} forecasts"] if outcome.forecasts else []
        notes += list(getattr(outcome, "notes", ()))
    frames = [store.load(scan) for product in store.products() for scan in store.scans(product=product)]
    return CaseOutcome(of_frames(frames), "; ".join(refusals) or None, tuple(notes))


def outcome_of_archive(folder: Path, files: Files) -> CaseOutcome:
    """Build an archive of the files; the notes are the files that the gap report lists as rejected."""
    try:
        built = build_archive(written(folder / "in", files), folder / "out.zarr", archive_settings())
    except NowcastError as err:
        return CaseOutcome(refusal=str(err))
    dataset = read_archive(built.archive)
    rate = find_rate(dataset)
    grid, _ = find_grid(dataset, rate)
    product = str(zarr.open_group(str(built.archive), mode="r").attrs.get("product", ""))
    times = times_of(dataset)
    frames = [case_frame(t, grid, f, product=product) for t, f in zip(times, rate.values, strict=True)]
    return CaseOutcome(tuple(frames), notes=(str(built.report),))


def outcome_of_predict(folder: Path, files: Files, monkeypatch: pytest.MonkeyPatch) -> CaseOutcome:
    """Make the persistence forecast of one file; its frames are those that the command has read."""
    seen: list[RadarFrame] = []

    def spied(frames: Sequence[RadarFrame]) -> Any:
        observed, left_out = analyses_of(frames)
        seen.extend(observed)
        return observed, left_out

    refusals, notes = [], list[str]()
    with monkeypatch.context() as patch:
        patch.setattr("models.predict.analyses_of", spied)
        for path in sorted(written(folder / "in", files).iterdir()):
            try:
                notes += predict.predict(path, folder / "out.nc", Persistence(), lead_steps=1)
            except NowcastError as err:
                refusals.append(str(err))
    return CaseOutcome(of_frames(seen), "; ".join(refusals) or None, tuple(notes))


def outcome_of_training(folder: Path, files: Files) -> CaseOutcome:
    """Read the files as the data set `germany` does."""
    frames = []
    try:
        for series in find_series(written(folder / "in", files)):
            for number, minute in enumerate(series.minutes):
                time = datetime.fromtimestamp(int(minute) * 60, UTC)
                frames.append(case_frame(time, getattr(series, "grid", None), series.field_mmh(number)))
    except NowcastError as err:
        return CaseOutcome(refusal=str(err))
    return CaseOutcome(tuple(frames))
