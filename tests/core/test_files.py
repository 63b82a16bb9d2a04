"""A file that is written atomically is there whole or not at all."""

import os
from pathlib import Path

import pytest

from core.files import write_atomically, write_bytes_atomically


def test_content_arrives_in_new_folders(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "scan.nc"
    write_bytes_atomically(target, b"whole")
    assert target.read_bytes() == b"whole"
    assert os.listdir(target.parent) == ["scan.nc"]  # noqa: PTH208 - dot-files too
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "scan.nc"
    write_bytes_atomically(target, b"old")

    def half(temporary: Path) -> None:
        temporary.write_bytes(b"ha")
        assert target.read_bytes() == b"old"
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_atomically(target, half)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["scan.nc"]  # noqa: PTH208 - dot-files too


def test_a_second_write_replaces_the_first_at_once(tmp_path: Path) -> None:
    target = tmp_path / "latest"
    write_bytes_atomically(target, b"first")
    with target.open("rb") as reader:
        write_bytes_atomically(target, b"second")
        assert reader.read() == b"first"
    assert target.read_bytes() == b"second"
