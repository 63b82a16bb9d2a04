"""Sums of a pointwise model at a lead time: predictors are carried on their own grid, combined there, and added up.

The finest grid is computed in bands of rows: what one band needs stays in a processor's cache.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from core.arrays import Float32Field
from models.guided.levels import COVERAGE, WindowLevels, names_of
from models.guided.pointwise import PREDICTORS, PointwiseModel
from models.guided.trajectories import Trajectories

BAND_CELLS: Final = 2**15
"""Cells of a band of the finest grid on a CPU; a GPU takes all rows at once."""


class UnitBand(NamedTuple):
    """Sums of the units in some rows of the grid.

    Attributes:
        rows: which ones.
        sum_NU: the sums, row by row.
        seen_N: observed share of each cell's origin.
    """

    rows: slice
    sum_NU: Tensor
    seen_N: Tensor


class CarriedGrid:
    """Fields of one grid, cell by cell, to be read at their origins; a ring of cells around them is the edge's value.

    Args:
        fields_FHW: what is carried.
        factor: edge of a cell in cells of the finest grid.
        zero: how many of the last fields are 0 beyond the edge instead.
    """

    def __init__(self, fields_FHW: Tensor, factor: int, zero: int = 0) -> None:
        self.factor, self.shape = factor, (fields_FHW.shape[1], fields_FHW.shape[2])
        table_HWF = fields_FHW.new_empty(self.shape[0] + 2, self.shape[1] + 2, len(fields_FHW))
        table_HWF[1:-1, 1:-1] = fields_FHW.permute(1, 2, 0)
        table_HWF[0], table_HWF[-1] = table_HWF[1], table_HWF[-2]
        table_HWF[:, 0], table_HWF[:, -1] = table_HWF[:, 1], table_HWF[:, -2]
        if zero:
            for ring_NF in (table_HWF[0], table_HWF[-1], table_HWF[:, 0], table_HWF[:, -1]):
                ring_NF[:, -zero:] = 0
        self.table_NF = table_HWF.flatten(0, 1)
        self.offsets_4 = torch.tensor([0, 1, self.shape[1] + 2, self.shape[1] + 3], device=fields_FHW.device).int()

    def carried(self, back_CHW: Tensor, first_row: int = 0) -> Tensor:
        """Return the fields (N, F) at the origins of cells, bilinear.

        Args:
            back_CHW: displacement back to the origin of some rows and of the first columns, in cells, x first.
            first_row: the row of the first of them.
        """
        rows, cols = back_CHW.shape[1:]
        row_H = torch.arange(first_row + 1, first_row + 1 + rows, dtype=back_CHW.dtype, device=back_CHW.device)
        col_W = torch.arange(1, cols + 1, dtype=back_CHW.dtype, device=back_CHW.device)
        x_HW = (back_CHW[0] + col_W).clamp_(0, self.shape[1] + 1)
        y_HW = (back_CHW[1] + row_H[:, None]).clamp_(0, self.shape[0] + 1)
        left_HW, top_HW = x_HW.floor().clamp_(max=self.shape[1]), y_HW.floor().clamp_(max=self.shape[0])
        corner_N = (top_HW.int() * (self.shape[1] + 2)).add_(left_HW.int()).flatten()
        right_N, low_N = x_HW.sub_(left_HW).flatten(), y_HW.sub_(top_HW).flatten()
        across_N2, down_N2 = torch.stack([1 - right_N, right_N], dim=1), torch.stack([1 - low_N, low_N], dim=1)
        weight_N4 = (down_N2[:, :, None] * across_N2[:, None]).flatten(1)
        place_N4 = corner_N[:, None] + self.offsets_4
        return F.embedding_bag(place_N4, self.table_NF, per_sample_weights=weight_N4, mode="sum")


class CarriedUnits:
    """The predictors of a window, ready for any lead time; only one lead is in memory at a time.

    Args:
        levels: predictors of the window.
        paths: trajectories of the same window.
        model: the weights.
        pixel_km: edge of a cell.
        device: where the sums are computed.
    """

    def __init__(
        self, levels: WindowLevels, paths: Trajectories, model: PointwiseModel, pixel_km: float, device: torch.device
    ) -> None:
        self.model, self.pixel_km, self.device = model, pixel_km, device
        self.shape = levels.shape
        self.back_LCHW, self.factor = torch.from_numpy(paths.back_LCHW).to(device), paths.factor
        self.coverage, self.numbers = _parts(levels)
        self.grids: list[tuple[slice, CarriedGrid]] = []
        start = 0
        for level in levels.carried:
            fields_FHW = self._scaled(level.fields_CHW, start)
            which = slice(start, start + len(fields_FHW))
            if start == 0:
                fields_FHW = torch.cat([fields_FHW, torch.from_numpy(levels.seen_CHW).to(device)])
            self.grids.append((which, CarriedGrid(fields_FHW, level.factor, zero=0 if start else len(COVERAGE))))
            start = which.stop
        self.window_F = self.model.scaled(torch.from_numpy(levels.window_G).to(device), self.numbers)

    def _scaled(self, fields_CHW: Float32Field, start: int) -> Tensor:
        which = slice(start, start + len(fields_CHW))
        return self.model.scaled(torch.from_numpy(fields_CHW).to(self.device), which)

    def at(self, step: int, minutes: float) -> tuple[Tensor, Tensor]:
        """Return the sums of the units (U, H, W) at a lead, and the observed share of each cell's origin (H, W)."""
        bands = list(self.bands(step, minutes))
        sum_NU, seen_N = torch.cat([band.sum_NU for band in bands]), torch.cat([band.seen_N for band in bands])
        return sum_NU.T.reshape(-1, *self.shape), seen_N.view(self.shape)

    @torch.no_grad()
    def bands(self, step: int, minutes: float) -> Iterator[UnitBand]:
        """Yield the sums of the units at a lead, band by band from the north."""
        weight_FU, bias_U = self.model.mixed(minutes, self.pixel_km)
        constant_U = bias_U + self.window_F @ weight_FU[self.numbers]
        coarse_HWU = self._coarse_HWU(step, weight_FU, constant_U)
        which, grid = self.grids[0]
        (rows, cols), predictors = self.shape, which.stop
        back_CHW = self.back_CHW(step, grid)
        high = rows if self.device.type == "cuda" else max(BAND_CELLS // cols // 2 * 2, 2)
        for top in range(0, rows, high):
            band = slice(top, min(top + high, rows))
            carried_NF = grid.carried(back_CHW[:, band, :cols], top)
            sum_NU = _started(coarse_HWU, constant_U, band, cols)
            sum_NU.addmm_(carried_NF[:, :predictors], weight_FU[which])
            seen_NF = carried_NF[:, predictors:]
            sum_NU.addmm_(self.model.scaled(seen_NF.T, self.coverage).T, weight_FU[self.coverage])
            yield UnitBand(band, sum_NU, seen_NF[:, 0])

    def _coarse_HWU(self, step: int, weight_FU: Tensor, constant_U: Tensor) -> Tensor | None:
        """Return the sums of all grids but the finest, on the finest of these; None if there is but one grid."""
        sum_HWU: Tensor | None = None
        for which, grid in reversed(self.grids[1:]):
            rows, cols = grid.shape
            sum_NU = _started(sum_HWU, constant_U, slice(0, rows), cols)
            sum_NU.addmm_(grid.carried(self.back_CHW(step, grid)), weight_FU[which])
            sum_HWU = sum_NU.view(rows, cols, -1)
        return sum_HWU

    def back_CHW(self, step: int, grid: CarriedGrid) -> Tensor:
        """Return the displacement of `step` steps in cells of a grid (`CarriedGrid.carried`)."""
        back_BCHW = self.back_LCHW[step - 1 : step]
        return F.interpolate(back_BCHW, grid.shape, mode="bilinear", align_corners=False)[0] / grid.factor


def _parts(levels: WindowLevels) -> tuple[slice, slice]:
    """Return which predictors are those of the coverage, and of the whole window."""
    carried = sum(len(names_of(scale)) for level in levels.carried for scale in level.scales_km)
    window = carried + len(COVERAGE)
    return slice(carried, window), slice(window, len(PREDICTORS))


def _started(coarse_HWU: Tensor | None, constant_U: Tensor, rows: slice, cols: int) -> Tensor:
    """Return the sums (N, U) of the coarser grids, or the constant if there is none, in new memory."""
    if coarse_HWU is None:
        return constant_U.expand((rows.stop - rows.start) * cols, -1).contiguous()
    return _doubled(coarse_HWU, rows, cols)


def _doubled(coarse_HWU: Tensor, rows: slice, cols: int) -> Tensor:
    """Return some rows and the first columns, (N, U), of fields on cells of half the edge, bilinear, in new memory.

    PyTorch's own upsampling takes four times as long if the units come last.
    """
    first, last = max(rows.start // 2 - 1, 0), min(-(-rows.stop // 2) + 1, coarse_HWU.shape[0])
    tall_HWU = coarse_HWU.new_empty(last - first, 2, *coarse_HWU.shape[1:])
    _halve(coarse_HWU[first:last], tall_HWU)
    tall_HWU = tall_HWU.flatten(0, 1)[rows.start - 2 * first : rows.stop - 2 * first]
    fine_HWU = coarse_HWU.new_empty(len(tall_HWU), -(-cols // 2), 2, coarse_HWU.shape[2])
    _halve(tall_HWU.transpose(0, 1), fine_HWU.permute(1, 2, 0, 3))
    return fine_HWU.flatten(1, 2)[:, :cols].flatten(0, 1)


def _halve(whole_N: Tensor, half_N2: Tensor) -> None:
    """Write the values of both halves of the first cells, interpolated linearly between middles of cells."""
    number, inner = len(half_N2), min(len(half_N2), len(whole_N) - 1)
    half_N2[0, 0] = whole_N[0]
    torch.lerp(whole_N[1:number], whole_N[: number - 1], 0.25, out=half_N2[1:, 0])
    torch.lerp(whole_N[:inner], whole_N[1 : inner + 1], 0.25, out=half_N2[:inner, 1])
    half_N2[inner:, 1] = whole_N[inner:number]
