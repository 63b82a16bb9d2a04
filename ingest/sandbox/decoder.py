"""The process that decodes uploads: `python -m ingest.sandbox.decoder FD`, started and fed by `ingest.sandbox.pool`.

It has the readers loaded and forks for every job: the child sets limits on memory, processor time and elapsed time that
it cannot raise again, decodes, and exits. A file that crashes it, loops or takes memory ends this child alone.
"""

import ctypes
import gc
import json
import math
import os
import resource
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from core.errors import InputError, TooLargeError
from core.frame import RadarFrame
from core.grid import RADOLAN_900
from core.records import RecordCodec

LENGTH: Final = struct.Struct("<Q")
NICENESS: Final = 5
"""Added niceness: where both want the processor, decoding gets a third of what the answering process gets."""

TOO_MUCH_MEMORY: Final = "decoding takes more memory than the limit of {:,} bytes (NOWCAST_UPLOAD_DECODE_BYTES)"
DONE: Final = 0
PR_SET_PDEATHSIG: Final = 1

FRAME_CODEC: Final = RecordCodec(RadarFrame, omit=("grid", "rate_mmh_HW", "clutter_HW"))
"""A frame but for its grid and its fields, which follow the head as bytes."""


def main(answers_fd: int) -> None:
    """Take jobs from standard input until it ends; write the exit status of each child to standard output."""
    with suppress(OSError):
        os.nice(NICENESS)
    from ingest.readers.read import analyses_of, read_frames  # the costly part, once

    _warm_up(read_frames)
    jobs, ends = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's prints must not look like an exit status
    ends.write(b"ready\n")
    while header := jobs.readline():
        job = json.loads(header)
        contents = [_whole(jobs, file["bytes"]) for file in job["files"]]
        child = os.fork()
        if child == 0:
            _decode_and_exit(job, contents, answers_fd, partial(_read, read_frames, analyses_of))
        del contents
        _, status = os.waitpid(child, 0)
        ends.write(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _warm_up(read: Callable[..., list[RadarFrame]]) -> None:
    """Read a dry scan and a small CF file, so that every child inherits what readers prepare at their first use."""
    from core.cf import rate_dataset
    from ingest.writers.radolan import ry_bytes

    time, dry_mmh_HW = datetime(2024, 1, 1, tzinfo=UTC), np.zeros(RADOLAN_900.shape, np.float32)
    read(ry_bytes(dry_mmh_HW, time))
    small = rate_dataset(np.zeros((1, 30, 30), np.float32), [time], RADOLAN_900.resized(30, 30))
    read(bytes(small.to_netcdf(engine="scipy", format="NETCDF3_64BIT")))
    gc.collect()
    gc.freeze()  # the children's collector then leaves these pages alone


def _whole(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        sys.exit(0)  # the parent process is gone
    return content


def _read(
    read: Callable[..., list[RadarFrame]],
    analyses: Callable[[Sequence[RadarFrame]], tuple[list[RadarFrame], str | None]],
    content: bytes,
    **options: Any,
) -> list[RadarFrame]:
    """Read one file; of a provider's forecasts with their analysis the analysis remains, before frames are counted."""
    frames, note = analyses(read(content, **options))
    if note:
        options["notes"].append(f"{options['name']}: {note}")
    return frames


def _decode_and_exit(
    job: dict[str, Any], contents: Sequence[bytes], fd: int, read: Callable[..., list[RadarFrame]]
) -> None:
    try:
        _set_limits(job)
        try:
            answer, fields = _decoded(job, contents, read)
        except InputError as err:
            answer, fields = {"error": type(err).__name__, "detail": str(err)}, []
        except MemoryError:
            detail = TOO_MUCH_MEMORY.format(job["memory_bytes"])
            answer, fields = {"error": TooLargeError.__name__, "detail": detail}, []
        _write(fd, answer, fields)
        os._exit(DONE)
    except BaseException:
        traceback.print_exc()  # a fault of this program: errors of a file are InputErrors, handled above
    finally:
        os._exit(1)


def _set_limits(job: dict[str, Any]) -> None:
    """Limit this process alone; the timer's signal ends it, whatever it is doing then."""
    for number in (signal.SIGALRM, signal.SIGXCPU, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    _end_with_parent()
    signal.setitimer(signal.ITIMER_REAL, job["limit_s"])
    seconds = math.ceil(job["limit_s"])
    most_bytes = _own_bytes() + job["memory_bytes"]
    for what, most in (
        (resource.RLIMIT_AS, most_bytes),
        (resource.RLIMIT_FSIZE, job["answer_bytes"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        _, hard = resource.getrlimit(what)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # SIGXCPU, a second before SIGKILL


def _end_with_parent() -> None:
    """Let Linux kill this process when its parent ends; elsewhere the timer does, a little later."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _own_bytes() -> int:
    """Return the address space that the loaded libraries occupy already."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 2**31


def _decoded(
    job: dict[str, Any], contents: Sequence[bytes], read: Callable[..., list[RadarFrame]]
) -> tuple[dict[str, Any], list[memoryview]]:
    heads: list[dict[str, Any]] = []
    fields: list[memoryview] = []
    notes: list[str] = []
    frames_left = dict.fromkeys((file["group"] for file in job["files"]), job["max_frames"])
    for number, (file, content) in enumerate(zip(job["files"], contents, strict=True)):
        limits = {"max_bytes": job["max_bytes"], "max_frames": job["max_frames"], "max_cells": job["max_cells"]}
        for frame in read(content, name=file["name"], notes=notes, **limits):
            frames_left[file["group"]] -= 1
            heads.append({**FRAME_CODEC.to_dict(frame), "file": number, "grid": frame.grid.to_dict()})
            fields.append(np.ascontiguousarray(frame.rate_mmh_HW).data.cast("B"))
        if frames_left[file["group"]] < 0:
            raise TooLargeError(f"expected at most {job['max_frames']} frames, got more (NOWCAST_UPLOAD_MAX_FRAMES)")
        if sum(field.nbytes for field in fields) > job["max_bytes"]:
            limit = f"{job['max_bytes']:,} bytes together"
            raise TooLargeError(f"expected frames of at most {limit}, got more (NOWCAST_UPLOAD_MAX_UNPACKED_BYTES)")
    return {"frames": heads, "notes": notes}, fields


def _write(fd: int, answer: dict[str, Any], fields: Sequence[memoryview]) -> None:
    head = json.dumps(answer).encode()
    os.lseek(fd, 0, os.SEEK_SET)
    os.ftruncate(fd, 0)
    parts: list[bytes | memoryview] = [LENGTH.pack(len(head)), head, *fields]
    for part in parts:
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(fd, rest) :]


if __name__ == "__main__":
    main(int(sys.argv[1]))
