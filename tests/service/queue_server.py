"""An embedded queue server for a test's own processes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.process.broker import Broker, embedded
from tests.waiting import wait_until


@contextmanager
def queue_server(home: Path) -> Iterator[Broker]:
    broker = embedded(home)
    with subprocess.Popen(broker.command) as server:
        try:
            wait_until(broker.answers, "queue server", process=server)
            yield broker
        finally:
            server.kill()
