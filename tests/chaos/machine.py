"""What the service stands on and can be harmed: a disk that is slow on request, and a PostgreSQL server."""

import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from tests.end_to_end.clock import built
from tests.end_to_end.stack import alive, descendants
from tests.servers import Postgresql, postgresql

SOURCE: Final = Path(__file__).with_name("slow_disk.c")
DELAYS: Final = struct.Struct("=qqq")
BUSY: Final = "SELECT pid FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
ANY: Final = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
LOOK_FOR_S: Final = 5.0


class SlowDisk:
    """The disk of a folder; by `LD_PRELOAD`, since a file system of its own that is slow needs a kernel module."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._file = folder / "disk"
        self._file.write_bytes(DELAYS.pack(0, 0, 0))
        self.environment = {"LD_PRELOAD": str(library), "TEST_DISK_FILE": str(self._file)}

    @contextmanager
    def slow(self, home: Path, sync_s: float, write_s: float) -> Iterator[None]:
        """Let each sync and each write of a file on the file system of `home` take that much longer."""
        nanoseconds = (round(sync_s * 1e9), round(write_s * 1e9))
        self._set(*nanoseconds, home.stat().st_dev)
        try:
            yield
        finally:
            self._set(0, 0, 0)

    def _set(self, *values: int) -> None:
        with self._file.open("r+b") as file:  # in place: every process has it mapped
            file.write(DELAYS.pack(*values))


def slow_disk(folder: Path) -> SlowDisk | None:
    """A disk that is not slow yet; None where there is no C compiler, or no Linux."""
    library = built(SOURCE, folder)
    return SlowDisk(folder, library) if library else None


class Database(Postgresql):
    """A PostgreSQL server that is harmed."""

    def pids(self) -> list[int]:
        """The postmaster, which comes first, and what it has started."""
        with suppress(OSError, ValueError, IndexError):
            postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
            return [postmaster, *descendants(postmaster)]
        return []

    def send(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """End the server at once, in the middle of what it does; it recovers from its log at the next start."""
        postmaster, *_ = self.pids()
        os.kill(postmaster, signal.SIGQUIT)
        while alive(postmaster):
            time.sleep(0.05)

    def kill_transaction(self) -> int:
        """Kill the process of a transaction that has written: the server ends all others, and recovers; its id."""
        ends = time.monotonic() + LOOK_FOR_S
        while not (found := self._client(BUSY)) and time.monotonic() < ends:
            pass
        pid = found or self._client(ANY)
        if pid:
            os.kill(pid, signal.SIGKILL)
        return pid

    def _client(self, query: str) -> int:
        engine = create_engine(self.url)
        try:
            with engine.connect() as connection:
                return int(connection.exec_driver_sql(query).scalar() or 0)
        except OperationalError:
            return 0
        finally:
            engine.dispose()


@contextmanager
def database(is_wanted: bool) -> Iterator[Database | None]:
    """A PostgreSQL server to harm; None where none is wanted.

    Raises:
        NotThereError: there is none on this machine.
    """
    if not is_wanted:
        yield None
        return
    with postgresql() as server:
        yield Database(server.url, server.data, server.process)


def stutter(send: Callable[[signal.Signals], None], for_s: float, step_s: float = 0.05) -> None:
    """Let processes stand still for nine tenths of some seconds."""
    ends = time.monotonic() + for_s
    while time.monotonic() < ends:
        send(signal.SIGSTOP)
        time.sleep(9 * step_s)
        send(signal.SIGCONT)
        time.sleep(step_s)
