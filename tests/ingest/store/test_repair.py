"""The catalogue is damaged, cut, deleted or emptied while the service runs: it repairs itself, and scores stay."""

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.errors import NoDataError, UnavailableError
from core.settings import Settings
from ingest.store import backup
from ingest.store.database import LostCatalogueError
from ingest.store.live import Store
from ingest.store.repair import repair
from service.access.copies import copy_when_old
from service.access.keybook import KeyBook
from service.backup import app
from service.forecasts.catalogue import Catalogue
from tests.ingest.store.test_healing import NOW, frame_at

FILE = "catalogue.sqlite"


def delete(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"\x5a" * path.stat().st_size)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


FAULTS = (delete, empty, overwrite, cut)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "home", clock=lambda: NOW)
    for minutes in (10, 5, 0):
        store.put(frame_at(NOW - timedelta(minutes=minutes)))
    return store


def checkpointed(store: Store) -> Path:
    with closing(sqlite3.connect(store.home / FILE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return store.home / FILE


def in_two_tries(work: Callable[[], object]) -> object:
    try:
        return work()
    except UnavailableError:
        return work()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("synced", [False, True], ids=["api", "ingest"])
def test_a_lost_catalogue_is_entered_again_while_the_process_runs(store, fault, synced):
    running = Store(store.home, clock=lambda: NOW, synced=synced)
    before = running.scans()
    fault(checkpointed(store))
    in_two_tries(lambda: running.put(frame_at(NOW + timedelta(minutes=5))))
    assert [scan.valid_time for scan in running.scans()][:3] == [scan.valid_time for scan in before]
    assert len(running.scans()) == 4
    assert running.scans() == Store(store.home, clock=lambda: NOW).scans()
    assert fault is delete or list(store.home.glob(f"{FILE}.corrupt-*")) or fault is empty


def test_ingest_writes_to_the_catalogue_that_another_process_has_put_in_place(store):
    ingest = Store(store.home, clock=lambda: NOW, synced=True)
    ingest.count({"files": 1})  # its connection stays open
    store._index.set_aside(NOW)
    assert repair(store.engine, store.home, NOW)
    ingest.put(frame_at(NOW - timedelta(minutes=15)))
    assert len(store.scans()) == 4


def test_the_call_that_finds_the_damage_is_answered_by_an_error_that_passes(store):
    overwrite(checkpointed(store))
    with pytest.raises(LostCatalogueError):
        store.scans()
    assert len(store.scans()) == 3


def the_same(store: Store) -> Store:
    return store


def a_new_one(store: Store) -> Store:
    return Store(store.home, clock=lambda: NOW)


@pytest.mark.parametrize("fault", [overwrite, delete], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("found", [the_same, a_new_one], ids=["while it runs", "at the start"])
def test_what_no_file_holds_comes_back_from_the_second_copy(store, fault, found):
    Catalogue(store.home)
    store.count({"duplicates": 7})
    with store.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO scored_leads VALUES (1,'RY','m','1','g','2024-07-01',5,0,'','2024-07-01 00:05:00')"
        )
        connection.exec_driver_sql("INSERT INTO score_sums VALUES (1,'counts','all',1.0,-1,-1,10,2,3,4)")
    made = backup.copy_when_old(store.home / FILE, store.home / backup.FOLDER)
    assert made is not None
    assert backup.copy_when_old(store.home / FILE, store.home / backup.FOLDER) is None  # one a day
    fault(checkpointed(store))
    store = found(store)
    in_two_tries(store.scans)
    with store.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT value_0 FROM score_sums JOIN scored_leads ON id = scored_lead").all()
    assert rows == [(10,)]
    assert store.ingest_status().counts["duplicates"] == 7
    assert len(store.scans()) == 3


def test_a_damaged_database_never_becomes_the_second_copy(store):
    database, folder = checkpointed(store), store.home / backup.FOLDER
    good = backup.make_copy(database, folder, NOW)
    overwrite(database)
    with pytest.raises(UnavailableError):
        backup.make_copy(database, folder, NOW + timedelta(days=1))
    assert backup.copies_of(database, folder) == [good]


def test_a_database_with_one_damaged_page_never_becomes_the_second_copy(store):
    database, folder = checkpointed(store), store.home / backup.FOLDER
    good = backup.make_copy(database, folder, NOW)
    with closing(sqlite3.connect(database)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'scans'").fetchone()[0]
    content = bytearray(database.read_bytes())
    content[4096 * (page - 1) : 4096 * page] = b"\x5a" * 4096
    database.write_bytes(content)  # copying it page by page finds nothing
    with pytest.raises(UnavailableError, match="integrity_check"):
        backup.make_copy(database, folder, NOW + timedelta(days=1))
    assert backup.copies_of(database, folder) == [good]


def test_a_damaged_copy_is_passed_over(store):
    database, folder = checkpointed(store), store.home / backup.FOLDER
    old = backup.make_copy(database, folder, NOW)
    overwrite(backup.make_copy(database, folder, NOW + timedelta(days=1)))
    assert next(backup.sound_copies(database, folder)) == old
    old.unlink()
    with pytest.raises(NoDataError):
        backup.restore_rows(database, folder)


def test_a_folder_with_signs_of_addresses_in_its_name_has_copies(tmp_path):
    store = Store(tmp_path / "home #1", clock=lambda: NOW)
    made = backup.make_copy(store.home / FILE, store.home / backup.FOLDER, NOW)
    assert list(backup.sound_copies(store.home / FILE, store.home / backup.FOLDER)) == [made]


def test_a_catalogue_that_is_not_there_is_not_restored_into_an_empty_file(store):
    backup.make_copy(store.home / FILE, store.home / backup.FOLDER, NOW)
    (store.home / FILE).unlink()
    with pytest.raises(NoDataError, match="start the service"):
        backup.restore_rows(store.home / FILE, store.home / backup.FOLDER)
    assert not (store.home / FILE).exists()


def test_a_damaged_database_keeps_no_other_from_being_copied(store):
    keys = store.home / "keys.sqlite"
    KeyBook(f"sqlite:///{keys}")
    overwrite(checkpointed(store))
    with pytest.raises(UnavailableError):
        copy_when_old(Settings(home=store.home))
    assert backup.copies_of(keys, store.home / backup.FOLDER)


def test_copies_are_few_and_those_of_keys_stay_private(tmp_path):
    book = KeyBook(f"sqlite:///{tmp_path / 'keys.sqlite'}")
    book.create("holder", "forecast")
    (tmp_path / "keys.sqlite").chmod(0o600)
    for day in range(5):
        made = backup.make_copy(tmp_path / "keys.sqlite", tmp_path / "backups", NOW + timedelta(days=day))
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert len(list((tmp_path / "backups").iterdir())) == backup.COPIES


def test_a_copy_from_the_future_does_not_stop_the_next_one(store):
    database, folder = store.home / FILE, store.home / backup.FOLDER
    backup.make_copy(database, folder, NOW)
    assert backup.copy_when_old(database, folder, datetime.now(UTC) - timedelta(days=3)) is not None


def test_keys_are_restored_by_command(tmp_path, monkeypatch):
    monkeypatch.setenv("NOWCAST_HOME", str(tmp_path))
    keys = tmp_path / "keys.sqlite"
    text = KeyBook(f"sqlite:///{keys}").create("holder", "forecast")
    run = CliRunner()
    assert run.invoke(app, ["make"]).exit_code == 0
    assert "keys-" in run.invoke(app, ["list"]).output
    keys.write_bytes(b"\x5a" * 4096)
    assert run.invoke(app, ["restore", "keys"]).exit_code == 0
    found = KeyBook(f"sqlite:///{keys}").find(text)
    assert found is not None
    assert found.name == "holder"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert run.invoke(app, ["restore", "catalogue"]).exit_code == 2
