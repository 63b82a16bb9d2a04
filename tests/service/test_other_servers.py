"""PostgreSQL and a separate Redis server instead of the embedded defaults: the same tests, and a real worker's job."""

import gzip
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from celery import Celery
from sqlalchemy import MetaData, create_engine, func, inspect, select

from core.errors import ConfigError
from core.settings import Settings
from ingest.store.database import open_engine, reading, writing
from ingest.store.live import Store
from ingest.store.schema import known_revisions, migrate, prepare, revision_of
from ingest.store.tables import Base
from service.access.keybook import KeyBook
from service.copies.backup_file import load, save
from service.copies.rows import Databases
from service.forecasts.catalogue import Catalogue
from service.forecasts.periods import Period, sums_over
from service.forecasts.tables import ScoredLeadRow, ScoreSumsRow
from service.process.broker import server_program
from service.tasks.jobbook import JobBook
from service.tasks.queue import HEARTBEAT, MAKE_BASELINES, MAKE_FORECAST, VERIFY, own_queue
from service.tasks.watchdog import last_heartbeats
from tests.end_to_end.stack import ROOT, end, process_environment
from tests.servers import own_database, postgresql_server, separate_redis
from tests.service.conftest import rain
from tests.service.copies.filled import filled, rows_of
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.stack

SAME_TESTS = (
    "tests/service/forecasts/test_catalogue.py",
    "tests/service/forecasts/test_scoring.py",
    "tests/service/forecasts/test_periods.py",
    "tests/service/forecasts/test_rollup.py",
    "tests/service/forecasts/test_nowcast.py",
    "tests/service/forecasts/test_retention.py",
    "tests/ingest/store/test_store.py",
    "tests/ingest/store/test_retention.py",
    "tests/ingest/store/test_quality_and_status.py",
)
SAME_TESTS_OF_ALERTS = tuple(
    f"tests/service/alerts/test_{name}.py"
    for name in ("rules_api", "rule_events", "evaluation", "ends", "tasks", "delivery", "email", "cap")
)
OF_SQLITE_ALONE = (
    "sqlite or no_longer_one or where_none_can_be or processes_write_at_once or file_of_rules or nothing_is_written"
)
"""Tests by name that damage the SQLite file itself, or whose own processes know nothing of the plug-in."""


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[str]:
    with postgresql_server() as url:
        yield url


@pytest.fixture
def database_url(postgresql_url: str) -> Iterator[str]:
    """An empty database of the test's own."""
    with own_database(postgresql_url) as url:
        yield url


@pytest.fixture(params=["redis-server", "valkey"])
def queue_server(request: pytest.FixtureRequest) -> str:
    """The program of a server: Redis's own where it is installed, and Valkey's from its wheel."""
    if request.param == "valkey":
        return str(server_program())
    return shutil.which("redis-server") or pytest.skip("no redis-server on the PATH (Debian: apt install redis-server)")


@pytest.mark.long
def test_a_worker_forecasts_and_scores_over_postgresql_and_a_redis_server_of_its_own(
    database_url: str, queue_server: str, tmp_path: Path
):
    store = Store(tmp_path, database_url)
    for minutes in range(0, 181, 30):
        store.put(rain(minutes))
    store.engine.dispose()
    reference = rain(120).valid_time.isoformat()
    with separate_redis(queue_server, tmp_path) as url:
        environment = {
            **process_environment(),
            "NOWCAST_HOME": str(tmp_path),
            "NOWCAST_DATABASE_URL": database_url,
            "NOWCAST_REDIS_URL": url,
            "NOWCAST_MODEL": "persistence",
            "NOWCAST_LOG_FORMAT": "json",
        }
        command = [sys.executable, "-m", "celery", "--quiet", "-A", "service.worker", "worker", "-n", "w@here"]
        log = tmp_path / "log"
        with (
            log.open("wb") as out,
            subprocess.Popen(command, env=environment, cwd=ROOT, stdout=out, stderr=out) as process,
        ):
            app = Celery("client", broker=url, backend=url)
            try:
                tasks: list[Any] = [app.send_task(MAKE_FORECAST, (reference, "persistence")) for _ in range(2)]
                first, again = (task.get(timeout=PATIENCE_S) for task in tasks)
                assert first == again
                app.send_task(MAKE_BASELINES).get(timeout=PATIENCE_S)
                scored = [app.send_task(VERIFY, queue="verification").get(timeout=PATIENCE_S) for _ in range(2)]
                assert scored[0] > 0
                assert scored[1] == 0
                app.send_task(HEARTBEAT, ("test",), queue=own_queue("w@here")).get(timeout=PATIENCE_S)
            finally:
                app.close()
                end(process)
        assert "se-cret" not in log.read_text()
    catalogue = Catalogue(tmp_path, database_url)
    assert catalogue.get(first).reference_time.isoformat() == reference
    assert {one.model for one in catalogue.select(origin="scans")} == {"persistence", "extrapolation"}
    marks = last_heartbeats(catalogue.engine)
    assert marks.any is not None
    assert datetime.now(UTC) - marks.any < timedelta(minutes=5)
    assert catalogue.engine.dialect.name == "postgresql"
    assert not (tmp_path / "catalogue.sqlite").exists()
    for table in (ScoredLeadRow, ScoreSumsRow):
        assert inspect(catalogue.engine).has_table(table.__tablename__)
    catalogue.engine.dispose()


def _pass_on_postgresql(postgresql_url: str, file: str) -> None:
    """Run the tests of a file with every store in PostgreSQL."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.on_postgresql", "-k", f"not ({OF_SQLITE_ALONE})", file]
    environment = {**os.environ, "TEST_POSTGRESQL_URL": postgresql_url, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.long
@pytest.mark.parametrize("file", SAME_TESTS)
def test_the_tests_of_the_catalogue_pass_on_postgresql(postgresql_url: str, file: str):
    _pass_on_postgresql(postgresql_url, file)
    engine = create_engine(postgresql_url)
    assert any(re.fullmatch(r"home_[0-9a-f]{16}", name) for name in inspect(engine).get_schema_names())
    engine.dispose()


@pytest.mark.long
@pytest.mark.parametrize("file", SAME_TESTS_OF_ALERTS)
def test_the_tests_of_rules_pass_on_postgresql(postgresql_url: str, file: str):
    """Migrations, rules, states, alerts, events, messages and subscribers, as on SQLite."""
    before = _rules_on(postgresql_url)
    _pass_on_postgresql(postgresql_url, file)
    assert _rules_on(postgresql_url) > before, "no rule was stored there"


def _rules_on(postgresql_url: str) -> int:
    """Number of schemas in which a rule was ever stored."""
    engine, used = create_engine(postgresql_url), "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'rules'"
    with engine.connect() as connection:
        found = sum(bool(count) for count in connection.exec_driver_sql(used).scalars())
    engine.dispose()
    return found


@pytest.mark.long
def test_the_classes_are_the_migrated_schema_on_postgresql(database_url: str, caplog: pytest.LogCaptureFixture):
    engine = open_engine(database_url)
    assert JobBook(engine).select() == []
    keys = KeyBook(database_url)
    assert keys.list() == []
    keys.engine.dispose()
    with reading(engine) as connection:
        migrations = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(migrations, Base.metadata) == []
    assert caplog.text == ""
    with writing(engine) as connection:
        connection.exec_driver_sql("ALTER TABLE forecast_jobs DROP COLUMN tries")
    with pytest.raises(ConfigError, match="schema does not fit"), reading(engine) as connection:
        connection.exec_driver_sql("SELECT tries FROM forecast_jobs")
    engine.dispose()


@pytest.mark.long
def test_a_catalogue_of_release_0_1_0_is_upgraded_on_postgresql_too(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "old.sqlite").write_bytes(
        gzip.decompress((ROOT / "tests/golden/catalogue-0.1.0/catalogue.sqlite.gz").read_bytes())
    )
    old, engine = create_engine(f"sqlite:///{tmp_path / 'old.sqlite'}"), open_engine(database_url)
    with writing(engine) as connection, old.connect() as source:
        migrate(connection, "0001")
        connection.exec_driver_sql("DROP TABLE alembic_version")
        connection.exec_driver_sql("DROP TABLE heartbeats")  # its component never started
        tables = MetaData()
        tables.reflect(connection)
        for table in tables.sorted_tables:
            rows = [dict(row._mapping) for row in source.execute(select(table))] if table.name != "api_keys" else []
            if rows:
                connection.execute(table.insert(), rows)
    prepare(engine)
    assert "no copy of" in caplog.text
    with reading(engine) as connection:
        assert (revision_of(connection), inspect(connection).has_table("heartbeats")) == (known_revisions()[-1], True)
    store = Store(tmp_path / "home", database_url)
    assert len(store.scans()) == 11
    here = sums_over(engine, Period(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)))
    prepare(sqlite := open_engine(f"sqlite:///{tmp_path / 'old.sqlite'}"))
    assert here == sums_over(sqlite, Period(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)))
    assert len(here) > 100
    old.dispose()
    store.engine.dispose()
    engine.dispose()


@pytest.mark.long
def test_a_backup_goes_from_sqlite_to_postgresql_and_back(database_url: str, tmp_path: Path):
    old, server = Settings(home=tmp_path / "old"), Settings(home=tmp_path / "server", database_url=database_url)
    there, back = filled(old), Settings(home=tmp_path / "back")
    first, second = tmp_path / "first", tmp_path / "second"
    assert save(old, first) == load(server, first)
    on_server = Databases.of_settings(server, create=False)
    assert rows_of(on_server) == rows_of(there)
    table = Base.metadata.tables["scored_leads"]
    with writing(on_server.catalogue) as connection:  # its numbers go on after the restored ones
        row = connection.execute(select(table).order_by(table.c.id.desc())).mappings().first()
        assert row is not None
        new = {name: value for name, value in row.items() if name != "id"} | {"model": "another"}
        connection.execute(table.insert(), [new])
        assert connection.scalar(select(func.max(table.c.id))) == row["id"] + 1
    save(server, second)
    load(back, second)
    assert rows_of(Databases.of_settings(back, create=False)) == rows_of(on_server)
    for databases in (there, on_server):
        databases.close()
