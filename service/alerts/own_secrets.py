"""Secrets of the service itself, made once and kept with the rules: the key of links, and that of push services."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from ingest.store.database import reading, writing
from service.alerts.tables import SecretRow

LINKS: Final = "links"
SECRET_BYTES: Final = 32


def own_secret(engine: Engine, name: str, make: Callable[[], str] = lambda: secrets.token_hex(SECRET_BYTES)) -> str:
    """Return a secret of the service; the first call of all processes makes it."""
    query = select(SecretRow.value).where(SecretRow.name == name)
    with reading(engine) as connection:
        found: str | None = connection.scalar(query)
    if found is not None:
        return found
    with writing(engine) as connection:
        insert_into = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(insert_into(SecretRow).values(name=name, value=make()).on_conflict_do_nothing())
        return str(connection.scalar(query))


def link_key(engine: Engine) -> bytes:
    """Return the key of links."""
    return bytes.fromhex(own_secret(engine, LINKS))


def keyed_hash(key: bytes, text: str) -> str:
    """Return an HMAC-SHA256 of a text, in letters that URLs may hold."""
    return base64.urlsafe_b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode().rstrip("=")
