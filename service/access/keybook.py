"""API keys: their holders and scopes; the key itself is never stored, only its SHA-256.

They have a database of their own (`keys.sqlite`), unless `NOWCAST_DATABASE_URL` names a server: the catalogue can be
rebuilt from the files after a loss, keys cannot.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self, get_args

from sqlalchemy import String, Text, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from core.errors import ConflictError, InputError, NoDataError
from core.settings import Settings
from ingest.store.database import open_engine, reading, writing
from ingest.store.schema import prepare
from ingest.store.tables import Base, UtcDateTime

Scope = Literal["read", "forecast", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
"""Each scope includes those before it."""

FILE: Final = "keys.sqlite"
MARK: Final = "nowcast"
"""First part of every key, by which scanners for leaked secrets recognise it."""

LONGEST: Final = 200


class KeyRow(Base):
    """One key; `sha256` is of the whole key, whose secret part has 256 random bits: a slow hash would add nothing."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(String(16))
    sha256: Mapped[str] = mapped_column(String(64))
    rate_limit: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


@dataclass(frozen=True)
class Key:
    """A stored key; `rate_limit` None stands for the limit of the settings."""

    id: str
    name: str
    scope: Scope
    rate_limit: str | None
    created_at: datetime
    revoked_at: datetime | None

    def allows(self, scope: Scope) -> bool:
        """Return whether the key has the scope."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


class KeyBook:
    """The keys of one service; several processes may use it at once."""

    def __init__(self, database_url: str) -> None:
        self.engine = open_engine(database_url)
        prepare(self.engine)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Open the keys of the service with these settings."""
        if settings.database_url:
            return cls(settings.database_url.get_secret_value())
        home: Path = settings.keys_home or settings.home
        home.mkdir(parents=True, exist_ok=True)
        file = home.resolve() / FILE
        file.touch(mode=0o600)
        return cls(f"sqlite:///{file}")

    def create(self, name: str, scope: Scope, rate_limit: str | None = None) -> str:
        """Store a new key and return what its holder sends; it cannot be shown again.

        Raises:
            InputError: the name is empty.
            ConflictError: a key of that name is in use.
        """
        if not name.strip():
            raise InputError("name: expected the name of the key's holder, got an empty one")
        key_id = secrets.token_hex(4)
        key = f"{MARK}_{key_id}_{secrets.token_urlsafe(32)}"
        row = {"id": key_id, "name": name, "scope": scope, "sha256": _digest(key), "rate_limit": rate_limit}
        with writing(self.engine) as connection:
            taken = select(KeyRow.id).where(KeyRow.name == name, KeyRow.revoked_at.is_(None))
            if connection.execute(taken).first():
                raise ConflictError(f"a key named {name!r} is in use; choose another name or revoke that key")
            connection.execute(insert(KeyRow).values(**row, created_at=datetime.now(UTC)))
        return key

    def find(self, key: str) -> Key | None:
        """Return the valid key with these characters; None for any others and for a revoked one."""
        mark, _, rest = key.partition("_")
        key_id, _, secret = rest.partition("_")
        if mark != MARK or not key_id or not secret or len(key) > LONGEST:
            return None
        with reading(self.engine) as connection:
            row = connection.execute(select(KeyRow.__table__).where(KeyRow.id == key_id)).one_or_none()
        if row is None or row.revoked_at or not hmac.compare_digest(row.sha256, _digest(key)):
            return None
        return Key(row.id, row.name, row.scope, row.rate_limit, row.created_at, row.revoked_at)

    def list(self) -> Sequence[Key]:
        """Return every key, the oldest first, revoked ones too."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(KeyRow.__table__).order_by(KeyRow.created_at, KeyRow.id)).all()
        return [Key(row.id, row.name, row.scope, row.rate_limit, row.created_at, row.revoked_at) for row in rows]

    def has_valid(self) -> bool:
        """Return whether any key is in use."""
        with reading(self.engine) as connection:
            return connection.execute(select(KeyRow.id).where(KeyRow.revoked_at.is_(None)).limit(1)).first() is not None

    def revoke(self, id_or_name: str) -> Key:
        """End a key's validity; running processes notice within seconds.

        Raises:
            NoDataError: no valid key has that id or name.
        """
        with writing(self.engine) as connection:
            wanted = select(KeyRow.__table__).where(
                (KeyRow.id == id_or_name) | (KeyRow.name == id_or_name), KeyRow.revoked_at.is_(None)
            )
            row = connection.execute(wanted).first()
            if row is None:
                raise NoDataError(f"no valid key has the id or name {id_or_name!r}; `list` prints both")
            now = datetime.now(UTC)
            connection.execute(update(KeyRow).where(KeyRow.id == row.id).values(revoked_at=now))
        return Key(row.id, row.name, row.scope, row.rate_limit, row.created_at, now)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
