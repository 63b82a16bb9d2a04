"""The parts of one forecast: places, minutes, areas, sums, the motion of the rain and pictures."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import TypeAdapter

from service.client.connection import Connection
from service.schemas.areas import AreaOut, BoxAmountOut, PlaceAmountOut
from service.schemas.minutes import MinutesOut
from service.schemas.places import MotionOut, PointOut
from service.schemas.sentence import Language

Place = tuple[float, float]
"""Latitude and longitude in degrees."""

BBox = tuple[float, float, float, float]
"""West, south, east, north in degrees."""

D = TypeVar("D", PointOut, MinutesOut)
POINTS: Final = TypeAdapter[list[PointOut] | PointOut](list[PointOut] | PointOut)
MINUTES: Final = TypeAdapter[list[MinutesOut] | MinutesOut](list[MinutesOut] | MinutesOut)


class ForecastParts:
    """Coroutines that read the parts of one forecast.

    Args:
        connection: to the service.
        forecast_id: of the forecast, or `latest`.
    """

    def __init__(self, connection: Connection, forecast_id: str | UUID) -> None:
        self._connection = connection
        self._path = f"/nowcast/{forecast_id}"

    async def points(self, places: Sequence[Place], tz: str) -> list[PointOut]:
        """Return the forecast at places, in their order."""
        return _listed(POINTS.validate_json(await self._at(places, "point", tz=tz)))

    async def minutes(self, places: Sequence[Place], lang: Language, tz: str) -> list[MinutesOut]:
        """Return the minute forecast of places, in their order."""
        return _listed(MINUTES.validate_json(await self._at(places, "minutes", lang=lang, tz=tz)))

    async def motion(self, every_km: float, bbox: BBox | None) -> MotionOut:
        """Return the motion of the rain as vectors."""
        content = await self._read("motion", every_km=every_km, bbox=None if bbox is None else _joined(bbox))
        return MotionOut.model_validate_json(content)

    async def area(self, polygon: dict[str, Any] | str, shares: Sequence[float] | None) -> AreaOut:
        """Return means, sums and probabilities over a polygon: GeoJSON, or WKT with longitude before latitude."""
        share = list(shares) if shares else None
        if isinstance(polygon, str):
            return AreaOut.model_validate_json(await self._read("area", polygon=polygon, share=share))
        query = {"share": share} if share else {}
        answer = await self._connection.request("POST", f"{self._path}/area", json=polygon, params=query)
        return AreaOut.model_validate_json(answer.content)

    async def sums(self, lat: float, lon: float) -> PlaceAmountOut:
        """Return the depths in mm from the reference time to each lead, at a place."""
        return PlaceAmountOut.model_validate_json(await self._read("accumulation", lat=lat, lon=lon))

    async def box_sums(self, bbox: BBox) -> BoxAmountOut:
        """Return the depths in mm from the reference time to each lead, of the grid cells of a box."""
        return BoxAmountOut.model_validate_json(await self._read("accumulation", bbox=_joined(bbox)))

    async def animation(self, kind: str, width: int, tz: str) -> bytes:
        """Return a moving picture of the forecast."""
        return await self._read(f"animation.{kind}", width=width, tz=tz)

    async def picture(self, lead_minutes: int, probability_of: float | None) -> bytes:
        """Return the picture of one lead as PNG."""
        return await self._read(f"image/{lead_minutes}.png", probability_of=probability_of)

    async def point_picture(self, lat: float, lon: float, lang: Language, width: int) -> bytes:
        """Return the forecast of a place as a picture with bars and a sentence, as PNG."""
        return await self._read("point.png", lat=lat, lon=lon, lang=lang, width=width)

    async def _at(self, places: Sequence[Place], name: str, **params: Any) -> bytes:
        lat, lon = (_joined(axis) for axis in zip(*places, strict=True)) if places else ("", "")
        return await self._read(name, lat=lat, lon=lon, **params)

    async def _read(self, name: str, **params: Any) -> bytes:
        return await self._connection.content(f"{self._path}/{name}", **params)


def _joined(numbers: Sequence[float]) -> str:
    return ",".join(map(str, numbers))


def _listed(found: list[D] | D) -> list[D]:
    return found if isinstance(found, list) else [found]
