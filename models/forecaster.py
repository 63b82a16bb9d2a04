"""Forecasters: rain rates in mm/h in and out, as NumPy arrays, for networks and baselines alike."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from core.arrays import BoolField, Float32Field
from core.cells import CellEdges
from core.errors import ForecastError, InputError, shown
from core.units import PAPER_PIXEL_M
from models.device import pick_device
from models.fast import ready
from models.fields import ForecastFields, all_missing
from models.leads import ForecastLead, leads_of
from models.rollout import RecurrentModel
from models.transforms import ReflectivityTransform, Transform


class Forecaster(ABC):
    """Interface of every kind of forecast: networks, persistence, extrapolation.

    Attributes:
        name, version: as served and stored with every forecast.
        input_steps: number of fields that a forecast starts from; fewer are accepted down to `minimum_steps`.
        cadence_minutes: spacing of the fields that it was trained on.
        pixel_m: size of the grid cells that it was trained on: the mean of both edges, where they differ.
        edges: both edges and the fewest cells of its grid, if its card states them; None: square cells of `pixel_m`.
        card: origin of the model, as in the checkpoint's JSON.
        thresholds_mmh: rates whose exceedance probabilities it forecasts; empty if it forecasts none.
        any_scale: whether it is made for every cadence and cell size; else it is scored at those of its training.
        makes_members: whether it makes ensemble members on request.
    """

    minimum_steps: ClassVar[int] = 1
    any_scale: ClassVar[bool] = False
    makes_members: ClassVar[bool] = False
    thresholds_mmh: tuple[float, ...] = ()
    edges: CellEdges | None = None

    def __init__(self, name: str, version: str, *, input_steps: int, cadence_minutes: int, pixel_m: float) -> None:
        self.name = name
        self.version = version
        self.input_steps = input_steps
        self.cadence_minutes = cadence_minutes
        self.pixel_m = pixel_m
        self.card: dict[str, Any] = {}

    @property
    def cell_edges(self) -> CellEdges:
        """Return the cells of the grid that it runs on."""
        return self.edges or CellEdges(self.pixel_m, self.pixel_m)

    def forecast(
        self,
        rate_mmh_THW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
        members: int = 0,
    ) -> ForecastFields:
        """Forecast the next `lead_steps` times; leads are multiples of the input's cadence.

        Args:
            rate_mmh_THW: mm/h, row 0 in the north, NaN where not observed, any size; the newest field last.
            lead_steps: number of fields to forecast.
            cadence_minutes: spacing of the input; None is the forecaster's own.
            pixel_m: cell size of the input (mean of both edges); None is the forecaster's own.
            members: number of ensemble members; 0 for a forecaster that makes none.

        Returns:
            Float32 fields of shape (lead_steps, H, W); NaN exactly where the newest input field is NaN.

        Raises:
            InputError: not (T, H, W), too few or empty fields, negative or infinite rates, an invalid number of leads,
                a cadence or cell size that is not positive, or members requested.
            ForecastError: the result is not finite where the newest field is observed.
        """
        rate_mmh_BTHW = np.asarray(rate_mmh_THW)[None]
        return self.forecast_batch(
            rate_mmh_BTHW, lead_steps, cadence_minutes=cadence_minutes, pixel_m=pixel_m, members=members
        )[0]

    def forecast_batch(
        self,
        rate_mmh_BTHW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
        members: int = 0,
    ) -> list[ForecastFields]:
        """Forecast from several inputs of one size, in one run of a network.

        Args:
            rate_mmh_BTHW: as `forecast`, with a leading batch axis.
            lead_steps: as `forecast`.
            cadence_minutes: as `forecast`, for all inputs.
            pixel_m: as `forecast`, for all inputs.
            members: as `forecast`.

        Returns:
            One result for each input, in their order.

        Raises:
            InputError, ForecastError: as `forecast`, if any input is invalid; then no input has a result.
        """
        if isinstance(members, bool) or not isinstance(members, int | np.integer) or members < 0:
            raise InputError(f"members must be an integer of at least 0, got {shown(members)}")
        if members and not self.makes_members:
            raise InputError(f"members must be 0 for {self.name}, which makes no ensemble members, got {members}")
        minutes, size_m = self._spacings(lead_steps, cadence_minutes, pixel_m)
        if not len(rate_mmh_BTHW):
            return []
        fields_BTHW = np.stack([self._checked(fields_THW) for fields_THW in rate_mmh_BTHW])
        results = self._forecast_members(fields_BTHW, int(lead_steps), minutes, size_m, members)
        kept = [result if members else replace(result, members_MLHW=None, amounts=None) for result in results]
        return [self._finished(result, each_THW[-1]) for result, each_THW in zip(kept, fields_BTHW, strict=True)]

    def leads(
        self,
        rate_mmh_THW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
    ) -> Iterator[ForecastLead]:
        """Forecast as `forecast` does, and yield one lead after the other, each computed when it is requested.

        A forecaster that computes all leads at once yields views of them. The fields of a lead are the caller's: later
        leads do not change them.

        Args:
            rate_mmh_THW: as `forecast`.
            lead_steps: as `forecast`.
            cadence_minutes: as `forecast`.
            pixel_m: as `forecast`.

        Raises:
            InputError: as `forecast`, before the first lead.
            ForecastError: as `forecast`, at the lead that is not finite.
        """
        minutes, size_m = self._spacings(lead_steps, cadence_minutes, pixel_m)
        fields_THW = self._checked(np.asarray(rate_mmh_THW))
        missing_HW = np.isnan(fields_THW[-1])
        leads = self._leads(fields_THW, int(lead_steps), minutes, size_m)
        return (replace(lead, rate_mmh_HW=self._finite(lead.rate_mmh_HW, missing_HW)) for lead in leads)

    def _leads(
        self, rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Iterator[ForecastLead]:
        """Yield the finished leads of a checked input."""
        parts = self._forecast_batch(rate_mmh_THW[None], lead_steps, cadence_minutes, pixel_m)
        yield from leads_of(self._finished(part, rate_mmh_THW[-1]) for part in parts)

    @abstractmethod
    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Sequence[ForecastFields]:
        """Forecast from checked inputs, in new arrays; values where the newest field is NaN are ignored."""

    def _forecast_members(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float, members: int
    ) -> Sequence[ForecastFields]:
        """Forecast with some ensemble members; a forecaster that makes none is only called with 0."""
        del members
        return self._forecast_batch(rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m)

    def _finished(self, result: ForecastFields, newest_mmh_HW: Float32Field) -> ForecastFields:
        """Set grid cells outside the newest field's coverage to NaN and not known, and negative rates to 0."""
        missing_HW = np.isnan(newest_mmh_HW)
        rate_mmh_LHW = self._finite(np.maximum(result.rate_mmh_LHW, np.float32(0.0)), missing_HW)
        rate_mmh_LHW[:, missing_HW] = np.nan
        probability_KLHW = result.exceedance_probability_KLHW
        if probability_KLHW is not None and missing_HW.any():
            probability_KLHW[:, :, missing_HW] = np.nan  # in place: a copy of all leads would double the memory
        members_MLHW = result.members_MLHW
        if members_MLHW is not None:
            missing_members_HW = all_missing(missing_HW, result.probability_grid_factor)
            if missing_members_HW.any():
                members_MLHW[:, :, missing_members_HW] = np.nan
        return replace(
            result,
            rate_mmh_LHW=rate_mmh_LHW,
            known_LHW=result.known_LHW & ~missing_HW,
            exceedance_probability_KLHW=probability_KLHW,
            members_MLHW=members_MLHW,
        )

    def _finite(self, rate_mmh: Float32Field, missing_HW: BoolField) -> Float32Field:
        if not (np.isfinite(rate_mmh) | missing_HW).all():
            raise ForecastError(f"{self.name} {self.version}: expected rain rates, got values that are not finite")
        return np.asarray(rate_mmh, np.float32)

    def _spacings(self, lead_steps: int, cadence_minutes: float | None, pixel_m: float | None) -> tuple[float, float]:
        """Check the number of leads, and return minutes and metres, the forecaster's own for None."""
        if isinstance(lead_steps, bool) or not isinstance(lead_steps, int | np.integer) or lead_steps < 1:
            raise InputError(f"lead_steps must be an integer of at least 1, got {shown(lead_steps)}")
        minutes = _spacing("cadence_minutes", cadence_minutes, self.cadence_minutes)
        return minutes, _spacing("pixel_m", pixel_m, self.pixel_m)

    def _checked(self, rate_mmh_THW: Float32Field) -> Float32Field:
        if rate_mmh_THW.ndim != 3 or rate_mmh_THW.shape[0] < self.minimum_steps or not rate_mmh_THW.size:
            raise InputError(
                f"rate_mmh_THW: expected (time, rows, columns) with at least {self.minimum_steps} times for "
                f"{self.name}, got shape {rate_mmh_THW.shape}"
            )
        if not np.issubdtype(rate_mmh_THW.dtype, np.number) or np.iscomplexobj(rate_mmh_THW):
            raise InputError(f"rate_mmh_THW: expected rates in mm/h, got an array of {rate_mmh_THW.dtype}")
        if np.isinf(rate_mmh_THW).any() or (rate_mmh_THW < 0).any():
            raise InputError("expected rates in mm/h, NaN where not observed, got rates below 0 or infinite")
        return np.asarray(rate_mmh_THW, np.float32)

    @staticmethod
    def from_model(
        model: nn.Module,
        *,
        transform: Transform | None = None,
        name: str = "untrained",
        version: str = "0",
        device: str = "auto",
        precision: str = "auto",
        input_steps: int = 5,
        cadence_minutes: int = 30,
        pixel_m: float = PAPER_PIXEL_M,
    ) -> "NetworkForecaster":
        """Wrap a module that maps (B, T, 1, H, W) and `lead_steps` to (B, n, 1, H, W).

        A recurrent model is copied and made fast (`models.fast`); any other module runs as it is.
        """
        return NetworkForecaster(
            model,
            transform or ReflectivityTransform(),
            name,
            version,
            device=device,
            precision=precision,
            input_steps=input_steps,
            cadence_minutes=cadence_minutes,
            pixel_m=pixel_m,
        )


class NetworkForecaster(Forecaster):
    """A network with its transform; it accepts other cadences and cell sizes than those of its training (see its card).

    `known_LHW` is the coverage of the newest field at every lead: tracing the motion would add 30 to 45 % to the
    forecast time of a plain network.
    """

    minimum_steps: ClassVar[int] = 2

    def __init__(
        self,
        model: nn.Module,
        transform: Transform,
        name: str,
        version: str,
        *,
        device: str = "auto",
        precision: str = "auto",
        input_steps: int,
        cadence_minutes: int,
        pixel_m: float,
    ) -> None:
        super().__init__(name, version, input_steps=input_steps, cadence_minutes=cadence_minutes, pixel_m=pixel_m)
        self.device = pick_device(device)
        self.model = (
            ready(model, self.device, precision) if isinstance(model, RecurrentModel) else model.to(self.device).eval()
        )
        self.transform = transform

    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Sequence[ForecastFields]:
        del cadence_minutes, pixel_m
        newest_BTHW = np.ascontiguousarray(rate_mmh_BTHW[:, -self.input_steps :])
        with torch.inference_mode():
            frames_BTCHW = self.transform.encode(torch.from_numpy(newest_BTHW).to(self.device)[:, :, None])
            value_BTCHW = self.model(frames_BTCHW, lead_steps=lead_steps)
            rate_BLHW = np.array(self.transform.decode(value_BTCHW.float())[:, :, 0].cpu().numpy(), np.float32)
        pairs = zip(rate_BLHW, newest_BTHW, strict=True)
        return [ForecastFields.known_in_coverage(rate_LHW, each_THW[-1]) for rate_LHW, each_THW in pairs]


def _spacing(name: str, value: float | None, own: float) -> float:
    """Return the spacing of an input, the forecaster's own for None; that is 0 after training on frames without one."""
    if value is None:
        return float(own)
    if not 0 < value < math.inf:
        raise InputError(f"{name} must be a positive number, got {shown(value)}")
    return float(value)
