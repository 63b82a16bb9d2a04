"""Names and limits of the integration."""

from datetime import timedelta
from typing import Final

DOMAIN: Final = "nowcast"
CONF_URL: Final = "url"
CONF_API_KEY: Final = "api_key"
DEFAULT_URL: Final = "http://127.0.0.1:8000"
UPDATE_INTERVAL: Final = timedelta(minutes=5)
TIMEOUT_S: Final = 20
LANGUAGES: Final = ("en", "de")
RAIN_MMH: Final = 0.1
POURING_MMH: Final = 10.0
PICTURE_MINUTES: Final = 30
NO_COVERAGE: Final = "no coverage"
