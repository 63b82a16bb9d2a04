"""A pytest plug-in, `-p tests.on_postgresql`: every live store of the tests has catalogue and rules in PostgreSQL.

The address is in the variable TEST_POSTGRESQL_URL; each store gets a schema of its own there, and keeps it when it is
opened again.
"""

import hashlib
import os

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import Engine

import ingest.store.live
import service.access.keybook
import service.alerts.rulebook
import service.forecasts.catalogue
from ingest.store.database import open_engine

SERVER = os.environ.get("TEST_POSTGRESQL_URL", "")


def on_postgresql(database_url: str, *, synced: bool = False) -> Engine:
    """The engine of a store: SQLite files become schemas."""
    if not database_url.startswith("sqlite"):
        return open_engine(database_url, synced=synced)
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


@pytest.fixture(autouse=True, scope="session")
def postgresql():
    """Before the first store of any scope."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (
            ingest.store.live,
            service.forecasts.catalogue,
            service.access.keybook,
            service.alerts.rulebook,
        ):
            patch.setattr(module, "open_engine", on_postgresql)
        yield


@pytest.fixture(autouse=True)
def few_connections():
    """Close those of each test: the server has a hundred; an engine that is used again opens its own."""
    yield
    for engine in OPENED:
        assert engine.dialect.name == "postgresql"
        engine.dispose()
