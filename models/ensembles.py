"""S-PROG and STEPS by pysteps: extrapolation whose small scales fade, as one field and as an ensemble."""

import contextlib
import io
import math
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.errors import ForecastError
from core.units import PAPER_PIXEL_M, THRESHOLDS_MMH, WET_MMH
from models.baselines import PAPER_CADENCE_MINUTES, carried
from models.fields import ForecastFields
from models.forecaster import Forecaster
from models.guided.advection import library, lucas_kanade

DRY_DB: Final = -15.0
LOWEST_DB: Final = 10 * math.log10(WET_MMH)
"""Values of dry cells (as in the examples of pysteps) and of the lowest wet rate, in decibels of mm/h."""

MOST_LEVELS: Final = 6
LEAST_WET_CELLS: Final = 100
"""Wet cells of any field below which a cascade cannot be estimated: the forecast is extrapolation then."""

NOT_FINITE: Final = "non-finite values"
"""What pysteps says of a scale without variance, whose parameters are 0 / 0."""

MEMBERS: Final = 20
SEED: Final = 2022


class Cascade(Forecaster):
    """A baseline that divides rain into scales (pysteps): Lucas-Kanade motion of dB rain rates, an AR process by scale.

    The three newest fields are used, or two where the third is missing. Cells that are not observed are dry to it. With
    little rain (fewer than 100 wet cells in a field, or a cascade whose parameters cannot be estimated) all members are
    extrapolation.
    """

    minimum_steps: ClassVar[int] = 2
    any_scale: ClassVar[bool] = True

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, "1", input_steps=3, cadence_minutes=PAPER_CADENCE_MINUTES, pixel_m=PAPER_PIXEL_M)
        self.card = {"description": description}

    def fields_at(
        self, rate_mmh_THW: Float32Field, steps: Sequence[int], *, cadence_minutes: float, pixel_m: float
    ) -> Float32Field:
        """Return the rates of all members at some steps only, (M, L, H, W), which costs less memory than all steps.

        Args:
            rate_mmh_THW: as `forecast`.
            steps: ascending numbers of steps after the newest field.
            cadence_minutes: spacing of the input.
            pixel_m: cell size of the input.

        Returns:
            mm/h, 0 where rain could only flow in from outside and where the newest field is not observed.
        """
        fields_THW = self._newest(self._checked(rate_mmh_THW))
        if (fields_THW >= WET_MMH).sum(axis=(1, 2)).min() >= LEAST_WET_CELLS:
            try:
                return self._of_cascade(fields_THW, list(steps), cadence_minutes, pixel_m)
            except ValueError as err:
                if not isinstance(err, np.linalg.LinAlgError) and NOT_FINITE not in str(err):
                    raise
        rate_LHW = np.nan_to_num(_extrapolated(fields_THW, max(steps)).rate_mmh_LHW[np.array(steps) - 1])
        return np.repeat(rate_LHW[None], self.ensemble_size, axis=0)

    @property
    @abstractmethod
    def ensemble_size(self) -> int:
        """Return the number of members."""

    @property
    def settings(self) -> tuple[float, ...]:
        """Return the numbers that a forecast depends on in addition to its input."""
        return (self.ensemble_size, MOST_LEVELS, DRY_DB, WET_MMH, LEAST_WET_CELLS)

    @abstractmethod
    def _run(self, db_THW: NDArray[np.float64], steps: list[int], options: dict[str, Any]) -> NDArray[np.float64]:
        """Return the members of pysteps in decibels, (M, L, H, W)."""

    def _of_cascade(
        self, rate_mmh_THW: Float32Field, steps: list[int], cadence_minutes: float, pixel_m: float
    ) -> Float32Field:
        db_THW = _decibels(rate_mmh_THW)
        options = {
            "velocity": motion_CHW(db_THW),
            "n_cascade_levels": min(MOST_LEVELS, int(math.log2(min(rate_mmh_THW.shape[1:]))) - 1),
            "precip_thr": LOWEST_DB,
            "ar_order": len(rate_mmh_THW) - 1,
            "fft_method": "scipy",
            **self._scale_options(cadence_minutes, pixel_m),
        }
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ratios of variances of dry scales
            db_MLHW = self._run(db_THW, steps, options)
        wet_MLHW = np.isfinite(db_MLHW) & (db_MLHW >= LOWEST_DB)
        return np.where(wet_MLHW, 10 ** (np.where(wet_MLHW, db_MLHW, 0.0) / 10), 0.0).astype(np.float32)

    def _scale_options(self, cadence_minutes: float, pixel_m: float) -> dict[str, float]:
        """Return the options of pysteps about minutes and kilometres, if the method takes any."""
        del cadence_minutes, pixel_m
        return {}

    def _newest(self, rate_mmh_THW: Float32Field) -> Float32Field:
        """Return the three newest fields, or two, that follow each other without a missing one."""
        seen = [bool(np.isfinite(field_HW).any()) for field_HW in rate_mmh_THW[-3:]]
        if not all(seen[-2:]):
            raise ForecastError(f"{self.name}: expected observed cells in the two newest fields, got {seen[-2:]}")
        return rate_mmh_THW[-3:] if all(seen) else rate_mmh_THW[-2:]


class SProg(Cascade):
    """S-PROG (Seed 2003): scales of rain fade at the rate at which they have lost predictability."""

    def __init__(self) -> None:
        super().__init__("sprog", "pysteps: S-PROG, scales of rain fade as they lose predictability")

    @property
    def ensemble_size(self) -> int:
        """Return 1."""
        return 1

    def _run(self, db_THW: NDArray[np.float64], steps: list[int], options: dict[str, Any]) -> NDArray[np.float64]:
        return np.asarray(library("nowcasts.sprog").forecast(db_THW, timesteps=steps, **options))[None]

    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Sequence[ForecastFields]:
        found = []
        for rate_mmh_THW in rate_mmh_BTHW:
            steps = range(1, lead_steps + 1)
            (rate_LHW,) = self.fields_at(rate_mmh_THW, steps, cadence_minutes=cadence_minutes, pixel_m=pixel_m)
            found.append(ForecastFields(rate_LHW, _known(self._newest(rate_mmh_THW), lead_steps)))
        return found


class StepsEnsemble(Cascade):
    """STEPS (Bowler et al. 2006): as S-PROG, with noise of the observed texture for what is not predictable.

    The rate is the mean of the members, a probability is the share of members at or above the threshold.

    Attributes:
        seed: of the noise, so that the same input gives the same members.
    """

    makes_members: ClassVar[bool] = True
    thresholds_mmh = THRESHOLDS_MMH

    def __init__(self, members: int = MEMBERS, seed: int = SEED) -> None:
        super().__init__("steps", f"pysteps: STEPS, mean of {members} members")
        self._members, self.seed = members, seed

    @property
    def ensemble_size(self) -> int:
        """Return the number of members."""
        return self._members

    @property
    def settings(self) -> tuple[float, ...]:
        """Return the numbers that a forecast depends on in addition to its input."""
        return (*super().settings, self.seed)

    def with_members(self, members: int) -> Self:
        """Return the same method with another number of members."""
        return type(self)(members, self.seed)

    def _run(self, db_THW: NDArray[np.float64], steps: list[int], options: dict[str, Any]) -> NDArray[np.float64]:
        forecast = library("nowcasts.steps").forecast
        return np.asarray(forecast(db_THW, timesteps=steps, n_ens_members=self._members, seed=self.seed, **options))

    def _scale_options(self, cadence_minutes: float, pixel_m: float) -> dict[str, float]:
        return {"kmperpixel": pixel_m / 1000, "timestep": cadence_minutes}

    def _forecast_batch(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float
    ) -> Sequence[ForecastFields]:
        found = []
        for rate_mmh_THW in rate_mmh_BTHW:
            steps = range(1, lead_steps + 1)
            rate_MLHW = self.fields_at(rate_mmh_THW, steps, cadence_minutes=cadence_minutes, pixel_m=pixel_m)
            known_LHW = _known(self._newest(rate_mmh_THW), lead_steps)
            found.append(of_members(rate_MLHW, known_LHW, self.thresholds_mmh))
        return found

    def _forecast_members(
        self, rate_mmh_BTHW: Float32Field, lead_steps: int, cadence_minutes: float, pixel_m: float, members: int
    ) -> Sequence[ForecastFields]:
        of_size = self if members in (0, self._members) else self.with_members(members)
        return of_size._forecast_batch(rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m)


def of_members(
    rate_mmh_MLHW: Float32Field, known_LHW: NDArray[np.bool_], thresholds_mmh: Sequence[float]
) -> ForecastFields:
    """Return the mean of members as the rate, and the share at or above each threshold as its probability."""
    probability_KLHW = np.stack([(rate_mmh_MLHW >= mmh).mean(axis=0, dtype=np.float32) for mmh in thresholds_mmh])
    mean_LHW = rate_mmh_MLHW.mean(axis=0, dtype=np.float64).astype(np.float32)
    return ForecastFields(mean_LHW, known_LHW, probability_KLHW, tuple(thresholds_mmh), rate_mmh_MLHW)


def matched_mean(rate_mmh_MHW: Float32Field) -> Float32Field:
    """Return the probability-matched mean (Ebert 2001): ranks of the mean, rates of all members together.

    Of the sorted rates of M members every M-th is kept, from the largest on, so that the field has the members'
    distribution.
    """
    members, *shape = rate_mmh_MHW.shape
    rate_N = np.sort(rate_mmh_MHW, axis=None)[members - 1 :: members]
    order_N = np.argsort(rate_mmh_MHW.mean(axis=0, dtype=np.float64), axis=None, kind="stable")
    matched_N = np.empty_like(rate_N)
    matched_N[order_N] = rate_N
    return matched_N.reshape(shape)


def motion_CHW(db_THW: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the displacement in cells per step by Lucas-Kanade, (2, H, W), the component along x first."""
    found_CHW = np.asarray(lucas_kanade(db_THW), np.float64)
    return np.nan_to_num(found_CHW, nan=0.0, posinf=0.0, neginf=0.0)


def _decibels(rate_mmh: Float32Field) -> NDArray[np.float64]:
    """Return rates in decibels of mm/h; dry and missing cells are DRY_DB."""
    rate = np.nan_to_num(rate_mmh, nan=0.0).astype(np.float64)
    return np.where(rate >= WET_MMH, 10 * np.log10(np.maximum(rate, WET_MMH)), DRY_DB)


def _extrapolated(rate_mmh_THW: Float32Field, lead_steps: int) -> ForecastFields:
    return carried(rate_mmh_THW[-1], motion_CHW(_decibels(rate_mmh_THW)), lead_steps)


def _known(rate_mmh_THW: Float32Field, lead_steps: int) -> NDArray[np.bool_]:
    return _extrapolated(rate_mmh_THW, lead_steps).known_LHW
