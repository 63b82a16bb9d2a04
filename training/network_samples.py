"""Windows for the network of the native model: its inputs, and cells at which its correction is compared."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.files import write_bytes_atomically
from models.guided.carry import CarriedUnits
from models.guided.correction import moving_frames, network_factor, resting_logits
from models.guided.levels import padded, window_levels
from models.guided.moving import NETWORK_LEADS
from models.guided.pointwise import PointwiseModel
from models.guided.trajectories import trajectories
from training.datasets.event_table import EventTable
from training.datasets.series import RadarSeries
from training.native_samples import reference_fields, series_window

FIRST_LEADS: Final = (15, 20, 10)
"""The first of these that the cadence has is compared, too."""
CADENCES: Final = (5, 10, 15, 30)
OWN_CADENCE: Final = 0.6
"""Share of the windows at the source's own cadence."""
FINE_KM: Final = 1.5
"""Sources of finer cells are averaged over squares of cells, mostly of `BLOCKS` 2: a quarter of the work."""
BLOCKS: Final = (1, 2, 2, 2, 2, 2, 2, 2, 4, 4)
LEAST_CELLS: Final = 50
DRY_MMH: Final = 0.1
"""Below it a varied rate is dry."""


@dataclass(frozen=True)
class WindowPass:
    """One pass through the events.

    Attributes:
        offset: of the reference times, as a share of their spacing.
        rate_range: largest logarithm of a factor of all rates of a window, up or down.
        size_range: the same of the edge of a cell.
    """

    offset: float
    rate_range: float = 0.0
    size_range: float = 0.0


PASSES: Final = (WindowPass(0.0), WindowPass(0.5), WindowPass(0.25, rate_range=0.9, size_range=0.35))
"""The first is what held-out spells are scored on."""


@dataclass(frozen=True)
class LeadCells:
    """Cells of one lead time, one of each of the network's cells.

    Attributes:
        minutes: the lead time.
        origin_N2: column and row of the origins in the network's cells.
        logits_NK: of the statistical model.
        above_N: how many thresholds the observed rate reaches.
        known_N: whether the origin was observed.
    """

    minutes: int
    origin_N2: Float32Field
    logits_NK: NDArray[np.float16]
    above_N: NDArray[np.uint8]
    known_N: BoolField


@dataclass(frozen=True)
class NetworkWindow:
    """One window.

    Attributes:
        spell: name of its spell of weather.
        cell_km: edge of the network's cells.
        frames_TCHW: `models.guided.correction.moving_frames`.
        prior_LKHW: `models.guided.correction.resting_logits`.
        cells: by lead time.
    """

    spell: str
    cell_km: float
    frames_TCHW: NDArray[np.float16]
    prior_LKHW: NDArray[np.float16]
    cells: tuple[LeadCells, ...]


def write_windows(
    data: Path, out: Path, model: PointwiseModel, folds: Mapping[str, PointwiseModel], table: EventTable
) -> int:
    """Write the windows of all passes that are not there already; return how many there are.

    Args:
        data: folder of the event files.
        out: folder with one folder for each pass.
        model: statistical model of spells without a fold.
        folds: statistical models that left a spell out, by its name: their errors are those of unseen weather.
        table: the spells.
    """
    for number, one in enumerate(PASSES):
        folder = out / f"pass_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        for place, (series, spell, newest) in enumerate(reference_fields(data, table, one.offset)):
            path = folder / f"{place:04d}_{spell}_{series.path.stem}_{newest}.npz"
            if not path.exists():
                random = np.random.default_rng((place, number, 20))
                _write_window(path, folds.get(spell, model), one, series, newest, spell, random)
    return len(list(out.glob("pass_*/*.npz")))


def _write_window(
    path: Path,
    model: PointwiseModel,
    one: WindowPass,
    series: RadarSeries,
    newest: int,
    spell: str,
    random: np.random.Generator,
) -> None:
    own = max(int(np.median(np.diff(series.minutes))), 1)
    possible = [cadence for cadence in CADENCES if cadence % own == 0]
    cadence = int(random.choice(possible)) if possible and random.random() >= OWN_CADENCE else own
    block = int(random.choice(BLOCKS)) if series.pixel_m < FINE_KM * 1000 else 1
    past_THW, future = series_window(series, newest, cadence, block)
    rate, size = (float(np.exp(random.uniform(-most, most))) for most in (one.rate_range, one.size_range))
    past_THW, future = varied(past_THW, rate), {step: varied(field_HW, rate) for step, field_HW in future.items()}
    if not future or np.isfinite(past_THW).any(axis=(1, 2)).sum() < 2 or not np.isfinite(past_THW[-1]).any():
        return
    pixel_km = series.pixel_m / 1000 * block * size
    columns = window_columns(model, past_THW, future, cadence, pixel_km, random)
    if len(columns["leads"]):
        content = io.BytesIO()
        np.savez(content, spell=spell, cell_km=pixel_km * network_factor(pixel_km), **columns)
        write_bytes_atomically(path, content.getvalue())


def varied(rate_mmh: Float32Field, factor: float) -> Float32Field:
    """Return rates times a factor; what is then below `DRY_MMH` is dry. A factor of 1 changes nothing."""
    if factor == 1:
        return rate_mmh
    return np.asarray(np.where(rate_mmh * factor < DRY_MMH, 0.0, rate_mmh * factor), np.float32)


@torch.inference_mode()
def window_columns(
    model: PointwiseModel,
    past_THW: Float32Field,
    future: Mapping[int, Float32Field],
    cadence: int,
    pixel_km: float,
    random: np.random.Generator,
) -> dict[str, Any]:
    """Return the inputs of a window, and cells of each lead that can be compared.

    Args:
        model: the statistical model.
        past_THW: fields of the last hour, mm/h, NaN where not observed.
        future: observed fields by step.
        cadence: minutes of a step.
        pixel_km: edge of a cell.
        random: chooses the cells.
    """
    shape = (past_THW.shape[1], past_THW.shape[2])
    fields_THW = padded(past_THW, pixel_km)
    paths = trajectories(fields_THW, max(future), cadence, pixel_km)
    levels = window_levels(fields_THW, shape, paths, cadence, pixel_km)
    units, factor = CarriedUnits(levels, paths, model, pixel_km, torch.device("cpu")), network_factor(pixel_km)
    prior_LKHW = torch.stack([resting_logits(units, factor, minutes) for minutes in NETWORK_LEADS])
    columns: dict[str, Any] = {
        "frames_TCHW": moving_frames(fields_THW, paths, cadence, pixel_km).astype(np.float16),
        "prior_LKHW": prior_LKHW.half().numpy(),
    }
    first = next((minutes for minutes in FIRST_LEADS if minutes % cadence == 0), None)
    leads = []
    for step, observed_HW in future.items():
        rows, cols = _one_of_each(shape, factor, random)
        keep_N = (np.isfinite(past_THW[-1]) & np.isfinite(observed_HW))[rows, cols]
        if step * cadence in (first, *NETWORK_LEADS) and keep_N.sum() >= LEAST_CELLS:
            found = _lead_cells(units, step, step * cadence, observed_HW, factor, rows[keep_N], cols[keep_N])
            columns |= {f"{name}_{found.minutes}": value for name, value in vars(found).items() if name != "minutes"}
            leads.append(found.minutes)
    return columns | {"leads": np.array(leads, np.int64)}


def _one_of_each(
    shape: tuple[int, int], factor: int, random: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return row and column of one cell of each square of `factor` cells."""
    rows, cols = np.meshgrid(*(np.arange(0, side, factor) for side in shape), indexing="ij")
    rows, cols = (part + random.integers(0, factor, part.shape) for part in (rows, cols))
    return np.minimum(rows, shape[0] - 1).ravel(), np.minimum(cols, shape[1] - 1).ravel()


def _lead_cells(
    units: CarriedUnits,
    step: int,
    minutes: int,
    observed_HW: Float32Field,
    factor: int,
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
) -> LeadCells:
    sum_UHW, share_HW = units.at(step, minutes)
    logits_KN = units.model.logits(sum_UHW[:, torch.from_numpy(rows), torch.from_numpy(cols)])
    back_N2 = units.back_CHW(step, units.grids[0][1]).numpy()[:, rows, cols].T
    origin_N2 = (np.stack([cols, rows], axis=1) + back_N2 + 0.5) / factor - 0.5
    return LeadCells(
        minutes,
        origin_N2.astype(np.float32),
        logits_KN.T.half().numpy(),
        np.searchsorted(np.array(units.model.rates_mmh, np.float32), observed_HW[rows, cols], "right").astype(np.uint8),
        share_HW.numpy()[rows, cols] >= 0.5,
    )


def read_windows(folder: Path, passes: tuple[int, ...] | None = None) -> list[NetworkWindow]:
    """Return the windows of some passes, of all for None."""
    chosen = range(len(PASSES)) if passes is None else passes
    return [read_window(path) for number in chosen for path in sorted((folder / f"pass_{number}").glob("*.npz"))]


def read_window(path: Path) -> NetworkWindow:
    """Return one window."""
    with np.load(path) as stored:
        cells = tuple(
            LeadCells(minutes, *(stored[f"{one.name}_{minutes}"] for one in fields(LeadCells)[1:]))
            for minutes in stored["leads"].tolist()
        )
        return NetworkWindow(
            str(stored["spell"]), float(stored["cell_km"]), stored["frames_TCHW"], stored["prior_LKHW"], cells
        )
