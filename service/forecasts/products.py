"""The files of a forecast: the forecast, its inputs, and the observations that followed, all CF-NetCDF."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.cf import (
    KNOWN,
    KNOWN_ATTRIBUTES,
    RATE,
    RATE_ATTRIBUTES,
    axes_dataset,
    rate_dataset,
    write_dataset,
)
from core.errors import NoDataError, UnavailableError
from core.records import RecordCodec
from core.shared_files import publish
from core.times import iso
from ingest.windows.window import Window
from service.forecasts.image import image_png as image_png
from service.forecasts.image import visible_scale
from service.forecasts.netcdf import (
    LeadVariable,
    read_attributes,
    read_packed,
    read_variable,
    variables_of,
    with_coverage,
    write_leads,
)
from service.forecasts.packing import rounded_rate
from service.forecasts.records import FORECAST, StoredForecast, observations_file, read_rate
from service.inference.inputs import ModelInput

INSTITUTION: Final = "MS-RNN nowcasting service"
USUAL: Final = "usual_coverage"
ROUNDED: Final = "rounded down to steps of 0.01 mm h-1"

WINDOW: Final = RecordCodec(
    Window,
    names={"status": "window_status", "notes": "window_notes"},
    omit=("reference_time", "grid", "rate_mmh_THW", "scan_grid"),
    error=NoDataError,
)
"""Attributes of the file of a forecast's inputs; omitted fields are taken from the forecast."""


def forecast_path(forecasts: Path, reference_time: datetime, forecast_id: str) -> Path:
    """Return `YYYY/MM/DD/ID.nc` below the folder of forecasts."""
    return forecasts / f"{reference_time:%Y/%m/%d}" / f"{forecast_id}.nc"


def rate_variables(rate_mmh_HW: Callable[[int], Float32Field]) -> list[LeadVariable]:
    """Return the rate and its coverage.

    Args:
        rate_mmh_HW: field of a lead, by its index; mm/h, NaN is no data.
    """
    attributes = {**RATE_ATTRIBUTES, "ancillary_variables": f"coverage {KNOWN}", "comment": ROUNDED}
    return with_coverage(LeadVariable(RATE, "f4", attributes, rate_mmh_HW, np.float32("nan")), rounded_rate)


def known_variable(known_HW: Callable[[int], NDArray[np.bool_]]) -> LeadVariable:
    """Return the variable that says where a lead, by its index, rests on an observation."""
    return LeadVariable(KNOWN, "i1", KNOWN_ATTRIBUTES, lambda lead: known_HW(lead).astype(np.int8))


def read_known(path: Path, leads: Sequence[int] | None = None) -> NDArray[np.bool_] | None:
    """Read where a forecast rests on an observation, (L, H, W); None from a file of version 0.1.0, which has no mask.

    Args:
        path: of the file.
        leads: their indices; None reads all of them.

    Raises:
        OSError: the file is not a NetCDF file.
    """
    if KNOWN not in variables_of(path):
        return None
    return np.asarray(read_packed(path, KNOWN, leads).codes == 1)


def forecast_attributes(forecast: StoredForecast) -> dict[str, Any]:
    """Return the global attributes of a file: what CF asks for, and the record as `read_forecast` reads it."""
    return {
        "title": f"Precipitation nowcast of {iso(forecast.reference_time)}",
        "institution": INSTITUTION,
        "source": f"{forecast.method} on radar product {forecast.product}",
        "history": f"{iso(forecast.issued_at)} forecast made",
        **FORECAST.to_attributes(forecast),
    }


def read_forecast(path: Path) -> StoredForecast:
    """Return the record of a forecast from its file alone.

    Raises:
        OSError: the file is not a NetCDF file.
        NoDataError: it is not a forecast file of this service.
    """
    return FORECAST.from_attributes(read_attributes(path), path=path)


def write_inputs(
    forecast: StoredForecast, window: Window, rate_mmh_THW: Float32Field, usual_HW: NDArray[np.bool_]
) -> None:
    """Write the window on the forecast's grid, for `read_window`, with the cells that radars usually observe."""
    attributes = {
        "title": f"Input of the nowcasts of {iso(forecast.reference_time)}",
        "institution": INSTITUTION,
        "source": f"radar product {forecast.product}",
        "history": f"{iso(forecast.reference_time)} window of radar composites, brought to the forecast's grid",
        "inputs_sha256": forecast.inputs_sha256,
        **WINDOW.to_attributes(window),
    }
    dataset = rate_dataset(rate_mmh_THW, window.nominal_times, forecast.grid, attributes=attributes)
    dataset[USUAL] = (
        ("y", "x"),
        usual_HW.astype(np.int8),
        {"long_name": "observed in this window or an earlier one", "grid_mapping": "crs"},
    )
    write_dataset(dataset, forecast.inputs_path, checksum=True)
    publish(forecast.inputs_path)


def read_window(forecast: StoredForecast) -> Window:
    """Read the window of a forecast on its grid, from the file of its inputs.

    Raises:
        NoDataError: the file is missing, or of a release that did not write all of it.
    """
    try:
        attributes, rate_mmh_THW = read_attributes(forecast.inputs_path), read_rate(forecast.inputs_path)
    except (OSError, IndexError) as err:
        raise NoDataError(f"the inputs of forecast {forecast.id} are not readable: {err}") from err
    return WINDOW.from_attributes(
        attributes,
        reference_time=forecast.reference_time,
        grid=forecast.grid,
        rate_mmh_THW=rate_mmh_THW,
        scan_grid=forecast.source_grid,
    )


def kept_input(forecast: StoredForecast) -> ModelInput:
    """Read the input of a stored forecast from the file of its inputs.

    Raises:
        NoDataError: the file is missing, or of a release that did not write all of it.
    """
    window = read_window(forecast)
    cadence, sha256 = window.cadence_minutes, forecast.inputs_sha256
    return ModelInput(window, forecast.grid, window.rate_mmh_THW, cadence, sha256, forecast.lead_minutes)


def read_usual_coverage(forecast: StoredForecast) -> NDArray[np.bool_]:
    """Read which grid cells a radar saw in the window or in an earlier one, (H, W); all False without the file."""
    if not forecast.has_inputs:
        return np.zeros(forecast.grid.shape, np.bool_)
    return np.asarray(read_variable(forecast.inputs_path, USUAL) == 1)


def write_observations(
    forecast: StoredForecast, observed_HW: Callable[[int], Float32Field | None], sources: Sequence[str | None]
) -> None:
    """Write the observations at a forecast's leads, on its grid; NaN where nothing was observed.

    Args:
        forecast: whose leads.
        observed_HW: mm/h, by the index of a lead; None without an observation.
        sources: hashes of the scans behind the fields, by which a reader detects that scans were added since.
    """
    attributes = {
        "title": f"Observations of the leads of the nowcast of {iso(forecast.reference_time)}",
        "institution": INSTITUTION,
        "source": f"radar product {forecast.product}",
        "history": f"{iso(forecast.issued_at)} radar composites brought to the grid of a forecast",
        "forecast_id": forecast.id,
        "sources": json.dumps(sources),
    }
    attributes |= {"attribution": forecast.attribution} if forecast.attribution else {}
    header = axes_dataset(forecast.valid_times, forecast.grid, attributes=attributes)
    nothing_HW = np.full(forecast.grid.shape, np.nan, np.float32)

    def rate_mmh_HW(lead: int) -> Float32Field:
        found_HW = observed_HW(lead)
        return nothing_HW if found_HW is None else found_HW

    rate = LeadVariable(RATE, "f4", RATE_ATTRIBUTES, rate_mmh_HW, np.float32("nan"))
    path = observations_file(forecast.path)
    write_leads(header, with_coverage(rate), path)
    try:
        publish(path)
    except UnavailableError:  # what is here alone would be found complete, and never be put into the store
        path.unlink(missing_ok=True)
        raise


def lead_index(forecast: StoredForecast, lead_minutes: int) -> int:
    """Return the index of a lead among the forecast's leads.

    Raises:
        NoDataError: the forecast has no such lead.
    """
    if lead_minutes not in forecast.lead_minutes:
        leads = ", ".join(map(str, forecast.lead_minutes))
        raise NoDataError(f"lead: expected one of {leads} minutes, got {lead_minutes}")
    return forecast.lead_minutes.index(lead_minutes)


def lead_png(forecast: StoredForecast, lead_minutes: int, *, scale: int | None = None) -> bytes:
    """Draw one lead of a forecast, hatched where rain can flow in from outside the observed area.

    Raises:
        NoDataError: the forecast has no such lead.
    """
    lead = lead_index(forecast, lead_minutes)
    known_LHW = read_known(forecast.path, [lead])
    return image_png(
        read_rate(forecast.path, [lead])[0],
        scale=scale or visible_scale(forecast.grid.shape),
        known_HW=None if known_LHW is None else known_LHW[0],
    )


def inputs_png(forecast: StoredForecast, step: int, *, scale: int | None = None) -> bytes:
    """Draw an observed field of the window, on the forecast's grid; step 0 is the oldest, -1 the newest.

    Raises:
        NoDataError: no such step, or the inputs are not kept.
    """
    if not forecast.has_inputs:
        raise NoDataError(f"the inputs of forecast {forecast.id} are not kept")
    steps = len(forecast.input_times)
    if not -steps <= step < steps:
        raise NoDataError(f"input step: expected 0 to {steps - 1}, got {step}")
    rate_mmh_HW = read_rate(forecast.inputs_path, [step % steps])[0]
    return image_png(rate_mmh_HW, scale=scale or visible_scale(forecast.grid.shape))
