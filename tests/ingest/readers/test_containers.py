"""Packed files: any nesting, found by content; cut, forged and exploding ones."""

import bz2
import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core.errors import FrameError, TooLargeError
from ingest.readers import read_frames
from ingest.readers.base import ReadLimits
from ingest.readers.containers import unpack

GOLDEN = Path(__file__).parents[2] / "golden"
Pack = Callable[[bytes], bytes]


def tar(content: bytes, name: str = "scan") -> bytes:
    return tar_of([(tarfile.TarInfo(name), content)])


def tar_of(members: list[tuple[tarfile.TarInfo, bytes]], archive_format: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=archive_format) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


PACKS: dict[str, Pack] = {"gzip": gzip.compress, "bzip2": bz2.compress, "tar": tar}


def unpacked(content: bytes, max_bytes: int = 10_000_000) -> list[tuple[str, bytes]]:
    return list(unpack(content, "file", ReadLimits(max_bytes)))


@given(content=st.binary(min_size=1, max_size=3000), layers=st.lists(st.sampled_from(sorted(PACKS)), max_size=4))
@settings(max_examples=60, deadline=None)
def test_packed_content_is_unpacked(content: bytes, layers: list[str]) -> None:
    content = b"RY" + content  # no container of its own
    packed = content
    for layer in layers:
        packed = PACKS[layer](packed)
    ((name, inside),) = unpacked(packed)
    assert inside == content
    assert name == "file" + "/scan" * layers.count("tar")


@given(cut=st.floats(0, 1, exclude_max=True), kind=st.sampled_from(sorted(PACKS)))
@settings(max_examples=60, deadline=None)
def test_a_cut_container_is_a_frame_error(cut: float, kind: str) -> None:
    packed = PACKS[kind]((GOLDEN / "odim-h5.hdf5").read_bytes())
    end_mark = 2 * tarfile.BLOCKSIZE + (-len(packed)) % tarfile.RECORDSIZE if kind == "tar" else 0
    whole = len(packed.rstrip(b"\0")) if kind == "tar" else len(packed) - end_mark
    with pytest.raises(FrameError):
        read_frames(packed[: int(whole * cut)])


@given(
    contents=st.lists(st.binary(max_size=300) | st.just(bytes(3 * 2**20)), min_size=1, max_size=3),
    padding=st.integers(0, 700),
)
@settings(max_examples=30, deadline=None)
def test_gzip_of_several_members_and_padding_is_unpacked_as_gzip_does(contents: list[bytes], padding: int) -> None:
    assume(not b"".join(contents).startswith((b"\x1f\x8b", b"BZh")))  # that is packed once more
    packed = b"".join(gzip.compress(content, 1, mtime=0) for content in contents) + bytes(padding)
    ((_, content),) = unpacked(packed)
    assert content == gzip.decompress(packed)


def test_a_tar_cut_between_members_is_not_taken_for_a_whole_one() -> None:
    golden = (GOLDEN / "odim-h5.hdf5").read_bytes()
    packed = tar_of([(tarfile.TarInfo("first"), golden), (tarfile.TarInfo("second"), golden)])
    assert len(read_frames(packed)) == 2
    member_bytes = 512 + -(-len(golden) // 512) * 512
    for length in (member_bytes, member_bytes + 100, member_bytes + 512, 2 * member_bytes):
        with pytest.raises(FrameError, match="cut"):
            read_frames(packed[:length])


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_bomb_stops_at_the_limit(pack: Pack) -> None:
    bomb = pack(pack(bytes(40_000_000)))
    assert len(bomb) < 1000
    with pytest.raises(TooLargeError, match=r"bomb.*limit of 5,000,000 bytes"):
        read_frames(bomb, name="bomb", max_bytes=5_000_000)


def test_layers_and_members_count_together() -> None:
    member = gzip.compress(bytes(400_000))
    packed = tar_of([(tarfile.TarInfo(f"{number}"), member) for number in range(3)])
    assert len(unpacked(packed, 1_200_000)) == 3
    with pytest.raises(TooLargeError):
        unpacked(packed, 1_199_999)


def test_packing_deeper_than_the_limit_is_refused() -> None:
    packed = b"content"
    for _ in range(5):
        packed = gzip.compress(packed)
    with pytest.raises(FrameError, match="packed more than 4 times"):
        unpacked(packed)


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, 2**40)
    with pytest.raises(TooLargeError, match=r"large: expected at most .* bytes, got 1,099,511,627,776"):
        read_frames(large)


def test_members_outside_of_the_folder_leave_the_disk_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    golden = (GOLDEN / "odim-h5.hdf5").read_bytes()
    outside = tmp_path / "outside"
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    members = [(tarfile.TarInfo(name), golden) for name in (f"{outside}", "../../escape", "a\nline")]
    frames = read_frames(tar_of([*members, (link, b"")]))
    assert len(frames) == 3
    assert list(tmp_path.iterdir()) == []
    names = [name for name, _ in unpacked(tar_of(members))]
    assert names[-1] == "file/a?line"


@pytest.mark.parametrize("size", [b"77777777777\0", b"00000000000\0", b"\x80" + b"\xff" * 11, b"\xff" * 12])
def test_forged_sizes_of_members_are_frame_errors(size: bytes) -> None:
    packed = bytearray(tar((GOLDEN / "odim-h5.hdf5").read_bytes()))
    packed[124:136] = size
    checksum = 256 + sum(packed[:148]) + sum(packed[156:512])
    packed[148:156] = b"%06o\0 " % checksum
    with pytest.raises(FrameError):
        read_frames(bytes(packed))


def test_sparse_members_are_refused() -> None:
    member = tarfile.TarInfo("sparse")
    member.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "s",
        "GNU.sparse.realsize": str(2**50),
    }
    packed = tar_of([(member, b"1\n0\n1099511627776\n".ljust(512, b"\0"))])
    with pytest.raises(FrameError):
        read_frames(packed)


def test_more_frames_than_the_limit_are_refused() -> None:
    golden = (GOLDEN / "odim-h5.hdf5").read_bytes()
    packed = tar_of([(tarfile.TarInfo(f"{number}"), golden) for number in range(4)])
    assert len(read_frames(packed, max_frames=4)) == 4
    with pytest.raises(TooLargeError, match="expected at most 3 frames, got more"):
        read_frames(packed, max_frames=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"upload: expected a radar file, got an empty one \(0 bytes\)"),
        (
            b"\x89PNG\r\n\x1a\n" + bytes(50),
            r"upload: expected one of the formats cf-netcdf, .*, got a file that starts with b'\\x89PNG",
        ),
        (b"Dear sirs, the scan will follow.", "starts with b'Dear sirs, t'"),
        (gzip.compress(b"", mtime=0), r"an empty one \(0 bytes\)"),
        (tar_of([]), "upload: "),
        (tar(b"read me"), "upload/scan: .* starts with b'read me'"),
        (gzip.compress(b"abc", mtime=0) + b"rubbish", "gzip stream is damaged"),
    ],
)
def test_foreign_content_names_what_was_expected_and_found(content: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        read_frames(content)


@given(content=st.binary(max_size=2000))
@settings(max_examples=150, deadline=None)
def test_random_bytes_are_frame_errors(content: bytes) -> None:
    with pytest.raises(FrameError):
        read_frames(content)


@given(head=st.sampled_from([b"\x1f\x8b\x08", b"BZh9", b"\x89HDF\r\n\x1a\n", b"CDF\x01", b"ncols 900\n", b"RY"]),
       content=st.binary(max_size=600))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_random_bytes_after_a_right_start_are_frame_errors(head: bytes, content: bytes) -> None:
    with pytest.raises(FrameError):
        read_frames(head + content)


def test_a_missing_file_is_a_frame_error(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="absent: cannot be read: No such file"):
        read_frames(tmp_path / "absent")
    with pytest.raises(FrameError, match="expected a file or a Zarr store, got a folder"):
        read_frames(tmp_path)
