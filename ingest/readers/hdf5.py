"""Safe opening of foreign HDF5 files: their size is counted, and they must not refer to other files."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import h5py
import numpy as np

from core.errors import FrameError
from ingest.readers.base import limits_of

MAGIC: Final = b"\x89HDF\r\n\x1a\n"
HEAP_MAGIC: Final = b"GCOL\x01\x00\x00\x00"
HEAP_HEADER_BYTES: Final = 16

Parts = list[tuple[str, Any]]


def is_hdf5(head: bytes) -> bool:
    """Return whether a file begins as HDF5, as ODIM and NetCDF4 files do."""
    return head.startswith(MAGIC)


@contextmanager
def opened(file: BinaryIO) -> Iterator[Any]:
    """Open a file's bytes with h5py.

    Raises:
        FrameError: cut or damaged.
    """
    content = file.read()
    file.seek(0)
    _check_heaps(content)
    try:
        root = h5py.File(file, "r")
    except (OSError, RuntimeError, ValueError, KeyError) as err:
        raise FrameError(f"expected a whole HDF5 file, got a cut or damaged one: {err}") from err
    with root:
        yield root


def check_parts(file: BinaryIO, root: Any) -> None:
    """Count the bytes of all data sets against the limit, and refuse links and storage outside of the file.

    Raises:
        FrameError: a link or a data set refers to another file of this machine.
        TooLargeError: the data sets unpack to more than the limit.
    """
    limits = limits_of(file)
    links: Parts = []
    items: Parts = []
    root.visititems_links(lambda name, link: links.append((name, link)))
    outside = [name for name, link in links if isinstance(link, h5py.ExternalLink)]
    if not outside:
        root.visititems(lambda name, item: items.append((name, item)))
    data_sets = [(name, item) for name, item in items if isinstance(item, h5py.Dataset)]
    outside += [name for name, data in data_sets if data.external or data.is_virtual]
    if outside:
        raise FrameError(f"HDF5 part {outside[0]} refers to another file; expected all data in this one")
    for name, data in data_sets:
        limits.take_bytes(data.nbytes, f"HDF5 data set {name}")


def scalar(value: Any) -> Any:
    """Return the one value of an array of one, as some writers store attributes; other values unchanged."""
    return value.ravel()[0] if isinstance(value, np.ndarray) and value.size == 1 else value


def text(value: Any) -> str:
    """Return an attribute as text, for any of HDF5's string types; padding with blanks and NULs is removed."""
    value = scalar(value)
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip("\0 \t\r\n")


def is_odim(root: Any) -> bool:
    """Return whether an open HDF5 file is of ODIM: by its conventions or by `what/object` without them."""
    if text(root.attrs.get("Conventions", "")).startswith("ODIM"):
        return True
    what = root.get("what")
    return isinstance(what, h5py.Group) and "object" in what.attrs


def is_knmi(root: Any) -> bool:
    """Return whether an open HDF5 file is in KNMI's own format: `overview` with a product's attributes."""
    overview = root.get("overview")
    return isinstance(overview, h5py.Group) and any(name.startswith("product_") for name in overview.attrs)


def field_group(root: Any) -> str | None:
    """Return the one group with fields of a file whose root has none, as IMERG's `Grid`; None is the root."""
    parts = {name: root.get(name) for name in root}
    if any(isinstance(part, h5py.Dataset) and part.ndim >= 2 for part in parts.values()):
        return None
    found = [
        name
        for name, part in parts.items()
        if isinstance(part, h5py.Group)
        and any(isinstance(inside := part.get(each), h5py.Dataset) and inside.ndim >= 2 for each in part)
    ]
    return found[0] if len(found) == 1 else None


def _check_heaps(content: bytes) -> None:
    """Refuse a global heap whose free space has size 0: libhdf5 walks it for ever (HDFGroup/hdf5 issue 1707)."""
    start = content.find(HEAP_MAGIC)
    while start >= 0:
        size = int.from_bytes(content[start + 8 : start + HEAP_HEADER_BYTES], "little")
        at, end = start + HEAP_HEADER_BYTES, min(start + size, len(content))
        while at + HEAP_HEADER_BYTES <= end:
            index, length = struct.unpack_from("<H6xQ", content, at)
            if index == 0 and length == 0:
                raise FrameError(f"HDF5 file is damaged: global heap at byte {start:,} has free space of size 0")
            at += length if index == 0 else HEAP_HEADER_BYTES + -(-length // 8) * 8
        start = content.find(HEAP_MAGIC, start + len(HEAP_MAGIC))
