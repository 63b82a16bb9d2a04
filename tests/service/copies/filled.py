"""An installation with rows in every table, made by the types of their columns."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Float, Integer, Table, insert, select

from core.settings import Settings
from ingest.store.database import reading, writing
from ingest.store.tables import UtcDateTime
from service.copies.rows import Databases

TIME = datetime(2024, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)
ROWS = 3


def filled(settings: Settings) -> Databases:
    """Open the databases of an installation and put rows into each table of a backup."""
    databases = Databases.of_settings(settings, create=True)
    for engine, tables in databases.parts():
        with writing(engine) as connection:
            for table in tables:
                connection.execute(insert(table), [row_of(table, number) for number in range(1, ROWS + 1)])
    return databases


def row_of(table: Table, number: int) -> dict[str, Any]:
    return {column.name: _value(column, number) for column in table.columns}


def _value(column: Any, number: int) -> Any:
    kind = column.type
    if column.nullable and number == ROWS:
        return None
    if isinstance(kind, UtcDateTime):
        return TIME + timedelta(microseconds=number)
    if isinstance(kind, JSON):
        return {"text": "Süd ☂\n", "list": [1, None, 0.1], "number": number}
    if isinstance(kind, Boolean):
        return number % 2 == 0
    if isinstance(kind, BigInteger):
        return 2**53 + number
    if isinstance(kind, Integer):
        return number
    if isinstance(kind, Float):
        return number / 7
    return f"text {number}"


def rows_of(databases: Databases) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of a backup."""
    found = {}
    for engine, tables in databases.parts():
        with reading(engine) as connection:
            for table in tables:
                found[table.name] = sorted(map(tuple, connection.execute(select(table))), key=repr)
    return found
