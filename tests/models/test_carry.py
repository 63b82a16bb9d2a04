"""Sums of units at a lead, against PyTorch's own sampling and upsampling of whole fields."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.guided import carry
from models.guided.carry import CarriedGrid, CarriedUnits
from models.guided.levels import COVERAGE, names_of, padded, window_levels
from models.guided.pointwise import PREDICTORS, PointwiseModel
from models.guided.trajectories import trajectories

CPU = torch.device("cpu")


def _window(rows, cols, cadence, pixel_km, frames=5):
    random = np.random.default_rng(0)
    first, *rest = [cv2.GaussianBlur(random.gamma(0.2, 6.0, (rows, cols)), (0, 0), 2.0) for _ in range(frames)]
    fields = np.stack([first, *(np.roll(first, 2 * t + 2, axis=1) + 0.1 * rest[t] for t in range(frames - 1))])
    fields = fields.astype(np.float32)
    fields[:, : rows // 6] = np.nan
    fields = padded(fields, pixel_km)
    paths = trajectories(fields, 6, cadence, pixel_km)
    return window_levels(fields, (rows, cols), paths, cadence, pixel_km), paths


def _model():
    torch.manual_seed(0)
    model = PointwiseModel(hidden=3).requires_grad_(False)
    model.weight_TPFU.normal_(std=0.2)
    model.bias_TPU.normal_()
    return model


def _sampled(fields_CHW, back_CHW, edge):
    """Return fields at their origins, by `grid_sample`."""
    rows, cols = fields_CHW.shape[1:]
    x = (torch.arange(cols) + torch.from_numpy(back_CHW[0]) + 0.5) * (2 / cols) - 1
    y = (torch.arange(rows)[:, None] + torch.from_numpy(back_CHW[1]) + 0.5) * (2 / rows) - 1
    grid = torch.stack([x, y], dim=-1).float()
    return F.grid_sample(fields_CHW[None], grid[None], padding_mode=edge, align_corners=False)[0]


def _whole(levels, paths, model, step, minutes, pixel_km):
    """Return the sums as whole fields, grid by grid."""
    weight, bias = model.mixed(minutes, pixel_km)
    ends = np.cumsum([sum(len(names_of(scale)) for scale in level.scales_km) for level in levels.carried])
    total = torch.zeros(1)
    for level, end in reversed(list(zip(levels.carried, ends, strict=True))):
        which = slice(end - len(level.fields_CHW), end)
        fields = model.scaled(torch.from_numpy(level.fields_CHW), which)
        summed = torch.einsum("fu,fhw->uhw", weight[which], fields)
        own = _sampled(summed, paths.back_CHW(step, level.fields_CHW.shape[1:], level.factor), "border")
        if total.ndim == 3:
            own = own + F.interpolate(total[None], own.shape[1:], mode="bilinear", align_corners=False)[0]
        total = own
    coverage = slice(ends[-1], ends[-1] + len(COVERAGE))
    seen = _sampled(torch.from_numpy(levels.seen_CHW), paths.back_CHW(step, levels.seen_CHW.shape[1:], 1), "zeros")
    total = total + torch.einsum("fu,fhw->uhw", weight[coverage], model.scaled(seen, coverage))
    numbers = slice(coverage.stop, len(PREDICTORS))
    total = total + (bias + model.scaled(torch.from_numpy(levels.window_G), numbers) @ weight[numbers])[:, None, None]
    rows, cols = levels.shape
    return total[:, :rows, :cols], seen[0, :rows, :cols]


@pytest.mark.parametrize("band_cells", [1, 500, 2**15])
@pytest.mark.parametrize(
    ("rows", "cols", "cadence", "pixel_km"),
    [(90, 75, 5, 1.0), (67, 101, 10, 0.25), (33, 40, 30, 7.0), (41, 38, 15, 2.0)],
)
def test_sums_equal_those_of_whole_fields(monkeypatch, rows, cols, cadence, pixel_km, band_cells):
    monkeypatch.setattr(carry, "BAND_CELLS", band_cells)
    levels, paths = _window(rows, cols, cadence, pixel_km)
    model = _model()
    units = CarriedUnits(levels, paths, model, pixel_km, CPU)
    for step in (1, 6):
        found, seen = units.at(step, step * cadence)
        expected, expected_seen = _whole(levels, paths, model, step, step * cadence, pixel_km)
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-5)
        torch.testing.assert_close(seen, expected_seen, atol=2e-5, rtol=0)


def test_beyond_the_edge_is_the_edge_or_nothing():
    fields = torch.arange(24.0).view(2, 3, 4) + 1
    grid = CarriedGrid(fields, 1, zero=1)
    at = grid.carried(torch.tensor([-50.0, -50.0])[:, None, None].expand(2, 3, 4))
    assert torch.equal(at[:, 0], torch.full((12,), 1.0)), "the corner, everywhere"
    assert torch.equal(at[:, 1], torch.zeros(12))
    half = grid.carried(torch.tensor([0.5, 0.0])[:, None, None].expand(2, 1, 4), 1)
    torch.testing.assert_close(half, torch.tensor([[5.5, 17.5], [6.5, 18.5], [7.5, 19.5], [8.0, 10.0]]))


@pytest.mark.parametrize("step", [1, 4])
def test_displacements_are_those_of_the_trajectories(step):
    levels, paths = _window(90, 75, 5, 1.0)
    units = CarriedUnits(levels, paths, _model(), 1.0, CPU)
    for _, grid in units.grids:
        expected = paths.back_CHW(step, grid.shape, grid.factor)
        np.testing.assert_allclose(units.back_CHW(step, grid).numpy(), expected, atol=1e-4)
