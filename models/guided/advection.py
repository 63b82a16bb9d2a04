"""Where the air over a cell came from, and fields carried along."""

import contextlib
import importlib
import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field

Displacement = NDArray[np.float32]


def displacements_LCHW(motion_CHW: Displacement, steps: int) -> Displacement:
    """From each cell back to where its air was 1, 2, ... steps ago, in cells, x first (semi-Lagrangian, pysteps)."""
    extrapolate = library("extrapolation.semilagrangian").extrapolate
    back_CHW, found = None, []
    for _ in range(steps):
        _, back_CHW = extrapolate(
            None, motion_CHW.astype(np.float64), 1, displacement_prev=back_CHW, return_displacement=True
        )
        found.append(back_CHW.astype(np.float32))
    return np.stack(found)


def warped(field_HW: Float32Field, back_CHW: Displacement) -> Float32Field:
    """A field carried along: each cell takes the value where its air was, bilinear among the observed cells there.

    NaN where less than half of that was observed, or lies outside of the field.
    """
    rows, cols = np.mgrid[: field_HW.shape[0], : field_HW.shape[1]].astype(np.float32)
    from_col_HW, from_row_HW = cols + back_CHW[0], rows + back_CHW[1]
    seen_HW = np.isfinite(field_HW)
    sum_HW, share_HW = (
        cv2.remap(part_HW, from_col_HW, from_row_HW, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        for part_HW in (np.where(seen_HW, field_HW, 0.0).astype(np.float32), seen_HW.astype(np.float32))
    )
    known_HW = share_HW >= np.float32(0.5)
    return np.where(known_HW, sum_HW / np.maximum(share_HW, np.float32(0.5)), np.float32(np.nan))


def library(module: str) -> Any:
    """A pysteps module, imported at first use: its import prints and reads a configuration file."""
    with contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module(f"pysteps.{module}")
