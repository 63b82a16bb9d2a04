"""A forecast as the client holds it: its document, its file, its picture."""

from dataclasses import dataclass
from pathlib import Path

from service.client.connection import Connection
from service.schemas.forecasts import ForecastOut, MapOut
from service.schemas.places import PointOut


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

    def plot(self, path: Path | str, probability_of: float | None = None) -> Path:
        """Draw every lead with its time, cities and colours, in any format of matplotlib (by the file name).

        Args:
            path: file to write.
            probability_of: threshold in mm/h, to draw its exceedance probability instead of the rain rate.

        Raises:
            ServiceError: the forecast has no such threshold; the message names those that it has.
        """
        from service.client.plot import draw  # here: matplotlib takes a second to import

        map_ = MapOut.model_validate_json(self._linked(self.answer.links.map))
        return draw(self.answer, map_, self.netcdf(), Path(path), probability_of)

    def point(self, lat: float, lon: float) -> PointOut:
        """Return this forecast at one place."""
        answer = self.connection.request("GET", f"/nowcast/{self.id}/point", params={"lat": lat, "lon": lon})
        return PointOut.model_validate_json(answer.content)

    def _linked(self, link: str) -> bytes:
        return self.connection.request("GET", self.connection.path_of(link)).content

    def __str__(self) -> str:
        answer = self.answer
        newest = f"radar until {answer.reference_time:%Y-%m-%d %H:%M} UTC, {answer.data_age_s / 60:.0f} min ago"
        invented = "invented weather, " if answer.invented else ""
        return f"{answer.status}: {invented}{newest}, by {answer.method} {answer.model.version} ({self.id})"
