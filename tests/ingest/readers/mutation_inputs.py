"""The undamaged files that `mutations` starts from, of every reader and dialect, and damage to parts of them."""

import io
import re
import tempfile
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from core.grid import RADOLAN_900, Grid
from core.times import utc
from tests.golden.make_reader_files import zipped
from tests.ingest.archive.sources import tar_bytes
from tests.ingest.readers.knmi_files import knmi_file
from tests.ingest.readers.odim_files import DIALECTS, odim_file
from tests.ingest.readers.radolan_files import Header, radolan_file, wrapped
from tests.ingest.readers.test_cf_layouts import LAYOUTS, MAP_GRID, field_THW, on_a_map
from tests.ingest.readers.test_radklim import radklim

END = utc("2024-06-01T12:00Z")
SMALL_GRID: Grid = RADOLAN_900.resized(30, 25)
LAYOUTS_TRIED = (
    *("time y x", "both turned and transposed", "kilometre", "grid mapping of CF 1.7", "kg m-2 s-1"),
    *(
        "amount with bounds",
        "packed short",
        "valid_range without fill",
        "1e20",
        "days since 1970",
        "hours with an offset",
    ),
)
CLASSIC_TRIED = ("time y x", "x y time", "m s-1", "packed short", "valid_max", "days since 1970")
STORES_TRIED = ("time y x", "packed short", "amount with bounds")

HEADER_TOKENS = re.compile(
    rb"^(?P<product>[A-Z][A-Z0-9])(?P<time>\d{6})(?P<station>\d{5})(?P<month>\d{4})"
    rb"|BY(?P<bytes>[ \d]{7})|VS(?P<version>[ \d]{2})|PR(?P<precision>.{5})|INT(?P<interval>.{4}(?:U\d)?)"
    rb"|GP(?P<size>.{9})|VV(?P<lead>.{4})|MS(?P<radars>.*)"
)


def meaning_of_header(header: bytes) -> dict[str, bytes]:
    """What the tokens of a RADOLAN header state of the field."""
    found: dict[str, bytes] = {"length": b"%d" % len(header)}
    for token in HEADER_TOKENS.finditer(header):
        found |= {name: value for name, value in token.groupdict().items() if value is not None}
    return found


def _radolan(product: str, version: int = 3) -> bytes:
    random = np.random.default_rng(1)
    counts = product in ("RX", "EX", "WX")
    raw_HW = random.integers(0, 240 if counts else 400, (900, 900)).astype("u1" if counts else "<u2")
    at = datetime(2024, 6, 1, 15, 30)  # noqa: DTZ001 - the header's digits
    lead = 60 if product in ("RV", "RQ") else None
    header = Header(product, at, version=version, digits=0 if counts else 2, lead_minutes=lead, radars=("asb", "boo"))
    return radolan_file(header, raw_HW)


def radolan_binary() -> dict[str, bytes]:
    """Composites of 16 and 8 bits, of both figures of the Earth, with and without a lead."""
    files = {product: _radolan(product) for product in ("RY", "RW", "RV", "RX")}
    return {**files, "RY5": _radolan("RY", version=5)}


def radolan_ascii() -> dict[str, bytes]:
    """Both kinds of ASCII grids."""
    random = np.random.default_rng(2)
    files = {}
    for nodata in ("-1", "-9999"):
        header = f"ncols 900\nnrows 900\nxllcorner -523462\nyllcorner -4658645\ncellsize 1000\nNODATA_value {nodata}\n"
        rows = random.integers(0, 9, (900, 900)).tolist()
        body = "".join(" ".join(map(str, row)) + "\n" for row in rows)
        files[f"RW_2024022{nodata[1]}-2350.asc"] = (header + body).encode()
    return files


def radklim_day() -> dict[str, bytes]:
    """Three fields in DWD's layout."""
    with tempfile.TemporaryDirectory() as folder:
        return {"YW.nc": radklim(Path(folder) / "YW.nc").read_bytes()}


def _layouts(names: tuple[str, ...], **options: Any) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name in names:
            path = Path(folder) / "rain.nc"
            data = LAYOUTS[name](on_a_map(field_THW(3, MAP_GRID.shape)))
            data.to_netcdf(path, **options)
            files[name] = path.read_bytes()
        return files


def netcdf4() -> dict[str, bytes]:
    """CF layouts in NetCDF4, contiguous."""
    return _layouts(LAYOUTS_TRIED)


def netcdf3() -> dict[str, bytes]:
    """CF layouts in classic NetCDF."""
    return _layouts(CLASSIC_TRIED, format="NETCDF3_64BIT", engine="scipy")


def stores() -> dict[str, bytes]:
    """Zipped Zarr stores of both versions."""
    files = {}
    for version in (2, 3):
        for name in STORES_TRIED:
            with tempfile.TemporaryDirectory() as folder:
                data = LAYOUTS[name](on_a_map(field_THW(3, MAP_GRID.shape)))
                data.to_zarr(folder, zarr_format=version, consolidated=version == 2)
                files[f"{name} {version}"] = zipped(Path(folder))
    return files


def odim() -> dict[str, bytes]:
    """Every dialect of ODIM."""
    rate_mmh_HW = np.array([[0.0, 3.5, 12.0], [np.nan, 0.5, 0.0]])
    return {dialect.name: odim_file(dialect, rate_mmh_HW, END) for dialect in DIALECTS}


def knmi() -> dict[str, bytes]:
    """Accumulations and reflectivity."""
    counts = np.array([[0, 100, 200], [65535, 5, 0]], "u2")
    small = np.array([[0, 100, 200], [255, 5, 0]], "u1")
    return {
        "sum": knmi_file("PRECIP_[MM]", "GEO=0.01*PV+0.0", counts, missing=65535, outside=65535),
        "dbz": knmi_file("REFLECTIVITY_[DBZ]", "GEO=0.5*PV+-32.0", small, missing=0, outside=255),
    }


def rydl() -> dict[str, bytes]:
    """A RYDL.hdf5 of six fields, plain and packed."""
    files = {}
    for name, packing in (("plain", None), ("packed", "gzip")):
        random = np.random.default_rng(4)
        with h5py.File(content := io.BytesIO(), "w") as root:
            for minute in range(0, 30, 5):
                depth_mm_HW = random.integers(0, 90, (30, 25)).astype("f4") / 100
                depth_mm_HW[0, 0] = -9999.0
                root.create_dataset(f"2024060112{minute:02}", data=depth_mm_HW, compression=packing)
        files[name] = content.getvalue()
    return files


def packed() -> dict[str, bytes]:
    """Small files in gzip, bzip2 and tar."""
    inner = {str(number): file for number, file in enumerate(list(odim().values())[:3])}
    first = inner["0"]
    files = {how: wrapped(first, how) for how in ("gz", "bz2", "tar.gz", "tar.bz2")}
    return {**files, "tar of gz": wrapped(tar_bytes({"a": wrapped(first, "gz"), "b": wrapped(first, "bz2")}), "gz")}


FILES: dict[str, Callable[[], dict[str, bytes]]] = {
    "radolan-binary": radolan_binary,
    "radolan-ascii": radolan_ascii,
    "radklim": radklim_day,
    "netcdf4": netcdf4,
    "netcdf3": netcdf3,
    "zarr": stores,
    "odim-h5": odim,
    "knmi-hdf5": knmi,
    "rydl": rydl,
    "packed": packed,
}

VALUES: tuple[object, ...] = (
    *(np.nan, np.inf, -1, 0, 1e30, 2**63 - 1, b"", b"\xff\xfe", b"nan", "text", np.zeros(3), np.zeros(0)),
)


def one_attribute_changed(content: bytes, random: np.random.Generator) -> bytes:
    """Replace, copy over or delete one attribute of an HDF5 file."""
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as root:
        places: list[tuple[str, str]] = [("/", name) for name in root.attrs]
        root.visititems(lambda path, item: places.extend((path, name) for name in item.attrs))
        places = [(path, name) for path, name in places if name not in ("DIMENSION_LIST", "REFERENCE_LIST")]
        if not places:
            root.attrs["remark"] = np.zeros(3)
            return _closed(file, root)
        path, name = places[random.integers(len(places))]
        choice = int(random.integers(len(VALUES) + 2))
        if choice < len(VALUES):
            root[path].attrs[name] = VALUES[choice]
        elif choice == len(VALUES):
            del root[path].attrs[name]
        else:
            other_path, other = places[random.integers(len(places))]
            root[path].attrs[name] = root[other_path].attrs[other]
        return _closed(file, root)


def one_member_changed(content: bytes, damage: Callable[[bytes], bytes], random: np.random.Generator) -> bytes:
    """Damage one file of a zip archive, whose checksums are right again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[random.integers(len(members))]
    members[name] = damage(members[name])
    with zipfile.ZipFile(changed := io.BytesIO(), "w") as archive:
        for each, value in members.items():
            archive.writestr(each, value)
    return changed.getvalue()


def _closed(file: io.BytesIO, root: Any) -> bytes:
    root.close()
    return file.getvalue()
