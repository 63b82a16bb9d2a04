"""Settings of the servers that the parts share; each password may stand in a file of its own."""

from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from core.errors import ConfigError, shown

PASSWORDS: Final = {"database_url": "database_password", "redis_url": "redis_password"}
"""Which setting has the password of which URL."""


class Connections(BaseSettings):
    """Database and broker, and the folder of secret files."""

    credentials: Path | None = Field(
        None,
        description="folder of further settings, one per file, named as the variable in small letters "
        "(nowcast_redis_password), as Docker and Kubernetes mount secrets; the environment comes before a file",
    )
    database_password: SecretStr | None = Field(
        None, description="password of the database, put into a URL that has a user without a password"
    )
    database_url: SecretStr | None = Field(
        None, description="URL of the SQL catalogue; default: SQLite in the live store"
    )
    redis_password: SecretStr | None = Field(None, description="password of the broker, put into a URL without one")
    redis_url: SecretStr | None = Field(None, description="URL of the broker; default: an embedded server")
    files_url: str | None = Field(
        None,
        description="store of the files where several machines share no disk: s3://bucket/prefix, or file:///folder; "
        "home is a cache of it then. Needs database_url of PostgreSQL and redis_url; default: home has the files",
    )
    files_endpoint: str | None = Field(
        None, description="address of the server of files_url, such as https://s3.example.org; default: AWS's"
    )
    files_region: str | None = Field(None, description="region of files_url; default: by the variables of AWS")
    files_key_id: SecretStr | None = Field(
        None, description="id of the access key of files_url; default: by the variables of AWS"
    )
    files_key: SecretStr | None = Field(
        None, description="secret of the access key of files_url; default: by the variables of AWS"
    )
    files_cache_bytes: int = Field(
        20 * 2**30,
        ge=2**20,
        description="most bytes that home keeps of the files of files_url; what was not used for longest goes first",
    )

    @field_validator(*PASSWORDS, mode="after")
    @classmethod
    def _with_its_password(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """Return a URL with the password of its own setting."""
        password = info.data.get(PASSWORDS[str(info.field_name)])
        return (
            SecretStr(with_password(url.get_secret_value(), password.get_secret_value())) if url and password else url
        )

    @field_validator("files_url", "files_endpoint", "files_region", "files_key_id", "files_key", mode="before")
    @classmethod
    def _unset_where_empty(cls, value: object) -> object:
        """Return None for an empty text, as Compose passes a variable on that is not set."""
        return None if value == "" else value

    @field_validator("files_url", mode="after")
    @classmethod
    def _with_shared_servers(cls, url: str | None, info: ValidationInfo) -> str | None:
        """Return the URL of the files where the database and the broker can be shared as well.

        Raises:
            ValueError: locks, states and tasks would be of one machine alone.
        """
        database, broker = info.data.get("database_url"), info.data.get("redis_url")
        if url is not None and (broker is None or not database or database.get_secret_value().startswith("sqlite")):
            raise ValueError("expected database_url of PostgreSQL and redis_url with it: several machines share them")
        return url


def with_password(url: str, password: str) -> str:
    """Return a URL of a server with a password; one that has a password, or no server, stays as it is.

    Raises:
        ValueError: it is no URL; the message has no part of it, which may be a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("expected a URL in which special characters of a password are written as %XX") from None
    if not parts.hostname or parts.password is not None:
        return url
    user, _, server = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{server}"))


def check_secret_files(folder: str | None, prefix: str, known: set[str]) -> None:
    """Check the names of the files of settings in a folder; other files are none of ours.

    Raises:
        ConfigError: the folder does not exist, or a file has the name of no setting.
    """
    if folder is None:
        return
    try:
        names = [path.name for path in Path(folder).iterdir()]
    except (OSError, ValueError) as err:  # none, no folder, not readable, or no name of a file at all
        why = "which does not exist" if isinstance(err, FileNotFoundError) else getattr(err, "strerror", None) or err
        raise ConfigError(
            f"expected a folder of secret files in {prefix}CREDENTIALS, got {shown(folder)}, {why}"
        ) from err
    ours = [name for name in names if name.upper().startswith(prefix)]
    wrong = ", ".join(sorted(name for name in ours if name.upper() not in known or name != name.lower()))
    if wrong:
        raise ConfigError(f"expected files named as settings in small letters, got {wrong} in {prefix}CREDENTIALS")
