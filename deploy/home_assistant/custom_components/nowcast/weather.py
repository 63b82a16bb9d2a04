"""The weather entity: rain now, the next hours, and the minute forecast."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

from homeassistant.components.weather import (
    ATTR_CONDITION_POURING,
    ATTR_CONDITION_RAINY,
    Forecast,
    WeatherEntity,
    WeatherEntityFeature,
)
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import UnitOfPrecipitationDepth
from homeassistant.core import HomeAssistant, ServiceResponse, SupportsResponse, callback
from homeassistant.helpers.entity_platform import AddEntitiesCallback, async_get_current_platform

from .const import DOMAIN, POURING_MMH, RAIN_MMH
from .coordinator import NowcastCoordinator
from .entity import NowcastEntity

HOURS = 2


async def async_setup_entry(hass: HomeAssistant, entry: ConfigEntry, add: AddEntitiesCallback) -> None:
    """Add the weather entity, and the action that returns its minute forecast."""
    add([NowcastWeather(hass.data[DOMAIN][entry.entry_id], entry)])
    async_get_current_platform().async_register_entity_service(
        "get_minute_forecast", {}, "async_minute_forecast", supports_response=SupportsResponse.ONLY
    )


class NowcastWeather(NowcastEntity, WeatherEntity):
    """Rain at the place. The service knows rain alone: a dry place has no condition, and there is no temperature."""

    _attr_name = None
    _attr_native_precipitation_unit = UnitOfPrecipitationDepth.MILLIMETERS
    _attr_supported_features = WeatherEntityFeature.FORECAST_HOURLY
    _unrecorded_attributes = frozenset({"minute_forecast"})

    def __init__(self, coordinator: NowcastCoordinator, entry: ConfigEntry) -> None:
        super().__init__(coordinator, entry, "weather")

    @property
    def condition(self) -> str | None:
        """Return rainy or pouring; None where it is dry or not known."""
        return _condition((self.nowcast.point["observed"] or {}).get("rate_mmh"))

    @property
    def extra_state_attributes(self) -> dict[str, Any]:
        """Return the sentence and the minute forecast."""
        minutes = self.nowcast.minutes
        return {
            "summary": minutes["summary"],
            "next_hour": minutes["next_hour"],
            "radar_coverage": minutes["radar_coverage"],
            "minute_forecast": minutes["minutes"],
        }

    async def async_forecast_hourly(self) -> list[Forecast] | None:
        """Return the next hours with their depth and the highest probability of rain within them."""
        return [found for hour in range(HOURS) if (found := self._hour(hour)) is not None]

    async def async_minute_forecast(self) -> ServiceResponse:
        """Return the minute forecast: the observed now, and every lead."""
        return dict(self.nowcast.minutes)

    def _hour(self, hour: int) -> Forecast | None:
        rows = [row for row in self.nowcast.minutes["minutes"] if 60 * hour <= row["minutes"] <= 60 * (hour + 1)]
        rates = [row["intensity_mmh"] for row in rows]
        ends = [row["minutes"] for row in rows[:1] + rows[-1:]]  # the observed now may be missing
        if ends != [60 * hour, 60 * (hour + 1)] or None in rates:
            return None
        chances = [row["probability"] for row in rows[1:] if row["probability"] is not None]
        return Forecast(
            datetime=(self.nowcast.reference_time + timedelta(hours=hour)).isoformat(),
            condition=_condition(max(rates)),
            native_precipitation=round(_depth_mm(rows), 2),
            precipitation_probability=round(100 * max(chances)) if chances else None,
        )

    @callback
    def _handle_coordinator_update(self) -> None:
        super()._handle_coordinator_update()
        assert self.platform.config_entry is not None
        self.platform.config_entry.async_create_task(self.hass, self.async_update_listeners(("hourly",)))


def _depth_mm(rows: list[dict[str, Any]]) -> float:
    """Return the depth by the trapezoid rule."""
    return sum(
        (before["intensity_mmh"] + after["intensity_mmh"]) / 2 * (after["minutes"] - before["minutes"]) / 60
        for before, after in pairwise(rows)
    )


def _condition(rate_mmh: float | None) -> str | None:
    if rate_mmh is None or rate_mmh < RAIN_MMH:
        return None
    return ATTR_CONDITION_POURING if rate_mmh >= POURING_MMH else ATTR_CONDITION_RAINY
