"""Faults of the store's files and of its catalogue: flipped, cut, deleted, replaced, and strange ones added."""

import sqlite3
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final

from tests.chaos.scene import FAULTS, Scene, fault

CATALOGUE: Final = "catalogue.sqlite"
LEAST_FORECASTS: Final = 3
"""The last forecast that there is stays: without one the service is not ready, as it should be."""


def _flip(path: Path, scene: Scene) -> str:
    content = bytearray(path.read_bytes())
    place = scene.chance.randrange(len(content))
    content[place] ^= 1 << scene.chance.randrange(8)
    path.write_bytes(content)
    return f"{path.name}, byte {place} of {len(content)}"


def _cut(path: Path, scene: Scene) -> str:
    size = path.stat().st_size
    left = scene.chance.randrange(size)
    with path.open("r+b") as file:
        file.truncate(left)
    return f"{path.name}, {left} of {size} bytes left"


def _delete(path: Path, scene: Scene) -> str:
    path.unlink()
    return path.name


HOW: Final = {"flip": _flip, "cut": _cut, "delete": _delete}


def _harm_scan(scene: Scene, how: str) -> str:
    path = scene.file_of("scans/*/*/*/*/*.nc")
    with suppress(FileNotFoundError):
        return HOW[how](path, scene) if path else ""
    return ""


def _harm_forecast(scene: Scene, how: str) -> str:
    path = scene.forecast()
    if path is None or len(list(path.parent.glob("*.nc"))) < LEAST_FORECASTS:
        return ""
    with suppress(FileNotFoundError):
        done = HOW[how](path, scene)
        scene.lost.add(path.stem)
        return done
    return ""


for _how in HOW:
    FAULTS[f"{_how} a scan"] = partial(_harm_scan, how=_how)
    FAULTS[f"{_how} a forecast"] = partial(_harm_forecast, how=_how)


@fault("flip the input of a forecast")
def flip_inputs(scene: Scene) -> str:
    path = scene.file_of("forecasts/*/*/*/inputs-*.nc")
    with suppress(FileNotFoundError):
        return _flip(path, scene) if path else ""
    return ""


@fault("garbage as status of ingest")
def spoil_status(scene: Scene) -> str:
    text = scene.chance.choice(["[1, 2]", '{"sources": 7}', "\x00\xff", "{" * 3000, '{"updated_at": "yesterday"}', ""])
    (scene.home / "ingest-status.json").write_text(text)
    return repr(text[:20])


@fault("garbage as metrics")
def spoil_metrics(scene: Scene) -> str:
    """Bytes in a file of counts that is on the disk but that no process has mapped: one of a process that ended."""
    folder = next(iter(sorted(scene.home.rglob("*.db"))), None)
    if folder is None:
        return ""
    path = folder.with_name("counter_999999.db")
    path.write_bytes(scene.chance.randbytes(4096))
    return str(path.relative_to(scene.home))


@fault("stray files and folders")
def stray(scene: Scene) -> str:
    name = f"stray-{scene.chance.randrange(10**6)}"
    for folder in ("forecasts", "scans", "windows", "quarantine", "forecasts/2018", "forecasts/2018/aa/bb"):
        (scene.home / folder / name / "deep.nc").mkdir(parents=True, exist_ok=True)
        (scene.home / folder / f"{name}.nc").write_bytes(scene.chance.randbytes(64))
    return name


@fault("delete the catalogue")
def delete_catalogue(scene: Scene) -> str:
    for suffix in ("", "-wal", "-shm"):
        (scene.home / f"{CATALOGUE}{suffix}").unlink(missing_ok=True)
    return CATALOGUE


@fault("garbage in the catalogue")
def spoil_catalogue(scene: Scene) -> str:
    path = scene.home / CATALOGUE
    size = path.stat().st_size
    with path.open("r+b") as file:
        for _ in range(8):
            file.seek(scene.chance.randrange(size // 4096) * 4096)
            file.write(scene.chance.randbytes(4096))
    return f"8 of {size // 4096} pages"


@fault("no header of the catalogue")
def behead_catalogue(scene: Scene) -> str:
    with (scene.home / CATALOGUE).open("r+b") as file:
        file.write(bytes(100))
    return "100 bytes"


@fault("a lock on the catalogue")
def lock_catalogue(scene: Scene) -> str:
    for_s = scene.chance.uniform(2, 8)
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(scene.home / CATALOGUE, timeout=10, isolation_level=None)) as connection,
    ):
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(for_s)
        connection.execute("ROLLBACK")
    return f"{for_s:.1f} s"
