"""The wall clock of a tree of processes, stepped from outside (see `stepped_clock.c`)."""

import shutil
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("stepped_clock.c")
OFFSET: Final = struct.Struct("=q")


def built(source: Path, folder: Path) -> Path | None:
    """Build a library for LD_PRELOAD; None where there is no C compiler, or no Linux."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        return None
    made = folder / source.with_suffix(".so").name
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", made, source, "-ldl"], check=True)
    return made


def clock_library(folder: Path) -> Path | None:
    """Build the library of `Clock`; None where there is no C compiler, or no Linux."""
    return built(SOURCE, folder)


class Clock:
    """The wall clock of the tree; a minute ahead is an offset of 60 s."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._file, self.offset_s = folder / "clock", 0
        self._file.write_bytes(OFFSET.pack(0))
        self.environment = {"LD_PRELOAD": str(library), "TEST_CLOCK_FILE": str(self._file)}

    def step_to(self, offset_s: int) -> None:
        with self._file.open("r+b") as file:  # in place: every process has it mapped
            file.write(OFFSET.pack(offset_s * 10**9))
        self.offset_s = offset_s

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset_s)
