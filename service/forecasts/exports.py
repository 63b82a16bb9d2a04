"""Export of a forecast to other formats and to the source's grid; each export is written once, next to the own file."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field
from core.cf import axes_dataset
from core.errors import FrameError, NoDataError, NotAcceptableError
from core.files import write_atomically, write_bytes_atomically
from core.frame import RadarFrame
from core.grid import Grid
from core.registry import Registry
from core.times import iso
from ingest.windows.regrid import onto
from ingest.writers.odim_h5 import odim_bytes
from service.forecasts.fields import FIELDS, Fields
from service.forecasts.netcdf import write_leads
from service.forecasts.products import forecast_attributes, known_variable, rate_variables
from service.forecasts.records import StoredForecast

SOURCE: Final = "source"
RESAMPLING: Final = (
    "bilinear between the centres of the model's cells; at the rim of what they cover the value of the cell itself, so "
    "that a cell here has a value exactly where the model's cell around it has one"
)
COG: Final = {"compress": "deflate", "predictor": 3, "level": 3, "blocksize": 256, "overview_resampling": "nearest"}
_write_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class Field:
    """Leads of a forecast to be written, on its own grid or on the source's; each is computed when it is written.

    Attributes:
        forecast: whose leads.
        fields: its fields, packed.
        grid: on which they are written.
        leads: in minutes.
    """

    forecast: StoredForecast
    fields: Fields
    grid: Grid
    leads: tuple[int, ...]

    def rate_mmh_HW(self, index: int) -> Float32Field:
        """Return the rate of a lead, by its index among those to be written."""
        rate_mmh_HW = self.fields.rate_mmh_HW(self._lead(index))
        if self.grid is self.forecast.grid:
            return rate_mmh_HW
        return np.asarray(on_source_grid(rate_mmh_HW[None], self.forecast.grid, self.grid)[0])

    def known_HW(self, index: int) -> BoolField | None:
        """Return where a lead rests on an observation; None where the forecast's file does not hold it."""
        known_HW = self.fields.known_HW(self._lead(index))
        if known_HW is None or self.grid is self.forecast.grid:
            return known_HW
        return np.asarray(known_HW[_own_cells(self.forecast.grid, self.grid)])

    def _lead(self, index: int) -> int:
        return self.forecast.lead_minutes.index(self.leads[index])


WRITERS: Final[Registry[Callable[[Field, Path], None]]] = Registry("file format")


def export_path(
    forecast: StoredForecast, suffix: str, *, source: bool = False, lead_minutes: int | None = None
) -> Path:
    """Return the path of an export, whether it exists or not."""
    parts = [forecast.path.stem, *([SOURCE] if source else []), *([str(lead_minutes)] if lead_minutes else [])]
    return forecast.path.with_name(".".join([*parts, suffix]))


def exported(forecast: StoredForecast, suffix: str, *, source: bool = False, lead_minutes: int | None = None) -> Path:
    """Return the file in a format, written at the first call.

    Args:
        forecast: which one.
        suffix: nc, h5 or tif.
        source: on the grid of the scans instead of the model's.
        lead_minutes: that lead alone; None is all of them.

    Raises:
        NoDataError: no such lead, or the source's grid is not known.
        NotAcceptableError: the format cannot hold this grid.
        UnknownNameError: no such format.
    """
    write = WRITERS.get(suffix)
    if lead_minutes is not None and lead_minutes not in forecast.lead_minutes:
        leads = ", ".join(map(str, forecast.lead_minutes))
        raise NoDataError(f"lead_minutes: expected one of {leads}, got {lead_minutes}")
    if suffix == "nc" and not source and lead_minutes is None:
        return forecast.path
    path = export_path(forecast, suffix, source=source, lead_minutes=lead_minutes)
    with _write_lock:  # one at a time: a field of the source's grid is large, and a second request finds the file
        if not _is_current(path, forecast):
            write(_field(forecast, source=source, lead_minutes=lead_minutes), path)
    return path


def on_source_grid(rate_mmh_THW: Float32Field, grid: Grid, source: Grid) -> Float32Field:
    """Interpolate fields of a model's grid to the finer source grid; `RESAMPLING` describes how."""
    smooth_THW = onto(rate_mmh_THW, grid, source)
    return np.where(np.isnan(smooth_THW), rate_mmh_THW[:, *_own_cells(grid, source)], smooth_THW)


def _own_cells(grid: Grid, source: Grid) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return rows and columns of the model's grid cell around each grid cell of the source."""
    rows = np.arange(source.height) * grid.height // source.height
    return rows[:, None], np.arange(source.width) * grid.width // source.width


def _field(forecast: StoredForecast, *, source: bool, lead_minutes: int | None) -> Field:
    leads = forecast.lead_minutes if lead_minutes is None else (lead_minutes,)
    grid = forecast.source_grid if source else forecast.grid
    if grid is None:
        raise NoDataError(f"the source grid of forecast {forecast.id} is not stored; only its own grid is available")
    return Field(forecast, FIELDS.read(forecast), grid, leads)


def _is_current(path: Path, forecast: StoredForecast) -> bool:
    """Return whether the file exists and is no older than the forecast's, which may have been computed again."""
    try:
        return path.stat().st_mtime_ns >= forecast.path.stat().st_mtime_ns
    except FileNotFoundError:
        return False


@WRITERS.register("nc")
def _write_netcdf(field: Field, path: Path) -> None:
    forecast = field.forecast
    attributes = {**forecast_attributes(forecast), "grid": json.dumps(field.grid.to_dict()), "resampling": RESAMPLING}
    times = [
        time for time, lead in zip(forecast.valid_times, forecast.lead_minutes, strict=True) if lead in field.leads
    ]
    header = axes_dataset(times, field.grid, reference_time=forecast.reference_time, attributes=attributes)
    known = [] if field.known_HW(0) is None else [known_variable(lambda index: np.asarray(field.known_HW(index)))]
    write_leads(header, [*rate_variables(field.rate_mmh_HW), *known], path)


def _stated(forecast: StoredForecast) -> dict[str, str]:
    """Return what every format states of a forecast besides its fields: what it is made of and by, and how it is."""
    stated = {
        "forecast_id": forecast.id,
        "status": forecast.status,
        "method": forecast.method,
        "model": f"{forecast.model} {forecast.version}",
        "issued_at": iso(forecast.issued_at),
        "weather": forecast.weather,
        "attribution": forecast.attribution,
        "stale_from": iso(forecast.stale_from) if forecast.stale_from else None,
        "notes": "; ".join(forecast.notes) or None,
    }
    return {name: text for name, text in stated.items() if text is not None}


@WRITERS.register("h5")
def _write_odim(field: Field, path: Path) -> None:
    """Write ODIM_H5 with a data set for each lead."""
    forecast = field.forecast
    times = dict(zip(forecast.lead_minutes, forecast.valid_times, strict=True))
    frames = [
        RadarFrame(
            times[lead], field.grid, field.rate_mmh_HW(index), forecast.product, 0.0, lead, forecast.missing_radars
        )
        for index, lead in enumerate(field.leads)
    ]
    try:
        content = odim_bytes(frames, how=_stated(forecast))
    except FrameError as err:
        raise NotAcceptableError(f"this grid does not fit into ODIM_H5: {err}") from err
    write_bytes_atomically(path, content)


@WRITERS.register("tif")
def _write_geotiff(field: Field, path: Path) -> None:
    """Write a cloud-optimised GeoTIFF with a band for each lead; NaN is no data."""
    import rasterio  # here: GDAL takes 40 MB, which only this needs

    grid, count = field.grid, len(field.leads)
    transform = rasterio.Affine(grid.pixel_x_m, 0.0, grid.west_m, 0.0, -grid.pixel_y_m, grid.north_m)
    shape = {"width": grid.width, "height": grid.height, "count": count, "dtype": "float32", "nodata": float("nan")}
    crs = rasterio.CRS.from_wkt(grid.projection.to_wkt())
    times = dict(zip(field.forecast.lead_minutes, field.forecast.valid_times, strict=True))

    def write(temporary: Path) -> None:
        with rasterio.open(temporary, "w", driver="COG", crs=crs, transform=transform, **shape, **COG) as raster:
            for index in range(count):
                raster.write(field.rate_mmh_HW(index), index + 1)
            stated = {name.upper(): text for name, text in _stated(field.forecast).items()}
            raster.update_tags(REFERENCE_TIME=iso(field.forecast.reference_time), UNITS="mm h-1", **stated)
            for band, lead in enumerate(field.leads, start=1):
                raster.set_band_description(band, f"rainfall_rate +{lead} min")
                raster.update_tags(band, VALID_TIME=iso(times[lead]), LEAD_MINUTES=str(lead), UNITS="mm h-1")

    write_atomically(path, write)
