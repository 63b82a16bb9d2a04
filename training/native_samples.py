"""Samples of grid cells for the fit of the native model: predictors at a lead time, and the rate observed there."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.files import write_bytes_atomically
from models.guided.levels import WindowLevels, padded, window_levels
from models.guided.trajectories import Trajectories, block_means, trajectories
from training.datasets.event_table import EventTable
from training.datasets.series import RadarSeries, find_series

HISTORY_MINUTES: Final = 60
SHORTEST_FUTURE: Final = 30
SPACING_MINUTES: Final = {
    "de-2018-07-11": 60,
    "nl-2011-09-10": 60,
    "it-2025-03-09": 150,
    "it-2025-02-25": 180,
    "se-2015-07-23": 180,
    "se-2015-07-25": 180,
    "it-2025-03-21": 240,
}
"""Between the reference times of long spells, so that no spell has most of the windows; `CLOSEST` for the others."""
CLOSEST: Final = 40
CELLS: Final = 1000
"""Cells of a window and lead time."""
LEADS_MINUTES: Final = (5, 10, 15, 20, 30, 45, 60, 75, 90, 105, 120, 135, 150)
CLASSES_MMH: Final = (0.1, 1.0, 5.0)
"""Cells are drawn by classes of the largest rate that was observed or carried there: heavy rain is not rare so."""
QUOTAS: Final = (0.25, 0.2, 0.25, 0.3)


@dataclass(frozen=True)
class Samples:
    """Grid cells of one window.

    Attributes:
        x_NF: carried predictors, coverage and the window's numbers, float16.
        minutes_N: lead time.
        rate_mmh_N: observed.
        weight_N: cells that a sample stands for, relative to all cells of its lead.
    """

    x_NF: NDArray[np.float16]
    minutes_N: Float32Field
    rate_mmh_N: Float32Field
    weight_N: Float32Field


def series_window(
    series: RadarSeries, newest: int, cadence_minutes: int, block: int
) -> tuple[Float32Field, dict[int, Float32Field]]:
    """Return the fields of the last hour and the future fields by step, NaN where a field is missing.

    Args:
        series: the event.
        newest: index of the newest field.
        cadence_minutes: spacing, a multiple of the source's.
        block: edge of the squares of cells that are averaged.
    """
    wanted = {int(minute): index for index, minute in enumerate(series.minutes)}
    now = int(series.minutes[newest])

    def field(step: int) -> Float32Field | None:
        index = wanted.get(now + step * cadence_minutes)
        return None if index is None else blocks(series.field_mmh(index).astype(np.float32), block)

    newest_HW = field(0)
    assert newest_HW is not None
    missing_HW = np.full_like(newest_HW, np.nan)
    steps = range(-(HISTORY_MINUTES // cadence_minutes), 1)
    past = [found if (found := field(step)) is not None else missing_HW for step in steps]
    future = {
        step: found
        for step in range(1, LEADS_MINUTES[-1] // cadence_minutes + 1)
        if step * cadence_minutes in LEADS_MINUTES and (found := field(step)) is not None
    }
    return np.stack(past), future


def blocks(rate_mmh_HW: Float32Field, block: int) -> Float32Field:
    """Return means over squares of cells; what does not fill a square is cut."""
    rows, cols = (size // block * block for size in rate_mmh_HW.shape)
    return block_means(np.ascontiguousarray(rate_mmh_HW[:rows, :cols]), block)


def window_samples(
    past_THW: Float32Field,
    future: dict[int, Float32Field],
    cadence_minutes: float,
    pixel_km: float,
    cells: int,
    random: np.random.Generator,
) -> Samples | None:
    """Draw cells of one window at every lead; None where nothing can be compared."""
    shape = (past_THW.shape[1], past_THW.shape[2])
    fields_THW = padded(past_THW, pixel_km)
    paths = trajectories(fields_THW, max(future), cadence_minutes, pixel_km)
    levels = window_levels(fields_THW, shape, paths, cadence_minutes, pixel_km)
    seen_HW = np.isfinite(past_THW[-1])
    parts = [
        _lead_samples(levels, paths, step, step * cadence_minutes, observed_HW, seen_HW, cells, random)
        for step, observed_HW in future.items()
    ]
    found = [part for part in parts if part is not None]
    if not found:
        return None
    return Samples(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def _lead_samples(
    levels: WindowLevels,
    paths: Trajectories,
    step: int,
    minutes: float,
    observed_HW: Float32Field,
    seen_HW: BoolField,
    cells: int,
    random: np.random.Generator,
) -> tuple[NDArray[np.float16], Float32Field, Float32Field, Float32Field] | None:
    rows, cols = np.nonzero(seen_HW & np.isfinite(observed_HW))
    if len(rows) < 50:
        return None
    log_N = predictors_at(levels, paths, step, rows, cols, only=0)[:, 0]
    rate_N = observed_HW[rows, cols]
    largest_N = np.maximum(rate_N, np.expm1(log_N) * 0.1)
    class_N = np.digitize(largest_N, CLASSES_MMH)
    chosen, weights = [], []
    for number, quota in enumerate(QUOTAS):
        members = np.flatnonzero(class_N == number)
        drawn = members if len(members) <= quota * cells else random.choice(members, int(quota * cells), replace=False)
        chosen.append(drawn)
        weights.append(np.full(len(drawn), len(members) / max(len(drawn), 1) / len(rows), np.float32))
    index = np.concatenate(chosen)
    x_NF = predictors_at(levels, paths, step, rows[index], cols[index])
    minutes_N = np.full(len(index), minutes, np.float32)
    return x_NF.astype(np.float16), minutes_N, rate_N[index].astype(np.float32), np.concatenate(weights)


def predictors_at(
    levels: WindowLevels,
    paths: Trajectories,
    step: int,
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
    only: int | None = None,
) -> Float32Field:
    """Return the predictors (N, F) of grid cells at a lead; `only` asks for one field of the finest level alone."""
    found = []
    for level in levels.carried:
        fields_CHW = level.fields_CHW if only is None else level.fields_CHW[only : only + 1]
        found.append(_gathered(fields_CHW, *_origins(paths, step, level.factor, fields_CHW.shape[1:], rows, cols)))
        if only is not None:
            return found[0]
    seen = _gathered(
        np.pad(levels.seen_CHW, ((0, 0), (1, 1), (1, 1))),
        *(place + 1 for place in _origins(paths, step, 1, levels.seen_CHW.shape[1:], rows, cols)),
    )
    found += [seen, np.broadcast_to(levels.window_G, (len(rows), len(levels.window_G)))]
    return np.concatenate(found, axis=1)


def _origins(
    paths: Trajectories, step: int, factor: int, shape: tuple[int, ...], rows: NDArray[np.intp], cols: NDArray[np.intp]
) -> tuple[Float32Field, Float32Field]:
    """Return row and column of the origins in cells of a level's grid."""
    here_row, here_col = (((place + 0.5) / factor - 0.5).astype(np.float32) for place in (rows, cols))
    back_CHW = paths.back_CHW(step, (shape[0], shape[1]), factor)
    back_N2 = _gathered(back_CHW, here_row, here_col)
    return here_row + back_N2[:, 1], here_col + back_N2[:, 0]


def _gathered(fields_CHW: Float32Field, row_N: Float32Field, col_N: Float32Field) -> Float32Field:
    """Return bilinear values (N, C); beyond the edge those of the edge."""
    row_N = np.clip(row_N, 0, fields_CHW.shape[1] - 1)
    col_N = np.clip(col_N, 0, fields_CHW.shape[2] - 1)
    top, left = row_N.astype(np.intp), col_N.astype(np.intp)
    below, right = np.minimum(top + 1, fields_CHW.shape[1] - 1), np.minimum(left + 1, fields_CHW.shape[2] - 1)
    down, over = row_N - top, col_N - left
    upper = fields_CHW[:, top, left] * (1 - over) + fields_CHW[:, top, right] * over
    lower = fields_CHW[:, below, left] * (1 - over) + fields_CHW[:, below, right] * over
    return np.asarray((upper * (1 - down) + lower * down).T, np.float32)


def variants(series: RadarSeries, random: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Return cadence and block of the source itself, and one coarser pair of both."""
    own = max(int(np.median(np.diff(series.minutes))), 1)
    yield own, 1
    pixel_km = series.pixel_m / 1000
    edges = [
        edge for edge in (2, 3, 4, 5, 7, 10) if edge / pixel_km >= 1.5 and min(series.shape) * pixel_km / edge >= 60
    ]
    block = max(round(float(random.choice(edges)) / pixel_km), 1) if edges else 1
    cadence = int(random.choice([c for c in (5, 10, 15, 30) if c % own == 0]))
    if (cadence, block) != (own, 1):
        yield cadence, block


@dataclass(frozen=True)
class SampleFile:
    """The samples of one window on one grid and cadence.

    Attributes:
        spell: name of its spell of weather.
        pixel_km: edge of a cell.
        own_grid: whether it is the source's grid and cadence.
        samples: the cells.
    """

    spell: str
    pixel_km: float
    own_grid: bool
    samples: Samples


def write_samples(data: Path, out: Path, table: EventTable, *, part: int, parts: int) -> int:
    """Draw the samples of every `parts`-th window; return how many files there are of these.

    A file that is there already is kept.
    """
    out.mkdir(parents=True, exist_ok=True)
    done = 0
    for number, (series, spell, newest) in enumerate(reference_fields(data, table)):
        if number % parts != part:
            continue
        random = np.random.default_rng((number, 7))
        for cadence, block in variants(series, random):
            path = out / f"{spell}_{series.path.stem}_{newest}_{cadence}_{block}.npz"
            if path.exists() or _write_window(path, series, newest, cadence, block, spell, random):
                done += 1
    return done


def reference_fields(data: Path, table: EventTable, offset: float = 0.0) -> list[tuple[RadarSeries, str, int]]:
    """Return series, spell and index of the newest field of all windows, in a mixed order.

    Args:
        data: folder of the event files.
        table: the spells.
        offset: of the reference times, as a share of their spacing.
    """
    found: list[tuple[RadarSeries, str, int]] = []
    for series in find_series(data):
        spell = table.spell_of(series.path)
        if spell.role != "train":
            continue
        last = series.minutes[-1] - SHORTEST_FUTURE
        spacing = SPACING_MINUTES.get(spell.name, CLOSEST)
        wanted = np.arange(series.minutes[0] + HISTORY_MINUTES + int(offset * spacing), last + 1, spacing)
        places = np.unique(np.searchsorted(series.minutes, wanted))
        found += [(series, spell.name, int(place)) for place in places]
    found.sort(key=lambda one: (one[0].path.name, one[2]))
    np.random.default_rng(5).shuffle(found)
    return found


def _write_window(
    path: Path, series: RadarSeries, newest: int, cadence: int, block: int, spell: str, random: np.random.Generator
) -> bool:
    past_THW, future = series_window(series, newest, cadence, block)
    if not future or np.isfinite(past_THW).any(axis=(1, 2)).sum() < 2 or not np.isfinite(past_THW[-1]).any():
        return False
    pixel_km = series.pixel_m / 1000 * block
    samples = window_samples(past_THW, future, cadence, pixel_km, CELLS, random)
    if samples is None:
        return False
    content = io.BytesIO()
    np.savez(content, spell=spell, pixel_km=pixel_km, own_grid=block == 1, **vars(samples))
    write_bytes_atomically(path, content.getvalue())
    return True


def read_samples(folder: Path) -> list[SampleFile]:
    """Return the samples of a folder in the order of their names."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as stored:
            columns = {name: stored[name] for name in ("x_NF", "minutes_N", "rate_mmh_N", "weight_N")}
            found.append(
                SampleFile(
                    str(stored["spell"]), float(stored["pixel_km"]), bool(stored["own_grid"]), Samples(**columns)
                )
            )
    return found
