"""Faults of the source: scans of tomorrow, of another place, half-written, vanishing, late, and no radar files."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import xarray as xr

from core.files import write_bytes_atomically
from tests.chaos.scene import Scene, fault
from tests.end_to_end.twelve_hours import shifted

GARBAGE: Final = (b"", b"CDF\x01", b"\x89HDF\r\n\x1a\n" + bytes(500), b"RY", b"\x1f\x8b" + bytes(40), b"PK\x03\x04")


@fault("a scan of tomorrow")
def future(scene: Scene) -> str:
    """A scan of the same product and grid that is later than the clock; it is set aside until its time has come."""
    hours = scene.chance.randrange(2, 48)
    with xr.open_dataset(scene.scans[-1]) as scan:
        at = datetime.now(UTC).replace(tzinfo=None, second=0, microsecond=0) + timedelta(hours=hours)
        by = at - datetime.fromisoformat(str(scan.time.values[0])[:19])
        path = scene.inbox.with_name("future.nc")
        shifted(scan, by).to_netcdf(path)
    write_bytes_atomically(scene.inbox / f"future-{at:%Y%m%d%H%M%S}.nc", path.read_bytes())
    return f"{hours} h ahead"


@fault("a scan of another grid")
def foreign(scene: Scene) -> str:
    """A file of the same product and time as a stored scan, of a quarter of its cells: it replaces nothing."""
    with xr.open_dataset(scene.scans[max(0, scene.played - 3)]) as scan:
        at, path = str(scan.time.values[0])[:16], scene.inbox.with_name("foreign.nc")
        scan.isel(y=slice(100), x=slice(100)).to_netcdf(path)
    write_bytes_atomically(scene.inbox / f"foreign-{scene.chance.randrange(10**9)}.nc", path.read_bytes())
    return at


@fault("a half-written scan")
def half_written(scene: Scene) -> str:
    """The next scan appears in two parts under its final name, as a program without a temporary name writes it."""
    taken = scene.take()
    if not taken:
        return ""
    content = taken[0].read_bytes()
    path, half = scene.inbox / taken[0].name, scene.chance.randrange(1, len(content))
    with path.open("wb") as file:
        file.write(content[:half])
        file.flush()
        time.sleep(scene.chance.uniform(0.2, 3))
        file.write(content[half:])
    return f"{half} of {len(content)} bytes first"


@fault("a vanishing scan")
def vanishing(scene: Scene) -> str:
    """The next scan is deleted as soon as it is there, and there again a moment later."""
    taken = scene.take()
    if not taken:
        return ""
    content, path = taken[0].read_bytes(), scene.inbox / taken[0].name
    path.write_bytes(content[: len(content) // 2])
    time.sleep(scene.chance.uniform(0, 0.5))
    path.unlink()
    time.sleep(scene.chance.uniform(0, 2))
    write_bytes_atomically(path, content)
    return path.name


@fault("two scans in the wrong order")
def late(scene: Scene) -> str:
    taken = scene.take(2)
    for path in reversed(taken):
        write_bytes_atomically(scene.inbox / path.name, path.read_bytes())
        time.sleep(scene.chance.uniform(0, 3))
    return taken[0].name if taken else ""


@fault("no radar file")
def garbage(scene: Scene) -> str:
    """Bytes of no format, and a file of one that is cut or has a flipped byte."""
    scan = bytearray(scene.scans[scene.chance.randrange(len(scene.scans))].read_bytes())
    scan[scene.chance.randrange(len(scan))] ^= 255
    content = scene.chance.choice([*GARBAGE, scene.chance.randbytes(2000), bytes(scan[: len(scan) // 2])])
    name = f"garbage-{scene.chance.randrange(10**9)}.nc"
    write_bytes_atomically(scene.inbox / name, content)
    return f"{len(content)} bytes"


@fault("a scan again under another name")
def again(scene: Scene) -> str:
    path = scene.scans[scene.chance.randrange(max(1, scene.played))]
    write_bytes_atomically(scene.inbox / f"again-{scene.chance.randrange(10**9)}.nc", path.read_bytes())
    return path.name


@fault("the inbox is away")
def inbox_away(scene: Scene) -> str:
    """As a network drive that is unmounted for a moment."""
    for_s, away = scene.chance.uniform(1, 4), scene.inbox.with_name("away")
    scene.inbox.rename(away)
    time.sleep(for_s)
    away.rename(scene.inbox)
    return f"{for_s:.1f} s"
