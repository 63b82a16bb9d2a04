"""RADOLAN binary composites of DWD (RADOLAN/RADVOR-OP Kompositformat 2.5): wradlib parses the header."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, timedelta
from functools import lru_cache
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from core.arrays import Float32Field
from core.errors import FrameError
from core.frame import RadarFrame
from core.grid import dwd_grid
from core.units import DRY_DBZ, DWD_ZR, rate_from_depth
from ingest.radar_sites import DWD_CREDIT, missing_dwd_radars
from ingest.readers.base import READERS, ProductError, Reader, limits_of, rate_field
from ingest.writers.radolan import INVENTED

DEPTHS: Final = ("RY", "RZ", "YW", "RV", "RW", "SF", "RQ")
"""16-bit products: a depth in mm over the header's interval."""

REFLECTIVITIES: Final = ("RX", "EX", "WX")
"""8-bit products: RVP6 counts of reflectivity."""

REFUSED: Final[Mapping[str, str]] = {
    "RE": "the solid fraction of precipitation (0 to 1), not an amount of rain",
    "PG": "seven levels of reflectivity for a picture, too coarse for a rain rate",
}

EUROPEAN: Final = ("EX",)
"""Products whose list of radars is not that of the German network."""

BLOCK_ROWS: Final = 100
MAX_HEADER_BYTES: Final = 2048
WGS84_SINCE_VERSION: Final = 5
NO_DATA_FLAG: Final = 0x2000
DEPTH_BITS: Final = 0x0FFF
NEGATIVE_FLAG: Final = 0x4000
CLUTTER_FLAG: Final = 0x8000
CLUTTER_COUNT: Final = 249
FIRST_FLAG_COUNT: Final = 249
"""8-bit counts from here on are clutter (249), no data (250) or undefined."""

PRECISIONS: Final = (1.0, 0.1, 0.01, 0.001)
MAX_INTERVAL_MINUTES: Final = 366 * 1440

_START = re.compile(rb"[A-Z][A-Z0-9]\d{6}\d{5}\d{4}BY[ \d]")


def matches(head: bytes) -> bool:
    """Return whether the file begins with product, ddHHMM, station, mmyy and the length token `BY`."""
    return _START.match(head) is not None


def read_radolan_binary(file: BinaryIO) -> list[RadarFrame]:
    """Read one composite; row 0 of the file is the southern one and becomes the last.

    Depths (RY, RZ, YW, RV, RW, SF, RQ) become the mean rate over the header's interval, counts (RX, EX, WX) are
    converted with DWD's Z-R relation, with -32.5 dBZ as dry. The valid time is the header's time plus the lead time
    `VV`. Cells with the no-data, clutter or negative flag are not observed (YW keeps a plausible value under the
    clutter flag, which is not used; the flags are part of the frame); cells of the secondary source are observed. Grids
    of format version 5 are on WGS84, older ones on the sphere.

    Raises:
        FrameError: damaged or cut, a size that no DWD composite has, or a product without rain rates (RE, PG).
    """
    content = file.read()
    header, attrs = _header(content)
    _check_layout(header, attrs, len(content))
    limits_of(file).check_cells(attrs["nrow"], attrs["ncol"])
    product, lead_minutes = attrs["producttype"], attrs.get("predictiontime", 0)
    grid = dwd_grid(attrs["nrow"], attrs["ncol"], wgs84=attrs.get("formatversion", 0) >= WGS84_SINCE_VERSION)
    valid_time = attrs["datetime"].replace(tzinfo=UTC) + timedelta(minutes=lead_minutes)
    sites = () if product in EUROPEAN else attrs.get("radarlocations", ())
    raw_HW = _raw(content, attrs)
    frame = RadarFrame(
        valid_time,
        grid,
        _looked_up(_rate_table(product, attrs), raw_HW),
        product,
        interval_minutes=0.0 if product in REFLECTIVITIES else attrs["intervalseconds"] / 60,
        lead_minutes=lead_minutes,
        missing_radars=missing_dwd_radars(sites, valid_time),
        provider=None if attrs.get("radolanversion") == INVENTED else DWD_CREDIT,
        clutter_HW=_clutter(raw_HW),
    )
    return [frame]


def _wradlib() -> Any:
    """Import wradlib's reader at its first use: that takes seconds, and most processes read no such file."""
    import wradlib.io.radolan

    return wradlib.io.radolan


def _header(content: bytes) -> tuple[str, dict[str, Any]]:
    end = content[:MAX_HEADER_BYTES].find(b"\x03")
    if end < 0:
        raise FrameError(
            f"RADOLAN header has no end mark in its first {min(len(content), MAX_HEADER_BYTES)} bytes: cut"
        )
    try:
        header = content[:end].decode("ascii")
        product = header[:2]
        if product in REFUSED:
            raise ProductError(f"product: expected one of {_products()}, got {product}, which is {REFUSED[product]}")
        if product not in DEPTHS + REFLECTIVITIES:
            raise ProductError(f"product: expected one of {_products()}, got {product}")
        return header, _wradlib().parse_dwd_composite_header(header)
    except (ValueError, LookupError, TypeError, AttributeError) as err:
        raise FrameError(f"RADOLAN header {content[:40]!r}... does not parse: {err}") from err


def _products() -> str:
    return ", ".join(DEPTHS + REFLECTIVITIES)


def _check_layout(header: str, attrs: Mapping[str, Any], size: int) -> None:
    """Check the header against itself and against the file's length, before wradlib allocates memory."""
    tokens = {"datasize": "BY", "precision": "PR", "intervalseconds": "INT", "nrow": "GP", "ncol": "GP"}
    absent = sorted({token for key, token in tokens.items() if key not in attrs})
    if absent:
        raise FrameError(f"RADOLAN header without {', '.join(absent)}")
    if attrs["radarid"] != "10000":
        raise FrameError(
            f"product {attrs['producttype']}: expected a composite (10000), got station {attrs['radarid']}"
        )
    stated = attrs["datasize"] + len(header) + 1
    if stated != size:
        raise FrameError(
            f"file of {size:,} bytes; its header states {stated:,} (BY): {'cut' if size < stated else 'longer'}"
        )
    bits = 8 if attrs["producttype"] in REFLECTIVITIES else 16
    if attrs["datasize"] != attrs["nrow"] * attrs["ncol"] * bits // 8:
        raise FrameError(
            f"expected {attrs['nrow']} x {attrs['ncol']} cells of {bits} bits, got {attrs['datasize']:,} bytes of data"
        )
    if not any(math.isclose(attrs["precision"], known, rel_tol=1e-6) for known in PRECISIONS):
        raise FrameError(f"precision: expected one of {PRECISIONS}, got {attrs['precision']}")
    if not 0 < attrs["intervalseconds"] <= MAX_INTERVAL_MINUTES * 60:
        raise FrameError(f"interval: expected more than 0 s and at most a year, got {attrs['intervalseconds']} s")
    if attrs.get("predictiontime", 0) < 0:
        raise FrameError(f"lead time: expected 0 minutes or more, got {attrs['predictiontime']}")


def _raw(content: bytes, attrs: Mapping[str, Any]) -> NDArray[np.unsignedinteger[Any]]:
    """Return the integers of the file's body, row 0 in the north."""
    kind: np.dtype[Any] = np.dtype("u1" if attrs["producttype"] in REFLECTIVITIES else "<u2")
    raw_N: NDArray[np.unsignedinteger[Any]] = np.frombuffer(content, kind, offset=len(content) - attrs["datasize"])
    return raw_N.reshape(attrs["nrow"], attrs["ncol"])[::-1]


def _rate_table(product: str, attrs: Mapping[str, Any]) -> Float32Field:
    """Return mm/h for each possible integer: a lookup takes half the time of decoding cell by cell, to the same bit."""
    if product in REFLECTIVITIES:
        return _rate_of_counts()
    return _rate_of_depths(float(attrs["precision"]), float(attrs["intervalseconds"]))


def _looked_up(table_mmh: Float32Field, raw_HW: NDArray[np.unsignedinteger[Any]]) -> Float32Field:
    """Return the table's entry for each integer; NumPy widens the integers to indices, block by block in the cache."""
    rate_mmh_HW = np.empty(raw_HW.shape, np.float32)
    for row in range(0, len(raw_HW), BLOCK_ROWS):
        block = slice(row, row + BLOCK_ROWS)
        table_mmh.take(raw_HW[block], out=rate_mmh_HW[block], mode="wrap")  # other modes would copy the output
    return rate_mmh_HW


@lru_cache(maxsize=1)
def _rate_of_counts() -> Float32Field:
    table_mmh = DWD_ZR.rate_mmh(np.arange(2**8) / 2 + DRY_DBZ)
    table_mmh[FIRST_FLAG_COUNT:] = np.nan
    return rate_field(table_mmh)


@lru_cache(maxsize=16)
def _rate_of_depths(precision_mm: float, interval_s: float) -> Float32Field:
    counts_N = np.arange(2**16)
    is_lost_N = (counts_N & (NO_DATA_FLAG | NEGATIVE_FLAG | CLUTTER_FLAG)) > 0
    depth_mm_N = np.where(is_lost_N, np.nan, (counts_N & DEPTH_BITS) * precision_mm)
    return rate_field(rate_from_depth(depth_mm_N, interval_s / 60).astype(np.float32))


def _clutter(raw_HW: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.bool_] | None:
    """Return the cells with the clutter flag, None if there are none; cells without data are never clutter."""
    if raw_HW.dtype == np.uint8:
        clutter_HW = raw_HW == CLUTTER_COUNT
    elif raw_HW.max() < CLUTTER_FLAG:
        return None
    else:
        clutter_HW = (raw_HW & (CLUTTER_FLAG | NO_DATA_FLAG)) == CLUTTER_FLAG
    return np.asarray(clutter_HW) if clutter_HW.any() else None


READERS.register("radolan-binary")(Reader(matches, read_radolan_binary))
