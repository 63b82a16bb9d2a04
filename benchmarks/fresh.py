"""Work in a fresh process, with its memory as the operating system reports it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

from core.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")
PROCESS = Path("/proc/self")
MEMORY = Path("/proc/meminfo")


def in_fresh_process(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of a module's function, called in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *args, **kwargs).result()


def resident_bytes(device: str = "cpu") -> int:
    """Return the memory that this process holds now: on a GPU the GPU's, else main memory."""
    return torch.cuda.memory_allocated() if device.startswith("cuda") else _status("VmRSS")


def free_bytes(device: str = "cpu") -> int:
    """Return the memory that is available to new work.

    Raises:
        UnavailableError: the operating system does not report it (it is not Linux).
    """
    return torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else _entry(MEMORY, "MemAvailable")


@contextmanager
def peak_resident_bytes(device: str = "cpu") -> Iterator[Callable[[], int]]:
    """Provide a function that returns the peak memory since the beginning of the `with`.

    Raises:
        UnavailableError: the operating system does not report it (it is not Linux).
    """
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        yield torch.cuda.max_memory_allocated
        return
    try:
        (PROCESS / "clear_refs").write_text("5")
    except OSError as err:
        raise UnavailableError(
            f"the peak of a process's memory needs Linux with /proc/self/clear_refs ({err})"
        ) from err
    yield lambda: _status("VmHWM")


def _status(name: str) -> int:
    return _entry(PROCESS / "status", name)


def _entry(file: Path, name: str) -> int:
    try:
        lines = file.read_text().splitlines()
    except OSError as err:
        raise UnavailableError(f"{name} of the memory needs Linux with {file} ({err})") from err
    line = next(line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
