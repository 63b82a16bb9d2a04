"""A pytest plug-in, `-p tests.on_postgresql`: every live store of the tests has its catalogue in PostgreSQL.

The address is in the variable TEST_POSTGRESQL_URL; each store gets a schema of its own there, and keeps it when it is
opened again.
"""

import hashlib
import os

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import Engine

import ingest.store.index
import service.forecasts.catalogue
from ingest.store.database import open_engine

SERVER = os.environ.get("TEST_POSTGRESQL_URL", "")


def on_postgresql(database_url: str) -> Engine:
    """The engine of a store: SQLite files become schemas."""
    if not database_url.startswith("sqlite"):
        return open_engine(database_url)
    schema = f"home_{hashlib.sha256(database_url.encode()).hexdigest()[:16]}"
    administrator = create_engine(SERVER)
    with administrator.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    administrator.dispose()
    engine = open_engine(
        make_url(SERVER).update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
    )
    OPENED.append(engine)
    return engine


OPENED: list[Engine] = []


@pytest.fixture(autouse=True)
def postgresql(monkeypatch: pytest.MonkeyPatch):
    for module in (ingest.store.index, service.forecasts.catalogue):
        monkeypatch.setattr(module, "open_engine", on_postgresql)
    yield
    for engine in OPENED:
        assert engine.dialect.name == "postgresql"
        engine.dispose()
    OPENED.clear()
