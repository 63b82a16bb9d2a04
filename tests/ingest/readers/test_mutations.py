"""Ten thousand damaged RADOLAN and CF files: refused, or read as a valid field; as before where no data are touched."""

import io
import re
import time
from datetime import datetime

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from core.errors import FrameError, TooLargeError
from core.frame import RadarFrame
from core.grid import RADOLAN_900, RADOLAN_SPHERE
from ingest.radar_sites import DWD_RADARS
from ingest.readers import read_frames
from tests.ingest.readers.radolan_files import Header, radolan_file, wrapped

LONGEST_READ_S = 20.0
RANDOM = np.random.default_rng(1)
MEANINGFUL = re.compile(rb"^[A-Z]{2}|VS..|PR.{5}|INT.{4}(?:U.)?|GP.{9}|VV.{4}|BY.{7}")
"""Tokens that the values of the field depend on, or its shape."""


def _composite(product: str) -> bytes:
    counts = product in ("RX", "EX", "WX")
    raw_HW = RANDOM.integers(0, 240 if counts else 400, (900, 900)).astype("u1" if counts else "<u2")
    lead = 60 if product in ("RV", "RQ") else None
    at = datetime(2024, 6, 1, 15, 30)  # noqa: DTZ001 - the header's digits
    return radolan_file(
        Header(product, at, digits=0 if counts else 2, lead_minutes=lead, radars=tuple(DWD_RADARS)), raw_HW
    )


def _cf(format_name: str) -> bytes:
    grid = RADOLAN_900.resized(30, 25)
    rate = {"units": "mm h-1", "standard_name": "rainfall_rate", "grid_mapping": "crs"}
    data = xr.Dataset(
        {
            "rain": (("time", "y", "x"), RANDOM.random((2, 30, 25)).astype(np.float32), rate),
            "crs": ((), np.int32(0), CRS(RADOLAN_SPHERE).to_cf()),
        },
        coords={
            "time": np.array(["2024-06-01T15:30", "2024-06-01T15:35"], "datetime64[ns]"),
            "y": grid.y_centres_m,
            "x": grid.x_centres_m,
        },
        attrs={"product": "ry"},
    )
    if format_name == "netcdf3":
        return bytes(data.to_netcdf(engine="scipy", format="NETCDF3_64BIT"))
    file = io.BytesIO()
    data.to_netcdf(file, engine="h5netcdf")
    return file.getvalue()


def _read(content: bytes) -> list[RadarFrame] | None:
    """The valid frames of a file; None if it is refused by name."""
    begun = time.monotonic()
    try:
        frames = read_frames(content, name="file")
    except (FrameError, TooLargeError):
        return None
    finally:
        assert time.monotonic() - begun < LONGEST_READ_S
    for frame in frames:
        assert frame.rate_mmh_HW.shape == frame.grid.shape
        assert not (frame.rate_mmh_HW < 0).any()
        assert not np.isinf(frame.rate_mmh_HW).any()
    return frames


def _replaced(content: bytes, random: np.random.Generator, first: int, end: int) -> tuple[bytes, list[int]]:
    places = sorted(random.integers(first, end, random.integers(1, 4)).tolist())
    changed = bytearray(content)
    for place in places:
        changed[place] = int(random.integers(256)) if random.random() < 0.5 else ord(random.choice(list("0123456789 ")))
    return bytes(changed), places


def _resized(content: bytes, random: np.random.Generator) -> bytes:
    place, count = int(random.integers(len(content))), int(random.integers(1, 50))
    kind = int(random.integers(3))
    if kind == 0:
        return content[:place]
    return content[:place] + (content[place + count :] if kind == 1 else random.bytes(count) + content[place:])


def _meaningful(header: bytes) -> set[int]:
    return {place for found in MEANINGFUL.finditer(header) for place in range(*found.span())}


@pytest.mark.long
@pytest.mark.parametrize("product", ["RY", "RW", "RQ", "RV", "RX"])
def test_damaged_headers_of_composites(product: str) -> None:
    content, random = _composite(product), np.random.default_rng(11)
    end = content.index(b"\x03")
    meaningful = _meaningful(content[:end])
    (whole,) = read_frames(content)
    for _ in range(700):
        changed, places = _replaced(content, random, 0, end)
        frames = _read(changed)
        if frames and not meaningful & set(places):
            np.testing.assert_array_equal(frames[0].rate_mmh_HW, whole.rate_mmh_HW)
    for _ in range(100):
        resized = _resized(content, random)
        assert resized == content or _read(resized) is None


@pytest.mark.long
@pytest.mark.parametrize("how", ["gz", "bz2", "tar", "tar.gz"])
def test_damaged_wrappers_of_composites(how: str) -> None:
    content, random = wrapped(_composite("RY"), how), np.random.default_rng(12)
    (whole,) = read_frames(content)
    for number in range(500):
        if how == "tar":
            changed, _ = _replaced(content, random, 0, 512)
        elif number % 4:
            changed, _ = _replaced(content, random, 0, 40 if number % 4 == 1 else len(content))
        else:
            changed = _resized(content, random)
        if frames := _read(changed):
            np.testing.assert_array_equal(frames[0].rate_mmh_HW, whole.rate_mmh_HW)
            assert frames[0].valid_time == whole.valid_time


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format_name", ["netcdf3", "netcdf4"])
def test_damaged_cf_files(format_name: str) -> None:
    content, random = _cf(format_name), np.random.default_rng(13)
    assert len(read_frames(content)) == 2
    for number in range(2000):
        changed = _replaced(content, random, 0, len(content))[0] if number % 5 else _resized(content, random)
        _read(changed)
