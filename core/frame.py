"""The radar frame: one radar composite at one time."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from core.arrays import BoolField, Float32Field
from core.grid import Grid


@dataclass(frozen=True)
class RadarFrame:
    """Rain rate on a grid at one time.

    Attributes:
        valid_time: end of the averaging interval, aware UTC.
        grid: of the field; row 0 is the northern one.
        rate_mmh_HW: float32, mm/h; NaN is "not observed", 0 is "dry".
        product: the product's name as its provider writes it, in capitals (RY, RV, RX, ...).
        interval_minutes: length of the interval; 0 for an instantaneous value.
        lead_minutes: 0 for an observation; above 0 a provider's forecast, which is never stored as observed.
        missing_radars: sites listed as missing in the file, else derived from the product's usual list.
        provider: whose data they are, as the file states it or its format implies; None if neither does.
        clutter_HW: grid cells flagged as clutter in the file (NaN in `rate_mmh_HW`); None if it has no flags.
    """

    valid_time: datetime
    grid: Grid
    rate_mmh_HW: Float32Field
    product: str
    interval_minutes: float = 5.0
    lead_minutes: int = 0
    missing_radars: tuple[str, ...] = ()
    provider: str | None = None
    clutter_HW: BoolField | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.valid_time.utcoffset() != timedelta(0):
            raise ValueError(f"valid_time: expected an aware UTC time, got {self.valid_time!r}")
        if self.rate_mmh_HW.shape != self.grid.shape:
            raise ValueError(f"rate_mmh_HW: expected the grid's shape {self.grid.shape}, got {self.rate_mmh_HW.shape}")
        if self.rate_mmh_HW.dtype != np.float32:
            raise ValueError(f"rate_mmh_HW: expected float32, got {self.rate_mmh_HW.dtype}")
        if self.clutter_HW is not None and self.clutter_HW.shape != self.grid.shape:
            raise ValueError(f"clutter_HW: expected the grid's shape {self.grid.shape}, got {self.clutter_HW.shape}")

    @property
    def is_forecast(self) -> bool:
        """Return whether this frame is a forecast by its provider."""
        return self.lead_minutes > 0

    @property
    def reference_time(self) -> datetime:
        """Return the time of the newest observation used for the frame."""
        return self.valid_time - timedelta(minutes=self.lead_minutes)

    @property
    def coverage(self) -> float:
        """Return the observed fraction of the grid cells, 0 to 1."""
        return float(np.isfinite(self.rate_mmh_HW).mean())
