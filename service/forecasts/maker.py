"""Makes a forecast and the baselines of its window, each once."""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Final
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from core.cells import cell_edges_m, mean_edge_m
from core.files import write_atomically
from core.logs import log_context
from core.shared_files import is_shared, publish
from core.times import iso
from service.forecasts.catalogue import Catalogue
from service.forecasts.exports import exported
from service.forecasts.lead_file import WrittenLeads, write_lead_stream, write_record
from service.forecasts.products import forecast_path, read_usual_coverage, write_inputs
from service.forecasts.records import Origin, StoredForecast
from service.forecasts.statement import Statement
from service.inference.engine import LeadStream
from service.inference.inputs import ModelInput
from service.inference.predictor import Choice, Prediction, Predictor
from service.inference.warm import AnyForecaster
from service.telemetry.metrics import FRAMES_MISSING, STAGE_SECONDS
from service.telemetry.traces import add_span, span
from verification.baselines import BASELINES

NAMESPACE: Final = UUID("6f0f7a52-6a3e-5c8e-9b1d-2f6f4c1f7a90")
"""Namespace of all forecast ids; a new one would change the id of every forecast."""

LOCKS: Final = 1024
log = logging.getLogger(__name__)


class Maker:
    """Makes and stores forecasts; calls for the same forecast wait for the first and return its result.

    Two processes may make the same forecast: both files are whole and alike, and the later row stays.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        predictor: Predictor,
        clock: Callable[[], datetime],
        statement: Statement | None = None,
        *,
        write_source_grid: bool = False,
    ) -> None:
        self._catalogue = catalogue
        self._predictor = predictor
        self._clock = clock
        self._write_source_grid = write_source_grid
        self._statement = statement or Statement()
        self._usual: tuple[Path, NDArray[np.bool_]] | None = None
        self._locks = tuple(threading.Lock() for _ in range(LOCKS))

    def make(
        self, inputs: ModelInput, choice: Choice, origin: Origin, issued_at: datetime | None = None
    ) -> StoredForecast:
        """Return the forecast of a model, from the catalogue if it is stored already.

        One that a forecast of another window has replaced is made again: its window is the current one once more, as a
        scan was lost and has been read again.
        """
        forecaster = self._predictor.forecaster(choice.reference)
        name = forecast_id(inputs, forecaster.name, forecaster.version, origin)
        context = log_context(forecast_id=name, reference_time=iso(inputs.window.reference_time), model=forecaster.name)
        with context, self._locks[hash(name) % LOCKS]:
            known = self._catalogue.find(name)
            if known is not None and not self._catalogue.is_replaced(known):
                return known
            return self._made(self._draft(name, inputs, choice, forecaster, origin), inputs, choice, issued_at)

    def _made(
        self, draft: StoredForecast, inputs: ModelInput, choice: Choice, issued_at: datetime | None
    ) -> StoredForecast:
        """Compute the leads into the file of a forecast, and enter it into the catalogue; None is issued now."""
        made: list[StoredForecast] = []

        def write(temporary: Path) -> None:
            began = perf_counter()
            with span("forecast"):
                prediction = self._predict(choice, inputs, partial(write_lead_stream, temporary, draft))
                add_span("write", prediction.result.writing_s)
            written, computed_s = prediction.result, perf_counter() - began - prediction.result.writing_s
            STAGE_SECONDS.labels(draft.model if draft.model in BASELINES else "model").observe(computed_s)
            STAGE_SECONDS.labels("write").observe(written.writing_s)
            made.append(_completed(draft, prediction, issued_at or self._clock()))
            self._keep_inputs(made[0], inputs)
            write_record(temporary, made[0])

        write_atomically(draft.path, write, checksum=True)
        forecast = made[0]
        publish(forecast.path)
        if self._write_source_grid and forecast.origin == "scans" and forecast.model not in BASELINES:
            # Before the row, so that the export exists wherever the forecast is found.
            exported(forecast, "nc", source=True)
        self._catalogue.put(forecast)
        _count_and_log(forecast)
        return forecast

    def _predict(
        self, choice: Choice, inputs: ModelInput, take: Callable[[LeadStream], WrittenLeads]
    ) -> Prediction[WrittenLeads]:
        """Compute every multiple of the cadence up to the longest lead of the input."""
        return self._predictor.predict(
            choice.reference,
            inputs.rate_mmh_THW,
            inputs.lead_minutes[-1] // inputs.cadence_minutes,
            inputs.cadence_minutes,
            take=take,
            pixel_m=mean_edge_m(*cell_edges_m(inputs.grid)),
            model_usable=inputs.window.model_usable,
        )

    def make_again(self, inputs: ModelInput, lost: StoredForecast) -> StoredForecast:
        """Make a forecast again whose file was lost; it counts from when it was made first."""
        return self.make(inputs, self._predictor.choose(lost.requested_model), lost.origin, lost.issued_at)

    def make_baselines(self, inputs: ModelInput, origin: Origin) -> None:
        """Make persistence and extrapolation of an input, unless they are stored already."""
        for baseline in BASELINES:
            self.make(inputs, Choice(baseline, baseline), origin)

    def _draft(
        self, name: str, inputs: ModelInput, choice: Choice, forecaster: AnyForecaster, origin: Origin
    ) -> StoredForecast:
        """Return the record of a forecast without what its computation adds: method, notes, probabilities, time."""
        window = inputs.window
        return StoredForecast(
            id=name,
            status="degraded" if window.status == "degraded" or choice.notes else "ok",
            method=forecaster.name,
            issued_at=self._clock(),
            requested_model=choice.requested,
            model=forecaster.name,
            version=forecaster.version,
            notes=(*window.notes, *choice.notes),
            lead_minutes=inputs.lead_minutes,
            path=forecast_path(self._catalogue.folder, window.reference_time, name),
            origin=origin,
            **self._statement.fields(window, origin),
            **_of_inputs(inputs),
        )

    def _keep_inputs(self, forecast: StoredForecast, inputs: ModelInput) -> None:
        if not is_shared(forecast.inputs_path):
            seen_HW = np.asarray(np.isfinite(inputs.rate_mmh_THW).any(axis=0))
            usual_HW = self._usual_coverage(forecast, seen_HW)
            write_inputs(forecast, inputs.window, inputs.rate_mmh_THW, usual_HW)
            self._usual = forecast.inputs_path, usual_HW

    def _usual_coverage(self, forecast: StoredForecast, seen_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the cells observed in the window, or earlier according to the newest earlier forecast from scans."""
        if forecast.origin == "upload":
            return seen_HW
        earlier = self._catalogue.select(
            origin="scans",
            product=forecast.product,
            end=forecast.reference_time - timedelta(seconds=1),
            limit=len(BASELINES) + 1,
        )
        same = [one for one in earlier if one.grid.same_place(forecast.grid)]
        if not same:
            return seen_HW
        path, usual_HW = self._usual or (None, seen_HW)
        return seen_HW | (usual_HW if path == same[0].inputs_path else read_usual_coverage(same[0]))


def _completed(draft: StoredForecast, prediction: Prediction[WrittenLeads], issued_at: datetime) -> StoredForecast:
    """Return the record of a forecast that is computed."""
    return replace(
        draft,
        status="degraded" if prediction.notes else draft.status,
        method=prediction.method,
        issued_at=issued_at,
        notes=(*draft.notes, *prediction.notes),
        thresholds_mmh=prediction.result.thresholds_mmh,
    )


def _count_and_log(forecast: StoredForecast) -> None:
    """Log a new forecast, and count the frames that its window lacked."""
    missing = sum(time is None for time in forecast.input_times)
    if forecast.origin == "scans" and forecast.model not in BASELINES and missing:
        FRAMES_MISSING.labels(forecast.product).inc(missing)
    notes = f"; {'; '.join(forecast.notes)}" if forecast.notes else ""
    log.info("forecast made by %s from %s%s", forecast.method, forecast.origin, notes)


def _of_inputs(inputs: ModelInput) -> dict[str, Any]:
    """Return the fields of a record that its inputs alone decide."""
    window = inputs.window
    return {
        "reference_time": window.reference_time,
        "product": window.product,
        "grid": inputs.grid,
        "source_grid": window.scan_grid or window.grid,
        "input_times": window.input_times,
        "missing_radars": window.missing_radars,
        "provider": window.provider,
        "inputs_sha256": inputs.sha256,
        "cadence_minutes": inputs.cadence_minutes,
    }


def forecast_id(inputs: ModelInput, model: str, version: str, origin: Origin) -> str:
    """Return the id, the same for the same input, model version and leads.

    Uploads have ids of their own, so that an upload with its observations never replaces a forecast from scans.
    """
    parts = [inputs.sha256, model, version, len(inputs.lead_minutes), inputs.lead_minutes[0], origin]
    return str(uuid5(NAMESPACE, json.dumps(parts)))
