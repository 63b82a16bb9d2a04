"""Which forecast a path names, without asking the catalogue again while nothing new is entered."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from core.errors import InputError
from core.settings import Settings
from service.forecasts.catalogue import Version
from service.forecasts.nowcast import Forecast, NowcastService

LATEST: Final = "latest"
SURE_S: Final = 1.0
"""So long an answer of the catalogue holds while its version is the same."""

MOST: Final = 256


@dataclass(frozen=True)
class Known:
    """What the catalogue said."""

    forecast: Forecast
    version: Version
    at_s: float


class Recent:
    """The forecasts that were asked for lately."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()

    def held(self, service: NowcastService, wanted: str) -> Forecast | None:
        """The forecast where the catalogue's answer still holds: one look at a file's time, and no query."""
        known = self._known.get(wanted)
        if known is None or time.monotonic() - known.at_s > SURE_S or known.version != service.catalogue.version:
            return None
        return known.forecast

    def find(self, service: NowcastService, wanted: str) -> Forecast:
        """The forecast of an id, or the latest one.

        Raises:
            InputError: neither `latest` nor a UUID.
            NoDataError: it is not stored.
        """
        version, at_s = service.catalogue.version, time.monotonic()  # before the query: what comes after is not known
        forecast = service.latest() if wanted == LATEST else service.get(str(_uuid(wanted)))
        self._known[wanted] = Known(forecast, version, at_s)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return forecast


def needs_no_query(settings: Settings) -> bool:
    """Whether a forecast's age can be told without the catalogue: a replay's clock is its newest scan."""
    return settings.source_kind != "replay"


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as err:
        raise InputError(f"forecast id {text[:80]!r} came; `latest` or a UUID was due") from err
