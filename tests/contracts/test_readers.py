"""What holds for every registered radar format, on the invented file `tests/golden/NAME.*`."""

import random
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from core.errors import FrameError, TooLargeError
from core.frame import RadarFrame
from ingest.readers import READERS, read_frames
from ingest.readers.base import HEAD_BYTES, Member, ReadLimits
from ingest.readers.containers import unpack

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(params=READERS.names())
def format_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def golden_file(format_name: str) -> Path:
    (path,) = GOLDEN.glob(f"{format_name}.*")
    return path


@pytest.fixture
def member(golden_file: Path) -> tuple[str, bytes]:
    """Name and bytes of the one file inside, unpacked."""
    (only,) = unpack(golden_file.read_bytes(), golden_file.name, ReadLimits())
    return only


@pytest.fixture
def frames(golden_file: Path) -> list[RadarFrame]:
    return read_frames(golden_file)


def test_format_is_found_by_content_and_read_alike(format_name: str, member: tuple[str, bytes]) -> None:
    name, content = member
    reader = READERS.get(format_name)
    assert reader.matches(content[:HEAD_BYTES])
    direct = reader.read(Member(content, name, ReadLimits()))
    found = read_frames(content, name=name)
    assert len(direct) == len(found) > 0
    for a, b in zip(direct, found, strict=True):
        np.testing.assert_array_equal(a.rate_mmh_HW, b.rate_mmh_HW)
        assert (a.valid_time, a.product, a.grid) == (b.valid_time, b.product, b.grid)


def test_times_are_aware_utc(frames: list[RadarFrame]) -> None:
    for frame in frames:
        assert frame.valid_time.utcoffset() == timedelta(0)
        assert frame.valid_time.isoformat().startswith("2024-06-01T15:") or len(frames) > 1
        assert frame.lead_minutes == 0


def test_dry_is_not_the_same_as_not_observed(frames: list[RadarFrame]) -> None:
    for frame in frames:
        rate_mmh_HW = frame.rate_mmh_HW
        rows, cols = rate_mmh_HW.shape
        edge = max(1, rows // 10)
        assert rate_mmh_HW.dtype == np.float32
        assert rate_mmh_HW.flags.c_contiguous
        assert np.isnan(rate_mmh_HW[:edge]).all()
        assert np.isnan(rate_mmh_HW[:, -edge:]).all()
        assert np.isfinite(rate_mmh_HW[edge:-edge, edge:-edge]).all()
        assert (rate_mmh_HW == 0).sum() + edge * edge == (rows - 2 * edge) * (cols - 2 * edge)


def test_row_0_is_north_and_column_0_is_west(frames: list[RadarFrame]) -> None:
    for frame in frames:
        rows, cols = frame.grid.shape
        edge = max(1, rows // 10)
        wet_HW = frame.rate_mmh_HW > 0
        assert wet_HW[rows // 4 : rows // 4 + edge, cols // 8 : cols // 8 + edge].all()
        assert wet_HW.sum() == edge * edge
        assert np.nanmax(frame.rate_mmh_HW) == pytest.approx(2.5 if frame.interval_minutes == 60 else 3.0)


def test_a_file_cut_anywhere_is_a_frame_error(member: tuple[str, bytes]) -> None:
    name, content = member
    lengths = {0, 1, 7, 8, 25, 26, 100, 511, 512, 2048, len(content) - 1, len(content) - 2}
    lengths |= {len(content) * part // 16 for part in range(16)}
    for length in sorted(lengths):
        with pytest.raises(FrameError, match=r"expected|cut|damaged|does not"):
            read_frames(content[:length], name=name)


def test_damaged_bytes_never_raise_anything_but_an_input_error(member: tuple[str, bytes]) -> None:
    name, content = member
    dice = random.Random(20240601)
    repeats = 150 if len(content) < 100_000 else 40
    for _ in range(repeats):
        damaged = bytearray(content)
        reach = dice.choice([80, 300, len(content)])
        for _ in range(dice.choice([1, 1, 3, 30])):
            damaged[dice.randrange(min(reach, len(content)))] = dice.choice([0, 255, dice.randrange(256)])
        try:
            frames = read_frames(bytes(damaged), name=name)
        except (FrameError, TooLargeError):
            continue
        for frame in frames:  # a flipped bit of a value may pass; what comes out must still be a rain rate
            observed_N = frame.rate_mmh_HW[~np.isnan(frame.rate_mmh_HW)]
            assert (observed_N >= 0).all()
            assert np.isfinite(observed_N).all()


def test_error_names_the_file(member: tuple[str, bytes]) -> None:
    with pytest.raises(FrameError, match=r"^RW_20240601-1550\.asc: "):
        read_frames(member[1][: len(member[1]) // 2], name="RW_20240601-1550.asc")
