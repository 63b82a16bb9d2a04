"""The process that decodes uploads: `python -m ingest.sandbox.decoder FD`, started and fed by `decode`.

It has the readers loaded and forks for every job: the child takes limits on memory, processor and time that it cannot
take off again, decodes, and ends. What a file does to it (a crash, a loop, memory) is that child's end and no more.
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
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from core.errors import InputError, TooLargeError
from core.frame import RadarFrame, iso
from core.grid import RADOLAN_900
from core.responsive import give_way

LENGTH: Final = struct.Struct("<Q")
TOO_MUCH_MEMORY: Final = "decoding it took more memory than the limit of {:,} bytes; a smaller file was due"
DONE: Final = 0
PR_SET_PDEATHSIG: Final = 1


def main(answers_fd: int) -> None:
    """Take jobs from standard input until it ends; say on standard output how each child ended."""
    give_way()
    from ingest.readers import read_frames  # the costly part, once

    _use_once(read_frames)
    jobs, ends = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    ends.write(b"ready\n")
    while header := jobs.readline():
        job = json.loads(header)
        contents = [_whole(jobs, file["bytes"]) for file in job["files"]]
        child = os.fork()
        if child == 0:
            _decode_and_end(job, contents, answers_fd, read_frames)
        del contents
        _, status = os.waitpid(child, 0)
        ends.write(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _use_once(read: Callable[..., list[RadarFrame]]) -> None:
    """Read a dry scan, so that what readers prepare at their first use is there for every child."""
    from ingest.writers.radolan import ry_bytes

    dry_mmh_HW = np.zeros(RADOLAN_900.shape, np.float32)
    read(ry_bytes(dry_mmh_HW, datetime(2024, 1, 1, tzinfo=UTC)))
    gc.collect()
    gc.freeze()  # the children's collector then leaves these pages alone


def _whole(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        sys.exit(0)  # whoever fed this process is gone
    return content


def _decode_and_end(
    job: dict[str, Any], contents: Sequence[bytes], fd: int, read: Callable[..., list[RadarFrame]]
) -> None:
    try:
        _take_limits(job)
        try:
            answer, fields = _decoded(job, contents, read)
        except InputError as err:
            answer, fields = {"error": type(err).__name__, "detail": str(err)}, []
        except MemoryError:
            detail = TOO_MUCH_MEMORY.format(job["memory_bytes"])
            answer, fields = {"error": TooLargeError.__name__, "detail": detail}, []
        _write(fd, answer, fields)
        os._exit(DONE)
    finally:
        os._exit(1)


def _take_limits(job: dict[str, Any]) -> None:
    """Limits of this process alone; the timer's signal ends it, whatever it does then."""
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
    """Linux ends this process with its parent; elsewhere the timer does, a little later."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _own_bytes() -> int:
    """Address space that is taken already by the loaded libraries."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 2**31


def _decoded(
    job: dict[str, Any], contents: Sequence[bytes], read: Callable[..., list[RadarFrame]]
) -> tuple[dict[str, Any], list[memoryview]]:
    told, fields = [], []
    frames_left = dict.fromkeys((file["group"] for file in job["files"]), job["max_frames"])
    for number, (file, content) in enumerate(zip(job["files"], contents, strict=True)):
        limits = {"max_bytes": job["max_bytes"], "max_frames": job["max_frames"], "max_cells": job["max_cells"]}
        for frame in read(content, name=file["name"], **limits):
            frames_left[file["group"]] -= 1
            told.append(_told(frame, number))
            fields.append(np.ascontiguousarray(frame.rate_mmh_HW).data.cast("B"))
        if frames_left[file["group"]] < 0:
            raise TooLargeError(f"more frames came; at most {job['max_frames']} were due")
        if sum(field.nbytes for field in fields) > job["max_bytes"]:
            raise TooLargeError(f"frames of more than {job['max_bytes']:,} bytes came; no more were due")
    return {"frames": told}, fields


def _told(frame: RadarFrame, number: int) -> dict[str, Any]:
    return {
        "file": number,
        "valid_time": iso(frame.valid_time),
        "grid": frame.grid.to_dict(),
        "product": frame.product,
        "interval_minutes": frame.interval_minutes,
        "lead_minutes": frame.lead_minutes,
        "missing_radars": frame.missing_radars,
    }


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
