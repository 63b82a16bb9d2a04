"""Sampling of a field along flows, for TrajGRU and MotionGRU."""

from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

BORDER: Final = 2
"""Zeros around an image, in pixels: samples outside of it are moved to a position whose four neighbours are zeros."""


WARPS: Final = ("exact", "reference")
"""Grids of samples: the pixels themselves, or the stretched ones of the reference's released code."""


def warp(image_BCHW: Tensor, flow_BL2HW: Tensor, grid: str = "exact") -> Tensor:
    """Return bilinear samples of an image at every pixel plus its flow; outside it is zero.

    A zero flow returns the image itself, unless the grid is the reference's. The channels of a pixel are
    read together, so the result is stored as (B, H, W, L, C): `flatten(1, 2)` of it is channels_last. Only image and
    flow are saved for the gradient.

    Args:
        image_BCHW: image to sample.
        flow_BL2HW: L flows in pixels of the image, each (u to the right, v downwards).
        grid: `reference` has a position p of N pixels at p N / (N - 1) - 1/2: it normalises for corners and samples
            for edges, so that a border pixel is mixed with the zeros outside.

    Returns:
        (B, L, C, H, W), in the image's type; positions are computed in float32 at least, also under autocast.
    """
    stretched = grid == "reference"
    warped_BLCHW: Tensor = _Warp.apply(image_BCHW, flow_BL2HW, stretched)  # type: ignore[no-untyped-call]
    return warped_BLCHW


class _Corners(NamedTuple):
    """Positions of the samples, a row per sample in the order (B, H, W, L).

    Attributes:
        cell_N: row of `_table` that holds the upper left of the four neighbours.
        right_N: distance of the sample from its left neighbours, 0 to 1.
        down_N: distance of the sample from its upper neighbours, 0 to 1.
        per_flow: pixels by which a sample moves for one pixel of its flow, in u and in v.
    """

    cell_N: Tensor
    right_N: Tensor
    down_N: Tensor
    per_flow: tuple[float, float]


class _Warp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image_BCHW: Tensor, flow_BL2HW: Tensor, stretched: bool) -> Tensor:
        ctx.save_for_backward(image_BCHW, flow_BL2HW)
        ctx.stretched = stretched
        corners = _corners(image_BCHW, flow_BL2HW, stretched=stretched)
        sampled_NC = _sampled(image_BCHW, corners.cell_N, _weights(corners))
        return _as_links(sampled_NC, image_BCHW, flow_BL2HW)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BLCHW: Tensor) -> tuple[Tensor, Tensor, None]:
        image_BCHW, flow_BL2HW = ctx.saved_tensors
        corners = _corners(image_BCHW, flow_BL2HW, stretched=ctx.stretched)
        gradient_NC = gradient_BLCHW.permute(0, 3, 4, 1, 2).flatten(0, 3)
        slopes = [
            _sampled(image_BCHW, corners.cell_N, weights).mul_(gradient_NC).sum(dim=1) * pixels
            for weights, pixels in zip(_slope_weights(corners), corners.per_flow, strict=True)
        ]
        by_flow = _as_links(torch.stack(slopes, dim=1), image_BCHW, flow_BL2HW).to(flow_BL2HW.dtype)
        return _scattered(gradient_NC, corners, image_BCHW), by_flow, None


def _corners(image_BCHW: Tensor, flow_BL2HW: Tensor, *, stretched: bool) -> _Corners:
    dtype, device = torch.promote_types(image_BCHW.dtype, torch.float32), image_BCHW.device
    batch, _, height, width = image_BCHW.shape
    rows, columns = height + 2 * BORDER, width + 2 * BORDER
    u_BHWL, v_BHWL = flow_BL2HW.permute(2, 0, 3, 4, 1).to(dtype)
    x_BHWL = u_BHWL + torch.arange(width, dtype=dtype, device=device)[:, None]
    y_BHWL = v_BHWL + torch.arange(height, dtype=dtype, device=device)[:, None, None]
    across, down = (size / max(size - 1, 1) if stretched else 1.0 for size in (width, height))
    if stretched:
        x_BHWL, y_BHWL = x_BHWL * across - 0.5, y_BHWL * down - 0.5
    left_BHWL, right_BHWL = _split(x_BHWL, width)
    top_BHWL, down_BHWL = _split(y_BHWL, height)
    first_B = torch.arange(0, batch * rows, rows, dtype=torch.int32, device=device)
    cell_BHWL = (top_BHWL + first_B[:, None, None, None]) * columns + left_BHWL
    return _Corners(cell_BHWL.flatten(), right_BHWL.flatten(), down_BHWL.flatten(), (across, down))


def _split(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Split a position into the pixel at or before it, counted with the border, and the rest; NaN stays in the rest."""
    position = position.clamp(-BORDER, size)
    before = position.floor()
    return before.int().clamp_(-BORDER, size) + BORDER, position - before


def _weights(corners: _Corners) -> tuple[Tensor, ...]:
    """Return the weights of upper left, upper right, lower left, lower right."""
    right, down = corners.right_N, corners.down_N
    left, up = 1 - right, 1 - down
    return up * left, up * right, down * left, down * right


def _slope_weights(corners: _Corners) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return the weights of the derivatives of a sample with respect to u and v."""
    right, down = corners.right_N, corners.down_N
    left, up = 1 - right, 1 - down
    return (-up, up, -down, down), (-left, -right, left, right)


def _sampled(image_BCHW: Tensor, cell_N: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    """Return the weighted sum of each cell's four corners, (N, C)."""
    columns = image_BCHW.shape[3] + 2 * BORDER
    table = F.pad(image_BCHW, (BORDER,) * 4).permute(0, 2, 3, 1).flatten(0, 2)
    corner_4 = torch.arange(4, dtype=cell_N.dtype, device=cell_N.device)  # nothing is copied to a GPU
    corners_N4 = cell_N[:, None] + corner_4 % 2 + (corner_4 // 2) * columns
    weights_N4 = table.new_empty(corners_N4.shape)
    for corner, weight_N in enumerate(weights):
        weights_N4[:, corner] = weight_N.to(weights_N4.dtype)  # `stack` takes twice as long
    return F.embedding_bag(corners_N4, table, mode="sum", per_sample_weights=weights_N4)


def _scattered(gradient_NC: Tensor, corners: _Corners, image_BCHW: Tensor) -> Tensor:
    """Apply the transpose of `_sampled`: samples are sorted by cell, so that a corner's share is a sum of rows."""
    batch, _, height, width = image_BCHW.shape
    rows, columns = height + 2 * BORDER, width + 2 * BORDER
    cell_N, order_N = corners.cell_N.sort()
    starts = torch.searchsorted(cell_N, torch.arange(batch * rows * columns, dtype=cell_N.dtype, device=cell_N.device))
    shares = []
    for corner, weight_N in enumerate(_weights(corners)):
        weight_N = weight_N.to(gradient_NC.dtype)[order_N]
        share = F.embedding_bag(order_N, gradient_NC, starts, mode="sum", per_sample_weights=weight_N)
        top, left = BORDER - corner // 2, BORDER - corner % 2
        shares.append(torch.unflatten(share, 0, (batch, rows, columns))[:, top:, left:][:, :height, :width])
    return (shares[0] + shares[1] + shares[2] + shares[3]).permute(0, 3, 1, 2)


def _as_links(x_NC: Tensor, image_BCHW: Tensor, flow_BL2HW: Tensor) -> Tensor:
    """Reshape a row per sample to (B, L, C, H, W)."""
    sizes = (image_BCHW.shape[0], *image_BCHW.shape[2:], flow_BL2HW.shape[1])
    return torch.unflatten(x_NC, 0, sizes).permute(0, 3, 4, 1, 2)
