"""Batches by step number, so that a resumed run continues with exactly the next samples."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, Sampler

from core.errors import ConfigError
from training.config import RunConfig
from training.datasets import NowcastDataset
from training.trainer.guided_items import GuidedItems


class StepSampler(Sampler[int]):
    """Indices of a whole run: successive permutations, each drawn from (seed, epoch).

    Args:
        length: samples in the data set.
        total: number of indices over all epochs.
        start: number of indices that an earlier part of the run has used.
        seed: of the permutations.
        batch: samples of all processes together; each process gets its own part of every batch.
        processes: how many share a batch.
    """

    def __init__(
        self, length: int, *, total: int, start: int = 0, seed: int = 0, batch: int = 1, processes: int = 1
    ) -> None:
        self.length, self.total, self.start, self.seed = length, total, start, seed
        self.batch, self.processes = batch, processes

    def __len__(self) -> int:
        return self.total // self.processes

    def __iter__(self) -> Iterator[int]:
        share, rank = self.batch // self.processes, process_rank() if self.processes > 1 else 0
        for position, index in enumerate(self._all(), start=self.start):
            if position % self.batch // share == rank:
                yield index

    def _all(self) -> Iterator[int]:
        position = self.start
        while position < self.total:
            order = np.random.default_rng((self.seed, position // self.length)).permutation(self.length)
            for index in order[position % self.length :][: self.total - position]:
                yield int(index)
                position += 1


class ShareSampler(Sampler[int]):
    """Evenly spaced indices of a data set, distributed over the processes.

    Args:
        length: samples in the data set.
        count: number of samples of all processes; 0 means all.
    """

    def __init__(self, length: int, count: int) -> None:
        taken = min(count or length, length)
        self.indices = [int(i) for i in np.linspace(0, length - 1, taken).round()] if length else []

    def __len__(self) -> int:
        return len(self.indices[process_rank() :: process_count()])

    def __iter__(self) -> Iterator[int]:
        yield from self.indices[process_rank() :: process_count()]


class Ahead:
    """A loader that prepares the next batches in a thread while the model works on the current one.

    Args:
        loader: of the batches.
        depth: number of batches prepared ahead.
    """

    def __init__(self, loader: DataLoader[Any], depth: int = 2) -> None:
        self.loader, self.depth = loader, depth

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as thread:
            ahead = deque(thread.submit(next, batches, None) for _ in range(self.depth))
            while (batch := ahead.popleft().result()) is not None:
                ahead.append(thread.submit(next, batches, None))
                yield batch


def process_rank() -> int:
    """Return the number of this process among those that train together."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def process_count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def train_loader(
    dataset: NowcastDataset | GuidedItems, config: RunConfig, *, total_steps: int, first_step: int
) -> DataLoader[Any] | Ahead:
    """Return the batches from `first_step` to `total_steps` of a run, prepared ahead by a thread or by processes.

    With `accumulate` a step has that number of smaller batches, of the same samples in the same order.

    Raises:
        ConfigError: a batch that the processes cannot share evenly.
    """
    parts = config.devices * config.accumulate
    if config.batch_size % parts:
        times = f" times accumulate={config.accumulate}" if config.accumulate > 1 else ""
        devices = f"{config.devices} device{'s' if config.devices > 1 else ''}"
        raise ConfigError(f"batch_size: expected a multiple of {devices}{times}, got {config.batch_size}")
    sampler = StepSampler(
        len(dataset),
        total=total_steps * config.batch_size,
        start=first_step * config.batch_size,
        seed=config.seed,
        batch=config.batch_size,
        processes=config.devices,
    )
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=config.batch_size // parts,
        sampler=sampler,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
    return loader if config.workers else Ahead(loader)


def validation_loader(dataset: NowcastDataset | GuidedItems, config: RunConfig) -> DataLoader[Any] | None:
    """Return the validation clips, the same ones each time; None if the data have no validation part."""
    if len(dataset) == 0:
        return None
    sampler = ShareSampler(len(dataset), config.validation_clips)
    return DataLoader(dataset, batch_size=max(config.batch_size // config.devices, 1), sampler=sampler)
