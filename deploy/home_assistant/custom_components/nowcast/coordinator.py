"""What the entities show, read from the service every five minutes."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ConfigEntryAuthFailed
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt

from .api import NowcastApi, NowcastApiError, NowcastAuthError
from .const import DOMAIN, LANGUAGES, UPDATE_INTERVAL

LOGGER = logging.getLogger(__package__)


@dataclass(frozen=True)
class Nowcast:
    """Documents of one forecast at the place.

    Attributes:
        point: `/nowcast/latest/point`.
        minutes: `/nowcast/{id}/minutes`.
        rules: `/rules`, by the id of the rule.
    """

    point: dict[str, Any]
    minutes: dict[str, Any]
    rules: dict[str, dict[str, Any]]

    @property
    def stale(self) -> bool:
        """Return whether the data are too old for a forecast of now."""
        return bool(self.point["stale"])

    @property
    def forecast_id(self) -> str:
        """Return the id of the forecast."""
        return str(self.point["forecast_id"])

    @property
    def reference_time(self) -> datetime:
        """Return the time of the newest radar scan."""
        found = dt.parse_datetime(self.point["reference_time"])
        assert found is not None
        return found


class NowcastCoordinator(DataUpdateCoordinator[Nowcast]):
    """Reader of one service for one place.

    Args:
        hass: Home Assistant.
        api: requests to the service.
    """

    def __init__(self, hass: HomeAssistant, api: NowcastApi) -> None:
        super().__init__(hass, LOGGER, name=DOMAIN, update_interval=UPDATE_INTERVAL)
        self.api = api

    async def _async_update_data(self) -> Nowcast:
        language = self.hass.config.language
        try:
            point = await self.api.point()
            minutes = await self.api.minutes(point["forecast_id"], language if language in LANGUAGES else "en")
            rules = await self.api.rules()
        except NowcastAuthError as err:
            raise ConfigEntryAuthFailed(str(err)) from err
        except NowcastApiError as err:
            raise UpdateFailed(str(err)) from err
        return Nowcast(point, minutes, {rule["rule_id"]: rule for rule in rules})
