"""Batches by step number, so that a resumed run goes on with exactly the samples that were next."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import DataLoader, Sampler

from training.datasets import NowcastDataset, Sample


class StepSampler(Sampler[int]):
    """Indices of a whole run: one permutation after the other, each drawn from (seed, epoch).

    Args:
        length: samples in the data set.
        total: indices to give in all, over all epochs.
        start: indices that an earlier part of the run has had already.
        seed: of the permutations.
    """

    def __init__(self, length: int, *, total: int, start: int = 0, seed: int = 0) -> None:
        self.length, self.total, self.start, self.seed = length, total, start, seed

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        position = self.start
        while position < self.total:
            order = np.random.default_rng((self.seed, position // self.length)).permutation(self.length)
            for index in order[position % self.length :][: self.total - position]:
                yield int(index)
                position += 1


def train_loader(
    dataset: NowcastDataset, *, batch_size: int, total_steps: int, first_step: int, seed: int, workers: int
) -> DataLoader[Sample]:
    """The batches from `first_step` to `total_steps` of a run."""
    sampler = StepSampler(len(dataset), total=total_steps * batch_size, start=first_step * batch_size, seed=seed)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
