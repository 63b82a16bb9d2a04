"""One forecast in the client's hands: its answer, its file, its picture."""

from dataclasses import dataclass
from pathlib import Path

from service.client.connection import Connection
from service.schemas.forecasts import ForecastOut, MapOut, PointOut


@dataclass(frozen=True)
class Forecast:
    """A forecast of the service; `answer` is the whole document."""

    answer: ForecastOut
    connection: Connection

    @property
    def id(self) -> str:
        """Its id, which never names another."""
        return str(self.answer.forecast_id)

    def netcdf(self) -> bytes:
        """The CF-NetCDF file."""
        return self.connection.request("GET", self.answer.links.file).content

    def save(self, path: Path | str) -> Path:
        """Write the CF-NetCDF file."""
        content = self.netcdf()
        Path(path).write_bytes(content)
        return Path(path)

    def plot(self, path: Path | str, probability_of: float | None = None) -> Path:
        """Draw every lead with its time, places and colours (any format of matplotlib, by the name's ending).

        Args:
            path: file to write.
            probability_of: the probability of at least this rate (mm/h) instead of the rain rate.

        Raises:
            ServiceError: the forecast has no such threshold; the message names those that it has.
        """
        from service.client.plot import draw  # here: matplotlib takes a second to import

        map_ = MapOut.model_validate_json(self.connection.request("GET", self.answer.links.map).content)
        return draw(self.answer, map_, self.netcdf(), Path(path), probability_of)

    def point(self, lat: float, lon: float) -> PointOut:
        """This forecast at one place."""
        answer = self.connection.request("GET", f"/nowcast/{self.id}/point", params={"lat": lat, "lon": lon})
        return PointOut.model_validate_json(answer.content)

    def __str__(self) -> str:
        told = self.answer
        newest = f"radar until {told.reference_time:%Y-%m-%d %H:%M} UTC, {told.data_age_s / 60:.0f} min ago"
        invented = "invented weather, " if told.invented else ""
        return f"{told.status}: {invented}{newest}, by {told.method} {told.model.version} ({self.id})"
