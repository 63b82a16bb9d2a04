"""The embedded queue server, for real: waiting tasks survive a kill, those of a dead worker return to the queue."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Connection

from core.errors import ConfigError
from service.process import broker as broker_module
from service.process.broker import Broker, check_port, embedded, free_port, server_program
from tests.waiting import wait_until

pytestmark = pytest.mark.stack


@contextmanager
def running(broker: Broker) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(broker.command) as server:
        try:
            wait_until(broker.answers, "queue server", process=server)
            yield server
        finally:
            server.kill()


def test_what_waits_survives_a_kill_of_the_server(tmp_path: Path):
    broker = embedded(tmp_path)
    assert not broker.answers()
    with running(broker), redis.Redis.from_url(broker.url) as client:
        client.lpush("celery", "waiting")
    again = embedded(tmp_path)
    assert again.url != broker.url
    with running(again), redis.Redis.from_url(again.url) as client:
        assert client.lrange("celery", 0, -1) == [b"waiting"]


def test_nobody_without_the_password_is_let_in(tmp_path: Path):
    broker = embedded(tmp_path)
    stranger = redis.Redis.from_url(f"redis://127.0.0.1:{broker.url.rsplit(':', 1)[1]}")
    with running(broker), stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    assert (tmp_path / "redis" / "server.conf").stat().st_mode & 0o077 == 0


def test_what_a_dead_worker_had_taken_goes_back_into_the_queue(tmp_path: Path):
    broker = embedded(tmp_path)
    with running(broker):
        app = Celery("test", broker=broker.url)
        app.send_task("anything", task_id="taken")
        with Connection(broker.url) as connection:
            channel: Any = connection.default_channel
            message = channel.basic_get("celery")
            assert message.headers["id"] == "taken"
            # the process that took it dies here: neither acknowledged nor put back
            broker.requeue_unacknowledged()
            assert channel.client.llen("celery") == 1
            assert channel.client.zcard(channel.unacked_index_key) == 0
            channel.qos._delivered.clear()
        app.close()


def test_the_server_program_is_the_packages_else_one_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = server_program()
    assert "Valkey server" in subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    monkeypatch.setattr(broker_module, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"install valkey-server or redis-server, or name .* NOWCAST_REDIS_URL"):
        server_program()
    shutil.copy(program, tmp_path / "redis-server")
    assert server_program() == tmp_path / "redis-server"


def test_a_port_in_use_is_one_clear_error():
    check_port("127.0.0.1", free_port("127.0.0.1"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on port {port} of 127.0.0.1 .*--port or NOWCAST_PORT"):
            check_port("127.0.0.1", port)
