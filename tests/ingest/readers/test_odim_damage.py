"""Mutated ODIM and KNMI files: a named refusal, or the undamaged values; never a crash and never another value."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

from core.errors import FrameError, TooLargeError
from ingest.readers import read_frames
from tests.ingest.readers.knmi_files import knmi_file
from tests.ingest.readers.odim_files import DIALECTS, odim_file

END = datetime(2024, 6, 1, 12, tzinfo=UTC)
COUNTS = np.array([[0, 100, 200], [65535, 5, 0]], "u2")


def inputs() -> Iterator[tuple[str, bytes]]:
    rate_mmh_HW = np.array([[0.0, 3.5, 12.0], [np.nan, 0.5, 0.0]])
    for dialect in DIALECTS:
        yield dialect.name, odim_file(dialect, rate_mmh_HW, END)
    yield "KNMI", knmi_file("PRECIP_[MM]", "GEO=0.01*PV+0.0", COUNTS, missing=65535, outside=65535)


INPUTS = dict(inputs())
VALUES: tuple[object, ...] = (
    np.nan,
    np.inf,
    -1,
    0,
    1e30,
    2**63 - 1,
    b"",
    b"\xff\xfe",
    b"nan",
    "text",
    np.zeros(3),
    np.zeros(0),
)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut, flip or overwrite some bytes."""
    damaged = bytearray(content)
    match rng.integers(4):
        case 0:
            return bytes(damaged[: rng.integers(len(damaged))])
        case 1:
            for at in rng.integers(0, len(damaged), rng.integers(1, 9)):
                damaged[at] ^= 1 << int(rng.integers(8))
        case 2:
            at, count = int(rng.integers(len(damaged))), int(rng.integers(1, 64))
            damaged[at : at + count] = rng.bytes(count)
        case _:
            at, start, count = (int(n) for n in rng.integers(0, len(damaged), 3))
            damaged[at : at + count % 256] = content[start : start + count % 256]
    return bytes(damaged)


def one_attribute_changed(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace, copy over or delete one attribute."""
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as root:
        places: list[tuple[str, str]] = []
        root.visititems(lambda path, item: places.extend((path, name) for name in item.attrs))
        path, name = places[rng.integers(len(places))]
        choice = int(rng.integers(len(VALUES) + 2))
        if choice < len(VALUES):
            root[path].attrs[name] = VALUES[choice]
        elif choice == len(VALUES):
            del root[path].attrs[name]
        else:
            other_path, other = places[rng.integers(len(places))]
            root[path].attrs[name] = root[other_path].attrs[other]
    return file.getvalue()


def check(content: bytes) -> None:
    """Read, and accept only sound frames or a named refusal."""
    try:
        frames = read_frames(content, name="damaged", max_bytes=2**24)
    except (FrameError, TooLargeError):
        return
    assert frames
    for frame in frames:
        observed = frame.rate_mmh_HW[~np.isnan(frame.rate_mmh_HW)]
        assert np.isfinite(observed).all()
        assert (observed >= 0).all()
        assert frame.lead_minutes >= 0


@pytest.mark.parametrize("name", INPUTS)
def test_changed_bytes(name: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(12):
        check(mutated(INPUTS[name], rng))


@pytest.mark.parametrize("name", INPUTS)
def test_changed_attributes(name: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(12):
        check(one_attribute_changed(INPUTS[name], rng))


@pytest.mark.long
@pytest.mark.parametrize("name", INPUTS)
def test_many_changes(name: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(400):
        check(mutated(INPUTS[name], rng))
        check(one_attribute_changed(INPUTS[name], rng))


@pytest.mark.parametrize("name", INPUTS)
def test_an_attribute_that_no_reader_uses_changes_nothing(name: str) -> None:
    file = io.BytesIO(INPUTS[name])
    (before,) = read_frames(INPUTS[name])
    with h5py.File(file, "r+") as root:
        for path in ("", *(path for path in root if isinstance(root[path], h5py.Group))):
            root[path or "/"].attrs["remark"] = np.full(5, np.nan)
        root.create_group("elsewhere").create_dataset("noise", data=np.arange(9))
    (after,) = read_frames(file.getvalue())
    assert (after.valid_time, after.lead_minutes, after.grid) == (before.valid_time, before.lead_minutes, before.grid)
    np.testing.assert_array_equal(after.rate_mmh_HW, before.rate_mmh_HW)
