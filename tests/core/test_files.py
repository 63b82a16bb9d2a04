"""A file that is written atomically is there whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from core.files import DamagedFileError, check_file, write_atomically, write_bytes_atomically


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


def test_content_and_folder_are_synced_around_the_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power failure must find either file whole: content before the new name, the name before the return."""
    target, happened = tmp_path / "scan.nc", []
    sync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        happened.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "content")
        sync(handle)

    def renamed(path: Path, to: Path) -> Path:
        happened.append("name")
        return replace(path, to)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_bytes_atomically(target, b"whole")
    assert happened == ["content", "name", "folder"]


def test_a_checksum_is_there_on_request_alone_and_finds_any_change(tmp_path: Path) -> None:
    plain, checked = tmp_path / "plain", tmp_path / "checked"
    write_atomically(plain, lambda path: path.write_bytes(b"x" * 99))
    write_atomically(checked, lambda path: path.write_bytes(b"x" * 99), checksum=True)
    assert (check_file(plain), check_file(checked)) == (False, True)
    whole = checked.read_bytes()
    for place in (0, 98, 99 + 8, 99 + 16, len(whole) - 1):
        checked.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedFileError, match="checksum"):
            check_file(checked)
    checked.write_bytes(whole)
    assert check_file(checked), "whole again"


def test_a_change_that_keeps_the_size_and_the_time_of_the_content_is_found(tmp_path: Path) -> None:
    """As a bad sector or a tool that restores times: what was found to be right is read again after any change."""
    path = tmp_path / "scan.nc"
    write_atomically(path, lambda temporary: temporary.write_bytes(b"x" * 99), checksum=True)
    assert check_file(path)
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"y")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DamagedFileError):
        check_file(path)
