"""One file with all that no other file of an installation holds: scores, jobs, keys, rules, alerts, and its models.

A zip file: `tables/NAME.jsonl`, `models/...`, and at its end `manifest.json` with the checksum of each. It is made
while the service works: each database is read in one transaction.
"""

import fcntl
import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from core.errors import ConflictError, InputError, UnavailableError
from core.files import write_atomically
from core.mounts import mount_files
from core.settings import Settings
from core.shared_files import follow, publish
from core.times import iso
from ingest.store.locks import translate_os_errors
from ingest.store.progress import CATALOGUE, last_progress
from ingest.store.schema import known_revisions
from service.copies.rows import Databases, fill, is_empty, lines_of, snapshot
from service.process.homes import LOCK

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
TABLES: Final = "tables"
MODELS: Final = "models"
PIECE: Final = 2**20
DAMAGED: Final = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(ValueError, KeyError, TypeError, AttributeError, RuntimeError),  # of a manifest or a header with other content
)
"""What Python's zip files raise where bytes were changed."""

FOR_OWNER_ALONE: Final = 0o600
"""It holds the hashes of keys, the secrets by which alerts are signed, and places of people."""


@dataclass(frozen=True)
class Summary:
    """What a backup holds: rows of all tables, and files of models."""

    rows: int
    files: int


def save(settings: Settings, target: Path, *, force: bool = False, now: datetime | None = None) -> Summary:
    """Write a backup of an installation, which may be at work.

    Raises:
        ConflictError: the file exists, and `force` is not set.
        NoDataError: there is nothing to copy.
        UnavailableError: a database or the disk does not respond.
    """
    if target.exists() and not force:
        raise ConflictError(f"{target} exists; name another file, or replace it with --force")
    databases = Databases.of_settings(settings, create=False)
    _follow_models(settings)
    counts: dict[str, dict[str, Any]] = {}

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as file:
            for engine, tables in databases.parts():
                with snapshot(engine) as connection:
                    for table in tables:
                        counts[f"{TABLES}/{table.name}.jsonl"] = _add(
                            file, f"{TABLES}/{table.name}.jsonl", lines_of(connection, table)
                        )
            for path in _files_of(settings.home / MODELS):
                name = f"{MODELS}/{path.relative_to(settings.home / MODELS).as_posix()}"
                counts[name] = _add(file, name, _pieces(path))
            file.writestr(MANIFEST, json.dumps(_manifest(counts, now or datetime.now(UTC)), indent=1))

    with closing(databases), translate_os_errors(target.parent):
        write_atomically(target, write, mode=FOR_OWNER_ALONE)
    return _summary(counts)


def load(settings: Settings, source: Path, *, force: bool = False) -> Summary:
    """Restore a backup into an installation that is not at work and has no rows of its own.

    Scans and forecasts are entered from their files when the service starts.

    Raises:
        InputError: the file is no backup, is damaged, or was made with another schema.
        ConflictError: the service works, or has rows or models, and `force` is not set.
        UnavailableError: a database or the disk does not respond.
    """
    files = check(source)
    with closing(Databases.of_settings(settings, create=True)) as databases, zipfile.ZipFile(source) as file:
        _follow_models(settings)
        if not force:
            _refuse_running(settings, databases)
            _refuse_filled(settings, databases)
        for engine, tables in databases.parts():
            names = {table.name: f"{TABLES}/{table.name}.jsonl" for table in tables}
            fill(engine, tables, {table: _lines(file, name) for table, name in names.items() if name in files})
        with translate_os_errors(settings.home):
            for name in (name for name in files if name.startswith(f"{MODELS}/")):
                content = file.read(name)
                publish(settings.home.resolve() / name, content)
                write_atomically(settings.home / name, lambda path, content=content: path.write_bytes(content))  # type: ignore[misc]
    return _summary(files)


def check(source: Path) -> dict[str, dict[str, Any]]:
    """Return the list of a backup's files after a comparison of all checksums.

    Raises:
        InputError: it is no backup, is damaged, or was made with another schema.
    """
    try:
        with zipfile.ZipFile(source) as file:
            manifest: dict[str, Any] = json.loads(file.read(MANIFEST))
            _check_manifest(manifest, source)
            files: dict[str, dict[str, Any]] = manifest["files"]
            for name, known in files.items():
                if ".." in PurePosixPath(name).parts or not name.startswith((f"{TABLES}/", f"{MODELS}/")):
                    raise InputError(f"{source}: expected files of tables and models, got {name!r}")
                with file.open(name) as member:
                    if _digest_of(member) != known["sha256"]:
                        raise InputError(f"{source} is damaged: {name} has another checksum; take another backup")
    except OSError as err:
        raise InputError(f"{source} cannot be read: {err}") from err
    except DAMAGED as err:
        raise InputError(f"{source} is no backup, or is damaged: {type(err).__name__}: {err}") from err
    return files


def _digest_of(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(PIECE):
        digest.update(piece)
    return digest.hexdigest()


def _check_manifest(manifest: dict[str, Any], source: Path) -> None:
    if manifest["format"] != FORMAT:
        raise InputError(f"{source}: expected a backup of format {FORMAT}, got {manifest['format']!r}")
    revision, known = manifest["revision"], known_revisions()[-1]
    if revision != known:
        raise InputError(
            f"{source} was made by release {manifest['release']} with schema {revision}, this release has {known}: "
            "restore it with that release, then upgrade"
        )


def _manifest(files: dict[str, dict[str, Any]], now: datetime) -> dict[str, Any]:
    made = {"format": FORMAT, "release": version("ms-rnn-nowcast"), "revision": known_revisions()[-1]}
    return {**made, "made_at": iso(now), "files": files}


def _add(file: zipfile.ZipFile, name: str, pieces: Iterable[bytes]) -> dict[str, Any]:
    """Write one file; return its checksum and the number of its pieces."""
    digest, count = hashlib.sha256(), 0
    with file.open(name, "w", force_zip64=True) as member:
        for piece in pieces:
            member.write(piece)
            digest.update(piece)
            count += 1
    return {"sha256": digest.hexdigest(), "rows": count if name.startswith(TABLES) else None}


def _lines(file: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    with file.open(name) as member:
        yield from member


def _files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _summary(files: dict[str, dict[str, Any]]) -> Summary:
    rows = [one["rows"] for one in files.values()]
    return Summary(sum(number for number in rows if number is not None), rows.count(None))


def _follow_models(settings: Settings) -> None:
    """Get the models that another machine has put into the store of files."""
    mount_files(settings)
    follow(settings.home.resolve() / MODELS, 0.0)


def _refuse_running(settings: Settings, databases: Databases) -> None:
    """Raise a ConflictError where a tree holds the live store, or a part has worked a moment ago."""
    moment = timedelta(seconds=settings.part_late_s)
    try:
        with (settings.home / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_held = False
    except FileNotFoundError:
        is_held = False
    except BlockingIOError:
        is_held = True
    except OSError as err:
        raise UnavailableError(f"the live store {settings.home} cannot be used: {err}") from err
    parts = {part: one for part, one in last_progress(databases.catalogue).items() if part != CATALOGUE}
    working = [part for part, one in parts.items() if datetime.now(UTC) - one.at < moment]
    if is_held or working:
        by = f" ({', '.join(sorted(working))})" if working else ""
        raise ConflictError(f"a service works in {settings.home}{by}: stop it first, or restore with --force")


def _refuse_filled(settings: Settings, databases: Databases) -> None:
    """Raise a ConflictError where rows or models would be replaced."""
    if _files_of(settings.home / MODELS) or not all(is_empty(engine, tables) for engine, tables in databases.parts()):
        raise ConflictError(
            f"{settings.home} has scores, keys, rules or models of its own: restore into an empty one, or replace them "
            "with --force"
        )
