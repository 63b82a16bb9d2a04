"""Why a rule can raise no alert: its area or its lead window has nothing in common with the forecasts."""

import numpy as np

from service.alerts.cells import AreaCells, Cells
from service.alerts.regions import Regions
from service.alerts.rule import SUM, AlertRule
from service.forecasts.fields import FIELDS
from service.forecasts.records import StoredForecast
from service.queries.cells import swap_hint


def doubts_of(rule: AlertRule, forecast: StoredForecast, regions: Regions) -> list[str]:
    """Return why a rule raises no alert with forecasts such as this one; empty where nothing prevents it."""
    (cells_N,) = AreaCells(regions).of(forecast.grid, {rule.area_key: rule.area})
    doubts = []
    if not cells_N.size:
        kind, value = rule.area
        hint = swap_hint(forecast.grid, value["lat"], value["lon"]) if kind == "place" else ""
        doubts.append(f"no alert can be raised, since the area is outside the grid of the forecasts{hint}")
    elif not _is_observed(forecast, cells_N):
        doubts.append("no alert can be raised, since no radar observes the area")
    leads = forecast.lead_minutes
    if rule.quantity != SUM and not any(rule.lead_from <= lead <= rule.lead_to for lead in leads):
        near = ", ".join(str(lead) for lead in leads if abs(lead - rule.lead_from) <= 60) or f"up to {leads[-1]}"
        doubts.append(f"no alert can be raised, since no lead of the forecasts is in the lead window: {near} minutes")
    return doubts


def _is_observed(forecast: StoredForecast, cells_N: Cells) -> bool:
    """Return whether a radar observes some of the cells, or did in earlier scans."""
    fields = FIELDS.read(forecast)
    rows_cols = np.unravel_index(cells_N, forecast.grid.shape)
    return bool(np.isfinite(fields.rate[0, *rows_cols]).any() or fields.usual_HW[rows_cols].any())
