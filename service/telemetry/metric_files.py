"""The counts of every process of one live store in files of one folder, so that any process can sum them.

prometheus_client's multiprocess mode: each process writes its own files immediately, so that a kill loses nothing. They
are named by a number that no other living process has, and the next process continues the counts of one that has ended:
sums never fall, and there are never more files than processes at a time.
"""

import fcntl
import logging
import os
from pathlib import Path
from typing import IO, Any, Final

from prometheus_client import CollectorRegistry, start_http_server, values
from prometheus_client.metrics import MetricWrapperBase

from core.settings import Settings
from service.telemetry import metrics
from service.telemetry.metric_store import SoundCollector, counts_in_files

log = logging.getLogger(__name__)
FOLDER: Final = "metrics"
WHERE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable of the library; set here, and read by nothing else of the project."""


class Slot:
    """The lowest number that no living process of `folder` has; held until the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid = 0
        self._number = 0
        self._file: IO[bytes] | None = None

    def __call__(self) -> str:
        """Return the number of this process; a forked child takes another one."""
        if self._pid != os.getpid():
            self._take()
            self._pid = os.getpid()
        return str(self._number)

    def _take(self) -> None:
        number = 0
        while True:
            file = (self._folder / f"{number}.lock").open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                number += 1
                continue
            self._number, self._file = number, file
            return


def keep_in_files(home: Path) -> None:
    """Keep the counts of this process in files below `home` from now on; if that fails, in its memory."""
    folder = home.resolve() / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        slot = Slot(folder)
        slot()
    except OSError as err:
        log.warning("metrics of this process only: %s", err)
        return
    os.environ.pop(WHERE, None)
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            metric.clear()  # what was counted before would stay outside
    os.environ[WHERE] = str(folder)
    # The documented way, the variable alone, names files by process id: one more with every process that ever ran, and
    # reading gets slower and slower (client_python issue 509). There is no setting for `process_identifier`.
    library: Any = values
    library.ValueClass = counts_in_files(slot)


def show_counts(settings: Settings) -> None:
    """Show the counts of this machine's processes to Prometheus at the port of the settings, if they name one.

    One process of a machine does so for all; without the port a process works all the same.
    """
    if not settings.metrics_port:
        return
    try:
        start_http_server(settings.metrics_port, settings.host, counted(settings.home))
    except OSError as err:
        log.warning("metrics are not shown at port %d: %s", settings.metrics_port, err)


def counted(home: Path) -> CollectorRegistry:
    """Return the counts of all processes of the live store; of this process alone where it keeps no files there."""
    folder = home.resolve() / FOLDER
    if os.environ.get(WHERE) != str(folder):
        return metrics.COUNTED
    registry = CollectorRegistry()
    SoundCollector(registry, path=str(folder))
    return registry
