"""Diagnostics for a report of a problem, without coordinates, addresses and keys."""

from typing import Any

from homeassistant.components.diagnostics import async_redact_data
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant

from .const import DOMAIN
from .coordinator import NowcastCoordinator

HIDDEN = {
    *("api_key", "url", "latitude", "longitude", "lat", "lon", "row", "col", "time_zone", "place_time_zone"),
    *("place", "bbox", "polygon", "region", "name", "targets", "secret", "links"),
}


async def async_get_config_entry_diagnostics(hass: HomeAssistant, entry: ConfigEntry) -> dict[str, Any]:
    """Return configuration and documents; what says where the place is, is left out."""
    coordinator: NowcastCoordinator = hass.data[DOMAIN][entry.entry_id]
    nowcast = coordinator.data
    documents = {"point": nowcast.point, "minutes": nowcast.minutes, "rules": list(nowcast.rules.values())}
    return {
        "configuration": async_redact_data(dict(entry.data), HIDDEN),
        "updated": coordinator.last_update_success,
        **async_redact_data(documents, HIDDEN),
    }
