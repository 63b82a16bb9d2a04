"""Advection: the motion of rain, displacements along it, and fields carried along.

Motion is Lucas-Kanade by pysteps, corrected once by OpenCV's dense inverse search for the remaining displacement.
"""

import contextlib
import importlib
import io
import warnings
from itertools import pairwise
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.arrays import BoolField, Float32Field, Float64Field
from core.units import DWD_ZR, pixel_from_dbz

Displacement = NDArray[np.float32]
SMOOTHING_CELLS: Final = 10.0
FORGETTING: Final = 0.7
"""Weight of a pair of fields relative to the pair one step newer."""
FILL_CELLS: Final = 6.0
"""Standard deviation of the Gaussian mean that continues the rain where it is not observed."""
EDGE_CELLS: Final = 9
"""Edge of the square around a vector of Lucas-Kanade in which each cell must be observed."""
TILE_CELLS: Final = 128
"""Least edge of the tiles in which pysteps interpolates vectors."""


def motion_CHW(rate_mmh_THW: Float32Field, *, smoothing_cells: float = SMOOTHING_CELLS, step: int = 1) -> Displacement:
    """Return the displacement in cells per step, (2, H, W), the component along x first, to the right and downwards.

    Args:
        rate_mmh_THW: mm/h, NaN where not observed; fields that are wholly missing are skipped.
        smoothing_cells: standard deviation of the Gaussian mean over the correction of the motion.
        step: distance in cells of the places between which the vectors of Lucas-Kanade are interpolated.
    """
    present = [t for t, field_HW in enumerate(rate_mmh_THW) if np.isfinite(field_HW).any()]
    still_CHW = np.zeros((2, *rate_mmh_THW.shape[1:]), np.float32)
    if len(present) < 2 or not np.nanmax(rate_mmh_THW[present]) > 0:
        return still_CHW
    return _refined(rate_mmh_THW, present, _lucas_kanade(rate_mmh_THW, present, step), smoothing_cells)


def _lucas_kanade(rate_mmh_THW: Float32Field, present: list[int], step: int) -> Displacement:
    """Return the motion of all fields if they are evenly spaced, else of the two newest.

    The edge of the observed area does not move. With `step` above 1 it is therefore hidden: the rain is continued
    beyond it, and vectors next to it do not count. With 1 it stays, as the first edition's weights were fitted to it.
    """
    chosen = present if len(set(np.diff(present))) == 1 else present[-2:]
    picture_THW = _picture(rate_mmh_THW[chosen])
    shape = rate_mmh_THW.shape[1:]
    if not (picture_THW > 0).any():
        return np.zeros((2, *shape), np.float32)
    seen_THW = np.isfinite(rate_mmh_THW[chosen])
    if step > 1:
        picture_THW = np.stack([_continued(*both) for both in zip(picture_THW, seen_THW, strict=True)])
    found_CHW = lucas_kanade(picture_THW.astype(np.float64), dense=step == 1)
    if step > 1:
        places_N2, vectors_N2 = found_CHW
        inside_N = _far_from_missing(places_N2, np.asarray(seen_THW.all(axis=0)))
        found_CHW = _interpolated(places_N2[inside_N], vectors_N2[inside_N], shape, step)
    return np.asarray(np.nan_to_num(found_CHW, nan=0.0, posinf=0.0, neginf=0.0) / (chosen[-1] - chosen[-2]), np.float32)


def _continued(picture_HW: Float32Field, seen_HW: BoolField) -> Float32Field:
    """Return a picture with Gaussian means of the observed cells where it is not observed, 0 far from these."""
    if seen_HW.all():
        return picture_HW
    sum_HW, share_HW = (
        cv2.GaussianBlur(part_HW, (0, 0), FILL_CELLS)
        for part_HW in (np.where(seen_HW, picture_HW, np.float32(0.0)), seen_HW.astype(np.float32))
    )
    return np.where(seen_HW, picture_HW, sum_HW / np.maximum(share_HW, np.float32(1e-3)))


def _far_from_missing(xy_N2: Float64Field, seen_HW: BoolField) -> NDArray[np.bool_]:
    """Return which places, x first, have only observed cells in a square of `EDGE_CELLS` around them."""
    near_HW = cv2.dilate((~seen_HW).astype(np.uint8), np.ones((EDGE_CELLS, EDGE_CELLS), np.uint8))
    col_N, row_N = (
        np.clip(axis_N.round().astype(int), 0, size - 1)
        for axis_N, size in zip(xy_N2.T, seen_HW.shape[::-1], strict=True)
    )
    return np.asarray(near_HW[row_N, col_N] == 0)


def _interpolated(
    xy_N2: Float64Field, vector_N2: Float64Field, shape: tuple[int, ...], step: int
) -> NDArray[np.float64]:
    """Interpolate vectors by inverse distances at every `step`-th cell, bilinear between them."""
    if not len(xy_N2):
        return np.zeros((2, *shape))
    rows, cols = (np.arange(max(-(-size // step), 2)) for size in shape)  # pysteps needs two for their distance
    places = [(axis + 0.5) * (size / len(axis)) - 0.5 for axis, size in zip((cols, rows), shape[::-1], strict=True)]
    # Without `nchunks` the first call of a process divides the places, and fails where a part has a single row.
    coarse_CHW = library("utils.interpolate").idwinterp2d(xy_N2, vector_N2, *places, nchunks=1)
    return np.stack([cv2.resize(part_HW, shape[::-1], interpolation=cv2.INTER_LINEAR) for part_HW in coarse_CHW])


def _refined(
    rate_mmh_THW: Float32Field, present: list[int], motion_CHW: Displacement, smoothing_cells: float
) -> Displacement:
    """Add the smoothed motion that remains between each field and the advected previous one."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    shape = rate_mmh_THW.shape[1:]
    if min(shape) < 16:  # too small for the search's coarsest level
        return motion_CHW
    sum_CHW, weight_HW = np.zeros((2, *shape), np.float32), np.full(shape, 1e-6, np.float32)
    for earlier, later in pairwise(present):
        steps = later - earlier
        carried_HW = warped(rate_mmh_THW[earlier], displacements_LCHW(motion_CHW * steps, 1)[0])
        both_HW = np.isfinite(carried_HW) & np.isfinite(rate_mmh_THW[later])
        first_HW, second_HW = (
            cv2.GaussianBlur(_picture(np.where(both_HW, field, 0.0)), (0, 0), 1.0)
            for field in (carried_HW, rate_mmh_THW[later])
        )
        flow_HWC = search.calc((first_HW * 255).astype(np.uint8), (second_HW * 255).astype(np.uint8), None)
        age = len(rate_mmh_THW) - 1 - later
        trust_HW = np.minimum(first_HW + second_HW, 0.5) * both_HW * np.float32(FORGETTING**age)
        sum_CHW += np.moveaxis(flow_HWC, 2, 0) / steps * trust_HW
        weight_HW += trust_HW
    return motion_CHW + _spread(sum_CHW, weight_HW, smoothing_cells)


def _spread(sum_CHW: Displacement, weight_HW: Float32Field, smoothing_cells: float) -> Displacement:
    """Return weighted means over a neighbourhood; far from all rain the mean over the field."""
    share = np.float32(1e-3 * weight_HW.max())
    near_HW = cv2.GaussianBlur(weight_HW, (0, 0), smoothing_cells) + share
    mean_C = sum_CHW.sum(axis=(1, 2)) / weight_HW.sum()
    blurred = [cv2.GaussianBlur(part_HW, (0, 0), smoothing_cells) for part_HW in sum_CHW]
    return np.stack([(part + share * mean) / near_HW for part, mean in zip(blurred, mean_C, strict=True)])


def _picture(rate_mmh: Float32Field) -> Float32Field:
    """Return reflectivity from -10 to 60 dBZ as 0 to 1; cells that are dry or not observed are 0."""
    dbz = DWD_ZR.reflectivity_dbz(np.nan_to_num(rate_mmh, nan=0.0))
    return np.asarray(pixel_from_dbz(dbz), np.float32)


def displacements_LCHW(motion_CHW: Displacement, steps: int) -> Displacement:
    """Return the displacement of each cell back to its origin 1, 2, ... steps ago, in cells, x first.

    Semi-Lagrangian, by pysteps.
    """
    extrapolate = library("extrapolation.semilagrangian").extrapolate
    back_CHW, found = None, []
    for _ in range(steps):
        _, back_CHW = extrapolate(
            None, motion_CHW.astype(np.float64), 1, displacement_prev=back_CHW, return_displacement=True
        )
        found.append(back_CHW.astype(np.float32))
    return np.stack(found)


def warped(field_HW: Float32Field, back_CHW: Displacement) -> Float32Field:
    """Return an advected field: each cell gets the value at its origin, bilinear among the observed cells there.

    NaN where less than half of the origin was observed, or where the origin is outside of the field.
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


def lucas_kanade(picture_THW: NDArray[np.floating[Any]], *, dense: bool = True) -> Any:
    """Return what `dense_lucaskanade` of pysteps returns, with its interpolation in tiles.

    Each cell of a tile needs the 20 nearest vectors, in about a kilobyte. Without a number of tiles pysteps takes four
    in the first call of a process and one in every later one, since it keeps the square root of the last number.
    """
    tiles = max(1, min(picture_THW.shape[1:]) // TILE_CELLS)
    dense_lucaskanade = library("motion.lucaskanade").dense_lucaskanade
    with warnings.catch_warnings():  # pysteps warns if features are too few for a standard deviation
        warnings.simplefilter("ignore")
        return dense_lucaskanade(picture_THW, dense=dense, interp_kwargs={"nchunks": tiles**2})


def library(module: str) -> Any:
    """Import a pysteps module at first use: its import prints and reads a configuration file."""
    with contextlib.redirect_stdout(io.StringIO()):
        return importlib.import_module(f"pysteps.{module}")
