"""The forecasts of one window by every model, on the window's cells and at its leads."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from core.arrays import BoolField, Float32Field
from core.cells import FEWEST_CELLS
from core.errors import ConfigError
from core.files import write_atomically
from models.ensembles import Cascade, StepsEnsemble, matched_mean
from models.fields import ForecastFields
from models.forecaster import Forecaster
from training.datasets.field_cache import resize
from training.evaluation.event_windows import EventWindow

MATCHED: Final = "steps-pmm"
"""Row of the probability-matched mean of the members of STEPS."""

FILLED: Final = ("persistence", "extrapolation", "sprog", "steps", MATCHED)
"""The baselines: where they have no value within the newest scan's coverage, they forecast no rain."""

ENSEMBLES: Final = ("steps", MATCHED)
"""The rows that only some windows have, since they take minutes."""


@dataclass(frozen=True, eq=False)
class LeadFields:
    """Forecast of one model on the cells of a window.

    Attributes:
        lead_minutes: of the fields; those leads of the window that the model has.
        rate_mmh_LHW: NaN where it has no value.
        known_LHW: where the forecast rests on something observed.
        probability_KLHW: exceedance probabilities; None without any.
        thresholds_mmh: of the probabilities.
        members_MLHW: ensemble members; None without any.
    """

    lead_minutes: tuple[int, ...]
    rate_mmh_LHW: Float32Field
    known_LHW: BoolField | None = None
    probability_KLHW: Float32Field | None = None
    thresholds_mmh: tuple[float, ...] = ()
    members_MLHW: Float32Field | None = None


class ForecastCache:
    """Files with the members of one window each.

    Rates are kept as float16 (a relative error below 0.05 %), and used with that precision from the first time on, so
    that a run with a full cache gives the numbers of the run that filled it.

    Args:
        folder: of the files; None keeps none.
        digests: sha256 of the event files, by name.
    """

    def __init__(self, folder: Path | None, digests: dict[str, str]) -> None:
        self.folder, self.digests = folder, digests

    def __call__(self, forecaster: Cascade, window: EventWindow, make: Callable[[], Float32Field]) -> Float32Field:
        """Return the members of a window, (M, L, H, W).

        Raises:
            ConfigError: the folder cannot be written.
        """
        if self.folder is None:
            return make().astype(np.float16).astype(np.float32)
        path = self.folder / f"{forecaster.name}-{self._key(forecaster, window)}.npz"
        try:
            if not path.is_file():
                members_MLHW = make().astype(np.float16)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, lambda temporary: _save(temporary, members_MLHW))
            with np.load(path) as stored:
                return np.asarray(stored["members_MLHW"], np.float32)
        except OSError as err:
            raise ConfigError(f"--cache {self.folder}: expected a folder with free space, got {err}") from err

    def _key(self, forecaster: Cascade, window: EventWindow) -> str:
        parts = [
            self.digests.get(window.file, window.file),
            window.reference_time.isoformat(),
            window.past_THW.shape,
            window.cadence_minutes,
            f"{window.pixel_m:.3f}",
            window.lead_minutes,
            forecaster.version,
            forecaster.settings,
            version("pysteps"),
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def window_forecasts(
    forecaster: Forecaster, window: EventWindow, *, own_scale: bool, cache: ForecastCache | None = None
) -> dict[str, LeadFields]:
    """Return the forecast of a window by row of the table; nothing from a model that has none of its leads.

    Args:
        forecaster: STEPS gives two rows, the mean and the probability-matched mean.
        window: input and leads.
        own_scale: whether a model that is not made for every cadence and cell size gets fields at its own: those of
            the input at its cadence, on cells of its size as the service makes them, and its forecast is enlarged.
        cache: of the baselines that take long.
    """
    if isinstance(forecaster, Cascade):
        return _of_cascade(forecaster, window, cache)
    if own_scale and not forecaster.any_scale:
        found = _at_own_scale(forecaster, window)
        return {} if found is None else {forecaster.name: found}
    leads = window.lead_minutes
    fields = forecaster.forecast(
        window.past_THW,
        max(leads) // window.cadence_minutes,
        cadence_minutes=window.cadence_minutes,
        pixel_m=window.pixel_m,
    )
    return {forecaster.name: _at_leads(fields, leads, window.cadence_minutes)}


def _of_cascade(forecaster: Cascade, window: EventWindow, cache: ForecastCache | None) -> dict[str, LeadFields]:
    spacing = {"cadence_minutes": float(window.cadence_minutes), "pixel_m": window.pixel_m}
    steps = [lead // window.cadence_minutes for lead in window.lead_minutes]
    stored = cache or ForecastCache(None, {})
    members_MLHW = stored(forecaster, window, lambda: forecaster.fields_at(window.past_THW, steps, **spacing))
    leads = window.lead_minutes
    if not isinstance(forecaster, StepsEnsemble):
        return {forecaster.name: LeadFields(leads, members_MLHW[0])}
    probability = [(members_MLHW >= mmh).mean(axis=0, dtype=np.float32) for mmh in forecaster.thresholds_mmh]
    mean_LHW = members_MLHW.mean(axis=0, dtype=np.float64).astype(np.float32)
    matched_LHW = np.stack([matched_mean(members_MLHW[:, lead]) for lead in range(len(leads))])
    return {
        forecaster.name: LeadFields(
            leads, mean_LHW, None, np.stack(probability), forecaster.thresholds_mmh, members_MLHW
        ),
        MATCHED: LeadFields(leads, matched_LHW),
    }


def _at_leads(fields: ForecastFields, leads: tuple[int, ...], cadence_minutes: int) -> LeadFields:
    chosen = [lead // cadence_minutes - 1 for lead in leads]
    probability_KLHW = fields.exceedance_probability_KLHW
    return LeadFields(
        leads,
        fields.rate_mmh_LHW[chosen],
        fields.known_LHW[chosen],
        None if probability_KLHW is None else probability_KLHW[:, chosen],
        fields.thresholds_mmh,
    )


def _at_own_scale(forecaster: Forecaster, window: EventWindow) -> LeadFields | None:
    cadence, step = forecaster.cadence_minutes, window.cadence_minutes
    leads = tuple(lead for lead in window.lead_minutes if cadence and lead % cadence == 0)
    if not leads or cadence % step:
        return None
    past_THW = window.past_THW[:: -(cadence // step)][: forecaster.input_steps][::-1]
    shape = own_shape(forecaster, window.past_THW.shape[1:], window.pixel_m)
    edge_m = window.pixel_m * float(np.sqrt(np.prod(past_THW.shape[1:]) / np.prod(shape)))
    small_THW = np.stack([resize(field_HW, shape[::-1]) for field_HW in past_THW])
    if len(past_THW) < forecaster.minimum_steps or not np.isfinite(small_THW[-1]).any():
        return LeadFields(leads, np.full((len(leads), *window.past_THW.shape[1:]), np.nan, np.float32))
    fields = forecaster.forecast(small_THW, max(leads) // cadence, cadence_minutes=cadence, pixel_m=edge_m)
    small = _at_leads(fields, leads, cadence)
    size = window.past_THW.shape[1:]
    probability_KLHW = small.probability_KLHW
    return LeadFields(
        leads,
        enlarged(small.rate_mmh_LHW, size),
        None,
        None if probability_KLHW is None else np.stack([enlarged(field, size) for field in probability_KLHW]),
        small.thresholds_mmh,
    )


def own_shape(forecaster: Forecaster, shape: Sequence[int], pixel_m: float) -> tuple[int, int]:
    """Return rows and columns of cells about as large as a model's own, at least 64, and never finer than the input."""
    rows, cols = (min(size, max(round(size * pixel_m / forecaster.pixel_m), FEWEST_CELLS)) for size in shape)
    return rows, cols


def enlarged(field_LHW: Float32Field, shape: Sequence[int]) -> Float32Field:
    """Interpolate bilinearly between cell centres; where a neighbour has no value, a cell has that of its own cell."""
    rows, cols = shape
    if field_LHW.shape[1:] == (rows, cols):
        return field_LHW
    row = np.arange(rows) * field_LHW.shape[1] // rows
    col = np.arange(cols) * field_LHW.shape[2] // cols
    found = []
    for field_HW in field_LHW:
        smooth_HW = resize(field_HW, (cols, rows))
        found.append(np.where(np.isfinite(smooth_HW), smooth_HW, field_HW[np.ix_(row, col)]))
    return np.stack(found)


def _save(path: Path, members_MLHW: np.ndarray[tuple[int, ...], np.dtype[np.float16]]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, members_MLHW=members_MLHW)
