"""A running nowcast service at NOWCAST_URL, on this machine, and the integration set up for a place with rain.

NOWCAST_PLACE is that place: latitude and longitude, separated by a comma.
"""

import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from custom_components.nowcast.const import DOMAIN
from homeassistant.core import HomeAssistant
from pytest_homeassistant_custom_component.common import MockConfigEntry

LAT, LON = (float(part) for part in os.environ.get("NOWCAST_PLACE", "51.2345,9.5432").split(","))
PLACE = {"latitude": LAT, "longitude": LON}


@pytest.fixture(autouse=True)
def every_test_has_the_integration(enable_custom_integrations: None, socket_enabled: None) -> None:
    """Also a way to 127.0.0.1."""


@pytest.fixture(scope="session")
def url() -> str:
    return os.environ.get("NOWCAST_URL") or pytest.skip("NOWCAST_URL names no running service")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def point(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """The forecast of the place as the service answers it."""
    async with http.get(f"{url}/nowcast/latest/point", params={"lat": LAT, "lon": LON}) as answer:
        found: dict[str, Any] = await answer.json()
    return found


@pytest.fixture
async def entry(hass: HomeAssistant, url: str) -> MockConfigEntry:
    """The integration, set up."""
    made = MockConfigEntry(domain=DOMAIN, title="Home", data={"url": url, **PLACE})
    made.add_to_hass(hass)
    assert await hass.config_entries.async_setup(made.entry_id)
    await hass.async_block_till_done()
    return made
