"""A forecast in boxes and polygons; NaN is unknown everywhere."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.grid import Grid
from service.forecasts.fields import FIELDS, Fields
from service.forecasts.records import StoredForecast
from service.inference.request_scope import current_scope
from service.queries.amounts import totals_by_lead
from service.queries.area_members import AreaEnsemble, area_ensemble
from service.queries.areas import AreaWeights, area_weights
from service.queries.cells import BBox, Block, box_block
from service.queries.longitudes import Polygon
from service.queries.point import Coverage


@dataclass(frozen=True, eq=False)
class BoxField:
    """A forecast in the grid cells of a box, unpacked lead by lead.

    Attributes:
        block: which cells of the forecast's grid.
        grid: of these cells.
        fields: of the forecast in these cells.
        lead_minutes: of its leads.
        mask_HW: mask; False for grid cells around a polygon, where all values are NaN.
        coverage: radar coverage in met.no's terms; grid cells that no radar ever observes do not count.
    """

    block: Block
    grid: Grid
    fields: Fields
    lead_minutes: tuple[int, ...]
    mask_HW: NDArray[np.bool_]
    coverage: Coverage

    def rate_mmh_HW(self, lead: int) -> Float32Field:
        """Return the rate of one lead, by its index."""
        return np.where(self.mask_HW, self.fields.rate_mmh_HW(lead), np.float32("nan"))

    def probability_HW(self, lead: int, threshold: int) -> Float32Field:
        """Return the exceedance probability of one lead and threshold, both by their index."""
        return np.where(self.mask_HW, self.fields.probability_HW(lead, threshold), np.float32("nan"))

    def known_HW(self, lead: int) -> BoolField:
        """Return where one lead rests on an observation; False everywhere for files that do not hold it."""
        known_HW = self.fields.known_HW(lead)
        return np.zeros_like(self.mask_HW) if known_HW is None else known_HW & self.mask_HW

    def totals_mm(self) -> Iterator[Float32Field]:
        """Yield the depth from the reference time to each lead, one after the other."""
        for total_mm_HW in totals_by_lead(self.fields, self.lead_minutes):
            yield np.where(self.mask_HW, total_mm_HW, np.float32("nan"))

    @property
    def rate_mmh_THW(self) -> Float32Field:
        """Return the rates of all leads; of a large box read one lead after the other."""
        return np.stack([self.rate_mmh_HW(lead) for lead in range(len(self.lead_minutes))])

    @property
    def total_mm_THW(self) -> Float32Field:
        """Return the depths of all leads; of a large box read one lead after the other."""
        return np.stack(list(self.totals_mm()))


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
    fields = FIELDS.read(forecast).block(block.slices)
    if mask_HW is None:
        mask_HW = np.ones(block.shape, np.bool_)
    coverage = _coverage(fields, mask_HW)
    return BoxField(block, block.grid(forecast.grid), fields, forecast.lead_minutes, mask_HW, coverage)


def area_series(forecast: StoredForecast, polygon: Polygon) -> AreaSeries:
    """Return means, extremes and totals over a polygon in longitude and latitude."""
    weights = area_weights(forecast.grid, polygon)
    if weights.block is None or not weights.km2_HW.any():
        none = (AreaLead(None, None, None, 0.0),) * len(forecast.lead_minutes)
        return AreaSeries(weights.area_km2, 0, "no coverage", none, none, (none,) * len(forecast.thresholds_mmh))
    box = cut(forecast, weights.block, weights.km2_HW > 0)
    count = range(len(forecast.lead_minutes))
    return AreaSeries(
        weights.area_km2,
        int(box.mask_HW.sum()),
        box.coverage,
        _leads(map(box.rate_mmh_HW, count), weights),
        _leads(box.totals_mm(), weights),
        tuple(
            _leads((box.probability_HW(lead, threshold) for lead in count), weights)
            for threshold in range(len(forecast.thresholds_mmh))
        ),
        area_ensemble(forecast, weights),
    )


def polygon_field(forecast: StoredForecast, polygon: Polygon) -> BoxField | None:
    """Return the grid cells that a polygon touches, with NaN around it; None if it is outside the grid."""
    weights = area_weights(forecast.grid, polygon)
    if weights.block is None or not weights.km2_HW.any():
        return None
    return cut(forecast, weights.block, weights.km2_HW > 0)


def _leads(values_HW: Iterable[Float32Field], weights: AreaWeights) -> tuple[AreaLead, ...]:
    client = current_scope().client
    found = []
    for each_HW in values_HW:
        client.check()  # nobody waits for the rest
        found.append(_lead(each_HW, weights.km2_HW, weights.area_km2))
    return tuple(found)


def _lead(values_HW: Float32Field, km2_HW: NDArray[np.float64], area_km2: float) -> AreaLead:
    known_HW = np.isfinite(values_HW) & (km2_HW > 0)
    known_km2 = float(km2_HW[known_HW].sum())
    if not known_km2:
        return AreaLead(None, None, None, 0.0)
    known_N = values_HW[known_HW]
    mean = float((known_N * km2_HW[known_HW]).sum() / known_km2)
    return AreaLead(mean, float(known_N.min()), float(known_N.max()), min(1.0, known_km2 / area_km2))


def _coverage(fields: Fields, mask_HW: NDArray[np.bool_]) -> Coverage:
    some_HW, every_HW = np.zeros_like(mask_HW), np.ones_like(mask_HW)
    for lead in range(fields.leads):
        known_HW = np.isfinite(fields.rate_mmh_HW(lead))
        some_HW, every_HW = some_HW | known_HW, every_HW & known_HW
    if (mask_HW & ~every_HW & (fields.usual_HW | some_HW)).any():
        return "temporarily unavailable"
    return "ok" if (some_HW & mask_HW).any() else "no coverage"


def rounded(values_HW: Float32Field, decimals: int = 3) -> Sequence[Sequence[float | None]]:
    """Return rows of plain numbers, with None for NaN, which JSON lacks."""
    rows = np.round(values_HW.astype(np.float64), decimals).tolist()
    return [[None if value != value else value for value in row] for row in rows]
