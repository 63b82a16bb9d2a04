"""Writers of RADOLAN files for tests: binary composites of every product and header variant, and their wrappers."""

import bz2
import gzip
import io
import tarfile
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

DEPTHS = ("RY", "RZ", "YW", "RV", "RW", "SF", "RQ")
COUNTS = ("RX", "EX", "WX")
SIZES = ((900, 900), (1100, 900), (1500, 1400), (1200, 1100))
NO_DATA, NEGATIVE, CLUTTER, SECONDARY = 0x2000, 0x4000, 0x8000, 0x1000


@dataclass(frozen=True)
class Header:
    """What the header of a composite states."""

    product: str
    time: datetime
    size: tuple[int, int] = (900, 900)
    version: int = 3
    software: str = "2.29.1"
    digits: int = 2
    interval_minutes: int = 5
    unit: str = ""
    lead_minutes: int | None = None
    reanalysis: str = ""
    radars: tuple[str, ...] = ()
    flags: str = ""


def radolan_file(header: Header, raw: NDArray[np.unsignedinteger]) -> bytes:
    """A composite with `raw` as its values, row 0 in the south."""
    rows, cols = header.size
    sites = f"<{','.join(header.radars)}>"
    rest = (
        f"VS{header.version:2}SW{header.software:>9}PR E-{header.digits:02}INT{header.interval_minutes:4}{header.unit}"
    )
    rest += f"GP{rows:4}x{cols:4}"
    rest += f"MF {header.flags}" if header.flags else ""
    rest += f"VR{header.reanalysis}" if header.reanalysis else ""
    rest += "" if header.lead_minutes is None else f"VV {header.lead_minutes:03}MF 00000008"
    rest += "QN 016" if header.product == "RQ" else ""
    rest += f"MS{len(sites):3}{sites}"
    start = f"{header.product}{header.time:%d%H%M}10000{header.time:%m%y}BY"
    length = len(start) + 7 + len(rest) + 1 + raw.nbytes
    return f"{start}{length:7}{rest}\x03".encode() + raw.tobytes()


def wrapped(content: bytes, how: str, *, member: str = "raa01-bin") -> bytes:
    """The file within gzip, bzip2 or tar, or tar in gzip."""
    if how.startswith("tar"):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        content = file.getvalue()
    if "gz" in how:
        content = gzip.compress(content, 1, mtime=0)
    return bz2.compress(content, 1) if "bz2" in how else content
