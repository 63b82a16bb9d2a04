"""What an operator sees of a process: its log lines and counts from the start, and the forecasts that it makes."""

import logging

from core.logs import set_up_logs
from core.settings import Settings
from service.forecasts.records import BASELINES, Forecast
from service.telemetry.metric_files import keep_in_files
from service.telemetry.metrics import FRAMES_MISSING

log = logging.getLogger(__name__)


def start_observing(part: str, settings: Settings) -> None:
    """Set up logs as the settings say, and keep counts with those of the other processes of the live store."""
    set_up_logs(part, settings.log_level, settings.log_format)
    keep_in_files(settings.home)


def forecast_made(forecast: Forecast) -> None:
    """Tell of a forecast that was made and not found, and count what it lacked."""
    missing = sum(time is None for time in forecast.input_times)
    if forecast.origin == "scans" and forecast.model not in BASELINES and missing:
        FRAMES_MISSING.labels(forecast.product).inc(missing)
    notes = f"; {'; '.join(forecast.notes)}" if forecast.notes else ""
    log.info("forecast made by %s from %s%s", forecast.method, forecast.origin, notes)
