"""What all entities of a place share."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.helpers.device_registry import DeviceEntryType, DeviceInfo
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .const import DOMAIN
from .coordinator import Nowcast, NowcastCoordinator


class NowcastEntity(CoordinatorEntity[NowcastCoordinator]):
    """Entity of one place; not available while the data are too old, so that nothing old looks fresh.

    Args:
        coordinator: reader of the service.
        entry: of the configuration.
        key: name of the entity within the place; also its key in the translations.
    """

    _attr_has_entity_name = True
    _shows_old_data = False

    def __init__(self, coordinator: NowcastCoordinator, entry: ConfigEntry, key: str) -> None:
        super().__init__(coordinator)
        self._attr_unique_id = f"{entry.entry_id}-{key}"
        self._attr_translation_key = key
        self._attr_device_info = DeviceInfo(
            identifiers={(DOMAIN, entry.entry_id)}, name=entry.title, entry_type=DeviceEntryType.SERVICE
        )

    @property
    def nowcast(self) -> Nowcast:
        """Return the documents to show."""
        return self.coordinator.data

    @property
    def available(self) -> bool:
        """Return whether there are data, and recent ones."""
        return super().available and (self._shows_old_data or not self.nowcast.stale)
