"""A forecast in boxes and polygons; NaN is unknown everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.cf import rate_dataset, with_known
from core.grid import Grid
from service.forecasts.fields import FIELDS, Fields
from service.forecasts.products import forecast_attributes
from service.forecasts.records import StoredForecast
from service.queries.amounts import intervals_mm, totals_mm
from service.queries.area_members import AreaEnsemble, area_ensemble
from service.queries.areas import AreaWeights, area_weights
from service.queries.cells import BBox, Block, box_block
from service.queries.longitudes import Polygon
from service.queries.point import Coverage


@dataclass(frozen=True)
class BoxField:
    """A forecast in the grid cells of a box.

    Attributes:
        block: which cells of the forecast's grid.
        grid: of these cells.
        rate_mmh_THW, total_mm_THW: rate at each lead, and depth since the reference time.
        mask_HW: mask; False for grid cells around a polygon.
        coverage: radar coverage in met.no's terms; grid cells that no radar ever observes do not count.
        known_THW: where the rates rest on an observation; None where the forecast's file does not hold it.
    """

    block: Block
    grid: Grid
    rate_mmh_THW: Float32Field
    total_mm_THW: Float32Field
    mask_HW: NDArray[np.bool_]
    coverage: Coverage
    known_THW: BoolField | None = None


@dataclass(frozen=True)
class AreaLead:
    """A polygon at one time: mean by true area, extremes of the touched grid cells, observed share of its area."""

    mean: float | None
    smallest: float | None
    largest: float | None
    coverage: float


@dataclass(frozen=True)
class AreaSeries:
    """A forecast over a polygon.

    Attributes:
        area_km2: true area of the polygon.
        cells: number of grid cells that it touches.
        coverage: radar coverage in met.no's terms.
        rates: in mm/h by lead.
        totals: in mm since the reference time, by lead.
        probabilities: of the grid cells by threshold and lead; empty if the forecast has none.
        ensemble: the members over the polygon; None where they are not (yet) made, or without data.
    """

    area_km2: float
    cells: int
    coverage: Coverage
    rates: tuple[AreaLead, ...]
    totals: tuple[AreaLead, ...]
    probabilities: tuple[tuple[AreaLead, ...], ...] = ()
    ensemble: AreaEnsemble | None = None


def box_field(forecast: StoredForecast, bbox: BBox) -> BoxField | None:
    """Return the grid cells of a box; None if it is outside the grid.

    Raises:
        InputError: not a box on Earth.
    """
    block = box_block(forecast.grid, bbox)
    if block is None:
        return None
    return cut(forecast, block)


def cut(forecast: StoredForecast, block: Block, mask_HW: NDArray[np.bool_] | None = None) -> BoxField:
    """Return the grid cells of a block; NaN where `mask_HW` is False."""
    fields = FIELDS.read(forecast)
    rates_mmh_THW = fields.rate[:, *block.slices]
    totals_mm_THW = totals_mm(intervals_mm(fields, forecast.lead_minutes, block.slices))
    if mask_HW is None:
        mask_HW = np.ones(block.shape, np.bool_)
    coverage = _coverage(fields, block, mask_HW)
    rates_mmh_THW, totals_mm_THW = (np.where(mask_HW, values, np.nan) for values in (rates_mmh_THW, totals_mm_THW))
    known_THW = fields.block(block.slices).known_THW
    known_THW = None if known_THW is None else known_THW & mask_HW
    return BoxField(block, block.grid(forecast.grid), rates_mmh_THW, totals_mm_THW, mask_HW, coverage, known_THW)


def box_dataset(forecast: StoredForecast, box: BoxField) -> xr.Dataset:
    """Return the box as CF data set, with the attributes of the forecast's file."""
    attributes = {
        **forecast_attributes(forecast),
        "title": f"Part of the nowcast of {forecast.reference_time:%Y-%m-%d %H:%M}",
    }
    dataset = rate_dataset(
        box.rate_mmh_THW, forecast.valid_times, box.grid, reference_time=forecast.reference_time, attributes=attributes
    )
    return dataset if box.known_THW is None else with_known(dataset, box.known_THW)


def area_series(forecast: StoredForecast, polygon: Polygon) -> AreaSeries:
    """Return means, extremes and totals over a polygon in longitude and latitude."""
    weights = area_weights(forecast.grid, polygon)
    if weights.block is None or not weights.km2_HW.any():
        none = (AreaLead(None, None, None, 0.0),) * len(forecast.lead_minutes)
        return AreaSeries(weights.area_km2, 0, "no coverage", none, none, (none,) * len(forecast.thresholds_mmh))
    fields = FIELDS.read(forecast)
    touched_HW = weights.km2_HW > 0
    intervals_THW = intervals_mm(fields, forecast.lead_minutes, weights.block.slices)
    return AreaSeries(
        weights.area_km2,
        int(touched_HW.sum()),
        _coverage(fields, weights.block, touched_HW),
        _leads(fields.rate[:, *weights.block.slices], weights.km2_HW, weights.area_km2),
        _leads(totals_mm(intervals_THW), weights.km2_HW, weights.area_km2),
        _probabilities(forecast, weights.block, weights),
        area_ensemble(forecast, weights),
    )


def polygon_field(forecast: StoredForecast, polygon: Polygon) -> BoxField | None:
    """Return the grid cells that a polygon touches, with NaN around it; None if it is outside the grid."""
    weights = area_weights(forecast.grid, polygon)
    if weights.block is None or not weights.km2_HW.any():
        return None
    return cut(forecast, weights.block, weights.km2_HW > 0)


def _leads(values_THW: Float32Field, km2_HW: NDArray[np.float64], area_km2: float) -> tuple[AreaLead, ...]:
    return tuple(_lead(values_HW, km2_HW, area_km2) for values_HW in values_THW)


def _probabilities(forecast: StoredForecast, block: Block, weights: AreaWeights) -> tuple[tuple[AreaLead, ...], ...]:
    if not forecast.thresholds_mmh:
        return ()
    probabilities = FIELDS.read(forecast).block(block.slices).probabilities
    return tuple(_leads(one[...], weights.km2_HW, weights.area_km2) for one in probabilities)


def _lead(values_HW: Float32Field, km2_HW: NDArray[np.float64], area_km2: float) -> AreaLead:
    known_HW = np.isfinite(values_HW) & (km2_HW > 0)
    known_km2 = float(km2_HW[known_HW].sum())
    if not known_km2:
        return AreaLead(None, None, None, 0.0)
    known_N = values_HW[known_HW]
    mean = float((known_N * km2_HW[known_HW]).sum() / known_km2)
    return AreaLead(mean, float(known_N.min()), float(known_N.max()), min(1.0, known_km2 / area_km2))


def _coverage(fields: Fields, block: Block, mask_HW: NDArray[np.bool_]) -> Coverage:
    known_THW = np.isfinite(fields.rate[:, *block.slices])
    missing_HW = mask_HW & ~known_THW.all(axis=0)
    if (missing_HW & (fields.usual_HW[block.slices] | known_THW.any(axis=0))).any():
        return "temporarily unavailable"
    return "ok" if (known_THW & mask_HW).any() else "no coverage"


def rounded(values_HW: Float32Field, decimals: int = 3) -> Sequence[Sequence[float | None]]:
    """Return rows of plain numbers, with None for NaN, which JSON lacks."""
    rows = np.round(values_HW.astype(np.float64), decimals).tolist()
    return [[None if value != value else value for value in row] for row in rows]
