"""Two folders in front of one store of files: what one publishes the other has, and nothing damaged passes."""

import os
import time
from pathlib import Path

import pytest
from obstore.exceptions import BaseError

from core import shared_files
from core.cache_room import IN_USE_S
from core.cf import reading_own
from core.errors import ConfigError, UnavailableError
from core.files import CHECKSUM, DamagedFileError, add_checksum, check_file, sealed, unsealed
from core.filestore import FAILED_S, Bucket, FileStore
from core.shared_files import (
    MISSING_S,
    SharedFolder,
    fetch_again,
    follow,
    is_stored,
    is_there,
    keeper_of,
    mount,
    publish,
    withdraw,
    write_shared,
)

SCAN = "scans/RY/2024/06/01/RY_20240601T1000Z.nc"


class Clock:
    """Steady time that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def none_stays_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_files, "_MOUNTED", {})


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore((tmp_path / "store").as_uri())


@pytest.fixture
def homes(tmp_path: Path, store: FileStore, clock: Clock) -> tuple[Path, Path]:
    """Two machines, both mounted in this process; the second keeps 1000 bytes."""
    for name, most_bytes in (("here", 10**6), ("there", 1000)):
        mount(SharedFolder(tmp_path / name, store, most_bytes, clock))
    return tmp_path / "here", tmp_path / "there"


def written(path: Path, content: bytes = b"rain", *, checksum: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if checksum:
        add_checksum(path)
    return path


def trim(home: Path) -> int:
    folder = keeper_of(home / "scans")
    assert folder is not None
    return folder.trim()


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("name", [SCAN, "quarantine/a~b+c@1 d.nc", "forecasts/.again/0a-1b", "models/n/1+2/model.json"])
def test_what_one_machine_publishes_another_has_byte_for_byte(homes, clock, name, checksum):
    here, there = homes
    file = written(here / name, checksum=checksum)
    assert not is_there(there / name)
    publish(file)
    clock.now += MISSING_S
    assert is_stored(there / name)
    assert not (there / name).exists(), "only looked at"
    assert is_there(there / name)
    assert (there / name).read_bytes() == file.read_bytes()


def test_a_file_that_is_missing_is_looked_for_again_after_a_moment(homes, clock, monkeypatch, store):
    asked: list[str] = []
    monkeypatch.setattr(store, "get", asked.append)
    for seconds in (0.0, MISSING_S / 2, MISSING_S):
        assert not is_there(homes[1] / SCAN)
        clock.now += seconds
    assert not is_there(homes[1] / SCAN)
    assert asked == [SCAN, SCAN]


def test_without_a_mount_and_outside_of_the_kept_folders_a_file_is_the_folder_s_own(homes, tmp_path):
    own = written(homes[0] / "windows/a.safetensors")
    publish(own)
    other = written(tmp_path / "elsewhere" / SCAN)
    publish(other)
    withdraw([own, other])
    assert is_there(own)
    assert is_there(other)
    assert keeper_of(own) is keeper_of(other) is None
    assert not list((tmp_path / "store").rglob("*.nc"))
    assert not is_there(homes[1] / "windows/a.safetensors")


def test_a_damaged_file_of_the_folder_is_replaced_by_that_of_the_store(homes):
    file = written(homes[0] / SCAN)
    publish(file)
    content = file.read_bytes()
    file.write_bytes(b"snow" + content[4:])
    with pytest.raises(DamagedFileError):
        check_file(file)
    with reading_own(file):
        assert file.read_bytes() == content


def test_what_is_damaged_in_the_store_never_replaces_a_file_and_is_found_by_its_reader(homes, tmp_path):
    here, there = homes
    file = written(here / SCAN)
    publish(file)
    stored = tmp_path / "store" / SCAN
    stored.write_bytes(b"snow" + stored.read_bytes()[4:])
    with reading_own(file):
        assert file.read_bytes()[:4] == b"rain"
    assert not fetch_again(file)
    assert file.read_bytes()[:4] == b"rain"
    with pytest.raises(DamagedFileError), reading_own(there / SCAN):
        raise AssertionError("read")
    assert (there / SCAN).read_bytes()[:4] == b"snow", "to be set aside"


def test_a_damaged_file_is_not_published(homes, tmp_path):
    file = written(homes[0] / SCAN)
    file.write_bytes(b"snow" + file.read_bytes()[4:])
    with pytest.raises(DamagedFileError):
        publish(file)
    assert not (tmp_path / "store" / SCAN).exists()


def test_a_store_that_does_not_respond_is_an_outage_and_no_missing_file(tmp_path):
    store = FileStore("s3://bucket/rain", Bucket("http://127.0.0.1:1", "eu-west-1", "id", "secret"))
    mount(SharedFolder(tmp_path / "here", store, 1000))
    file = written(tmp_path / "here" / SCAN)
    assert is_there(file), "the cache still serves"
    with pytest.raises(UnavailableError) as failed:
        is_there(tmp_path / "here" / "scans/other.nc")
    assert failed.value.public == "the store of files does not respond"


def test_readers_do_not_wait_one_after_the_other_for_a_store_that_fails(store, monkeypatch):
    asked: list[str] = []
    now_s = 1000.0

    def fails(_: object, name: str) -> None:
        asked.append(name)
        raise BaseError("no response")

    monkeypatch.setattr("core.filestore.obstore.get", fails)
    monkeypatch.setattr("core.filestore.monotonic", lambda: now_s)
    for seconds, count in ((0.0, 1), (FAILED_S / 2, 1), (FAILED_S, 2)):
        now_s += seconds
        with pytest.raises(UnavailableError):
            store.get(SCAN)
        assert len(asked) == count


def test_a_store_without_its_bucket_is_an_outage_too(homes, monkeypatch):
    def gone(*_: object, **__: object) -> None:
        raise FileNotFoundError("no such bucket")

    for name in ("get", "head", "list"):
        monkeypatch.setattr(f"core.filestore.obstore.{name}", gone)
    with pytest.raises(UnavailableError):
        is_there(homes[0] / SCAN)
    with pytest.raises(UnavailableError):
        is_stored(homes[0] / SCAN)


def test_the_folder_keeps_what_was_used_last_and_the_store_keeps_all(homes, clock, tmp_path):
    here, there = homes
    names = [f"forecasts/2024/06/01/{number}.nc" for number in range(6)]
    for number, name in enumerate(names):
        publish(written(here / name, bytes(250)))
        assert is_there(there / name)
        used = time.time() - 3 * IN_USE_S + number
        os.utime(there / name, (used, used))
    assert is_there(there / names[0]), "used now"
    trim(there)
    assert [(there / name).exists() for name in names] == [True, False, False, False, True, True]
    assert len(list((tmp_path / "store").rglob("*.nc"))) == 6
    assert is_there(there / names[2])


def test_a_file_that_the_store_lacks_stays_and_one_that_can_be_made_again_does_not(homes):
    there, used = homes[1], time.time() - 3 * IN_USE_S
    for name in ("scans/own.nc", "forecasts/2024/06/01/a.nc", "forecasts/2024/06/01/a.source.nc"):
        os.utime(written(there / name, bytes(600)), (used, used))
    trim(there)
    assert sorted(path.name for path in there.rglob("*.nc")) == ["a.nc", "own.nc"]
    publish(there / "scans/own.nc")
    os.utime(there / "scans/own.nc", (used, used))
    trim(there)
    assert [path.name for path in there.rglob("*.nc")] == ["a.nc"]


def test_nothing_is_deleted_here_while_the_store_does_not_respond(homes, store, monkeypatch):
    def fails(prefix: str) -> None:
        raise UnavailableError("the store of files does not respond")

    file, used = written(homes[1] / SCAN, bytes(2000)), time.time() - 3 * IN_USE_S
    publish(file)
    os.utime(file, (used, used))
    monkeypatch.setattr(store, "list", fails)
    assert trim(homes[1]) == 0
    assert file.exists()


def test_files_in_use_stay_although_they_are_more_than_the_limit(homes):
    there = homes[1]
    for number in range(9):
        write_shared(there / f"scans/{number}.nc", bytes(250))
    assert trim(there) == 0
    assert len(list(there.rglob("*.nc"))) == 9


def test_withdrawn_files_are_gone_from_the_store_alone(homes, tmp_path):
    here, there = homes
    publish(written(here / SCAN))
    withdraw([here / SCAN, here / "scans/never.nc"])
    assert (here / SCAN).exists()
    assert not is_stored(there / SCAN)


def test_a_followed_folder_has_what_is_new_and_what_has_changed(homes, clock):
    here, there = homes
    write_shared(here / "models/aliases.json", b"{}")
    follow(there / "models", 5.0)
    assert (there / "models/aliases.json").read_bytes() == b"{}"
    write_shared(here / "models/aliases.json", b'{"a": 1}')
    follow(there / "models", 5.0)
    assert (there / "models/aliases.json").read_bytes() == b"{}", "not yet"
    clock.now += 5.0
    follow(there / "models", 5.0)
    assert (there / "models/aliases.json").read_bytes() == b'{"a": 1}'


def test_a_followed_model_has_its_weights_before_its_card(homes, store: FileStore, monkeypatch):
    here, there = homes
    for name in ("model.json", "model.safetensors"):
        publish(written(here / "models/rain/1" / name, checksum=False))
    taken: list[str] = []
    get = store.get

    def noted(name: str) -> bytes | None:
        taken.append(Path(name).name)
        return get(name)

    monkeypatch.setattr(store, "get", noted)
    follow(there / "models", 5.0)
    assert taken == ["model.safetensors", "model.json"]


def test_following_a_store_that_fails_is_an_error_at_the_first_time_alone(homes, store, monkeypatch, clock):
    def fails(prefix: str) -> None:
        raise UnavailableError("the store of files does not respond")

    write_shared(homes[0] / "models/aliases.json", b"{}")
    with monkeypatch.context() as patch:
        patch.setattr(store, "list", fails)
        for _ in range(2):
            with pytest.raises(UnavailableError):
                follow(homes[1] / "models", 5.0)
    follow(homes[1] / "models", 5.0)
    clock.now += 5.0
    monkeypatch.setattr(store, "list", fails)
    follow(homes[1] / "models", 5.0)
    assert (homes[1] / "models/aliases.json").exists()


def test_a_file_that_is_written_all_the_time_is_published_now_and_then(homes, store, clock):
    file = homes[0] / "ingest-status.json"
    for number in range(4):
        write_shared(file, str(number).encode(), every_s=10.0)
        clock.now += 6.0
    assert file.read_bytes() == b"3"
    follow(homes[1] / "ingest-status.json", 5.0)
    assert (homes[1] / "ingest-status.json").read_bytes() == b"2"


@pytest.mark.parametrize("content", [b"", b"rain", b"x" * 100])
def test_a_content_is_sealed_and_unsealed(content, tmp_path):
    raw = sealed(content)
    assert unsealed(raw, tmp_path) == content
    assert sealed(raw[: -CHECKSUM.size]) == raw
    of_own = written(tmp_path / "own", content).read_bytes()
    assert sealed(of_own) == unsealed(of_own, tmp_path) == of_own
    damaged_own = of_own[:-1] + bytes([of_own[-1] ^ 1])
    assert unsealed(sealed(damaged_own), tmp_path) == damaged_own, "as the quarantine keeps it"
    for damaged in (raw[:-1], raw[1:], raw + b"x", bytes([raw[0] ^ 1]) + raw[1:], content):
        with pytest.raises(DamagedFileError):
            unsealed(damaged, tmp_path)


@pytest.mark.parametrize("url", ["", "bucket", "ftp://host/x", "s3:///x", "file:relative"])
def test_another_kind_of_url_is_refused(url):
    with pytest.raises(ConfigError, match="NOWCAST_FILES_URL"):
        FileStore(url)
