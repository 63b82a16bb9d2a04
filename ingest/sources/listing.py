"""The file listings of DWD's open-data server: its files and their times, and which of them are done."""

import json
import logging
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from core.files import write_bytes_atomically

HREF: Final = re.compile(r"""href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.IGNORECASE)

TAG: Final = re.compile(r"^[^<]*>|<[^>]*>|<[^>]*$")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remote:
    """A file of a listing.

    Attributes:
        name: last part of its address.
        time: from its name.
        kind: ending of its name.
        mark: the rest of the listing's entry, usually date and size: when it changes, the file has changed.
    """

    name: str
    time: datetime
    kind: str
    mark: str = ""


@dataclass(frozen=True)
class Product:
    """Where a product is on the server and how its files are named.

    Attributes:
        folder: below the server's root for radar data.
        pattern: of a name, with the groups `time` (digits, with an optional underscore) and `kind`.
        kinds: name endings of the formats that a scan is offered in, in order of preference.
        first_member: take only the first member of the archive: the analysis without the forecast.
    """

    folder: str
    pattern: re.Pattern[str]
    kinds: tuple[str, ...]
    first_member: bool = False

    def local_name(self, file: Remote) -> str:
        """Return the name of a fetched file in the inbox."""
        return f"{file.name}_000" if self.first_member else file.name


def _radolan(name: str) -> Product:
    pattern = re.compile(rf"raa01-{name}_10000-(?P<time>\d{{10}})-dwd---bin(?P<kind>(\.\w+)?)")
    return Product(f"radolan/{name}", pattern, (".bz2", ".gz", "", ".hdf5"))


RY: Final = _radolan("ry")
"""Quality-checked 5-minute rates, kept for a day; the HDF5 files are on another grid than the binary ones."""

YW: Final = _radolan("yw")
"""5-minute rates adjusted to rain gauges, half an hour late."""

RW: Final = _radolan("rw")
"""Hourly sums, adjusted to rain gauges, half an hour late."""

RV: Final = Product(
    "composite/rv",
    re.compile(r"(composite_rv_|DE1200_RV)(?P<time>\d{8}_?\d{2,4})(?P<kind>\.tar(\.\w+)?)"),
    (".tar", ".tar.bz2", ".tar.gz"),
    first_member=True,
)
"""Analysis and two-hour forecast as one archive."""


class Marks:
    """The listing's entries (marks) of the files that are done, kept in a file for the next start.

    Args:
        path: of that file; if it cannot be read, a warning is logged and all marks are forgotten.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks = self._read()

    def __contains__(self, name: str) -> bool:
        return name in self._marks

    def names(self) -> list[str]:
        """Return the names of all files that are done."""
        return list(self._marks)

    def get(self, name: str) -> str | None:
        """Return the mark of a file, None if the file is not done."""
        return self._marks.get(name)

    def set(self, name: str, mark: str) -> None:
        """Mark a file as done."""
        self._marks[name] = mark

    def keep(self, names: Set[str]) -> None:
        """Forget the marks of all files but these."""
        self._marks = {name: mark for name, mark in self._marks.items() if name in names}

    def write(self) -> None:
        """Write the marks if they changed since they were read or written."""
        content = json.dumps(self._marks, sort_keys=True).encode()
        if self._marks and (not self._path.is_file() or self._path.read_bytes() != content):
            write_bytes_atomically(self._path, content)

    def _read(self) -> dict[str, str]:
        try:
            marks = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as err:
            log.warning("%s cannot be read (%s): ingested files count as unchanged", self._path, err)
            return {}
        return {str(name): str(mark) for name, mark in marks.items()} if isinstance(marks, dict) else {}


def files_of(product: Product, page: str) -> list[Remote]:
    """Return a product's files of any listing page, in ascending time and of one kind, so that no scan is doubled."""
    files = []
    for name, mark in _rows(page).items():
        match = product.pattern.fullmatch(name)
        time = _time(match["time"]) if match and match["kind"] in product.kinds else None
        if match and time:
            files.append(Remote(name, time, match["kind"], mark))
    newest = max((file.time for file in files), default=None)
    kind = _preferred(product, [file.kind for file in files if file.time == newest])
    return sorted((file for file in files if file.kind == kind), key=lambda file: file.time)


def _rows(page: str) -> dict[str, str]:
    """Return the names that the page links to, each with the text up to the next link."""
    found = list(HREF.finditer(page))
    ends = [match.start() for match in found[1:]] + [len(page)] * bool(found)
    rows = {}
    for match, end in zip(found, ends, strict=True):
        name = unquote(next(filter(None, match.groups()), "")).split("?")[0].rsplit("/", 1)[-1]
        rows[name] = " ".join(TAG.sub(" ", page[match.end() : end]).split())
    return rows


def _preferred(product: Product, kinds: Sequence[str]) -> str | None:
    return min(kinds, key=product.kinds.index, default=None)


def _time(digits: str) -> datetime | None:
    """Return UTC of DWD's yymmddHHMM or yyyymmddHHMM; None for other digits."""
    digits = digits.replace("_", "")
    text = digits if len(digits) == 12 else f"20{digits}"
    try:
        return datetime.strptime(text, "%Y%m%d%H%M").replace(tzinfo=UTC)
    except ValueError:
        return None
