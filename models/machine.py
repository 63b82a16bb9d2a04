"""What machine a figure or a training is from, in one line."""

import os
import platform
from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")


def machine(device: str) -> str:
    """Processor, cores, threads, versions; the GPU where one is used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [
        _processor(),
        f"{cores} cores",
        f"{torch.get_num_threads()} threads",
        f"Python {platform.python_version()}",
    ]
    parts += [f"torch {torch.__version__}", f"CPU capability {torch.backends.cpu.get_cpu_capability()}"]
    if device.startswith("cuda"):
        parts.append(f"{torch.cuda.get_device_name(device)}, cuDNN {torch.backends.cudnn.version()}")  # type: ignore[no-untyped-call]
    return ", ".join(parts)


def _processor() -> str:
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
