"""Copies of files that could not be read, each with its reason beside it; the originals stay where they are."""

import hashlib
from datetime import datetime
from pathlib import Path

from core.files import write_bytes_atomically
from core.frame import iso
from ingest.store.scanfile import safe_name


def keep(folder: Path, content: bytes, name: str, reason: str, at: datetime) -> Path:
    """Write the copy and its reason; the same content under the same name is kept once."""
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / f"{sha256[:12]}_{safe_name(name)}"
    if not path.exists():
        write_bytes_atomically(path, content)
    told = f"{reason}\nname: {name}\nsha256: {sha256}\nbytes: {len(content)}\nat: {iso(at)}\n"
    write_bytes_atomically(path.with_name(f"{path.name}.reason.txt"), told.encode())
    return path
