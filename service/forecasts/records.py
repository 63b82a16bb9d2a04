"""What the service hands out: one forecast, and how good it was."""

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
from service.forecasts.netcdf import read_variable
from verification.counts import Counts
from verification.table import SumRow

Status = Literal["ok", "degraded", "stale"]
Origin = Literal["scans", "upload"]


@dataclass(frozen=True)
class StoredForecast:
    """One stored forecast.

    Attributes:
        id: uuid5 of the input's content, the model's name and version, and the leads.
        status: stale where the data are older than `stale_after_s` now, else degraded where window or method are.
        method: what really made the fields: the model's name, or the baseline that stood in for it.
        requested_model: the name that was asked for ("default").
        model, version: the name and version of the forecaster behind that name.
        input_times: valid times of the window's frames; None where nothing was there.
        inputs_sha256: content of the window on the model grid; forecasts of one window share it.
        path: the CF-NetCDF file.
        origin: from stored scans or from an upload.
        source_grid: of the scans; None where an older version of the service did not keep it.
        thresholds_mmh: rates whose probabilities the file holds, ascending; empty where it holds none.
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

    @property
    def valid_times(self) -> tuple[datetime, ...]:
        """The time of every lead."""
        return tuple(self.reference_time + timedelta(minutes=lead) for lead in self.lead_minutes)

    @property
    def rate_mmh_THW(self) -> Float32Field:
        """Forecast rain rate, read from the file; row 0 is north, NaN is no data."""
        return read_rate(self.path)

    @property
    def inputs_path(self) -> Path:
        """The window's frames on the forecast's grid, and where radars usually see (CF-NetCDF)."""
        return inputs_file(self.path, self.inputs_sha256)

    @property
    def observations_path(self) -> Path | None:
        """The frames that followed, on the forecast's grid at its leads (CF-NetCDF), where there are any."""
        path = observations_file(self.path)
        return path if path.is_file() else None


FORECAST: Final = RecordCodec(
    StoredForecast, names={"id": "forecast_id", "version": "model_version"}, omit=("path",), error=NoDataError
)
"""The record in a file's attributes and in the catalogue; a new field is added to `StoredForecast` alone."""


@dataclass(frozen=True)
class Verification:
    """Counts of a model, persistence and extrapolation by lead and threshold.

    Attributes:
        kind: of this forecast against what followed, or of this model's forecasts of the last 24 hours.
        scores: one row per model, lead and threshold; the three models share their cells.
        scores_known: the same of the cells that are known to rest on an observation; empty where no forecast says so.
        cells: compared cells by lead in minutes.
    """

    kind: Literal["this_forecast", "rolling_24h"]
    scores: Sequence[SumRow]
    scores_known: Sequence[SumRow] = ()

    @property
    def cells(self) -> dict[int, int]:
        """Compared cells by lead in minutes (pooled over forecasts where the kind is rolling)."""
        return {row.lead_minutes: row.sums.total for row in self.scores if isinstance(row.sums, Counts)}


def inputs_file(forecast_path: Path, inputs_sha256: str) -> Path:
    """Where the inputs of a forecast lie; the forecasts of one window share them."""
    return forecast_path.with_name(f"inputs-{inputs_sha256[:32]}.nc")


def observations_file(forecast_path: Path) -> Path:
    """Where the observations of a forecast's leads lie."""
    return forecast_path.with_name(f"{forecast_path.stem}.observations.nc")


def read_rate(path: Path) -> Float32Field:
    """The rain rate of one of our own files, mm/h, (T, H, W), NaN is no data."""
    return np.asarray(read_variable(path, RATE), np.float32)
