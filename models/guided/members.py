"""Ensemble members: fields with the observed texture whose distribution at each cell is the calibrated one.

Ensemble copula coupling (Schefzik et al. 2013): Gaussian noise gives each member a rank at a cell, a rank is a stratum
of the calibrated distribution, and a quantile in it is the member's rate. The share of members at or above a threshold
is therefore its probability, to within one member.
"""

import zlib
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from core.amounts import ForecastAmounts
from core.arrays import Float32Field
from models.guided.advection import warped
from models.guided.coupling import coupled_mmh
from models.guided.levels import padded
from models.guided.member_amounts import AmountSums
from models.guided.texture import GaussianWaves, Texture, observed_texture
from models.guided.texture_match import TextureMatch
from models.guided.trajectories import Trajectories, block_means, fields_used, trajectories

FACTOR: Final = 2
"""Edge of the cells of members, in grid cells."""
LARGEST_CELL_KM: Final = 4.0
"""Grid cells from half of this edge up are not joined."""
PAIR_MINUTES: Final = 10.0
"""Approximate age of the field from which lifetimes are measured."""
STRETCH_KM: Final = 120.0
"""Smoothing of the displacement of the noise, which the differences of the motion would else stretch into threads."""
COARSER: Final = 8
MATCHED_MINUTES: Final = (0.0, 15.0, 30.0, 60.0, 105.0)
"""At the first lead after each of these the noise is matched to the observed texture again."""


def members_factor(pixel_m: float) -> int:
    """Return the edge of the cells of members in grid cells."""
    return FACTOR if FACTOR * pixel_m <= LARGEST_CELL_KM * 1000 else 1


class EnsembleMembers:
    """The members of one forecast, lead by lead; only one lead is in memory.

    Args:
        rate_mmh_THW: the input, mm/h, NaN where not observed; the newest last.
        steps: number of steps of the last lead.
        cadence_minutes: length of a step.
        pixel_m: edge of a grid cell.
        members: number of members.
        seed: of the noise.
        paths: trajectories of the same input, padded; None: they are computed.
    """

    def __init__(
        self,
        rate_mmh_THW: Float32Field,
        steps: int,
        *,
        cadence_minutes: float,
        pixel_m: float,
        members: int,
        seed: int,
        paths: Trajectories | None = None,
    ) -> None:
        self.factor, self.members, self.cadence_minutes = members_factor(pixel_m), members, cadence_minutes
        self.cell_km = self.factor * pixel_m / 1000
        self.newest_mmh_HW = coarse(rate_mmh_THW[-1], self.factor)
        self.shape = (self.newest_mmh_HW.shape[0], self.newest_mmh_HW.shape[1])
        if paths is None:
            used_THW = rate_mmh_THW[-fields_used(cadence_minutes) :]
            paths = trajectories(padded(used_THW, pixel_m / 1000), steps, cadence_minutes, pixel_m / 1000)
        self.paths, self._step = paths, 0
        self.observed = self._texture(rate_mmh_THW)
        self._noise = GaussianWaves(self.observed, self.shape, self.cell_km, members, seed)
        self._sums = AmountSums(self.newest_mmh_HW, members)
        self._match = TextureMatch(self.newest_mmh_HW, self.observed, self.cell_km)
        self._matched, self._waiting = self.observed, list(MATCHED_MINUTES)

    def at(self, step: int, probability_KHW: Float32Field, thresholds_mmh: Sequence[float]) -> Float32Field:
        """Return the members of a lead, (M, H, W) in mm/h on their own cells; NaN where the probabilities are.

        The fields are not to be changed before the next lead, whose amounts need them.

        Args:
            step: of the lead; leads are computed in ascending order.
            probability_KHW: exceedance probabilities on the input's grid cells, not rising along K.
            thresholds_mmh: of the probabilities.
        """
        probability_KHW = np.stack([coarse(each_HW, self.factor) for each_HW in probability_KHW])
        minutes = step * self.cadence_minutes
        self._noise.advance((step - self._step) * self.cadence_minutes)
        self._step = step
        if self._waiting and minutes >= self._waiting[0]:
            self._waiting = [each for each in self._waiting if each > minutes]
            self._matched = self._match.matched(self._matched, probability_KHW, thresholds_mmh, minutes)
            self._noise.retexture(self._matched)
        rate_mmh_MHW = coupled_mmh(self._carried(step), probability_KHW, thresholds_mmh)
        self._sums.add(rate_mmh_MHW, minutes)
        return rate_mmh_MHW

    def amounts(self) -> ForecastAmounts | None:
        """Return the amounts of the periods that the leads so far cover; None without any."""
        return self._sums.amounts()

    def _texture(self, rate_mmh_THW: Float32Field) -> Texture:
        age = min(max(round(PAIR_MINUTES / self.cadence_minutes), 1), len(rate_mmh_THW) - 1)
        back_CHW = self.paths.back_CHW(age, self.shape, self.factor)
        older_mmh_HW = warped(coarse(rate_mmh_THW[-1 - age], self.factor), back_CHW)
        return observed_texture(self.newest_mmh_HW, older_mmh_HW, age * self.cadence_minutes, self.cell_km)

    def _carried(self, step: int) -> Float32Field:
        """Return the noise of each member, carried along the smoothed motion, the nearest cell."""
        back_CHW = smoothed(self.paths.back_CHW(step, self.shape, self.factor), STRETCH_KM / self.cell_km)
        rows, cols = np.mgrid[: self.shape[0], : self.shape[1]].astype(np.float32)
        row_HW, col_HW = (rows + back_CHW[1]) % self._noise.shape[0], (cols + back_CHW[0]) % self._noise.shape[1]
        noise_MHW = np.empty((self.members, *self.shape), np.float32)
        for member, field_HW in enumerate(self._noise.fields_HW()):
            cv2.remap(field_HW, col_HW, row_HW, cv2.INTER_NEAREST, noise_MHW[member], borderMode=cv2.BORDER_WRAP)
        return noise_MHW


def smoothed(fields_CHW: Float32Field, cells: float) -> Float32Field:
    """Return Gaussian means of smooth fields over neighbourhoods of many cells, computed on cells 8 times as large."""
    size = fields_CHW.shape[:0:-1]
    small = (max(size[0] // COARSER, 1), max(size[1] // COARSER, 1))
    parts = [cv2.resize(part_HW, small, interpolation=cv2.INTER_AREA) for part_HW in fields_CHW]
    blurs = [cv2.GaussianBlur(one, (0, 0), cells / COARSER, borderType=cv2.BORDER_REPLICATE) for one in parts]
    return np.stack([cv2.resize(one, size, interpolation=cv2.INTER_LINEAR) for one in blurs]).astype(np.float32)


def seed_of(newest_mmh_HW: Float32Field) -> int:
    """Return a seed that is a function of the newest field."""
    return zlib.crc32(np.ascontiguousarray(newest_mmh_HW).tobytes())


def coarse(field_HW: Float32Field, factor: int) -> Float32Field:
    """Return means of the observed grid cells of each larger cell; NaN where less than half of it is observed."""
    if factor == 1:
        return field_HW
    rows, cols = field_HW.shape
    edged_HW = np.pad(field_HW, ((0, -rows % factor), (0, -cols % factor)), mode="edge")
    return block_means(edged_HW, factor)
