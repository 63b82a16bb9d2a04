"""Uploads are decoded apart: what a file does to its decoder is an answer to that request and nothing else."""

import bz2
import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

from core.errors import BusyError, FrameError, InputError, TooLargeError, UnavailableError
from core.frame import RadarFrame
from core.grid import RADOLAN_900
from ingest.readers import read_frames
from ingest.sandbox.decoder import NICENESS
from ingest.sandbox.pool import DecodeLimits, DecoderPool, UploadedFile
from ingest.writers.radolan import ry_bytes
from tests.service.api_support import netcdf, window_times

LIMITS = DecodeLimits(64 * 2**20, 8, 900 * 900, 20.0, 2**28)
SOON = replace(LIMITS, limit_s=1.0)


@pytest.fixture(scope="module")
def decoders() -> Iterator[DecoderPool]:
    made = DecoderPool(1, "tests.ingest.sandbox.hostile_decoder")
    yield made
    made.close()


@pytest.fixture(scope="module")
def scan() -> bytes:
    rate_mmh_HW = np.zeros((900, 900), np.float32)
    rate_mmh_HW[300:500, 200:400] = 2.4
    rate_mmh_HW[:50] = np.nan
    return ry_bytes(rate_mmh_HW, datetime(2024, 6, 1, 12, tzinfo=UTC))


def decode(decoders: DecoderPool, *files: tuple[str, bytes], limits: DecodeLimits = LIMITS) -> list[RadarFrame]:
    (frames,) = decoders.decode([[UploadedFile(*file) for file in files]], limits)
    return frames


def packed(pack: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    if pack == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("scan", content)
    elif pack == "tar":
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            member = tarfile.TarInfo("scan")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    else:
        return gzip.compress(content) if pack == "gz" else bz2.compress(content)
    return buffer.getvalue()


def test_frames_equal_those_of_the_reader(decoders, scan, tmp_path):
    five = netcdf(tmp_path, window_times())
    frames = decode(decoders, ("scan", scan), ("five.nc", five), ("packed", gzip.compress(scan)))
    here = [*read_frames(scan), *read_frames(five), *read_frames(scan)]
    assert len(frames) == 7
    for decoded, expected in zip(frames, here, strict=True):
        np.testing.assert_array_equal(decoded.rate_mmh_HW, expected.rate_mmh_HW)
        assert replace(decoded, rate_mmh_HW=expected.rate_mmh_HW) == expected
        assert decoded.grid.same_place(expected.grid)


def test_groups_stay_apart(decoders, scan):
    one, none, two = decoders.decode([[UploadedFile("a", scan)], [], [UploadedFile("b", scan)] * 2], LIMITS)
    assert [len(one), len(none), len(two)] == [1, 0, 2]
    assert decoders.decode([[], []], LIMITS) == [[], []]


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("crash", "SIGSEGV"),
        ("hang", "longer than 1 s"),
        ("loop", "longer than 1 s"),
        ("eat", "more memory than the limit of 268,435,456 bytes"),
    ],
)
def test_a_file_that_breaks_its_decoder_affects_no_other_request(decoders, scan, deed, words):
    before = decoders._idle[0]._process.pid if decoders._idle else None
    with pytest.raises(InputError, match=words) as caught:
        decode(decoders, ("good", scan), (deed, deed.encode()), limits=LIMITS if deed == "eat" else SOON)
    assert caught.value.status in (413, 422)
    assert len(decode(decoders, ("good", scan))) == 1
    assert before in (None, decoders._idle[0]._process.pid), "no process had to be started anew"


def test_a_stopped_decoder_does_not_blame_the_file(decoders):
    with pytest.raises(UnavailableError, match="stopped"):
        decode(decoders, ("stop", b"stop"))


def test_output_printed_by_a_library_is_not_taken_for_a_status(decoders):
    assert len(decode(decoders, ("chatter", b"chatter"))) == 1


def test_a_decoder_that_was_killed_is_replaced(decoders, scan):
    decode(decoders, ("good", scan))
    decoders._idle[0]._process.kill()
    decoders._idle[0]._process.wait()
    with pytest.raises(Exception, match="another is started"):
        decode(decoders, ("good", scan))
    assert len(decode(decoders, ("good", scan))) == 1


def test_waiting_too_long_for_a_decoder_is_busy(decoders, scan):
    assert decoders._free.acquire(timeout=1)
    try:
        with pytest.raises(BusyError, match="no decoder was free"):
            decoders.decode([[UploadedFile("good", scan)]], LIMITS, wait_s=0.05)
    finally:
        decoders._free.release()


def test_the_process_and_its_children_have_a_lower_priority(decoders, scan):
    decode(decoders, ("good", scan))
    process = decoders._idle[0]._process
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(19, os.nice(0) + NICENESS)


def hdf5_of_zeros(path: Path) -> bytes:
    """A gigabyte and more of zeros in a chunked data set, in some kilobytes of a valid ODIM file."""
    with h5py.File(path, "w") as root:
        root.attrs["Conventions"] = "ODIM_H5/V2_3"
        root.create_group("what").attrs["object"] = "COMP"
        data = root.create_group("dataset1/data1")
        data.create_dataset("data", (20_000, 20_000), "f4", chunks=(2000, 2000), compression=9, fillvalue=0)
        data["data"][:2000, :2000] = 0
    return path.read_bytes()


def netcdf_of_zeros(path: Path) -> bytes:
    with h5py.File(path, "w") as root:
        root.create_dataset("rainfall_rate", (500, 1000, 1000), "f4", chunks=(1, 1000, 1000), compression=9)
    return path.read_bytes()


@pytest.mark.parametrize("make", [hdf5_of_zeros, netcdf_of_zeros])
def test_an_hdf5_bomb_is_refused_by_its_unpacked_size(decoders, tmp_path, make):
    bomb = make(tmp_path / "bomb.h5")
    assert len(bomb) < 2**20
    with pytest.raises(TooLargeError, match=r"bomb.h5: HDF5 data set .* limit of 67,108,864 bytes"):
        decode(decoders, ("bomb.h5", bomb))


@pytest.mark.parametrize("packs", [("bz2",), ("gz",), ("bz2", "tar"), ("gz", "bz2"), ("bz2", "tar", "gz")])
def test_a_packed_bomb_is_refused_while_it_unpacks(decoders, packs):
    bomb = bytes(200 * 2**20)
    for pack in packs:
        bomb = packed(pack, bomb)
    assert len(bomb) < 2**20
    with pytest.raises(TooLargeError, match="limit of 67,108,864 bytes"):
        decode(decoders, ("bomb", bomb))


def test_archives_in_archives_end(decoders, scan):
    nested = scan
    for _ in range(6):
        nested = packed("tar", nested)
    with pytest.raises(FrameError, match="packed more than 4 times"):
        decode(decoders, ("nested", nested))


def test_a_zip_bomb_is_not_even_opened(decoders):
    bomb = packed("zip", bytes(200 * 2**20))
    with pytest.raises(FrameError, match="one of the formats"):
        decode(decoders, ("bomb.zip", bomb))


def test_a_frame_of_too_many_cells_is_refused_by_its_header(decoders, scan, tmp_path):
    small = replace(LIMITS, max_cells=1000)
    for name, content in (("scan", scan), ("five.nc", netcdf(tmp_path, window_times()))):
        with pytest.raises(TooLargeError, match=f"{name}: expected a frame of at most 1000 cells, got"):
            decode(decoders, (name, content), limits=small)


def test_many_files_together_are_bounded_too(decoders, scan):
    with pytest.raises(TooLargeError, match="expected at most 8 frames, got more"):
        decode(decoders, *[("scan", gzip.compress(scan))] * 9)
    with pytest.raises(TooLargeError, match="frames of at most 7,000,000 bytes"):
        decode(decoders, *[("scan", gzip.compress(scan))] * 3, limits=replace(LIMITS, max_bytes=7_000_000))


@pytest.mark.parametrize("name", ["../../etc/passwd", "/tmp/x", "..\\..\\x", "a\0b", "x" * 5000, "-rf", "$(id)", ""])
def test_a_path_in_a_name_leads_nowhere(decoders, scan, tmp_path, name):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(name.replace("\0", "")[:90] or "scan")
        member.size = len(scan)
        tar.addfile(member, io.BytesIO(scan))
    before = sorted(Path(tmp_path).rglob("*"))
    assert decode(decoders, (name, archive.getvalue()))[0].grid.same_place(RADOLAN_900)
    with pytest.raises(FrameError) as caught:
        decode(decoders, (name, b"no radar"))
    assert len(str(caught.value)) < 500
    assert sorted(Path(tmp_path).rglob("*")) == before
