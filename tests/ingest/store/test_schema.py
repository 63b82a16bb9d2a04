"""The catalogue's schema: one history, the same as the classes, upgraded once at the start and never downgraded."""

import gzip
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, func, inspect, select, text

from core.errors import ConfigError, UnavailableError
from core.settings import Settings
from ingest.store.database import open_engine, reading, writing
from ingest.store.live import Store
from ingest.store.schema import MIGRATIONS, check_before_start, known_revisions, prepare, revision_of
from ingest.store.tables import Base, HeartbeatRow
from service.access.keybook import KeyBook
from service.alerts.tables import RuleRow as RuleRow
from service.forecasts.catalogue import Catalogue
from service.tasks.jobbook import JobBook
from tests.ingest.small_scans import T0, small_frame
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[3]
RELEASES = sorted(path.name for path in (ROOT / "tests/golden").glob("catalogue-*"))
ROWS_OF_0_1_0 = {
    "scans": 11,
    "files": 1,
    "rejected_files": 1,
    "ingest_counts": 3,
    "forecasts": 3,
    "scores": 105,
    "fraction_sums": 210,
    "reliability": 260,
    "heartbeats": 2,
    "forecast_jobs": 3,
}


def unpacked(release: str, home: Path) -> Path:
    """The databases of a release, as its live store has them."""
    home.mkdir(exist_ok=True)
    for packed in (ROOT / "tests/golden" / release).glob("*.gz"):
        (home / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return unpacked("catalogue-0.1.0", tmp_path / "home")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'catalogue.sqlite'}")
    yield engine
    engine.dispose()


def count(engine: Engine, table: str) -> int:
    with reading(engine) as connection:
        return int(connection.scalar(select(func.count()).select_from(text(table))) or 0)


def kept_copies(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.bak"))


def test_the_classes_are_the_migrated_schema(engine: Engine) -> None:
    prepare(engine)
    with reading(engine) as connection:
        migrations = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(migrations, Base.metadata) == []


def test_the_history_is_one_line_and_its_end_is_what_a_fresh_catalogue_has(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    history = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(history)) == known_revisions()
    prepare(engine)
    with reading(engine) as connection:
        assert revision_of(connection) == known_revisions()[-1]


def test_a_fresh_catalogue_leaves_no_copy_and_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Store(tmp_path / "home")
    assert kept_copies(tmp_path / "home") == []
    assert caplog.records == []


@pytest.mark.parametrize("release", RELEASES)
def test_the_catalogue_of_every_release_is_upgraded_with_a_copy_kept(tmp_path: Path, release: str) -> None:
    home = unpacked(release, tmp_path / "home")
    before = (home / "catalogue.sqlite").read_bytes()
    engine = Store(home).engine
    (copy,) = kept_copies(home)
    with closing(sqlite3.connect(home / copy)) as kept:
        assert kept.execute("SELECT count(*) FROM scans").fetchone()[0] == count(engine, "scans") > 0
    assert (home / copy).stat().st_size == len(before)
    with reading(engine) as connection:
        assert revision_of(connection) == known_revisions()[-1]
        migrations = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(migrations, Base.metadata) == []
    Store(home)
    assert kept_copies(home) == [copy]


def test_what_release_0_1_0_stored_is_all_there(home: Path) -> None:
    store, catalogue = Store(home), Catalogue(home)
    with reading(store.engine) as connection:
        there = set(inspect(connection).get_table_names())
    assert {table: count(store.engine, table) for table in ROWS_OF_0_1_0 if table in there} == {
        table: number for table, number in ROWS_OF_0_1_0.items() if table in there
    }
    assert len(store.scans()) == ROWS_OF_0_1_0["scans"]
    assert store.ingest_status().rejected == {"foreign": 1}
    (forecast,) = catalogue.select(model="default")
    assert forecast.lead_minutes == (30, 60, 90, 120, 150)
    states = {job.state for job in JobBook(catalogue.engine).select()}
    assert states == {"done", "failed", "waiting"}
    with reading(catalogue.engine) as connection:
        assert set(connection.scalars(select(HeartbeatRow.giver))) == {"schedule", "worker-1"}
    keys = KeyBook(f"sqlite:///{home / 'keys.sqlite'}").list()
    assert [(key.name, key.scope, key.revoked_at is None) for key in keys] == [
        ("Hydrology", "forecast", True),
        ("Old", "read", False),
    ]
    assert kept_copies(home) == ["catalogue.sqlite.0001.bak", "keys.sqlite.0001.bak"]


def test_scores_of_release_0_1_0_are_the_same_in_the_one_table_of_sums(home: Path) -> None:
    with closing(sqlite3.connect(home / "catalogue.sqlite")) as old:
        key = "product, model, version, grid_key, reference_time, lead_minutes, valid_time, threshold_mmh"
        counts = old.execute(f"SELECT {key}, hits, misses, false_alarms, correct_negatives FROM scores").fetchall()
        fractions = old.execute(f"SELECT {key}, window_km, difference, worst, windows FROM fraction_sums").fetchall()
        bins = old.execute(f"SELECT {key}, bin, cells, events, probability_ppm FROM reliability").fetchall()
    Store(home)
    with closing(sqlite3.connect(home / "catalogue.sqlite")) as new:

        def stored(family: str, columns: str) -> list[Any]:
            query = f"SELECT {key}, {columns} FROM score_sums JOIN scored_leads ON id = scored_lead WHERE family = ?"
            return new.execute(f"{query} AND mask = 'all' AND period_minutes = 0", (family,)).fetchall()

        assert sorted(stored("counts", "value_0, value_1, value_2, value_3")) == sorted(counts)
        converted = stored("fss", "window_km, value_0 / 1e10, value_1 / 1e10, value_2")
        for mine, theirs in zip(sorted(converted), sorted(fractions), strict=True):
            assert mine[:9] + mine[11:] == theirs[:9] + theirs[11:]
            assert mine[9:11] == pytest.approx(theirs[9:11], abs=1e-10)
        assert sorted(stored("reliability", "bin, value_0, value_1, value_2")) == sorted(bins)
        total = new.execute("SELECT count(*) FROM score_sums").fetchone()[0]
        assert total == len(counts) + len(fractions) + len(bins) == 575
        assert not {"scores", "fraction_sums", "reliability"} & {
            name for (name,) in new.execute("SELECT name FROM sqlite_master")
        }


def test_the_copy_of_the_keys_is_for_their_owner_alone(home: Path) -> None:
    (home / "keys.sqlite").chmod(0o600)
    KeyBook(f"sqlite:///{home / 'keys.sqlite'}")
    assert (home / "keys.sqlite.0001.bak").stat().st_mode & 0o777 == 0o600


def test_a_second_upgrade_of_the_same_revision_keeps_both_copies(home: Path) -> None:
    Store(home)
    unpacked("catalogue-0.1.0", home)
    Store(home)
    assert len([name for name in kept_copies(home) if name.startswith("catalogue.sqlite.0001.")]) == 2


def test_a_catalogue_of_a_newer_release_is_refused_by_its_revision_and_left_alone(home: Path) -> None:
    engine = Store(home).engine
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9001'"))
    for opening in (lambda: Store(home), lambda: Catalogue(home), lambda: JobBook(engine)):
        with pytest.raises(ConfigError, match=rf"revision 9001; this release knows 0001 to {known_revisions()[-1]}"):
            opening()
    with pytest.raises(ConfigError, match="revision 9001"):
        check_before_start(Settings(home=home).catalogue_url)
    with reading(engine) as connection:
        assert revision_of(connection) == "9001"
    assert count(engine, "scans") == 11


@pytest.mark.stack
@pytest.mark.parametrize(
    ("command", "code"),
    [(["uvicorn", "service.app:app", "--port", "0"], 3), (["celery", "-A", "service.worker", "worker"], 1)],
)
def test_no_process_serves_on_a_catalogue_of_a_newer_release(
    home: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], code: int
) -> None:
    with writing(Store(home).engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9001'"))
    monkeypatch.setenv("NOWCAST_HOME", str(home))
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == code
    assert (
        f"catalogue.sqlite has schema revision 9001; this release knows 0001 to {known_revisions()[-1]}" in done.stderr
    )


def test_a_check_before_the_start_changes_no_table(tmp_path: Path) -> None:
    check_before_start(Settings(home=tmp_path).catalogue_url)
    assert not list(tmp_path.iterdir())
    home = unpacked("catalogue-0.1.0", tmp_path / "home")
    with closing(sqlite3.connect(home / "catalogue.sqlite")) as database:
        before = list(database.iterdump())
        check_before_start(Settings(home=home).catalogue_url)
        assert list(database.iterdump()) == before
    assert not kept_copies(home)
    (home / "catalogue.sqlite").write_bytes(b"not a database")
    check_before_start(Settings(home=home).catalogue_url)


def test_processes_that_start_at_once_upgrade_once(home: Path) -> None:
    code = (
        "import sys; from ingest.store.database import open_engine; from ingest.store.schema import prepare; "
        "print('ready', flush=True); sys.stdin.readline(); prepare(open_engine(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{home / 'catalogue.sqlite'}"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with ExitStack() as stack:
        started: list[Any] = [
            stack.enter_context(subprocess.Popen(command, cwd=ROOT, text=True, **pipes)) for _ in range(2)
        ]
        for process in started:
            assert process.stdout.readline() == "ready\n"
        for process in started:
            process.stdin.write("\n")
            process.stdin.flush()
        errors_of_each = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors_of_each
    assert sum("upgrading" in errors for errors in errors_of_each) == 1
    assert kept_copies(home) == ["catalogue.sqlite.0001.bak"]


def test_an_upgrade_that_fails_leaves_the_old_catalogue(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import command

    upgrade = command.upgrade

    def broken(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise OSError("no space left on device")

    monkeypatch.setattr(command, "upgrade", broken)
    with pytest.raises((OSError, UnavailableError), match="no space left"):
        Store(home)
    engine = open_engine(f"sqlite:///{home / 'catalogue.sqlite'}")
    with reading(engine) as connection:
        assert revision_of(connection) is None
    assert count(engine, "scores") == 105


def test_a_column_that_is_missing_stops_the_start_and_is_named(home: Path) -> None:
    engine = Store(home).engine
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE forecast_jobs DROP COLUMN tries"))
    with pytest.raises(ConfigError, match=r"table forecast_jobs lacks the columns tries of schema revision"):
        Store(home)


def test_a_column_that_goes_while_the_service_runs_is_reported_as_what_it_is(home: Path) -> None:
    jobs = JobBook(Store(home).engine)
    with writing(jobs.engine) as connection:
        connection.execute(text("ALTER TABLE forecast_jobs DROP COLUMN owner"))
    for asking in (jobs.select, lambda: jobs.add(None, "default")):
        with pytest.raises(ConfigError, match=r"schema does not fit this release.*owner"):
            asking()


def test_a_table_of_0_1_0_with_other_columns_is_refused_by_name(home: Path) -> None:
    engine = open_engine(f"sqlite:///{home / 'catalogue.sqlite'}")
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE scores DROP COLUMN misses"))
    with pytest.raises(ConfigError, match=r"table scores is not that of release 0\.1\.0.*misses"):
        Store(home)


def test_scans_of_an_older_catalogue_without_a_revision_are_entered_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "home", clock=lambda: T0 + timedelta(days=1))
    for step in range(3):
        store.put(small_frame(step))
    before = store.scans()
    with writing(store.engine) as connection:
        connection.execute(text("ALTER TABLE scans DROP COLUMN max_mmh"))
        connection.execute(text("DROP TABLE alembic_version"))
        for table in ("score_sums", "scored_leads", "heartbeats"):  # made by components that never started
            connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    assert Store(store.home, clock=lambda: T0 + timedelta(days=1)).scans() == before


def test_a_start_with_the_newest_schema_does_not_import_alembic(tmp_path: Path) -> None:
    Store(tmp_path)
    code = (
        "import sys; from pathlib import Path; from ingest.store.live import Store; Store(Path(sys.argv[1])); "
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT, timeout=60)
