"""Forecasters: rain rate in mm/h in, rain rate in mm/h out, NumPy at both ends, whatever does the work inside."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from core.arrays import Float32Field
from core.errors import ForecastError, InputError
from core.units import PAPER_PIXEL_M
from models.device import NoDeviceError
from models.fast import ready
from models.rollout import RecurrentModel
from models.transforms import ReflectivityTransform, Transform


class Forecaster(ABC):
    """One call for every kind of forecast: networks, persistence, extrapolation.

    Attributes:
        name, version: as served and stored with every forecast.
        input_steps: how many fields a forecast starts from, at least.
        cadence_minutes: the spacing that it was made for.
        pixel_m: the cell size that it was made for.
        card: where it comes from, as in the checkpoint's JSON.
        rates_mmh: thresholds of the probabilities that `forecast_both` gives; empty where it gives none.
    """

    minimum_steps: ClassVar[int] = 1
    rates_mmh: tuple[float, ...] = ()

    def __init__(self, name: str, version: str, *, input_steps: int, cadence_minutes: int, pixel_m: float) -> None:
        self.name = name
        self.version = version
        self.input_steps = input_steps
        self.cadence_minutes = cadence_minutes
        self.pixel_m = pixel_m
        self.card: dict[str, Any] = {}

    def forecast(
        self,
        rate_mmh_THW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
    ) -> Float32Field:
        """Rain rate at the next `lead_steps` times; leads are multiples of the input's cadence.

        Args:
            rate_mmh_THW: mm/h, row 0 in the north, NaN where not observed, any size; the newest field last.
            lead_steps: number of fields to give.
            cadence_minutes: spacing of the input; None is the forecaster's own.
            pixel_m: cell size of the input; None is the forecaster's own.

        Returns:
            (lead_steps, H, W) float32; NaN exactly where the newest input field is NaN, else at least 0.

        Raises:
            InputError: not (T, H, W), too few fields, negative or infinite rates.
            ForecastError: the result is not finite where it has to be.
        """
        fields_THW = self._checked(rate_mmh_THW, lead_steps)
        result_LHW = self._forecast(fields_THW, lead_steps, *self._spacing(cadence_minutes, pixel_m))
        return self._finished(result_LHW, fields_THW)

    def forecast_many(
        self,
        rate_mmh_BTHW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
    ) -> Float32Field:
        """`forecast` of several inputs of one size, (B, lead_steps, H, W): one call of a network, else one by one.

        Raises:
            InputError, ForecastError: as `forecast`, if any of them is at fault; the others are lost with it.
        """
        fields_BTHW = np.stack([self._checked(fields_THW, lead_steps) for fields_THW in rate_mmh_BTHW])
        results_BLHW = self._forecast_many(fields_BTHW, lead_steps, *self._spacing(cadence_minutes, pixel_m))
        pairs = zip(results_BLHW, fields_BTHW, strict=True)
        return np.stack([self._finished(result_LHW, fields_THW) for result_LHW, fields_THW in pairs])

    def forecast_both(
        self,
        rate_mmh_THW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
    ) -> tuple[Float32Field, Float32Field | None]:
        """What `forecast` gives, and the probability that the rate is at or above each of `rates_mmh`.

        Both come from one run of the model. Without probabilities the second is None.

        Returns:
            As `forecast`; (K, lead_steps, H, W) float32, not rising with the threshold, NaN where the rate is.

        Raises:
            InputError, ForecastError: as `forecast`.
        """
        return self.forecast(rate_mmh_THW, lead_steps, cadence_minutes=cadence_minutes, pixel_m=pixel_m), None

    def forecast_both_many(
        self,
        rate_mmh_BTHW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
    ) -> tuple[Float32Field, Float32Field | None]:
        """`forecast_both` of several inputs of one size: (B, lead_steps, H, W), and (B, K, lead_steps, H, W) or None.

        Raises:
            InputError, ForecastError: as `forecast_many`.
        """
        return self.forecast_many(rate_mmh_BTHW, lead_steps, cadence_minutes=cadence_minutes, pixel_m=pixel_m), None

    def _spacing(self, cadence_minutes: float | None, pixel_m: float | None) -> tuple[float, float]:
        return float(cadence_minutes or self.cadence_minutes), float(pixel_m or self.pixel_m)

    def _finished(self, result_LHW: Float32Field, fields_THW: Float32Field) -> Float32Field:
        result_LHW = np.maximum(result_LHW, 0.0).astype(np.float32, copy=False)
        missing_HW = np.isnan(fields_THW[-1])
        if not np.isfinite(result_LHW[:, ~missing_HW]).all():
            raise ForecastError(f"{self.name} {self.version} gave values that are not finite")
        result_LHW[:, missing_HW] = np.nan
        return result_LHW

    @abstractmethod
    def _forecast(
        self, rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Float32Field:
        """The fields at the lead times, in a new array."""

    def _forecast_many(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Float32Field:
        """`_forecast` of several; a forecaster that does it in one call has its own."""
        return np.stack([self._forecast(each_THW, lead_steps, cadence_minutes, pixel_m) for each_THW in rate_mmh_BTHW])

    def _checked(self, rate_mmh_THW: Float32Field, lead_steps: int) -> Float32Field:
        if rate_mmh_THW.ndim != 3 or rate_mmh_THW.shape[0] < self.minimum_steps:
            raise InputError(
                f"fields of shape {rate_mmh_THW.shape}; (time, rows, columns) with at least {self.minimum_steps} times "
                f"was due for {self.name}"
            )
        if lead_steps < 1:
            raise InputError(f"{lead_steps} lead steps; at least 1 was due")
        if np.isinf(rate_mmh_THW).any() or (rate_mmh_THW < 0).any():
            raise InputError("rain rates below 0 or infinite; rates in mm/h, NaN where not observed, were due")
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
    """A network with its transform; input of another cadence or pixel is forecast as it comes (see the model card)."""

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

    def _forecast(
        self, rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Float32Field:
        return np.asarray(self._forecast_many(rate_mmh_THW[None], lead_steps, cadence_minutes, pixel_m)[0])

    def _forecast_many(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Float32Field:
        del cadence_minutes, pixel_m
        newest_BTHW = np.ascontiguousarray(rate_mmh_BTHW[:, -self.input_steps :])
        with torch.inference_mode():
            frames_BTCHW = self.transform.encode(torch.from_numpy(newest_BTHW)[:, :, None])
            value_BTCHW = self.model(frames_BTCHW.to(self.device), lead_steps=lead_steps)
            rate_BTHW = self.transform.decode(value_BTCHW.float())[:, :, 0].cpu().numpy()
        return np.array(rate_BTHW, np.float32)


def pick_device(device: str) -> torch.device:
    """`auto` is a GPU where there is one, else the CPU.

    Raises:
        InputError: no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as err:
        raise InputError(f"device {device!r}; auto, cpu or cuda[:N] was due") from err
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise NoDeviceError(f"device {device!r}, but there is no GPU here; auto or cpu was due")
    return chosen
