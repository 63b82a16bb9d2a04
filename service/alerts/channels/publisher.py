"""Publishing to the operator's MQTT broker over one connection of a process, opened when it is needed."""

import threading
from contextlib import suppress
from functools import lru_cache
from time import monotonic
from typing import Any, Final

from paho.mqtt.client import Client

from core.errors import ConfigError
from core.settings import Settings
from ingest.sources.notifications import mqtt_client
from service.alerts.channels.base import DeliveryError

WHOLE_S: Final = 10.0
"""Longest time of a connection or of one message."""

AT_LEAST_ONCE: Final = 1


class MqttPublisher:
    """Publishes messages and waits until the broker has each.

    A connection that fails is dropped with what it had not sent, so that a message which counts as failed is not sent
    later by the library too.

    Args:
        url: of the broker, as `mqtt_client` takes it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._client: Client | None = None

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a message.

        Raises:
            DeliveryError: the broker does not have it.
        """
        client = self._connected()
        try:
            published = client.publish(topic, payload, qos=AT_LEAST_ONCE)
            published.wait_for_publish(WHOLE_S)
            if published.is_published():
                return
            problem = f"not taken within {WHOLE_S:.0f} s"
        except (RuntimeError, ValueError) as err:
            problem = str(err)
        self._drop(client)
        raise DeliveryError(f"the MQTT broker has no message: {problem}", blocks_host=True)

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._drop(self._client)

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = connect(self._url)
            return self._client

    def _drop(self, client: Client) -> None:
        with self._lock:
            if self._client is client:
                self._client = None
        with suppress(OSError, ValueError):
            client.disconnect()
        client.loop_stop()


def connect(url: str) -> Client:
    """Return a connected client whose thread runs.

    Raises:
        DeliveryError: the broker does not answer, or refuses the connection.
        ConfigError: not a URL of a broker.
    """
    client, host, port = mqtt_client(url)
    answered, reasons = threading.Event(), list[Any]()

    def on_connect(_client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        reasons.append(reason)
        answered.set()

    client.on_connect = on_connect
    client.connect_timeout = WHOLE_S
    began_s = monotonic()
    try:
        client.connect(host, port)
    except (OSError, ValueError) as err:
        raise DeliveryError(f"the MQTT broker does not answer: {type(err).__name__}", blocks_host=True) from err
    client.loop_start()
    if answered.wait(max(0.1, WHOLE_S - (monotonic() - began_s))) and not reasons[0].is_failure:
        return client
    client.loop_stop()
    problem = f"refuses the connection: {reasons[0]}" if reasons else "does not answer"
    raise DeliveryError(f"the MQTT broker {problem}", blocks_host=True)


def broker_problem(settings: Settings) -> str | None:
    """Return what is wrong in NOWCAST_MQTT_URL, without its text, which may hold a password; None: nothing."""
    if settings.mqtt_url is None:
        return None
    try:
        mqtt_client(settings.mqtt_url.get_secret_value())
    except (ConfigError, ValueError):
        return "NOWCAST_MQTT_URL: expected one such as mqtts://user:password@host:8883, got another text"
    return None


@lru_cache(maxsize=4)
def publisher_of(url: str) -> MqttPublisher:
    """Return the publisher of this process."""
    return MqttPublisher(url)
