"""A forecast as the client holds it: its document, its file, its picture, its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.client.connection import Connection, ServiceError
from service.client.operation import Blocking, NonBlocking, Operation
from service.client.parts import BBox, ForecastParts, Place
from service.schemas.areas import AreaOut, BoxAmountOut, PlaceAmountOut
from service.schemas.forecasts import ForecastOut, MapOut
from service.schemas.minutes import MinutesOut
from service.schemas.places import MotionOut, PointOut
from service.schemas.sentence import Language


@dataclass(frozen=True)
class ForecastOperations:
    """A forecast of the service; `answer` is the whole document."""

    answer: ForecastOut
    connection: Connection

    @property
    def id(self) -> str:
        """Return the id of the forecast, which never refers to another one."""
        return str(self.answer.forecast_id)

    @Operation
    async def netcdf(self) -> bytes:
        """Return the content of the CF-NetCDF file."""
        return await self._linked(self.answer.links.file)

    @Operation
    async def save(self, path: Path | str) -> Path:
        """Write the CF-NetCDF file, and return its path."""
        content = await self._linked(self.answer.links.file)
        Path(path).write_bytes(content)
        return Path(path)

    @Operation
    async def plot(
        self, path: Path | str, probability_of: float | None = None, leads: Sequence[int] | None = None
    ) -> Path:
        """Draw leads with their times, cities and colours, in any format of matplotlib (by the file name).

        Args:
            path: file to write.
            probability_of: threshold in mm/h, to draw its exceedance probability instead of the rain rate.
            leads: minutes of the leads; None: every one, or six if there are more.

        Raises:
            ServiceError: the forecast has no such threshold or lead; the message names those that it has.
        """
        from service.client.plot import draw  # here: matplotlib takes a second to import

        map_ = MapOut.model_validate_json(await self._linked(self.answer.links.map))
        file = await self._linked(self.answer.links.file)
        return draw(self.answer, map_, file, Path(path), probability_of, leads)

    @Operation
    async def animate(self, path: Path | str, *, width: int = 480, tz: str = "UTC") -> Path:
        """Write an animated picture, and return its path.

        Args:
            path: file to write; its name ends in .webp, .gif or .png.
            width: in pixels.
            tz: IANA name of the zone of its times.

        Raises:
            ServiceError: another ending.
        """
        kind = Path(path).suffix.removeprefix(".").lower()
        if kind not in ("webp", "gif", "png"):
            raise ServiceError(f"path: expected a name that ends in .webp, .gif or .png, got {path}")
        Path(path).write_bytes(await self._parts.animation(kind, width, tz))
        return Path(path)

    @Operation
    async def picture(self, lead_minutes: int, probability_of: float | None = None) -> bytes:
        """Return the picture of one lead as PNG: the rain rate, or the probability of a threshold in mm/h."""
        return await self._parts.picture(lead_minutes, probability_of)

    @Operation
    async def point(self, lat: float, lon: float, tz: str = "UTC") -> PointOut:
        """Return this forecast at one place, with its times in a zone."""
        return (await self._parts.points([(lat, lon)], tz))[0]

    @Operation
    async def points(self, places: Sequence[Place], tz: str = "UTC") -> list[PointOut]:
        """Return this forecast at several places (latitude, longitude), in their order."""
        return await self._parts.points(places, tz)

    @Operation
    async def minutes(self, places: Sequence[Place], *, lang: Language = "en", tz: str = "UTC") -> list[MinutesOut]:
        """Return the minute forecast of several places with a sentence each, in their order."""
        return await self._parts.minutes(places, lang, tz)

    @Operation
    async def motion(self, every_km: float = 50, bbox: BBox | None = None) -> MotionOut:
        """Return the motion of the rain as vectors; `bbox` is west, south, east, north in degrees."""
        return await self._parts.motion(every_km, bbox)

    @Operation
    async def area(self, polygon: dict[str, Any] | str, shares: Sequence[float] | None = None) -> AreaOut:
        """Return means, sums and probabilities over a polygon.

        Args:
            polygon: GeoJSON, or WKT with longitude before latitude.
            shares: parts of the polygon, 0 to 1, whose probability is wanted from the ensemble members.
        """
        return await self._parts.area(polygon, shares)

    @Operation
    async def sums(self, lat: float, lon: float) -> PlaceAmountOut:
        """Return the depths in mm from the reference time to each lead, at a place."""
        return await self._parts.sums(lat, lon)

    @Operation
    async def box_sums(self, bbox: BBox) -> BoxAmountOut:
        """Return the depths in mm from the reference time to each lead, of the grid cells of a box."""
        return await self._parts.box_sums(bbox)

    @property
    def _parts(self) -> ForecastParts:
        return ForecastParts(self.connection, self.id)

    async def _linked(self, link: str) -> bytes:
        return await self.connection.content(self.connection.path_of(link))

    def __str__(self) -> str:
        answer = self.answer
        newest = f"radar until {answer.reference_time:%Y-%m-%d %H:%M} UTC, {answer.data_age_s / 60:.0f} min ago"
        invented = "invented weather, " if answer.invented else ""
        return f"{answer.status}: {invented}{newest}, by {answer.method} {answer.model.version} ({self.id})"


@dataclass(frozen=True)
class Forecast(ForecastOperations, Blocking):
    """A forecast of the service; its methods return their results."""


@dataclass(frozen=True)
class AsyncForecast(ForecastOperations, NonBlocking):
    """A forecast of the service; its methods are awaited."""
