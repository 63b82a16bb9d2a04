"""Transforms between rain rate in mm/h and network values; checkpoints store them by name and numbers."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from core.registry import Registry
from core.units import CLIP_MMH, DWD_ZR, PIXEL_LOWER_DBZ, PIXEL_UPPER_DBZ, pixel_from_dbz


class Transform(ABC):
    """An invertible, increasing map with 0 mm/h at 0; both directions keep shape, type and device."""

    @abstractmethod
    def encode(self, rate_mmh: Tensor) -> Tensor:
        """Return network values; cells that were not observed (NaN) become dry."""

    @abstractmethod
    def decode(self, value: Tensor) -> Tensor:
        """Return the rain rate in mm/h, never negative, at most `CLIP_MMH`."""

    def to_dict(self) -> dict[str, Any]:
        """Return name and numbers, as `transform_from_dict` reads them."""
        name = next(name for name, kind in TRANSFORMS.items() if isinstance(self, kind))
        return {"name": name, **asdict(self)}  # type: ignore[call-overload]


TRANSFORMS: Registry[type[Transform]] = Registry("transform")


def transform_from_dict(values: dict[str, Any]) -> Transform:
    """Return the transform of a `Transform.to_dict`."""
    numbers = dict(values)
    return TRANSFORMS.get(numbers.pop("name"))(**numbers)


@TRANSFORMS.register("reflectivity")
@dataclass(frozen=True)
class ReflectivityTransform(Transform):
    """P = clip((dBZ - lower) / (upper - lower), 0, 1) with Z = a R^b (MS-RNN paper, Germany data: -10 to 60 dBZ)."""

    lower_dbz: float = PIXEL_LOWER_DBZ
    upper_dbz: float = PIXEL_UPPER_DBZ
    a: float = DWD_ZR.a
    b: float = DWD_ZR.b

    def encode(self, rate_mmh: Tensor) -> Tensor:
        """Return pixel values 0 to 1; NaN becomes 0."""
        dry = torch.nan_to_num(rate_mmh, nan=0.0).clamp_min(1e-9)
        dbz = 10.0 * (torch.log10(dry) * self.b + torch.log10(dry.new_full((), self.a)))
        return pixel_from_dbz(dbz, self.lower_dbz, self.upper_dbz)

    def decode(self, value: Tensor) -> Tensor:
        """Return the rain rate of pixel values; 0 and below is dry."""
        value = value.clamp(0.0, 1.0)
        dbz = value * (self.upper_dbz - self.lower_dbz) + self.lower_dbz
        rate_mmh = torch.pow(torch.pow(10.0, dbz / 10.0) / self.a, 1.0 / self.b)
        return torch.where(value <= 0.0, torch.zeros_like(rate_mmh), rate_mmh)


@TRANSFORMS.register("log")
@dataclass(frozen=True)
class LogTransform(Transform):
    """ln(1 + R / offset) / scale: dry and drizzle are close together, so that drizzle costs little."""

    offset_mmh: float = 0.1
    scale: float = 6.0

    def encode(self, rate_mmh: Tensor) -> Tensor:
        """Return 0 for dry, about 1 at 40 mm/h with the default numbers; NaN becomes 0."""
        return torch.log1p(torch.nan_to_num(rate_mmh, nan=0.0) / self.offset_mmh) / self.scale

    def decode(self, value: Tensor) -> Tensor:
        """Return the rain rate of network values; 0 and below is dry."""
        return (torch.expm1(value.clamp_min(0.0) * self.scale) * self.offset_mmh).clamp_max(CLIP_MMH)


@TRANSFORMS.register("identity")
@dataclass(frozen=True)
class IdentityTransform(Transform):
    """For frames that are pictures with values 0 to 1, not rain (Moving MNIST)."""

    def encode(self, rate_mmh: Tensor) -> Tensor:
        """Return the values unchanged; NaN becomes 0."""
        return torch.nan_to_num(rate_mmh, nan=0.0)

    def decode(self, value: Tensor) -> Tensor:
        """Return the values unchanged, but not below 0."""
        return value.clamp_min(0.0)
