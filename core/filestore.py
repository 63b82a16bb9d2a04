"""Whole files by name in a store that many machines reach: a bucket of S3 or of a server that speaks it, or a folder.

A put is atomic: a reader sees the old content or the new one. What is read is not checked here (`core.shared_files`).
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from core.errors import ConfigError, UnavailableError

TIMEOUT_S: Final = 30.0
"""Longest time of one attempt; a forecast of Germany has up to 25 MB."""

CONNECT_S: Final = 5.0
RETRY_S: Final = 15.0
"""No attempt is begun later: a client of the interface waits, and a task is tried again by the queue."""

MOST_RETRIES: Final = 4
LISTED_AT_ONCE: Final = 1000
SURE_S: Final = 10.0
"""How long a store that has answered is trusted where a file is missing."""

FAILED_S: Final = 5.0
"""How long readers of a store that has failed do not ask it again: each would wait for as long as the first one."""


@dataclass(frozen=True)
class StoredObject:
    """One file of a store; `tag` is another one whenever the content is."""

    name: str
    size: int
    changed_at: datetime
    tag: str


@dataclass(frozen=True)
class Bucket:
    """How a bucket is reached; what is None is that of the usual variables of AWS.

    Attributes:
        endpoint: address of a server that is not AWS's.
        region: of the bucket.
        key_id, secret: the access key.
    """

    endpoint: str | None = None
    region: str | None = None
    key_id: str | None = None
    secret: str | None = None

    def config(self) -> dict[str, str]:
        """Return the library's options of a bucket."""
        named = {
            "endpoint": self.endpoint,
            "region": self.region,
            "access_key_id": self.key_id,
            "secret_access_key": self.secret,
        }
        return {name: value for name, value in named.items() if value is not None}


class FileStore:
    """Files by name; every call raises `UnavailableError` where the store does not respond.

    Args:
        url: `s3://bucket/prefix`, or `file:///folder` for a folder that all machines mount.
        bucket: how it is reached.

    Raises:
        ConfigError: another kind of URL, or options that do not fit.
    """

    def __init__(self, url: str, bucket: Bucket = Bucket()) -> None:
        self._store = _opened(url, bucket)
        self._answered_s: float | None = None
        self._failed_s: float | None = None
        self._guard = threading.Lock()

    def put(self, name: str, content: bytes) -> None:
        """Put a file; it replaces one of that name."""
        with _translated():
            obstore.put(self._store, name, content, use_multipart=False)

    def get(self, name: str) -> bytes | None:
        """Return the content of a file; None where there is none."""
        try:
            with self._asked():
                return bytes(obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            self._check_lately()
            return None

    def exists(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        try:
            with self._asked():
                obstore.head(self._store, name)
        except FileNotFoundError:
            self._check_lately()
            return False
        return True

    def delete(self, names: Sequence[str]) -> None:
        """Delete files, whether they exist or not."""
        for start in range(0, len(names), LISTED_AT_ONCE):
            with _translated(), _ignoring_missing():
                obstore.delete(self._store, list(names[start : start + LISTED_AT_ONCE]))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the files below a folder, in no order; "" is all of the store."""
        for some in self._pieces(prefix or None, LISTED_AT_ONCE):
            for one in some:
                tag = str(one["e_tag"] or one["last_modified"])
                yield StoredObject(one["path"], one["size"], one["last_modified"], tag)

    def check(self) -> None:
        """Check that the store answers and has the bucket."""
        for _ in self._pieces("check", 1):
            break
        with self._guard:
            self._answered_s = monotonic()

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Translate the errors of a reader, which fails at once for a while after one."""
        with self._guard:
            failed_s = self._failed_s
        if failed_s is not None and monotonic() - failed_s < FAILED_S:
            raise UnavailableError("the store of files does not respond", private="it has failed a moment ago")
        try:
            with _translated():
                yield
        except UnavailableError:
            with self._guard:
                self._failed_s = monotonic()
            raise

    def _check_lately(self) -> None:
        """Check the store where a file is missing: without its bucket a server misses every file."""
        with self._guard:
            is_sure = self._answered_s is not None and monotonic() - self._answered_s < SURE_S
        if not is_sure:
            self.check()

    def _pieces(self, prefix: str | None, size: int) -> Iterator[Sequence[Any]]:
        with _translated(missing_is_failure=True):
            yield from obstore.list(self._store, prefix, chunk_size=size)


def _opened(url: str, bucket: Bucket) -> Any:
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path.startswith("/"):
        return LocalStore(Path(unquote(parts.path)), mkdir=True)
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigError(f"NOWCAST_FILES_URL: expected s3://bucket/prefix or file:///folder, got {url}")
    options: dict[str, Any] = {
        "config": bucket.config(),
        "client_options": {
            "allow_http": bucket.endpoint is not None and bucket.endpoint.startswith("http://"),
            "timeout": timedelta(seconds=TIMEOUT_S),
            "connect_timeout": timedelta(seconds=CONNECT_S),
        },
        "retry_config": {"max_retries": MOST_RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
    }
    try:
        return S3Store.from_url(url, **options)
    except (BaseError, ValueError, TypeError) as err:
        raise ConfigError(f"NOWCAST_FILES_URL: the store cannot be opened: {err}") from err


@contextmanager
def _translated(*, missing_is_failure: bool = False) -> Iterator[None]:
    """Translate the library's errors; a missing file stays a `FileNotFoundError` unless it is a failure, too."""
    try:
        yield
    except FileNotFoundError as err:
        if not missing_is_failure:
            raise
        raise _unavailable(err) from err
    except (BaseError, OSError) as err:
        raise _unavailable(err) from err


def _unavailable(err: Exception) -> UnavailableError:
    reason = str(err).partition("\n")[0]  # the rest is the library's own view of it, a page long
    return UnavailableError("the store of files does not respond", private=f"{type(err).__name__}: {reason}")


@contextmanager
def _ignoring_missing() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        return
