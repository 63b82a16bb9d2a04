"""A pool of processes that decode uploads under limits on time and memory (`ingest.sandbox.decoder`).

Frames return as JSON and raw numbers in a file in memory, not as pickles: a process that has read foreign bytes is not
trusted, and unpickling could run its code here.
"""

import atexit
import json
import mmap
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from signal import SIGALRM, SIGINT, SIGTERM, SIGXCPU, Signals
from typing import Any, BinaryIO, Final, cast

import numpy as np

from core import errors
from core.errors import BusyError, FrameError, InputError, UnavailableError
from core.frame import RadarFrame
from core.grid import Grid
from ingest.sandbox.decoder import DONE, FRAME_CODEC, LENGTH

START_S: Final = 60.0
GRACE_S: Final = 10.0
"""Seconds after its child's time limit; a decoder process that has not answered by then is killed."""

ANSWER_HEAD_BYTES: Final = 16 * 2**20
ENVIRONMENT: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PROJ_DATA")
"""Variables that the process inherits: no address of a database, no password."""


class BrokenDecodingError(FrameError):
    """A file ended the process that decoded it, or took too long."""


@dataclass(frozen=True)
class UploadedFile:
    """One file of a form: its name for messages, and its bytes."""

    name: str
    content: bytes


@dataclass(frozen=True)
class DecodeLimits:
    """Resource limits for decoding one upload.

    Attributes:
        max_bytes: unpacked size of a file, and of all frames together.
        max_frames: number of frames of each group of files.
        max_cells: grid cells of a frame, by its header.
        limit_s: duration of the whole decoding.
        memory_bytes: memory on top of the loaded libraries.
    """

    max_bytes: int
    max_frames: int
    max_cells: int
    limit_s: float
    memory_bytes: int


class DecoderProcess:
    """One process with the readers loaded, which decodes one upload at a time."""

    def __init__(self, module: str) -> None:
        self._answers = _memory_file()
        fd = self._answers.fileno()
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pass_fds=(fd,),
            env={**environment, **one_thread, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._is_ready = False

    def decode(
        self, files: Sequence[tuple[int, UploadedFile]], limits: DecodeLimits, notes: list[str] | None = None
    ) -> list[list[RadarFrame]]:
        """Return the frames of each file; `notes` receives what was left out.

        Raises:
            InputError: a reader refused a file, or decoding it went over a limit.
            UnavailableError: the process itself ended or does not answer, or was stopped from outside.
        """
        if not self._is_ready:
            self._line(START_S)
            self._is_ready = True
        try:
            self._send(files, limits)
            status = int(self._line(limits.limit_s + GRACE_S))
        except (OSError, ValueError) as err:
            raise UnavailableError(f"the decoder ended ({type(err).__name__}); another is started") from err
        if status in (-SIGTERM, -SIGINT):  # of all processes of a service, or of a terminal
            raise UnavailableError("the decoder was stopped")
        if status != DONE:
            raise BrokenDecodingError(f"{_names(files)}: {_fate(status, limits)}")
        return self._frames(len(files), [] if notes is None else notes)

    def close(self) -> None:
        """Kill the process and close its pipes."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._answers):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _send(self, files: Sequence[tuple[int, UploadedFile]], limits: DecodeLimits) -> None:
        heads = [{"group": group, "name": file.name, "bytes": len(file.content)} for group, file in files]
        job = {"files": heads, "answer_bytes": limits.max_bytes + ANSWER_HEAD_BYTES, **limits.__dict__}
        stream = self._process.stdin
        assert stream is not None
        for part in (json.dumps(job).encode() + b"\n", *(file.content for _, file in files)):
            rest = memoryview(part)
            while rest:
                rest = rest[stream.write(rest) or 0 :]

    def _line(self, limit_s: float) -> bytes:
        stream = self._process.stdout
        assert stream is not None
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([stream], [], [], limit_s)[0]:
                raise UnavailableError(f"the decoder did not answer within {limit_s:.0f} s; another is started")
            if not (more := stream.read(4096)):
                raise UnavailableError("the decoder ended; another is started")
            line += more
        return line

    def _frames(self, count: int, notes: list[str]) -> list[list[RadarFrame]]:
        with mmap.mmap(self._answers.fileno(), 0, access=mmap.ACCESS_READ) as answer:
            at = LENGTH.size + LENGTH.unpack_from(answer)[0]
            head: dict[str, Any] = json.loads(answer[LENGTH.size : at])
            if "error" in head:
                raise _error(head)
            notes += [str(note) for note in head.get("notes", ())]
            frames: list[list[RadarFrame]] = [[] for _ in range(count)]
            grids: dict[str, Grid] = {}
            for one in head["frames"]:
                grid = grids.setdefault(json.dumps(one["grid"]), Grid.from_dict(one["grid"]))
                rate_mmh_N = np.frombuffer(answer, np.float32, grid.height * grid.width, at).copy()
                at += rate_mmh_N.nbytes
                rate_mmh_HW = rate_mmh_N.reshape(grid.shape)
                frames[one["file"]].append(FRAME_CODEC.from_dict(one, grid=grid, rate_mmh_HW=rate_mmh_HW))
        os.ftruncate(self._answers.fileno(), 0)
        return frames


class DecoderPool:
    """Decoder processes for several uploads at a time, started when they are needed and replaced when they fail.

    Args:
        size: uploads that are decoded at the same time.
        module: whose `main` the processes run.
    """

    def __init__(self, size: int, module: str = "ingest.sandbox.decoder") -> None:
        self._module = module
        self._free = threading.BoundedSemaphore(size)
        self._idle: list[DecoderProcess] = []
        self._guard = threading.Lock()

    def start(self) -> None:
        """Start one process before it is needed, without waiting for it."""
        with self._guard:
            if not self._idle:
                self._idle.append(DecoderProcess(self._module))

    def decode(
        self,
        groups: Sequence[Sequence[UploadedFile]],
        limits: DecodeLimits,
        *,
        wait_s: float | None = None,
        notes: list[str] | None = None,
    ) -> list[list[RadarFrame]]:
        """Return the frames of each group of files, in the files' order.

        Args:
            groups: of files; each has its own limit on the number of frames.
            limits: of the decoding.
            wait_s: longest wait for a free decoder; None waits as long as it takes.
            notes: receives what is left out of the files, with the reason.

        Raises:
            FrameError: a file is not a supported radar file, or it broke the decoding.
            TooLargeError: a limit was exceeded.
            BusyError: no decoder was free within `wait_s`.
            UnavailableError: the decoder itself failed.
        """
        files = [(number, file) for number, group in enumerate(groups) for file in group]
        if not files:
            return [[] for _ in groups]
        if not self._free.acquire(timeout=wait_s):
            raise BusyError("no decoder was free within the request's time limit; try again later")
        try:
            found = self._with_one(files, limits, notes)
        finally:
            self._free.release()
        frames: list[list[RadarFrame]] = [[] for _ in groups]
        for (number, _), of_file in zip(files, found, strict=True):
            frames[number] += of_file
        return frames

    def close(self) -> None:
        """Kill the processes that are idle."""
        with self._guard:
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.close()

    def _with_one(
        self, files: Sequence[tuple[int, UploadedFile]], limits: DecodeLimits, notes: list[str] | None
    ) -> list[list[RadarFrame]]:
        with self._guard:
            decoder = self._idle.pop() if self._idle else None
        decoder = decoder or DecoderProcess(self._module)
        try:
            found = decoder.decode(files, limits, notes)
        except InputError:
            self._give_back(decoder)
            raise
        except BaseException:
            decoder.close()
            raise
        self._give_back(decoder)
        return found

    def _give_back(self, decoder: DecoderProcess) -> None:
        with self._guard:
            self._idle.append(decoder)


@cache
def decoder_pool() -> DecoderPool:
    """Return the pool of this process; its decoders end with the process."""
    made = DecoderPool(size=max(1, min(4, os.cpu_count() or 1)))
    atexit.register(made.close)
    return made


def _memory_file() -> BinaryIO:
    """Open a file without a name: in memory where the system supports it, else in the temporary folder."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("decoded"), "w+b")
    return cast(BinaryIO, tempfile.TemporaryFile())


def _error(head: dict[str, str]) -> InputError:
    kind = getattr(errors, head["error"], FrameError)
    return (kind if isinstance(kind, type) and issubclass(kind, InputError) else FrameError)(head["detail"])


def _names(files: Sequence[tuple[int, UploadedFile]]) -> str:
    first = files[0][1].name[-200:]
    return first if len(files) == 1 else f"{first} and {len(files) - 1} more"


def _fate(status: int, limits: DecodeLimits) -> str:
    if status in (-SIGALRM, -SIGXCPU):
        return f"decoding took longer than {limits.limit_s:g} s (NOWCAST_UPLOAD_DECODE_S)"
    if status < 0:
        return f"decoding ended with {Signals(-status).name}; expected a whole radar file"
    return f"decoding ended with status {status}; expected a whole radar file"
