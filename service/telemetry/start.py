"""What a process of the service measures, switched on at its start."""

from core.settings import Settings
from core.stages import measure_stages
from service.telemetry.metric_files import keep_in_files, show_counts
from service.telemetry.stages import stage
from service.telemetry.traces import start_traces


def start_telemetry(part: str, settings: Settings) -> None:
    """Keep the counts of this process in files, measure the stages of its work, and send its traces where one is named.

    Args:
        part: name of the process in its traces: api, worker, alerts.
        settings: with the home, and with the receiver of traces.

    Raises:
        ConfigError: a receiver of traces is set, and the packages are not installed.
    """
    keep_in_files(settings.home)
    if part != "api":
        show_counts(settings)
    start_traces(part, settings)
    measure_stages(stage)
