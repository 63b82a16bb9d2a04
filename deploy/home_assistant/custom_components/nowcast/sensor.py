"""Sensors: when rain starts and ends, how likely, how much now and in the next hour, and the age of the data."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import (
    PERCENTAGE,
    EntityCategory,
    UnitOfPrecipitationDepth,
    UnitOfTime,
    UnitOfVolumetricFlux,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddEntitiesCallback

from .const import DOMAIN
from .coordinator import Nowcast, NowcastCoordinator
from .entity import NowcastEntity

Value = datetime | float | str | None


@dataclass(frozen=True, kw_only=True)
class NowcastSensorDescription(SensorEntityDescription):
    """A sensor: what it shows, and whether it shows it of old data too."""

    value: Callable[[Nowcast], Value]
    shows_old_data: bool = False


def _rain(nowcast: Nowcast, name: str) -> float | None:
    found: float | None = (nowcast.point["next_rain"] or {}).get(name)
    return found


def _time(nowcast: Nowcast, name: str) -> datetime | None:
    minutes = _rain(nowcast, name)
    return None if minutes is None else nowcast.reference_time + timedelta(minutes=minutes)


def _percent(probability: float | None) -> float | None:
    return None if probability is None else round(100 * probability)


def _next_hour(nowcast: Nowcast) -> float | None:
    amounts = nowcast.point["amounts"] or []
    return next((one["q50"] for one in amounts if one["minutes"] == 60), None)


SENSORS = (
    NowcastSensorDescription(
        key="rain_start",
        device_class=SensorDeviceClass.TIMESTAMP,
        value=lambda nowcast: _time(nowcast, "start_minutes"),
    ),
    NowcastSensorDescription(
        key="rain_end", device_class=SensorDeviceClass.TIMESTAMP, value=lambda nowcast: _time(nowcast, "end_minutes")
    ),
    NowcastSensorDescription(
        key="rain_probability",
        native_unit_of_measurement=PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        value=lambda nowcast: _percent(_rain(nowcast, "start_probability")),
    ),
    NowcastSensorDescription(
        key="rain_rate",
        device_class=SensorDeviceClass.PRECIPITATION_INTENSITY,
        native_unit_of_measurement=UnitOfVolumetricFlux.MILLIMETERS_PER_HOUR,
        state_class=SensorStateClass.MEASUREMENT,
        value=lambda nowcast: (nowcast.point["observed"] or {}).get("rate_mmh"),
    ),
    NowcastSensorDescription(
        key="next_hour",
        device_class=SensorDeviceClass.PRECIPITATION,
        native_unit_of_measurement=UnitOfPrecipitationDepth.MILLIMETERS,
        value=_next_hour,
    ),
    NowcastSensorDescription(
        key="outlook",
        device_class=SensorDeviceClass.ENUM,
        options=["rain", "dry", "unknown"],
        value=lambda nowcast: nowcast.point["outlook"],
    ),
    NowcastSensorDescription(
        key="data_age",
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.MINUTES,
        entity_category=EntityCategory.DIAGNOSTIC,
        value=lambda nowcast: round(nowcast.point["data_age_s"] / 60, 1),
        shows_old_data=True,
    ),
)


async def async_setup_entry(hass: HomeAssistant, entry: ConfigEntry, add: AddEntitiesCallback) -> None:
    """Add the sensors."""
    coordinator = hass.data[DOMAIN][entry.entry_id]
    add(NowcastSensor(coordinator, entry, description) for description in SENSORS)


class NowcastSensor(NowcastEntity, SensorEntity):
    """A value of the forecast."""

    entity_description: NowcastSensorDescription

    def __init__(
        self, coordinator: NowcastCoordinator, entry: ConfigEntry, description: NowcastSensorDescription
    ) -> None:
        super().__init__(coordinator, entry, description.key)
        self.entity_description = description
        self._shows_old_data = description.shows_old_data

    @property
    def native_value(self) -> Value:
        """Return the value; None is not known."""
        return self.entity_description.value(self.nowcast)
