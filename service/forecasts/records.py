"""Records of what the service returns: a forecast, and its verification."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import numpy as np

from core.arrays import Float32Field
from core.cf import RATE
from core.errors import NoDataError
from core.grid import Grid
from core.records import RecordCodec
from core.shared_files import is_there
from service.forecasts.netcdf import read_variable
from verification.counts import Counts
from verification.table import SumRow

Status = Literal["ok", "degraded", "stale"]
Origin = Literal["scans", "upload"]
Weather = Literal["observed", "replayed", "invented"]


@dataclass(frozen=True)
class StoredForecast:
    """One stored forecast.

    Attributes:
        id: uuid5 of the input's content, the model's name and version, and the leads.
        status: stale where the data are older than `stale_after_s` now, else degraded where window or method are.
        method: what made the fields: the model's name, or the baseline used as fallback.
        requested_model: the name in the request ("default").
        model, version: the name and version of the forecaster behind that name.
        input_times: valid times of the window's frames; None where no scan was stored.
        inputs_sha256: content of the window on the model grid; forecasts of one window share it.
        path: the CF-NetCDF file.
        origin: from stored scans or from an upload.
        source_grid: of the scans; None where an older version of the service did not keep it.
        thresholds_mmh: rates whose exceedance probabilities the file holds, ascending; empty if it holds none.
        cadence_minutes: spacing of the window's fields; None where an older version of the service did not keep it.
        provider: whose data the newest scan is, as its file states it; None if it does not.
        weather: what the scans show; None of an upload, and where an older version of the service did not keep it.
        attribution: credit of the radar data; None where an older version of the service did not keep it.
        stale_from: time from which a forecast from scans is stale, by the clock of its scans; None of an upload.
    """

    id: str
    status: Status
    method: str
    reference_time: datetime
    issued_at: datetime
    requested_model: str
    model: str
    version: str
    product: str
    grid: Grid
    input_times: tuple[datetime | None, ...]
    notes: tuple[str, ...]
    missing_radars: tuple[str, ...]
    lead_minutes: tuple[int, ...]
    inputs_sha256: str
    path: Path
    origin: Origin
    source_grid: Grid | None = None
    thresholds_mmh: tuple[float, ...] = ()
    cadence_minutes: int | None = None
    provider: str | None = None
    weather: Weather | None = None
    attribution: str | None = None
    stale_from: datetime | None = None

    @property
    def valid_times(self) -> tuple[datetime, ...]:
        """Return the valid time of every lead."""
        return tuple(self.reference_time + timedelta(minutes=lead) for lead in self.lead_minutes)

    @property
    def rate_mmh_THW(self) -> Float32Field:
        """Read the forecast rain rate from the file; row 0 is north, NaN is no data."""
        return read_rate(self.path)

    @property
    def inputs_path(self) -> Path:
        """Return the file (CF-NetCDF) of the window's frames on the forecast's grid and of the usual coverage."""
        return inputs_file(self.path, self.inputs_sha256)

    @property
    def has_file(self) -> bool:
        """Return whether its file exists; it can be opened then."""
        return is_there(self.path)

    @property
    def has_inputs(self) -> bool:
        """Return whether the file of its inputs exists; it can be opened then."""
        return is_there(self.inputs_path)

    @property
    def changed_ns(self) -> int:
        """Return when its file was last changed, by which what is held of it in memory is known."""
        is_there(self.path)
        return self.path.stat().st_mtime_ns

    @property
    def observations_path(self) -> Path | None:
        """Return the file (CF-NetCDF) of the observations at the forecast's leads, on its grid; None without any."""
        path = observations_file(self.path)
        return path if is_there(path) else None


FORECAST: Final = RecordCodec(
    StoredForecast, names={"id": "forecast_id", "version": "model_version"}, omit=("path",), error=NoDataError
)
"""The record in a file's attributes and in the catalogue; a new field is added to `StoredForecast` alone."""


@dataclass(frozen=True)
class Verification:
    """Counts of a model, persistence and extrapolation by lead and threshold.

    Attributes:
        kind: of this forecast against its observations, or of this model's forecasts of the last 24 hours.
        scores: one row per model, lead and threshold; the three models share their grid cells.
        scores_known: the same for grid cells that rest on an observation; empty if no forecast holds that mask.
        cells: compared grid cells by lead in minutes.
    """

    kind: Literal["this_forecast", "rolling_24h"]
    scores: Sequence[SumRow]
    scores_known: Sequence[SumRow] = ()

    @property
    def cells(self) -> dict[int, int]:
        """Return the number of compared grid cells by lead in minutes (pooled over forecasts if rolling)."""
        return {row.lead_minutes: row.sums.total for row in self.scores if isinstance(row.sums, Counts)}


def inputs_file(forecast_path: Path, inputs_sha256: str) -> Path:
    """Return the path of a forecast's inputs; the forecasts of one window share the file."""
    return forecast_path.with_name(f"inputs-{inputs_sha256[:32]}.nc")


def observations_file(forecast_path: Path) -> Path:
    """Return the path of the observations at a forecast's leads."""
    return forecast_path.with_name(f"{forecast_path.stem}.observations.nc")


def read_rate(path: Path, leads: Sequence[int] | None = None) -> Float32Field:
    """Read the rain rate of one of the service's own files, mm/h, (T, H, W), NaN is no data.

    Args:
        path: of the file.
        leads: their indices; None reads all of them.
    """
    return np.asarray(read_variable(path, RATE, leads), np.float32)
