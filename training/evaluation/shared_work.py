"""An evaluation that the processes of a launcher share: each its clips, the totals added up."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from training.config import launched_processes, place_here
from training.trainer.loader import process_count, process_rank


@contextmanager
def launched_together() -> Iterator[None]:
    """The processes that torchrun has started, as one group while this is entered; one process stays alone."""
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
    """Those of the indices that this process works on."""
    return indices[process_rank() :: process_count()]


def added_up(totals: dict[Any, Any], clips: int) -> tuple[dict[Any, Any], int]:
    """Totals by key, and the number of clips, of all processes together; every process gets them."""
    if process_count() == 1:
        return totals, clips
    parts: list[Any] = [None] * process_count()
    dist.all_gather_object(parts, (totals, clips))
    whole: dict[Any, Any] = {}
    for part, _ in parts:
        for key, value in part.items():
            whole[key] = whole[key] + value if key in whole else value
    return whole, sum(count for _, count in parts)
