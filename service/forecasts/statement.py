"""What a forecast states of its scans: whose they are, whether they are real, and from when on it is stale."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self

from core.settings import Settings
from ingest.sources import attribution_of
from ingest.windows.window import Window
from service.forecasts.records import Origin, Weather

INVENTED: Final = "Invented weather for demonstration: no real radar data."


@dataclass(frozen=True)
class Statement:
    """What holds for all scans of a service.

    Attributes:
        source_kind: of the scans; None if it is not known.
        weather: what they show.
        attribution: credit of the setting; None follows the files and the kind of source.
        stale_after: age from which a forecast is stale.
    """

    source_kind: str | None = None
    weather: Weather | None = None
    attribution: str | None = None
    stale_after: timedelta | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the statement of a service."""
        weather: Weather = "replayed" if settings.source_kind == "replay" else "observed"
        return cls(
            settings.source_kind,
            "invented" if settings.invented else weather,
            settings.attribution,
            timedelta(seconds=settings.stale_after_s),
        )

    def fields(self, window: Window, origin: Origin) -> dict[str, Any]:
        """Return the fields of a forecast's record."""
        if origin == "upload":
            return {"attribution": credit(window.product, window.provider, None)}
        stale_from = None if self.stale_after is None else window.reference_time + self.stale_after
        return {
            "weather": self.weather,
            "attribution": self.credit(window.product, window.provider),
            "stale_from": stale_from,
        }

    @property
    def source_credit(self) -> str:
        """Return the credit of the source, whatever the product; empty if only its files state one."""
        if self.weather == "invented":
            return INVENTED
        return self.attribution or (attribution_of(self.source_kind) if self.source_kind else "")

    def credit(self, product: str, provider: str | None) -> str:
        """Return the credit of scans."""
        if self.weather == "invented":
            return INVENTED
        return self.attribution or credit(product, provider, self.source_kind)


def credit(product: str, provider: str | None, source_kind: str | None) -> str:
    """Return the credit of a product: its provider by the file, else by the kind of source; None for an upload.

    A file without a product's name has that of its quantity (PRECIPITATION_RATE), which says nothing to a reader.
    """
    provider = (provider or (attribution_of(source_kind) if source_kind else "")).rstrip(".")
    if "_" in product:
        return f"Radar data: {provider or 'provider not stated'}."
    return f"Radar product {product}{': ' if provider else ''}{provider}."
