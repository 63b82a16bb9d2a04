"""What the service needs of a forecaster, and what stands in for one that does not load."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from core.arrays import Float32Field
from core.errors import ForecastError
from core.units import PAPER_PIXEL_M


class Forecaster(Protocol):
    """What `models.load_forecaster` gives, as far as the service needs it."""

    @property
    def name(self) -> str:
        """As served."""

    @property
    def version(self) -> str:
        """A new one gives forecasts new ids."""

    @property
    def cadence_minutes(self) -> float:
        """Spacing of its fields."""

    @property
    def pixel_m(self) -> float:
        """Size of its cells."""

    @property
    def input_steps(self) -> int:
        """Fields that it starts from."""

    @property
    def card(self) -> Mapping[str, Any]:
        """Where it comes from."""

    @property
    def rates_mmh(self) -> tuple[float, ...]:
        """Thresholds of its probabilities; empty without any."""

    def forecast_both(
        self,
        rate_mmh_THW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
    ) -> tuple[Float32Field, Float32Field | None]:
        """Rain rate at the leads, and probabilities of reaching `rates_mmh`, (K, lead_steps, H, W), if any."""


@runtime_checkable
class ManyForecaster(Protocol):
    """A forecaster that makes several forecasts in one call."""

    def forecast_both_many(
        self,
        rate_mmh_BTHW: Float32Field,
        lead_steps: int = 5,
        *,
        cadence_minutes: float | None = None,
        pixel_m: float | None = None,
    ) -> tuple[Float32Field, Float32Field | None]:
        """Rain rate at the leads, (B, lead_steps, H, W), and probabilities, (B, K, lead_steps, H, W), if any."""


@dataclass(frozen=True)
class Unloadable:
    """Stands for a model whose checkpoint does not load, so that a baseline goes out under its name."""

    name: str
    reason: str
    version: str = "not-loaded"
    cadence_minutes: int = 30
    pixel_m: float = PAPER_PIXEL_M
    input_steps: int = 5
    rates_mmh: tuple[float, ...] = ()

    @property
    def card(self) -> Mapping[str, Any]:
        """What is known about it."""
        return {"error": self.reason}

    def forecast_both(self, *_: object, **__: object) -> tuple[Float32Field, Float32Field | None]:
        """Raises ForecastError, always."""
        raise ForecastError(f"{self.name} did not load: {self.reason}")
