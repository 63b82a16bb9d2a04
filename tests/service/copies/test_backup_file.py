"""A backup has every row of every table and the models, is of one moment, and is restored into an empty place alone."""

import fcntl
import json
import shutil
import struct
import threading
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update
from typer.testing import CliRunner

from core.errors import ConflictError, InputError, NoDataError
from core.settings import Settings
from ingest.store.database import reading, writing
from ingest.store.live import Store
from ingest.store.progress import ProgressRecorder, note_rebuilt
from ingest.store.tables import Base, CountRow, RejectedRow
from service.access.keybook import KeyBook
from service.command import app
from service.copies.backup_file import check, load, save
from service.copies.rows import LEFT_OUT, Databases, snapshot
from tests.service.copies.filled import ROWS, TIME, filled, rows_of


def installation(home: Path) -> Settings:
    return Settings(home=home)


def with_models(settings: Settings) -> None:
    folder = settings.home / "models" / "mine" / "v1"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 9000)
    (settings.home / "models" / "aliases.json").write_text('{"default": {"name": "mine", "version": "v1"}}')


def test_every_row_and_every_model_comes_back(tmp_path: Path):
    old, new, file = installation(tmp_path / "old"), installation(tmp_path / "new"), tmp_path / "all.backup"
    there = filled(old)
    with_models(old)
    done = save(old, file)
    tables = [table for _, some in there.parts() for table in some]
    assert {table.name for table in tables} == set(Base.metadata.tables) - set(LEFT_OUT)
    assert (done.rows, done.files) == (ROWS * len(tables), 2)
    assert file.stat().st_mode & 0o777 == 0o600
    assert load(new, file) == done
    assert rows_of(Databases.of_settings(new, create=False)) == rows_of(there)
    for path in (old.home / "models").rglob("*.*"):
        assert (new.home / "models" / path.relative_to(old.home / "models")).read_bytes() == path.read_bytes()
    assert (new.home / "keys.sqlite").stat().st_mode & 0o777 == 0o600
    assert not Store(new.home).scans()  # it opens, and has no files to enter


def test_a_key_of_the_old_place_is_valid_in_the_new_one(tmp_path: Path):
    old, new = installation(tmp_path / "old"), installation(tmp_path / "new")
    Store(old.home)
    key = KeyBook.from_settings(old).create("Hydrology", "forecast")
    save(old, tmp_path / "file")
    load(new, tmp_path / "file")
    found = KeyBook.from_settings(new).find(key)
    assert found is not None
    assert (found.name, found.scope) == ("Hydrology", "forecast")


def test_a_backup_is_of_one_moment_while_others_write(tmp_path: Path):
    """Each transaction of the writer adds a row to one table and counts it in another."""
    old, stop = installation(tmp_path / "old"), threading.Event()
    engine = Databases.of_settings(old, create=True).catalogue
    written = 0

    def one_more() -> None:
        nonlocal written
        row = {"sha256": f"{written:064d}", "name": "x" * 200, "kind": "damaged", "reason": "x" * 500, "at": TIME}
        with writing(engine) as connection:
            connection.execute(insert(RejectedRow), [row])
            connection.execute(update(CountRow).values(n=CountRow.n + 1))
        written += 1

    def write() -> None:
        while not stop.is_set():
            one_more()

    with writing(engine) as connection:
        connection.execute(insert(CountRow), [{"what": "rejected", "n": 0}])
    one_more()
    with snapshot(engine) as connection:
        counted = connection.scalar(select(CountRow.n))
        one_more()  # between two tables
        assert connection.scalar(select(func.count()).select_from(RejectedRow)) == counted
    writer = threading.Thread(target=write)
    writer.start()
    for turn in range(3):
        save(old, tmp_path / "file", force=True)
        new = installation(tmp_path / f"new{turn}")
        load(new, tmp_path / "file")
        with reading(Databases.of_settings(new, create=False).catalogue) as connection:
            counted = connection.scalar(select(CountRow.n))
            assert connection.scalar(select(func.count()).select_from(RejectedRow)) == counted
    stop.set()
    writer.join()
    assert written > 3


def test_what_is_there_is_replaced_on_command_alone(tmp_path: Path):
    old, new, file = installation(tmp_path / "old"), installation(tmp_path / "new"), tmp_path / "file"
    there = filled(old)
    with_models(old)
    save(old, file)
    with pytest.raises(ConflictError, match="exists; name another file, or replace it with --force"):
        save(old, file)
    KeyBook.from_settings(new).create("Other", "read")
    with pytest.raises(ConflictError, match="has scores, keys, rules or models of its own"):
        load(new, file)
    assert [key.name for key in KeyBook.from_settings(new).list()] == ["Other"]
    load(new, file, force=True)
    assert rows_of(Databases.of_settings(new, create=False)) == rows_of(there)
    with pytest.raises(NoDataError, match="there is no catalogue"):
        save(installation(tmp_path / "nothing"), tmp_path / "none")
    assert not (tmp_path / "nothing").exists()


def test_under_a_service_nothing_is_restored(tmp_path: Path):
    old, new, file = installation(tmp_path / "old"), installation(tmp_path / "new"), tmp_path / "file"
    Store(old.home)
    save(old, file)
    engine = Store(new.home).engine
    with (new.home / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match=r"a service works in .*: stop it first"):
            load(new, file)
    note_rebuilt(engine, datetime.now(UTC))  # a catalogue that was entered again is no part that works
    ProgressRecorder(engine, "ingest", new).record()
    with pytest.raises(ConflictError, match=r"works in .* \(ingest\): stop it first, or restore with --force"):
        load(new, file)
    load(new, file, force=True)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def other_bytes(file: Path) -> None:
    """Change the beginning of a compressed member: it ended in an error of zlib that nobody expected."""
    with zipfile.ZipFile(file) as old:
        one = old.getinfo("tables/api_keys.jsonl")
    content = bytearray(file.read_bytes())
    name, extra = struct.unpack("<HH", content[one.header_offset + 26 : one.header_offset + 30])
    start = one.header_offset + 30 + name + extra
    content[start] |= 0b110  # the reserved kind of block
    file.write_bytes(content)


def other_row(file: Path) -> None:
    with zipfile.ZipFile(file) as old:
        content = {name: old.read(name) for name in old.namelist()}
    content["tables/api_keys.jsonl"] = content["tables/api_keys.jsonl"].replace(b"text 1", b"text 9")
    _write(file, content)


def newer(file: Path) -> None:
    with zipfile.ZipFile(file) as old:
        content = {name: old.read(name) for name in old.namelist()}
    content["manifest.json"] = json.dumps({**json.loads(content["manifest.json"]), "revision": "9999"}).encode()
    _write(file, content)


def outside(file: Path) -> None:
    with zipfile.ZipFile(file) as old:
        content = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(content["manifest.json"])
    manifest["files"]["models/../../outside"] = manifest["files"]["tables/api_keys.jsonl"]
    content["models/../../outside"] = content["tables/api_keys.jsonl"]
    content["manifest.json"] = json.dumps(manifest).encode()
    _write(file, content)


def _write(file: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as new:
        for name, data in content.items():
            new.writestr(name, data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    filled(installation(folder / "old"))
    save(installation(folder / "old"), folder / "file")
    return folder / "file"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "is no backup, or is damaged"),
        (other_bytes, "is no backup, or is damaged: error: Error -3"),
        (lambda file: file.write_text("no zip"), "is no backup, or is damaged"),
        (lambda file: file.unlink(), "cannot be read"),
        (other_row, "is damaged: tables/api_keys.jsonl has another checksum"),
        (newer, "with schema 9999, this release has .*: restore it with that release, then upgrade"),
        (outside, "expected files of tables and models, got 'models/../../outside'"),
    ],
)
def test_a_file_that_is_not_whole_changes_nothing(
    tmp_path: Path, whole: Path, damage: Callable[[Path], object], message: str
):
    file = tmp_path / "file"
    shutil.copy2(whole, file)
    damage(file)
    with pytest.raises(InputError, match=message):
        load(installation(tmp_path / "new"), file, force=True)
    assert not (tmp_path / "new").exists()


def test_the_commands_take_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    filled(installation(tmp_path / "old"))
    monkeypatch.setenv("NOWCAST_HOME", str(tmp_path / "old"))
    file = str(tmp_path / "file")
    done = CliRunner().invoke(app, ["backup", file])
    assert done.exit_code == 0, done.output
    assert done.stderr.endswith(f"rows and 0 files of models are in {file}\n")
    assert check(Path(file))
    done = CliRunner().invoke(app, ["backup", file])
    assert (done.exit_code, done.stderr) == (
        2,
        f"error: {file} exists; name another file, or replace it with --force\n",
    )
    monkeypatch.setenv("NOWCAST_HOME", str(tmp_path / "new"))
    done = CliRunner().invoke(app, ["restore", file])
    assert done.exit_code == 0, done.output
    assert "are restored; start the service" in done.stderr
