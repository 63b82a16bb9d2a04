"""DWD's catalogue of heavy rain, CatRaRE, as CSV: when each event was, and where its largest sum fell."""

import csv
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from core.errors import ConfigError, shown
from core.grid import RADOLAN_1100
from core.times import utc

YEARS: Final = (2019, 2020)
"""The test years of RainNet2024."""

NAMES: Final = ("Event_ID", "KEY_FIELD", "ID")
STARTS: Final = ("Date_START", "Start_Time", "START")
ENDS: Final = ("Date_END", "End_Time", "END")
PLACES: Final = (("x_RRmaxPRJ", "y_RRmaxPRJ"), ("lon", "lat"), ("x_RRmax", "y_RRmax"))
"""Names of columns in the editions of the catalogue (v2021.01 to v2026.01), the preferred ones first."""

LONGEST: Final = timedelta(hours=96)
"""No event of the catalogue is longer than 72 hours."""

ENCODINGS: Final = ("utf-8-sig", "latin-1")
_NUMBER = re.compile(r"(\d{12})(\d{2})?(?:\.0*)?")


@dataclass(frozen=True)
class CatalogueEvent:
    """One event of the catalogue.

    Attributes:
        name: its number in the catalogue.
        start, end: of its hours, aware UTC.
        lon, lat: of its largest sum, degrees on DWD's sphere.
    """

    name: str
    start: datetime
    end: datetime
    lon: float
    lat: float

    @property
    def day(self) -> str:
        """Return the day on which it starts, UTC: the unit of the bootstrap."""
        return f"{self.start:%Y-%m-%d}"


@dataclass(frozen=True)
class _Columns:
    name: str
    start: str
    end: str
    x: str
    y: str


def read_catalogue(path: Path, years: Collection[int] = YEARS) -> list[CatalogueEvent]:
    """Return the events that start in some years, in the order of time.

    Separators are commas, semicolons or tabs; names of columns may be in any case. Places are degrees, or metres in
    the projection of RADOLAN.

    Raises:
        ConfigError: not such a table, a row that is not an event, or no event in these years.
    """
    found: list[CatalogueEvent] = []
    seen: set[int] = set()
    for number, row, columns in _rows(path):
        try:
            event = _event(row, columns)
        except ValueError as err:
            raise ConfigError(f"{path}, row {number}: {err}") from err
        seen.add(event.start.year)
        if event.start.year in years:
            found.append(event)
    if not found:
        there = f"events of {min(seen)} to {max(seen)}" if seen else "no row"
        raise ConfigError(f"{path}: expected events of {', '.join(map(str, sorted(years)))}, got {there}")
    return sorted(found, key=lambda event: (event.start, event.end, event.name))


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str], _Columns]]:
    """Yield each row with its number and the columns to use; the header is row 1."""
    lines = _text(path).splitlines()
    if not lines:
        raise ConfigError(f"{path}: expected a table of CatRaRE as CSV, got an empty file")
    separator = max(",;\t", key=lines[0].count)
    table = csv.DictReader(lines, delimiter=separator, skipinitialspace=True)
    columns = _columns(path, table.fieldnames or ())
    for number, row in enumerate(table, start=2):
        yield number, row, columns


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as err:
        raise ConfigError(f"{path}: expected a table of CatRaRE as CSV: {err.strerror or err}") from err
    if b"\0" in content[:4096]:
        raise ConfigError(f"{path}: expected a table of CatRaRE as CSV, got a binary file (a GeoPackage or FileGDB?)")
    for encoding in ENCODINGS:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes all bytes")


def _columns(path: Path, header: Sequence[str]) -> _Columns:
    by_lower = {name.strip().lower(): name for name in header}
    single = [next((by_lower[name.lower()] for name in names if name.lower() in by_lower), None) for names in _SINGLE]
    pair = next((pair for pair in PLACES if all(name.lower() in by_lower for name in pair)), None)
    name, start, end = single
    if name is None or start is None or end is None or pair is None:
        expected = ", ".join([*("/".join(names) for names in _SINGLE), " or ".join("+".join(p) for p in PLACES)])
        raise ConfigError(f"{path}: expected the columns {expected}, got {shown(', '.join(header))}")
    return _Columns(name, start, end, *(by_lower[name.lower()] for name in pair))


_SINGLE: Final = (NAMES, STARTS, ENDS)


def _event(row: Mapping[str, str], columns: _Columns) -> CatalogueEvent:
    name, start, end, x, y = (str(row[column] or "").strip() for column in vars(columns).values())
    started, ended = _time(columns.start, start), _time(columns.end, end)
    if not timedelta(0) < ended - started <= LONGEST:
        raise ValueError(f"expected an end within {LONGEST} after the start, got {start} to {end}")
    return CatalogueEvent(name, started, ended, *_lon_lat(columns, x, y))


def _time(column: str, text: str) -> datetime:
    """Return a time in UTC; `201906111650` and ISO 8601 are both in use."""
    number = _NUMBER.fullmatch(text)
    try:
        return datetime.strptime(number[1], "%Y%m%d%H%M").replace(tzinfo=UTC) if number else utc(text)
    except ValueError as err:
        raise ValueError(f"{column}: expected a time such as 2019-06-11 16:50:00, got {shown(text)}") from err


def _lon_lat(columns: _Columns, x: str, y: str) -> tuple[float, float]:
    try:
        east, north = float(x), float(y)
    except ValueError as err:
        raise ValueError(f"{columns.x}, {columns.y}: expected two numbers, got {shown(x)}, {shown(y)}") from err
    if abs(east) <= 180 and abs(north) <= 90:
        return east, north
    lon, lat = RADOLAN_1100.to_lon_lat(np.array(east), np.array(north))
    if not (0 <= float(lon) <= 20 and 44 <= float(lat) <= 60):
        raise ValueError(
            f"{columns.x}, {columns.y}: expected degrees, or metres of RADOLAN's projection near Germany, got {x}, {y}"
        )
    return float(lon), float(lat)
