"""Notifications that a forecast is there: WIS2 notification messages on the operator's MQTT broker, in their order.

The message is that of WMO's "WIS2 Notification Message" 1.0 (Manual on WIS, volume II, appendix F): a GeoJSON feature
with the address, the size and the hash of the file. Its id is the same in every copy.
"""

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Engine

from core.errors import ConfigError
from core.settings import Settings
from core.times import iso, stamp
from service.alerts.channels.publisher import broker_problem, publisher_of
from service.alerts.messages import required_address
from service.alerts.pending import mark_evaluated, newer_forecasts
from service.forecasts.nowcast import NowcastService
from service.forecasts.records import StoredForecast

PART: Final = "wis2"
CONFORMS_TO: Final = ("http://wis.wmo.int/spec/wnm/1/conf/core",)
NETCDF: Final = "application/netcdf"
HASH: Final = "sha512"
LEVELS_BEFORE_DATA_ID: Final = 3
"""Levels of a WIS2 topic that a `data_id` leaves out: channel, version, system (`origin/a/wis2`)."""

CENTRE: Final = slice(LEVELS_BEFORE_DATA_ID, LEVELS_BEFORE_DATA_ID + 1)
"""Where a topic has the id of the centre."""

FETCHED: Final = "receivers of WIS2 notifications fetch the file of a forecast"
MOST_AT_ONCE: Final = 24


def announce(service: NowcastService, engine: Engine, settings: Settings) -> int:
    """Publish a notification for each forecast that is new since the last one; return their number.

    A forecast is marked after it was published: one that is cut off in between is published again with the same id.

    Raises:
        DeliveryError: the broker does not have one; it and those after it are published by the next call.
    """
    if settings.mqtt_url is None or settings.wis2_topic is None or notification_problem(settings) is not None:
        return 0
    waiting = newer_forecasts(service, engine, PART, settings)[-MOST_AT_ONCE:]
    for forecast in waiting:
        message = json.dumps(notification_of(forecast, settings, datetime.now(UTC))).encode()
        publisher_of(settings.mqtt_url.get_secret_value()).publish(settings.wis2_topic, message)
        mark_evaluated(engine, forecast, PART)
    return len(waiting)


def notification_problem(settings: Settings) -> str | None:
    """Return what is wrong in the settings of notifications; None where nothing is, or none are wanted."""
    if settings.wis2_topic is None:
        return None
    if settings.mqtt_url is None:
        return "NOWCAST_MQTT_URL: expected a broker where NOWCAST_WIS2_TOPIC is set, got none"
    try:
        required_address(settings, FETCHED)
    except ConfigError as err:
        return str(err)
    return broker_problem(settings)


def notification_of(forecast: StoredForecast, settings: Settings, now: datetime) -> dict[str, Any]:
    """Return the notification of a forecast.

    Args:
        forecast: which one.
        settings: of the service, with a topic.
        now: time of the publication.
    """
    topic = (settings.wis2_topic or "").split("/")
    north_west, north_east, south_east, south_west = forecast.grid.corners_lon_lat()
    ring = [south_west, south_east, north_east, north_west, south_west]
    with forecast.path.open("rb") as file:
        digest = hashlib.file_digest(file, HASH).digest()
    return {
        "id": str(uuid5(NAMESPACE_URL, f"wis2:{forecast.id}")),
        "type": "Feature",
        "conformsTo": list(CONFORMS_TO),
        "geometry": {"type": "Polygon", "coordinates": [[[round(lon, 4), round(lat, 4)] for lon, lat in ring]]},
        "properties": {
            "data_id": "/".join([*topic[LEVELS_BEFORE_DATA_ID:], f"{stamp(forecast.reference_time)}_{forecast.id}"]),
            "metadata_id": ":".join(("urn:wmo:md", *topic[CENTRE], "nowcast")),
            "pubtime": iso(now.replace(microsecond=0)),
            "start_datetime": iso(forecast.valid_times[0]),
            "end_datetime": iso(forecast.valid_times[-1]),
            "integrity": {"method": HASH, "value": base64.b64encode(digest).decode()},
        },
        "links": [
            {
                "rel": "canonical",
                "type": NETCDF,
                "href": f"{required_address(settings, FETCHED)}/nowcast/{forecast.id}/file.nc",
                "length": forecast.path.stat().st_size,
            }
        ],
    }
