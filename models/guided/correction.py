"""The network of the native model at work: its inputs from a window, and its fields carried to a lead."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.arrays import Float32Field
from models.guided.advection import warped
from models.guided.carry import CarriedGrid, CarriedUnits
from models.guided.moving import AGES_MINUTES, NETWORK_CELL_KM, NETWORK_LEADS, NODES_MMH, UNTOUCHED_MINUTES
from models.guided.pointwise import nearness
from models.guided.statistics import log_rate
from models.guided.trajectories import Trajectories, block_means, cells_within


def network_factor(pixel_km: float) -> int:
    """Return the edge of the network's cells in grid cells."""
    return cells_within(NETWORK_CELL_KM, pixel_km)


def moving_frames(
    rate_mmh_THW: Float32Field, paths: Trajectories, cadence_minutes: float, pixel_km: float
) -> Float32Field:
    """Return fields of the last hour, carried to the newest time, on the network's cells: (time, channel, row, column).

    Channels: mean of the log rate, log of the mean rate (0 where not observed), and whether it was observed. Where an
    age is missing, the nearest one counts.

    Args:
        rate_mmh_THW: padded fields, NaN where not observed, the newest last.
        paths: of the same fields.
        cadence_minutes: spacing of the fields.
        pixel_km: edge of a cell.
    """
    factor, found = network_factor(pixel_km), []
    for minutes in AGES_MINUTES:
        age = min(round(minutes / cadence_minutes), len(rate_mmh_THW) - 1)
        field_HW = rate_mmh_THW[-1 - age]
        pair = block_means(log_rate(field_HW), factor), log_rate(block_means(field_HW, factor))
        if age:
            back_CHW = paths.back_CHW(age, (pair[0].shape[0], pair[0].shape[1]), factor)
            pair = warped(pair[0], back_CHW), warped(pair[1], back_CHW)
        seen_HW = np.isfinite(pair[0])
        found.append(np.stack([*(np.nan_to_num(part, nan=0.0) for part in pair), seen_HW.astype(np.float32)]))
    return np.stack(found).astype(np.float32)


def mix_of(rates_mmh: tuple[float, ...]) -> Tensor:
    """Return the weight (K, G) of each node at each threshold."""
    return torch.stack([nearness(NODES_MMH, mmh) for mmh in rates_mmh])


def fields_of_lead(fields_LGHW: Tensor, minutes: float) -> Tensor:
    """Return the network's fields (G, H, W) of any lead time: interpolated, the last ones beyond the last lead."""
    knots = (UNTOUCHED_MINUTES, *NETWORK_LEADS)
    place = float(np.interp(minutes, knots, np.arange(len(knots))))
    later = min(int(place), len(NETWORK_LEADS) - 1)
    earlier_GHW = fields_LGHW[later - 1] if later else torch.zeros_like(fields_LGHW[0])
    return torch.lerp(earlier_GHW, fields_LGHW[later], place - later)


class LeadCorrections:
    """The network's fields of a window, at any lead.

    Args:
        units: the statistical model of the window, whose model has a network.
        rate_mmh_THW: the padded fields.
        paths: of the same fields.
        cadence_minutes: spacing of the fields.
    """

    def __init__(
        self, units: CarriedUnits, rate_mmh_THW: Float32Field, paths: Trajectories, cadence_minutes: float
    ) -> None:
        network = units.model.network
        assert network is not None
        self.units, self.factor = units, network_factor(units.pixel_km)
        frames_TCHW = moving_frames(rate_mmh_THW, paths, cadence_minutes, units.pixel_km)
        prior_LKHW = torch.stack([resting_logits(units, self.factor, minutes) for minutes in NETWORK_LEADS])
        frames_BTCHW = torch.from_numpy(frames_TCHW)[None].to(units.device)
        self.fields_LGHW: Tensor = network(frames_BTCHW, prior_LKHW[None], self.factor * units.pixel_km)[0]
        self.mix_KG = mix_of(units.model.rates_mmh).to(units.device)

    def at(self, step: int, minutes: float) -> Tensor:
        """Return the fields (G, H, W) at a lead, on the cells of the grid."""
        grid = CarriedGrid(fields_of_lead(self.fields_LGHW, minutes), self.factor)
        carried_NG = grid.carried(self.units.back_CHW(step, grid))
        coarse_GHW = carried_NG.T.view(-1, *grid.shape)
        rows, cols = self.units.shape
        size = (grid.shape[0] * self.factor, grid.shape[1] * self.factor)
        fine_GHW = F.interpolate(coarse_GHW[None], size, mode="bilinear", align_corners=False)[0]
        return fine_GHW[:, :rows, :cols]


def resting_logits(units: CarriedUnits, factor: int, minutes: float) -> Tensor:
    """Return the statistical model's logits (K, H, W) for a lead time at the origins, on cells of `factor` grid cells.

    The predictors are averaged first; they are not carried.
    """
    weight_FU, bias_U = units.model.mixed(minutes, units.pixel_km)
    constant_U = bias_U + units.window_F @ weight_FU[units.numbers]
    size = tuple(side * units.grids[0][1].factor // factor for side in units.grids[0][1].shape)
    sum_UHW = constant_U[:, None, None].expand(-1, *size)
    for fields_FHW, weight in _resting(units, weight_FU, factor):
        part_UHW = torch.einsum("fhw,fu->uhw", fields_FHW, weight)
        if part_UHW.shape != sum_UHW.shape:
            part_UHW = F.interpolate(part_UHW[None], size, mode="bilinear", align_corners=False)[0]
        sum_UHW = sum_UHW + part_UHW
    return units.model.logits(sum_UHW.flatten(1)).view(-1, *size)


def _resting(units: CarriedUnits, weight_FU: Tensor, factor: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the scaled predictors of each grid, on cells of at least `factor` grid cells, and their weights."""
    for number, (which, grid) in enumerate(units.grids):
        fields_FHW = grid.table_NF.view(grid.shape[0] + 2, grid.shape[1] + 2, -1)[1:-1, 1:-1].permute(2, 0, 1)
        weight = weight_FU[which]
        if number == 0:  # the finest grid has the coverage, too
            seen_FHW = units.model.scaled(fields_FHW[which.stop :], units.coverage)
            fields_FHW, weight = (
                torch.cat([fields_FHW[: which.stop], seen_FHW]),
                torch.cat([weight, weight_FU[units.coverage]]),
            )
        if grid.factor < factor:
            fields_FHW = F.avg_pool2d(fields_FHW[None], factor // grid.factor)[0]
        yield fields_FHW, weight
