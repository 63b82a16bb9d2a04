"""Sums of a pointwise model at a lead time: predictors are combined on their own grid, then carried and added up."""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.arrays import Float32Field
from models.guided.levels import COVERAGE, IN_PLACE, WindowLevels, names_of
from models.guided.pointwise import PREDICTORS, PointwiseModel
from models.guided.trajectories import Trajectories


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
        self.paths, self.model, self.pixel_km, self.device = paths, model, pixel_km, device
        self.shape = levels.shape
        self.grids: list[tuple[int, slice, Tensor]] = []
        start = 0
        for level in levels.carried:
            stop = start + sum(len(names_of(scale)) for scale in level.scales_km)
            self.grids.append((level.factor, slice(start, stop), self._scaled(level.fields_CHW, start)))
            start = stop
        self.in_place = slice(start, start + len(IN_PLACE))
        self.place_FHW = self._scaled(levels.place_CHW, self.in_place.start)
        self.coverage = slice(self.in_place.stop, self.in_place.stop + len(COVERAGE))
        self.seen_FHW = torch.from_numpy(levels.seen_CHW).to(device)
        window_F = torch.from_numpy(levels.window_G).to(device)
        self.numbers = slice(self.coverage.stop, len(PREDICTORS))
        self.window_F = self.model.scaled(window_F, self.numbers)

    def _scaled(self, fields_CHW: Float32Field, start: int) -> Tensor:
        which = slice(start, start + len(fields_CHW))
        return self.model.scaled(torch.from_numpy(fields_CHW).to(self.device), which)

    def at(self, step: int, minutes: float) -> tuple[Tensor, Tensor]:
        """Return the sums of the units (U, H, W) at a lead, and the observed share of each cell's origin (H, W)."""
        weight_FU, bias_U = self.model.mixed(minutes, self.pixel_km)
        sum_UHW: Tensor | None = None
        for factor, which, fields_FHW in reversed(self.grids):
            own_UHW = self._carried(_combined(fields_FHW, weight_FU[which]), step, factor)
            if sum_UHW is not None:
                own_UHW += F.interpolate(sum_UHW[None], own_UHW.shape[1:], mode="bilinear", align_corners=False)[0]
            sum_UHW = own_UHW
        assert sum_UHW is not None  # there is always a finest level
        seen_FHW = self._carried(self.seen_FHW, step, 1, edge="zeros")
        rest_UHW = _combined(self.place_FHW, weight_FU[self.in_place])
        rest_UHW += _combined(self.model.scaled(seen_FHW, self.coverage), weight_FU[self.coverage])
        constant_U = bias_U + self.window_F @ weight_FU[self.numbers]
        sum_UHW += rest_UHW + constant_U[:, None, None]
        rows, cols = self.shape
        return sum_UHW[:, :rows, :cols], seen_FHW[0, :rows, :cols]

    def _carried(self, fields_UHW: Tensor, step: int, factor: int, edge: str = "border") -> Tensor:
        """Return fields carried along the motion by a number of steps, bilinear."""
        rows, cols = fields_UHW.shape[1:]
        back_CHW = torch.from_numpy(self.paths.back_CHW(step, (rows, cols), factor)).to(self.device)
        row_H = torch.arange(rows, dtype=torch.float32, device=self.device)[:, None]
        col_W = torch.arange(cols, dtype=torch.float32, device=self.device)
        x_HW, y_HW = (col_W + back_CHW[0] + 0.5) * (2 / cols) - 1, (row_H + back_CHW[1] + 0.5) * (2 / rows) - 1
        grid_HW2 = torch.stack([x_HW, y_HW], dim=-1)
        return F.grid_sample(fields_UHW[None], grid_HW2[None], padding_mode=edge, align_corners=False)[0]


def _combined(fields_FHW: Tensor, weight_FU: Tensor) -> Tensor:
    """Return sums over predictors, (U, H, W)."""
    sum_UN: Tensor = weight_FU.T @ fields_FHW.flatten(1)
    return sum_UN.view(-1, *fields_FHW.shape[1:])
