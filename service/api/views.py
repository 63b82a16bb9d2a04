"""Documents of forecasts: from the service's records to the responses of the interface."""

from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.grid import Grid
from core.settings import Settings
from core.shared_files import is_stored
from service.api.backend import Backend
from service.api.places import cities_of
from service.api.proxies import public_prefix
from service.api.score_views import score_rows
from service.forecasts.nowcast import StoredForecast, Verification
from service.forecasts.records import read_rate
from service.forecasts.statement import Statement, credit
from service.queries.rain import RAIN_MMH
from service.schemas.forecasts import (
    ForecastOut,
    GridOut,
    LeadOut,
    LinksOut,
    ModelOut,
    PictureOut,
    RadarCoverage,
    Status,
)
from service.schemas.scores import VerificationOut

Statistics = tuple[float | None, float | None, float | None, float]


def forecast_out(backend: Backend, forecast: StoredForecast, *, verify: bool = True) -> ForecastOut:
    """Return the document of a forecast, with its scores if `verify`."""
    service, settings = backend.service, backend.settings
    scores = service.verification_of(forecast) if verify else None
    leads = lead_rows(forecast)
    return ForecastOut.of(
        forecast,
        **run_fields(backend, forecast),
        stale_after_s=settings.stale_after_s,
        invented=settings.invented and forecast.origin == "scans",
        grid=grid_out(forecast.grid),
        radar_coverage=radar_coverage(forecast, leads),
        leads=leads,
        probability_thresholds_mmh=forecast.thresholds_mmh,
        verification=verification_out(scores),
        links=links_out(forecast),
    )


def attribution_text(forecast: StoredForecast, settings: Settings) -> str:
    """Return whose radar data a forecast shows: by the setting, its files, or the source with its licence."""
    if forecast.origin == "upload":
        return credit(forecast.product, forecast.provider, None)
    return Statement.of(settings).credit(forecast.product, forecast.provider)


def run_fields(backend: Backend, forecast: StoredForecast) -> dict[str, Any]:
    """Return the fields common to all documents of a forecast that depend on the time of the response."""
    return {
        "forecast_id": forecast.id,
        "status": status_of(backend, forecast),
        "stale": is_stale(backend, forecast),
        "data_age_s": round(backend.service.data_age_s(forecast), 3),
        "stale_from": forecast.reference_time + timedelta(seconds=backend.settings.stale_after_s),
        "attribution": attribution_text(forecast, backend.settings),
        "model": ModelOut(name=forecast.model, version=forecast.version),
    }


def is_stale(backend: Backend, forecast: StoredForecast) -> bool:
    """Return whether the newest input is now older than a live forecast's may be."""
    return backend.service.data_age_s(forecast) > backend.settings.stale_after_s


def status_of(backend: Backend, forecast: StoredForecast) -> Status:
    """Return the status now: a stored forecast from scans becomes stale with time."""
    return "stale" if is_stale(backend, forecast) else forecast.status


def lead_rows(forecast: StoredForecast) -> list[LeadOut]:
    """Return statistics of each forecast field over its grid cells with data."""
    statistics = _statistics(forecast.path, forecast.changed_ns, len(forecast.lead_minutes))
    rows = zip(forecast.valid_times, forecast.lead_minutes, statistics, strict=True)
    return [
        LeadOut(valid_time=time, lead_minutes=lead, max=most, mean=mean, wet_fraction=wet, coverage=coverage)
        for time, lead, (most, mean, wet, coverage) in rows
    ]


@lru_cache(maxsize=256)
def _statistics(path: Path, changed_ns: int, leads: int) -> tuple[Statistics, ...]:
    """Return maximum, mean, wet and covered share of each lead of a file; keyed by its time of change."""
    del changed_ns
    found: list[Statistics] = []
    for lead in range(leads):  # of a large grid all leads at once would be 100 MB
        rate_mmh_HW = read_rate(path, [lead])[0]
        known_N = rate_mmh_HW[np.isfinite(rate_mmh_HW)]
        coverage = known_N.size / rate_mmh_HW.size
        if not known_N.size:
            found.append((None, None, None, coverage))
            continue
        mean, wet = float(known_N.mean(dtype=np.float64)), float((known_N >= RAIN_MMH).mean())
        found.append((float(known_N.max()), mean, wet, coverage))
    return tuple(found)


def radar_coverage(forecast: StoredForecast, leads: list[LeadOut]) -> RadarCoverage:
    """Return the radar coverage of the whole grid in met.no's terms."""
    if not any(lead.coverage for lead in leads):
        return "no coverage"
    return "temporarily unavailable" if forecast.missing_radars else "ok"


def verification_out(scores: Verification | None) -> VerificationOut | None:
    """Return the scores of one forecast as a flat list."""
    if scores is None:
        return None
    return VerificationOut(
        kind=scores.kind, scores=score_rows(scores.scores), scores_known=score_rows(scores.scores_known)
    )


def grid_out(grid: Grid) -> GridOut:
    """Return a grid with its corners and the cities on it."""
    return GridOut.of(grid, corners_lon_lat=grid.corners_lon_lat(), cities=cities_of(grid))


def links_out(forecast: StoredForecast) -> LinksOut:
    """Return links to all parts of the forecast, by its id so that they always refer to this one."""
    here = f"{public_prefix()}/nowcast/{forecast.id}"
    return LinksOut(
        self=here,
        file=f"{here}/file.nc",
        observations=f"{here}/observations.nc" if forecast.observations_path else None,
        odim=f"{here}/file.h5",
        geotiff=f"{here}/file.tif",
        point=f"{here}/point{{?lat,lon}}",
        motion=f"{here}/motion{{?every_km,bbox}}",
        box=f"{here}/box{{?bbox}}",
        area=f"{here}/area{{?polygon}}",
        accumulation=f"{here}/accumulation{{?lat,lon,bbox}}",
        edr=f"{public_prefix()}/collections/nowcast/instances/{forecast.id}",
        probability=f"{here}/image/{{lead}}.png{{?probability_of}}" if forecast.thresholds_mmh else None,
        about=f"{public_prefix()}/models",
        map=f"{here}/map",
        pictures=pictures_out(forecast, here),
    )


def pictures_out(forecast: StoredForecast, here: str) -> list[PictureOut]:
    """Return the sequence of pictures: the input frames, then the leads."""
    kept = is_stored(forecast.inputs_path)
    cadence = _input_cadence(forecast)
    observed = []
    for index, time in enumerate(forecast.input_times):
        lead = (index - len(forecast.input_times) + 1) * cadence
        nominal_time = forecast.reference_time + timedelta(minutes=lead)
        href = f"{here}/observed/{index}.png" if kept and time else None
        observed.append(PictureOut(kind="observed", valid_time=time or nominal_time, lead_minutes=lead, href=href))
    return observed + [
        PictureOut(kind="forecast", valid_time=time, lead_minutes=lead, href=f"{here}/image/{lead}.png")
        for time, lead in zip(forecast.valid_times, forecast.lead_minutes, strict=True)
    ]


def _input_cadence(forecast: StoredForecast) -> int:
    """Return the spacing of the input frames in minutes, which the leads may have a multiple of."""
    if forecast.cadence_minutes:
        return forecast.cadence_minutes
    before = [(index, time) for index, time in enumerate(forecast.input_times[:-1]) if time]
    if not before:
        return forecast.lead_minutes[0]
    index, time = before[0]
    minutes = (forecast.reference_time - time) / timedelta(minutes=1)
    return round(minutes / (len(forecast.input_times) - 1 - index))
