"""Reading one RADOLAN RY file of 900 x 900 cells: a checked frame compared with wradlib's bare composite."""

import gzip
import io
from datetime import UTC, datetime

import numpy as np
import wradlib

from benchmarks.page import BENCHMARKS, Row, Section
from benchmarks.setting import BenchmarkSetting
from benchmarks.timing import compare
from ingest.readers import read_frames
from ingest.synthetic import weather
from ingest.writers.radolan import ry_bytes


@BENCHMARKS.register("reading")
def reading(setting: BenchmarkSetting) -> Section:
    """Read an invented gzipped RY scan from memory into a `RadarFrame` in mm/h."""
    frame = next(weather(datetime(2024, 6, 1, 12, tzinfo=UTC), 0.1, seed=1))
    fields = {"covered": np.nan_to_num(frame.rate_mmh_HW, nan=0.0), "with cells without data": frame.rate_mmh_HW}
    rows = [_row(name, gzip.compress(ry_bytes(field, frame.valid_time)), setting) for name, field in fields.items()]
    text = (
        "`ingest.readers.read_frames`, which checks the file and returns a frame in mm/h with its grid and times, next "
        "to wradlib's bare composite of the same gzipped bytes."
    )
    return Section("Reading one radar file", text, rows)


def _row(name: str, content: bytes, setting: BenchmarkSetting) -> Row:
    ours = ("read_frames", lambda: read_frames(content))
    bare = ("wradlib", lambda: wradlib.io.read_radolan_composite(io.BytesIO(gzip.decompress(content))))
    result = compare(f"read one RY file, {name}", ours, bare, runs=5 * setting.runs)
    return {
        "work": result.name,
        "wradlib, s": result.theirs_s,
        "ours, s": result.ours_s,
        "times faster": result.ratio,
        "pairs": result.runs,
    }
