"""Sampling a field along flows: where TrajGRU and MotionGRU look for what moves."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(image_BCHW: Tensor, flow_BL2HW: Tensor) -> Tensor:
    """Bilinear samples of an image at every pixel plus its flow; outside is zero.

    Corners are aligned, so that a zero flow gives the image itself (the reference's grid is stretched by W / (W - 1)).
    All links of a sample go into one taller grid: one call, and the image is neither copied nor saved once per link.

    Args:
        image_BCHW: what is sampled.
        flow_BL2HW: L flows in pixels of the image, each (u to the right, v downwards). Along an axis of a single pixel
            a flow has no effect.

    Returns:
        (B, C, L, H, W), in the image's type; positions are worked out in float32 at least, also under autocast.
    """
    links = flow_BL2HW.shape[1]
    height, width = image_BCHW.shape[-2:]
    dtype = torch.promote_types(image_BCHW.dtype, torch.float32)
    u_BLHW, v_BLHW = flow_BL2HW.to(dtype).unbind(dim=2)
    x_BLHW = _positions(width, dtype, image_BCHW.device) + u_BLHW * (2 / max(width - 1, 1))
    y_BLHW = _positions(height, dtype, image_BCHW.device)[:, None] + v_BLHW * (2 / max(height - 1, 1))
    grid = torch.stack([x_BLHW, y_BLHW], dim=-1).flatten(1, 2)
    warped = F.grid_sample(image_BCHW.to(dtype), grid, padding_mode="zeros", align_corners=True)
    return torch.unflatten(warped.to(image_BCHW.dtype), 2, (links, height))


def _positions(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Pixel centres along one axis, from -1 to 1; kept per size, type and device, but by no compiler that traces."""
    if torch.compiler.is_compiling():
        return _made_positions(size, dtype, device)
    return _kept_positions(size, dtype, device)


def _made_positions(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.linspace(-1, 1, size, dtype=dtype, device=device)


@lru_cache(maxsize=128)
def _kept_positions(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # what is first made for a forecast serves a later training step, too
        return _made_positions(size, dtype, device)
