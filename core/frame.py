"""One radar composite as the whole program sees it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from core.arrays import BoolField, Float32Field
from core.grid import Grid


@dataclass(frozen=True)
class RadarFrame:
    """Rain rate over a grid at one time.

    Attributes:
        valid_time: end of the interval that the rate is the mean of, aware UTC.
        grid: where the cells lie; row 0 is the northern one.
        rate_mmh_HW: float32, mm/h; NaN is "not observed", 0 is "dry".
        product: the product's name as its provider writes it, in capitals (RY, RV, RX, ...).
        interval_minutes: length of the interval; 0 for an instantaneous value.
        lead_minutes: 0 for an observation; above it the frame is somebody's forecast and is never stored as observed.
        missing_radars: sites that the file itself lists as absent, else those of its product's usual list.
        clutter_HW: cells that the file flags as clutter (not observed in `rate_mmh_HW`); None where it flags none.
    """

    valid_time: datetime
    grid: Grid
    rate_mmh_HW: Float32Field
    product: str
    interval_minutes: float = 5.0
    lead_minutes: int = 0
    missing_radars: tuple[str, ...] = ()
    clutter_HW: BoolField | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.valid_time.utcoffset() != timedelta(0):
            raise ValueError(f"valid_time {self.valid_time!r}; an aware UTC time was due")
        if self.rate_mmh_HW.shape != self.grid.shape:
            raise ValueError(f"field of {self.rate_mmh_HW.shape} on a grid of {self.grid.shape}")
        if self.rate_mmh_HW.dtype != np.float32:
            raise ValueError(f"field of {self.rate_mmh_HW.dtype}; float32 was due")
        if self.clutter_HW is not None and self.clutter_HW.shape != self.grid.shape:
            raise ValueError(f"clutter flags of {self.clutter_HW.shape} on a grid of {self.grid.shape}")

    @property
    def is_forecast(self) -> bool:
        """Whether this frame was calculated ahead of its time by its provider."""
        return self.lead_minutes > 0

    @property
    def reference_time(self) -> datetime:
        """The time of the newest observation behind the frame."""
        return self.valid_time - timedelta(minutes=self.lead_minutes)

    @property
    def coverage(self) -> float:
        """Observed share of the cells, 0 to 1."""
        return float(np.isfinite(self.rate_mmh_HW).mean())
