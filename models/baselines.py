"""The baselines: persistence, and extrapolation along the observed motion by pysteps."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.errors import ForecastError
from core.stages import stage
from core.units import DWD_ZR, PAPER_PIXEL_M, pixel_from_dbz
from models.fields import ForecastFields
from models.forecaster import Forecaster
from models.guided.advection import library, lucas_kanade
from models.leads import ForecastLead, collected, leads_of

PAPER_CADENCE_MINUTES: Final = 30
PART_LEADS: Final = 4
"""Leads that pysteps carries in one call: it needs 32 bytes a cell and lead for them."""


class Persistence(Forecaster):
    """Forecast the newest field, unchanged, at every lead."""

    any_scale: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(
            "persistence", "1", input_steps=1, cadence_minutes=PAPER_CADENCE_MINUTES, pixel_m=PAPER_PIXEL_M
        )
        self.card = {"description": "the newest observed field, unchanged"}

    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Sequence[ForecastFields]:
        del cadence_minutes, pixel_m
        return [_persisted(rate_mmh_THW[-1], lead_steps) for rate_mmh_THW in rate_mmh_BTHW]

    def _leads(
        self, rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Iterator[ForecastLead]:
        del cadence_minutes, pixel_m
        newest_HW = rate_mmh_THW[-1]
        yield from leads_of(self._finished(_persisted(newest_HW, 1), newest_HW) for _ in range(lead_steps))


def _persisted(rate_mmh_HW: Float32Field, lead_steps: int) -> ForecastFields:
    rate_mmh_LHW = np.repeat(rate_mmh_HW[None], lead_steps, axis=0)
    return ForecastFields.known_in_coverage(rate_mmh_LHW, rate_mmh_HW)


class Extrapolation(Forecaster):
    """Lucas-Kanade motion of the newest fields, semi-Lagrangian advection of the last (pysteps; Pulkkinen et al. 2019).

    The motion is estimated from the reflectivity (0 dBZ and below is dry) of up to three fields. Fields without any
    observed grid cell are left out; the motion is then estimated from the two newest, with their own spacing. Rain that
    flows in from outside the observed area is 0 mm/h and not known.
    """

    minimum_steps: ClassVar[int] = 2
    any_scale: ClassVar[bool] = True
    motion_fields: ClassVar[int] = 3

    def __init__(self) -> None:
        super().__init__(
            "extrapolation", "1", input_steps=3, cadence_minutes=PAPER_CADENCE_MINUTES, pixel_m=PAPER_PIXEL_M
        )
        self.card = {"description": "pysteps: dense Lucas-Kanade motion, semi-Lagrangian extrapolation"}

    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Sequence[ForecastFields]:
        del cadence_minutes, pixel_m
        return [carried(field_THW[-1], self._motion(field_THW), lead_steps) for field_THW in rate_mmh_BTHW]

    def _leads(
        self, rate_mmh_THW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Iterator[ForecastLead]:
        del cadence_minutes, pixel_m
        parts = carried_parts(rate_mmh_THW[-1], self._motion(rate_mmh_THW), lead_steps)
        yield from leads_of(self._finished(part, rate_mmh_THW[-1]) for part in parts)

    def _motion(self, rate_mmh_THW: Float32Field) -> NDArray[np.float64]:
        """Return the displacement in grid cells per step of the input, (2, H, W), the component along x first."""
        present = [t for t, field_HW in enumerate(rate_mmh_THW) if np.isfinite(field_HW).any()]
        if len(present) < 2 or present[-1] != len(rate_mmh_THW) - 1:
            raise ForecastError(
                f"expected observed cells in the newest of {len(rate_mmh_THW)} fields and in one more, got them in "
                f"fields {', '.join(str(t + 1) for t in present) or 'none'}"
            )
        chosen = present[-self.motion_fields :]
        if len(set(np.diff(chosen))) > 1:
            chosen = chosen[-2:]
        dry_THW = np.nan_to_num(rate_mmh_THW[chosen], nan=0.0)
        with stage("motion"):
            return _displacement(dry_THW) / (chosen[-1] - chosen[-2])


def _displacement(rate_mmh_THW: Float32Field) -> NDArray[np.float64]:
    """Estimate the displacement in grid cells from one field to the next, (2, H, W), the component along x first."""
    dbz_THW = DWD_ZR.reflectivity_dbz(rate_mmh_THW)
    scaled_THW = pixel_from_dbz(dbz_THW)
    if not (scaled_THW > 0).any():
        return np.zeros((2, *rate_mmh_THW.shape[1:]))
    motion_CHW = np.asarray(lucas_kanade(scaled_THW), np.float64)
    return np.nan_to_num(motion_CHW, nan=0.0, posinf=0.0, neginf=0.0)


def carried(rate_mmh_HW: Float32Field, motion_CHW: NDArray[np.float64], lead_steps: int) -> ForecastFields:
    """Return all parts of `carried_parts` as one forecast."""
    return collected(leads_of(carried_parts(rate_mmh_HW, motion_CHW, lead_steps)), lead_steps, ())


def carried_parts(
    rate_mmh_HW: Float32Field, motion_CHW: NDArray[np.float64], lead_steps: int
) -> Iterator[ForecastFields]:
    """Carry the newest field along the motion, 0 mm/h from outside; known where half of the origin is observed.

    Yields consecutive parts of the leads. Each goes on from the displacements of the one before, so that the values are
    those of one call for all leads.
    """
    observed_HW = np.isfinite(rate_mmh_HW)
    # The mask is carried as the imaginary part: pysteps then traces the trajectories, its main work, once for both.
    both_HW = np.empty(rate_mmh_HW.shape, np.complex128)
    both_HW.real, both_HW.imag = np.where(observed_HW, rate_mmh_HW, 0.0), observed_HW
    extrapolate = library("extrapolation.semilagrangian").extrapolate
    displacement_CHW: NDArray[np.float64] | None = None
    for begin in range(0, lead_steps, PART_LEADS):
        moved_LHW, displacement_CHW = extrapolate(
            both_HW,
            motion_CHW,
            min(PART_LEADS, lead_steps - begin),
            outval=0.0,
            displacement_prev=displacement_CHW,
            return_displacement=True,
        )
        part = ForecastFields(moved_LHW.real.astype(np.float32), np.asarray(moved_LHW.imag >= 0.5))
        del moved_LHW  # else it would stay in memory while the next part is made
        yield part
