"""The map of the rain in half an hour, as a camera."""

from homeassistant.components.camera import Camera
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddEntitiesCallback

from .api import NowcastApiError
from .const import DOMAIN, PICTURE_MINUTES
from .coordinator import LOGGER, NowcastCoordinator
from .entity import NowcastEntity


async def async_setup_entry(hass: HomeAssistant, entry: ConfigEntry, add: AddEntitiesCallback) -> None:
    """Add the camera."""
    add([NowcastCamera(hass.data[DOMAIN][entry.entry_id], entry)])


class NowcastCamera(NowcastEntity, Camera):
    """The picture of the lead next to half an hour; one request for each forecast."""

    def __init__(self, coordinator: NowcastCoordinator, entry: ConfigEntry) -> None:
        NowcastEntity.__init__(self, coordinator, entry, "rain_map")
        Camera.__init__(self)
        self.content_type = "image/png"
        self._held: tuple[str, bytes] | None = None

    async def async_camera_image(self, width: int | None = None, height: int | None = None) -> bytes | None:
        """Return the picture as PNG; None if the service does not give it."""
        forecast_id = self.nowcast.forecast_id
        if self._held is None or self._held[0] != forecast_id:
            leads = [one["lead_minutes"] for one in self.nowcast.point["series"]]
            lead = min(leads, key=lambda minutes: abs(minutes - PICTURE_MINUTES))
            try:
                self._held = forecast_id, await self.coordinator.api.picture(forecast_id, lead)
            except NowcastApiError as err:
                LOGGER.warning("no picture: %s", err)
                return None
        return self._held[1]
