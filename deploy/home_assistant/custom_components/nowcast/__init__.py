"""Precipitation nowcast: the rain of the next two and a half hours, from a service of one's own."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_LATITUDE, CONF_LONGITUDE, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession

from .api import NowcastApi
from .const import CONF_API_KEY, CONF_URL, DOMAIN
from .coordinator import NowcastCoordinator

PLATFORMS = [Platform.BINARY_SENSOR, Platform.CAMERA, Platform.SENSOR, Platform.WEATHER]


async def async_setup_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
    """Set up one place of one service."""
    data = entry.data
    session = async_get_clientsession(hass)
    api = NowcastApi(session, data[CONF_URL], data.get(CONF_API_KEY), data[CONF_LATITUDE], data[CONF_LONGITUDE])
    coordinator = NowcastCoordinator(hass, api)
    await coordinator.async_config_entry_first_refresh()
    hass.data.setdefault(DOMAIN, {})[entry.entry_id] = coordinator
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
    """Remove one place."""
    done = await hass.config_entries.async_unload_platforms(entry, PLATFORMS)
    if done:
        hass.data[DOMAIN].pop(entry.entry_id)
    return done
