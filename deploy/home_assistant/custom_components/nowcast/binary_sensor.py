"""Binary sensors: whether a rule has raised an alert, and whether the data are too old."""

from homeassistant.components.binary_sensor import BinarySensorDeviceClass, BinarySensorEntity
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddEntitiesCallback

from .const import DOMAIN
from .coordinator import NowcastCoordinator
from .entity import NowcastEntity


async def async_setup_entry(hass: HomeAssistant, entry: ConfigEntry, add: AddEntitiesCallback) -> None:
    """Add the sensor of old data, and one for each rule, also of rules that are made later."""
    coordinator: NowcastCoordinator = hass.data[DOMAIN][entry.entry_id]
    known: set[str] = set()

    @callback
    def add_new_rules() -> None:
        new = [rule_id for rule_id in coordinator.data.rules if rule_id not in known]
        known.update(new)
        add(NowcastRule(coordinator, entry, rule_id) for rule_id in new)

    add([NowcastOldData(coordinator, entry)])
    add_new_rules()
    entry.async_on_unload(coordinator.async_add_listener(add_new_rules))


class NowcastOldData(NowcastEntity, BinarySensorEntity):
    """On while the newest radar scan is too old for a forecast."""

    _attr_device_class = BinarySensorDeviceClass.PROBLEM
    _attr_entity_category = EntityCategory.DIAGNOSTIC
    _shows_old_data = True

    def __init__(self, coordinator: NowcastCoordinator, entry: ConfigEntry) -> None:
        super().__init__(coordinator, entry, "old_data")

    @property
    def is_on(self) -> bool:
        """Return whether the data are too old."""
        return self.nowcast.stale


class NowcastRule(NowcastEntity, BinarySensorEntity):
    """On while a rule has raised an alert; not available once the rule is deleted."""

    _attr_device_class = BinarySensorDeviceClass.MOISTURE

    def __init__(self, coordinator: NowcastCoordinator, entry: ConfigEntry, rule_id: str) -> None:
        super().__init__(coordinator, entry, f"rule-{rule_id}")
        self._rule_id = rule_id
        self._attr_translation_key = None
        self._attr_name = str(coordinator.data.rules[rule_id]["definition"]["name"])

    @property
    def available(self) -> bool:
        """Return whether there are recent data and the rule is there."""
        return super().available and self._rule_id in self.nowcast.rules

    @property
    def is_on(self) -> bool:
        """Return whether an alert is raised."""
        return self.nowcast.rules[self._rule_id]["alert"] is not None

    @property
    def extra_state_attributes(self) -> dict[str, object]:
        """Return the probability of the alert and the expected time, if one is raised."""
        alert = self.nowcast.rules.get(self._rule_id, {}).get("alert") or {}
        return {name: alert.get(name) for name in ("probability", "raised_at", "expected_at")}
