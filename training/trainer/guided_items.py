"""Samples with their predictors, computed once and stored in files, so that advection costs no training time."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from models.guided.statistics import NAMES, predictors_LFHW
from training.config import RunConfig
from training.datasets.base import NowcastDataset
from training.datasets.field_cache import cache_folder, cached_array

RECIPE = 2
"""Version of the predictors; a change of them must raise it, so that older files are not used."""


class GuidedSample(NamedTuple):
    """Predictors of each lead, and the observed rate in mm/h (NaN: not observed)."""

    predictors_LFHW: Tensor
    future_LHW: Tensor


class GuidedItems(Dataset[GuidedSample]):
    """Samples of a data set with their predictors; in training small squares of them at random positions.

    Args:
        base: mm/h; the predictors of an item are computed at its first use.
        folder: where predictors are stored.
        crop: edge of the squares; 0 returns whole fields.
        visits: how often each item occurs in an epoch, each time as another square.
    """

    def __init__(self, base: NowcastDataset, folder: Path, *, crop: int = 0, visits: int = 1) -> None:
        self.base, self.crop, self.visits = base, crop, visits
        key = json.dumps(
            [base.fingerprint, base.split, base.seed, str(getattr(base, "options", "")), NAMES, RECIPE], sort_keys=True
        )
        self.folder = folder / f"guided-{hashlib.sha256(key.encode()).hexdigest()[:12]}"

    def __len__(self) -> int:
        return len(self.base) * self.visits

    def __getitem__(self, index: int) -> GuidedSample:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} samples")
        number = index % len(self.base)
        both = cached_array(self.folder / f"{number:06d}.npy", lambda: self._made(number))
        rows, cols = (self._place(index, axis, both.shape[-2 + axis]) for axis in (0, 1))
        square_LFHW = np.array(both[..., rows, cols], np.float32)
        if self.crop and np.random.default_rng((self.base.seed, index, 3)).integers(2):
            square_LFHW = np.ascontiguousarray(square_LFHW[..., ::-1].swapaxes(-1, -2))
        return GuidedSample(torch.from_numpy(square_LFHW[:, :-1]), torch.from_numpy(square_LFHW[:, -1]))

    def _place(self, index: int, axis: int, size: int) -> slice:
        if not 0 < self.crop < size:
            return slice(None)
        start = int(np.random.default_rng((self.base.seed, index, axis)).integers(size - self.crop + 1))
        return slice(start, start + self.crop)

    def _made(self, number: int) -> NDArray[np.float16]:
        """Return the predictors and, as the last channel, the observed rate; float16."""
        past_TCHW, future_LCHW = self.base[number]
        cadence_of = getattr(self.base, "cadence_of", lambda _: self.base.cadence_minutes)
        known_LFHW = predictors_LFHW(past_TCHW[:, 0].numpy(), len(future_LCHW), float(cadence_of(number)))
        return np.concatenate([known_LFHW, future_LCHW.numpy()], axis=1).astype(np.float16)


def guided_items(
    config: RunConfig, training: NowcastDataset, validation: NowcastDataset
) -> tuple[GuidedItems, GuidedItems]:
    """Return both parts of a run: small squares for training, whole fields for validation."""
    folder = cache_folder(config.guided_cache, Path(str(training.data)))
    return (
        GuidedItems(training, folder, crop=config.guided_crop, visits=config.guided_visits),
        GuidedItems(validation, folder),
    )
