"""Reading one RADOLAN RY file of 900 x 900 cells: a checked frame against wradlib's bare composite."""

import gzip
import io
from datetime import UTC, datetime

import numpy as np
import wradlib

from benchmarks.timing import BENCHMARKS, Result, compare
from ingest.radolan_writer import ry_bytes
from ingest.readers import read_frames
from ingest.synthetic import weather


@BENCHMARKS.register("reading")
def reading() -> list[Result]:
    """An invented gzipped RY scan in memory, whole way to a `RadarFrame` in mm/h."""
    frame = next(weather(datetime(2024, 6, 1, 12, tzinfo=UTC), 0.1, seed=1))
    content = gzip.compress(ry_bytes(np.nan_to_num(frame.rate_mmh_HW, nan=0.0), frame.valid_time))
    ours = ("read_frames", lambda: read_frames(content))
    bare = ("wradlib", lambda: wradlib.io.read_radolan_composite(io.BytesIO(gzip.decompress(content))))
    return [compare("read one RY file", ours, bare, runs=15)]
