"""Sharing an evaluation between processes of a launcher: each evaluates its clips, the sums are added."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from training.config import launched_processes, place_here
from training.trainer.loader import process_count, process_rank


@contextmanager
def launched_together() -> Iterator[None]:
    """Join the processes of torchrun to one group while the context is active; one process stays alone."""
    if launched_processes() < 2:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(place_here() % torch.cuda.device_count())
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def own_share(indices: list[int]) -> list[int]:
    """Return the indices that this process evaluates."""
    return indices[process_rank() :: process_count()]


def added_up(totals: dict[Any, Any], clips: int) -> tuple[dict[Any, Any], int]:
    """Return the sums by key and the number of clips of all processes together; every process receives them."""
    if process_count() == 1:
        return totals, clips
    parts: list[Any] = [None] * process_count()
    dist.all_gather_object(parts, (totals, clips))
    whole: dict[Any, Any] = {}
    for part, _ in parts:
        for key, value in part.items():
            whole[key] = whole[key] + value if key in whole else value
    return whole, sum(count for _, count in parts)
