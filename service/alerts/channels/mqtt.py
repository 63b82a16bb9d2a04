"""Alerts on the operator's MQTT broker: `NOWCAST_MQTT_TOPIC/alerts/RULE_ID`."""

from core.errors import InputError
from core.settings import Settings
from service.alerts.channels.base import CHANNELS, AlertMessage, Channel, DeliveryError, Target
from service.alerts.channels.publisher import broker_problem, publisher_of


@CHANNELS.register("mqtt")
class Mqtt(Channel):
    """The document as JSON, at least once; `delivery_id` is the same in every copy of a message."""

    def problem(self, settings: Settings) -> str | None:
        """Return what is wrong in the address of the broker."""
        return broker_problem(settings)

    def check(self, target: Target, settings: Settings) -> None:  # noqa: ARG002
        """Check that there is a broker; users name none, so that none leads into the server's own network."""
        if settings.mqtt_url is None:
            raise InputError("targets.kind: mqtt needs a broker (NOWCAST_MQTT_URL), and this service has none")

    def send(self, message: AlertMessage) -> None:
        """Deliver a message."""
        url = message.settings.mqtt_url
        if url is None:
            raise DeliveryError("NOWCAST_MQTT_URL names no broker any more", is_final=True)
        topic = f"{message.settings.mqtt_topic}/alerts/{message.document['rule_id']}"
        publisher_of(url.get_secret_value()).publish(topic, message.body)
