"""Documents of boxes, polygons and rain amounts."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from core.arrays import Float32Field
from service.api.backend import Backend
from service.api.views import grid_out, run_fields
from service.forecasts.fields import FIELDS
from service.forecasts.nowcast import StoredForecast
from service.queries.amounts import RULE, intervals_mm, totals_mm
from service.queries.area_members import QUANTILES, AreaEnsemble
from service.queries.cells import OUTSIDE, BBox, box_swap_hint, swap_hint
from service.queries.longitudes import Polygon
from service.queries.point import point_series
from service.queries.probabilities import box_probability_THW
from service.queries.regions import AreaSeries, BoxField, area_series, rounded
from service.schemas.areas import (
    AmountLeadOut,
    AreaLeadOut,
    AreaOut,
    AreaShareOut,
    BoxAmountLeadOut,
    BoxAmountOut,
    BoxLeadOut,
    BoxOut,
    CellProbabilitiesOut,
    PlaceAmountOut,
)

NO_MEMBERS: Final = (
    "area probabilities and quantiles are empty or null: ensemble members of this forecast are not available (yet)"
)

AREA_OUTSIDE: Final = "the area is outside the grid"
BOX_OUTSIDE: Final = "the box is outside the grid"


def box_out(
    backend: Backend, forecast: StoredForecast, bbox: BBox, box: BoxField | None, *, probability_of: float | None = None
) -> BoxOut:
    """Return the rates of a box, with the exceedance probabilities of a threshold if one is requested."""
    probability_THW = None
    if box is not None and probability_of is not None:
        probability_THW = box_probability_THW(forecast, box, probability_of)
    rates = _fields(forecast, None if box is None else box.rate_mmh_THW)
    leads = [
        BoxLeadOut(**when, coverage=_share(rate_HW), rate_mmh=_rows(rate_HW), probability=_rows(probability_HW))
        for when, rate_HW, probability_HW in zip(
            _times(forecast), rates, _fields(forecast, probability_THW), strict=True
        )
    ]
    return BoxOut.of(
        forecast,
        **run_fields(backend, forecast),
        **_where(box),
        bbox=bbox,
        probability_of=probability_of,
        leads=leads,
        notes=_outside(forecast, bbox, box),
    )


def box_amount_out(backend: Backend, forecast: StoredForecast, bbox: BBox, box: BoxField | None) -> BoxAmountOut:
    """Return the rain depths of a box."""
    leads = [
        BoxAmountLeadOut(**when, coverage=_share(field_HW), total_mm=_rows(field_HW))
        for when, field_HW in zip(
            _times(forecast), _fields(forecast, None if box is None else box.total_mm_THW), strict=True
        )
    ]
    return BoxAmountOut.of(
        forecast,
        **run_fields(backend, forecast),
        **_where(box),
        bbox=bbox,
        rule=RULE,
        leads=leads,
        notes=_outside(forecast, bbox, box),
    )


def place_amount_out(backend: Backend, forecast: StoredForecast, lat: float, lon: float) -> PlaceAmountOut:
    """Return the rain depths of a place."""
    cell = forecast.grid.cell_of(lat, lon)
    count = len(forecast.lead_minutes)
    intervals: Sequence[float | None] = [None] * count
    totals: Sequence[float | None] = [None] * count
    analysis = None
    if cell is not None:
        fields = FIELDS.read(forecast)
        intervals_T = intervals_mm(fields, forecast.lead_minutes, cell)
        intervals, totals = _numbers(intervals_T), _numbers(totals_mm(intervals_T))
        analysis = None if fields.analysis_mmh_HW is None else _numbers(fields.analysis_mmh_HW[cell][None])[0]
    leads = [
        AmountLeadOut(**when, interval_mm=interval, total_mm=total)
        for when, interval, total in zip(_times(forecast), intervals, totals, strict=True)
    ]
    return PlaceAmountOut.of(
        forecast,
        **run_fields(backend, forecast),
        radar_coverage=point_series(forecast, lat, lon).coverage,
        lat=lat,
        lon=lon,
        row=cell and cell[0],
        col=cell and cell[1],
        rule=RULE,
        analysis_mmh=analysis,
        complete=None not in totals,
        leads=leads,
        notes=[OUTSIDE + swap_hint(forecast.grid, lat, lon)] if cell is None else [],
    )


def area_out(backend: Backend, forecast: StoredForecast, polygon: Polygon, shares: Sequence[float] = ()) -> AreaOut:
    """Return means, totals and probabilities over a polygon.

    Args:
        backend: of the request.
        forecast: which one.
        polygon: in longitude and latitude.
        shares: of the polygon, whose probabilities are wanted at every threshold.
    """
    area = area_series(forecast, polygon)
    leads = [_area_lead(forecast, area, number, shares) | when for number, when in enumerate(_times(forecast))]
    return AreaOut.of(
        area,
        **run_fields(backend, forecast),
        reference_time=forecast.reference_time,
        radar_coverage=area.coverage,
        members=area.ensemble and area.ensemble.members,
        notes=_area_notes(forecast, area, polygon),
        rule=RULE,
        leads=[AreaLeadOut(**lead) for lead in leads],
    )


def _area_notes(forecast: StoredForecast, area: AreaSeries, polygon: Polygon) -> list[str]:
    if not area.cells:
        return [AREA_OUTSIDE + box_swap_hint(forecast.grid, polygon.bounds)]
    return [] if area.ensemble else [NO_MEMBERS]


def _outside(forecast: StoredForecast, bbox: BBox, box: BoxField | None) -> list[str]:
    return [BOX_OUTSIDE + box_swap_hint(forecast.grid, bbox)] if box is None else []


def _area_lead(forecast: StoredForecast, area: AreaSeries, lead: int, shares: Sequence[float]) -> dict[str, Any]:
    rate, total = area.rates[lead], area.totals[lead]
    cells = [
        CellProbabilitiesOut(
            threshold_mmh=mmh, mean=_thousandths(by_lead[lead].mean), largest=_thousandths(by_lead[lead].largest)
        )
        for mmh, by_lead in zip(forecast.thresholds_mmh, area.probabilities, strict=True)
    ]
    return {
        "mean_mmh": rate.mean,
        "min_mmh": rate.smallest,
        "max_mmh": rate.largest,
        "coverage": rate.coverage,
        "total_mm": total.mean,
        "total_coverage": total.coverage,
        "cell_probabilities": cells,
        **_of_members(forecast, area.ensemble, lead, shares),
    }


def _of_members(
    forecast: StoredForecast, ensemble: AreaEnsemble | None, lead: int, shares: Sequence[float]
) -> dict[str, Any]:
    if ensemble is None:
        return {}
    found = [
        AreaShareOut(
            threshold_mmh=mmh, share=share, probability=_thousandths(ensemble.probability(lead, number, share))
        )
        for number, mmh in enumerate(forecast.thresholds_mmh)
        for share in shares
    ]
    total_mm = ensemble.total_mm(lead)
    names = (f"q{quantile * 100:.0f}" for quantile in QUANTILES)
    quantiles = total_mm and dict(zip(names, map(_thousandths, total_mm), strict=True))
    return {"area_probabilities": found, "total_quantiles_mm": quantiles}


def _where(box: BoxField | None) -> dict[str, Any]:
    if box is None:
        return {"row": None, "col": None, "grid": None, "radar_coverage": "no coverage"}
    return {
        "row": box.block.top,
        "col": box.block.left,
        "grid": grid_out(box.grid),
        "radar_coverage": box.coverage,
    }


def _times(forecast: StoredForecast) -> list[dict[str, Any]]:
    rows = zip(forecast.valid_times, forecast.lead_minutes, strict=True)
    return [{"valid_time": time, "lead_minutes": lead} for time, lead in rows]


def _fields(forecast: StoredForecast, fields_THW: Float32Field | None) -> Sequence[Float32Field | None]:
    return [None] * len(forecast.lead_minutes) if fields_THW is None else list(fields_THW)


def _rows(field_HW: Float32Field | None) -> Sequence[Sequence[float | None]] | None:
    return None if field_HW is None else rounded(field_HW)


def _thousandths(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _share(field_HW: Float32Field | None) -> float:
    return 0.0 if field_HW is None else float(np.isfinite(field_HW).mean())


def _numbers(values_T: Float32Field) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values_T]
