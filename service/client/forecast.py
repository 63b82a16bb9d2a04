"""A forecast as the client holds it: its document, its file, its picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from service.client.connection import Connection, ServiceError
from service.schemas.areas import AreaOut
from service.schemas.forecasts import ForecastOut, MapOut
from service.schemas.places import MotionOut, PointOut


@dataclass(frozen=True)
class Forecast:
    """A forecast of the service; `answer` is the whole document."""

    answer: ForecastOut
    connection: Connection

    @property
    def id(self) -> str:
        """Return the id of the forecast, which never refers to another one."""
        return str(self.answer.forecast_id)

    def netcdf(self) -> bytes:
        """Return the content of the CF-NetCDF file."""
        return self._linked(self.answer.links.file)

    def save(self, path: Path | str) -> Path:
        """Write the CF-NetCDF file, and return its path."""
        content = self.netcdf()
        Path(path).write_bytes(content)
        return Path(path)

    def plot(self, path: Path | str, probability_of: float | None = None, leads: Sequence[int] | None = None) -> Path:
        """Draw leads with their times, cities and colours, in any format of matplotlib (by the file name).

        Args:
            path: file to write.
            probability_of: threshold in mm/h, to draw its exceedance probability instead of the rain rate.
            leads: minutes of the leads; None: every one, or six if there are more.

        Raises:
            ServiceError: the forecast has no such threshold or lead; the message names those that it has.
        """
        from service.client.plot import draw  # here: matplotlib takes a second to import

        map_ = MapOut.model_validate_json(self._linked(self.answer.links.map))
        return draw(self.answer, map_, self.netcdf(), Path(path), probability_of, leads)

    def animate(self, path: Path | str, *, width: int = 480, tz: str = "UTC") -> Path:
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
        Path(path).write_bytes(self._part(f"animation.{kind}", {"width": width, "tz": tz}))
        return Path(path)

    def point(self, lat: float, lon: float, tz: str = "UTC") -> PointOut:
        """Return this forecast at one place, with its times in a zone."""
        params = {"lat": lat, "lon": lon, "tz": tz}
        return PointOut.model_validate_json(self._part("point", params))

    def points(self, places: Sequence[tuple[float, float]], tz: str = "UTC") -> list[PointOut]:
        """Return this forecast at several places (latitude, longitude), in their order."""
        if len(places) == 1:
            return [self.point(*places[0], tz)]
        lats, lons = (",".join(map(str, axis)) for axis in zip(*places, strict=True)) if places else ("", "")
        return TypeAdapter(list[PointOut]).validate_json(self._part("point", {"lat": lats, "lon": lons, "tz": tz}))

    def motion(self, every_km: float = 50, bbox: tuple[float, float, float, float] | None = None) -> MotionOut:
        """Return the motion of the rain as vectors; `bbox` is west, south, east, north in degrees."""
        box = {} if bbox is None else {"bbox": ",".join(map(str, bbox))}
        return MotionOut.model_validate_json(self._part("motion", {"every_km": every_km, **box}))

    def area(self, polygon: dict[str, Any] | str) -> AreaOut:
        """Return means, sums and probabilities over a polygon: GeoJSON, or WKT with longitude before latitude."""
        if isinstance(polygon, str):
            return AreaOut.model_validate_json(self._part("area", {"polygon": polygon}))
        answer = self.connection.request("POST", f"/nowcast/{self.id}/area", json=polygon)
        return AreaOut.model_validate_json(answer.content)

    def _part(self, name: str, params: dict[str, Any]) -> bytes:
        return self.connection.request("GET", f"/nowcast/{self.id}/{name}", params=params).content

    def _linked(self, link: str) -> bytes:
        return self.connection.request("GET", self.connection.path_of(link)).content

    def __str__(self) -> str:
        answer = self.answer
        newest = f"radar until {answer.reference_time:%Y-%m-%d %H:%M} UTC, {answer.data_age_s / 60:.0f} min ago"
        invented = "invented weather, " if answer.invented else ""
        return f"{answer.status}: {invented}{newest}, by {answer.method} {answer.model.version} ({self.id})"
