"""Notifications over MQTT that a new file exists: they make a source look at once, and bring no data themselves."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from core.errors import ConfigError, UnavailableError

PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
LONGEST_RECONNECT_S: Final = 300
MAX_MESSAGE_BYTES: Final = 2**20
log = logging.getLogger(__name__)


def mqtt_client(url: str) -> tuple[Client, str, int]:
    """Return a client that is not connected yet, and the broker's host and port.

    Args:
        url: `wss://user:password@host:8884/path`; also ws, mqtt and mqtts.

    Raises:
        ConfigError: not such a URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ConfigError(f"MQTT URL: expected one such as wss://user:password@host:8884/path, got {url!r}")
    over_web = parts.scheme in ("ws", "wss")
    client = Client(CallbackAPIVersion.VERSION2, transport="websockets" if over_web else "tcp")
    if over_web:
        client.ws_set_options(parts.path or "/mqtt")
    if parts.scheme in ("wss", "mqtts"):
        client.tls_set()
    if parts.username:
        client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
    return client, parts.hostname, parts.port or PORTS[parts.scheme]


class Notifications:
    """Subscribes to one topic in a thread of its own and sets `arrived` at each message that is relevant.

    A broken connection is restored with growing waits; the source goes on polling without it.

    Args:
        url: `wss://user:password@host:8884/path`; also ws, mqtt and mqtts.
        topic: to subscribe to; may hold wildcards.
        is_relevant: of a message's bytes; UnavailableError for bytes that it cannot read, which are ignored.

    Raises:
        ConfigError: not such a URL.
    """

    def __init__(self, url: str, topic: str, is_relevant: Callable[[bytes], bool]) -> None:
        self._client, self._host, self._port = mqtt_client(url)
        self.arrived = threading.Event()
        self._topic, self._is_relevant = topic, is_relevant
        self._client.reconnect_delay_set(1, LONGEST_RECONNECT_S)
        self._client.on_connect = self._subscribe
        self._client.on_message = self._take

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hold the subscription; a broker that does not respond now is retried in the background."""
        self._client.connect_async(self._host, self._port)
        self._client.loop_start()
        try:
            yield
        finally:
            self._client.disconnect()
            self._client.loop_stop()

    def _subscribe(self, client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.warning("MQTT broker %s:%d refuses the connection: %s", self._host, self._port, reason)
            return
        client.subscribe(self._topic, qos=1)
        self.arrived.set()  # files may have appeared while there was no connection

    def _take(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            if len(message.payload) <= MAX_MESSAGE_BYTES and self._is_relevant(bytes(message.payload)):
                self.arrived.set()
        except UnavailableError as err:
            log.warning("ignored a message on %s: %s", message.topic, err)
