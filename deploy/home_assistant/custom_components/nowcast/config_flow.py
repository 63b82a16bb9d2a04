"""The dialogue that adds a place of a service, and the one that asks for a new API key."""

from collections.abc import Mapping
from typing import Any

import voluptuous as vol
from homeassistant.config_entries import ConfigEntry, ConfigFlow
from homeassistant.const import CONF_LATITUDE, CONF_LONGITUDE, CONF_NAME
from homeassistant.data_entry_flow import FlowResult
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.aiohttp_client import async_get_clientsession

from .api import NowcastApi, NowcastApiError, NowcastAuthError, NowcastNoDataError
from .const import CONF_API_KEY, CONF_URL, DEFAULT_URL, DOMAIN, NO_COVERAGE


class NowcastConfigFlow(ConfigFlow, domain=DOMAIN):
    """Adds a place: the service is asked for its forecast before the place is stored."""

    VERSION = 1
    _entry: ConfigEntry | None = None

    async def async_step_user(self, user_input: dict[str, Any] | None = None) -> FlowResult:
        """Ask for the service and the place."""
        errors: dict[str, str] = {}
        if user_input is not None:
            data = {**user_input, CONF_URL: user_input[CONF_URL].rstrip("/")}
            name = data.pop(CONF_NAME)
            await self.async_set_unique_id(f"{data[CONF_URL]} {data[CONF_LATITUDE]:.4f} {data[CONF_LONGITUDE]:.4f}")
            self._abort_if_unique_id_configured()
            problem = await self._problem(data)
            if problem is None:
                return self.async_create_entry(title=name, data=data)
            errors["base"] = problem
        return self.async_show_form(step_id="user", data_schema=self._schema(user_input or {}), errors=errors)

    async def async_step_reauth(self, entry_data: Mapping[str, Any]) -> FlowResult:
        """Begin the dialogue for a new API key."""
        self._entry = self.hass.config_entries.async_get_entry(self.context["entry_id"])
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(self, user_input: dict[str, Any] | None = None) -> FlowResult:
        """Ask for a new API key."""
        assert self._entry is not None
        errors: dict[str, str] = {}
        if user_input is not None:
            data = {**self._entry.data, CONF_API_KEY: user_input[CONF_API_KEY]}
            problem = await self._problem(data)
            if problem is None:
                self.hass.config_entries.async_update_entry(self._entry, data=data)
                await self.hass.config_entries.async_reload(self._entry.entry_id)
                return self.async_abort(reason="reauth_successful")
            errors["base"] = problem
        schema = vol.Schema({vol.Required(CONF_API_KEY): str})
        return self.async_show_form(step_id="reauth_confirm", data_schema=schema, errors=errors)

    def _schema(self, given: dict[str, Any]) -> vol.Schema:
        config = self.hass.config
        return vol.Schema(
            {
                vol.Required(CONF_NAME, default=given.get(CONF_NAME, "Rain")): str,
                vol.Required(CONF_URL, default=given.get(CONF_URL, DEFAULT_URL)): str,
                vol.Optional(CONF_API_KEY, description={"suggested_value": given.get(CONF_API_KEY)}): str,
                vol.Required(CONF_LATITUDE, default=given.get(CONF_LATITUDE, config.latitude)): cv.latitude,
                vol.Required(CONF_LONGITUDE, default=given.get(CONF_LONGITUDE, config.longitude)): cv.longitude,
            }
        )

    async def _problem(self, data: Mapping[str, Any]) -> str | None:
        """Return the key of the message for a service that gives no forecast for the place; None if it does."""
        session = async_get_clientsession(self.hass)
        place = data[CONF_LATITUDE], data[CONF_LONGITUDE]
        try:
            point = await NowcastApi(session, data[CONF_URL], data.get(CONF_API_KEY), *place).point()
            coverage = point["radar_coverage"]
        except NowcastAuthError:
            return "invalid_auth"
        except NowcastNoDataError:
            return "no_forecast"
        except (NowcastApiError, KeyError, TypeError):
            return "cannot_connect"
        return "no_coverage" if coverage == NO_COVERAGE else None
