"""Invented ODIM_H5 composites in the dialects of real writers."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import h5py
import numpy as np
from pyproj import Proj

from core.units import DWD_ZR, FMI_ZR, MARSHALL_PALMER_ZR, METEOSWISS_ZR, ZRRelation

STEREO = "+proj=stere +lat_0=90 +lon_0=10 +lat_ts=60 +a=6378137 +b=6356752.3142451802 +units=m +no_defs"
STEREO_KM = STEREO.replace("+units=m", "+units=km")
LAEA = "+proj=laea +lat_0=55.0 +lon_0=10.0 +x_0=1950000.0 +y_0=-2100000.0 +units=m +ellps=WGS84"
LCC = "+proj=lcc +lat_1=49.83333 +lat_2=51.16666 +lat_0=50.797815 +lon_0=4.359215 +x_0=649328 +y_0=665262 +ellps=GRS80"
SOMERC = "+proj=somerc +lat_0=46.9524055 +lon_0=7.4395833 +x_0=600000 +y_0=200000 +ellps=bessel +units=m"
AEQD = "+proj=aeqd +lat_0=61 +lon_0=25 +ellps=WGS84"
LONLAT = "+proj=longlat +datum=WGS84"


@dataclass(frozen=True)
class Dialect:
    """One way of writing a composite; `nominal` is the share of the interval before the nominal time."""

    name: str = "plain"
    quantity: str = "RATE"
    dtype: str = "u2"
    gain: float | None = 0.01
    offset: float | None = 0.0
    nodata: float | None = 65535.0
    undetect: float | None = 0.0
    projdef: str = STEREO
    centre: tuple[float, float] = (7.0, 53.0)
    cell: float = 2000.0
    scale: float = 1.0
    corners: tuple[str, ...] = ("LL", "UL", "UR", "LR")
    at_centres: bool = False
    attributes: str = "scalar"
    clock: str = "%H%M%S"
    nominal: float = 1.0
    minutes: float = 5.0
    conventions: str | None = "ODIM_H5/V2_2"
    kind: str = "COMP"
    source: str = "ORG:247,CMT:test"
    relation: ZRRelation = MARSHALL_PALMER_ZR
    states_relation: bool = False
    prodname: str | None = None
    change: Callable[[Any], object] = lambda root: None


def quality_dataset(root: Any) -> None:
    """Add dataset2 with QIND."""
    root.copy("dataset1", "dataset2")
    root["dataset2/data1/what"].attrs["quantity"] = np.bytes_("QIND")


def quality_group(root: Any) -> None:
    """Add dataset1/quality1 and dataset1/data1/quality1."""
    for holder in ("dataset1", "dataset1/data1"):
        root.copy("dataset1/data1", f"{holder}/quality1")


def velocity_first(root: Any) -> None:
    """Make VRAD the first field of the data set, and rain the second."""
    root.move("dataset1/data1", "dataset1/data2")
    root.copy("dataset1/data2", "dataset1/data1")
    root["dataset1/data1/what"].attrs["quantity"] = np.bytes_("VRAD")


def accumulation_of_a_day(root: Any) -> None:
    """Add dataset2 with the same quantity over 24 hours to the same end."""
    root.copy("dataset1", "dataset2")
    day = datetime.strptime(root["dataset2/what"].attrs["enddate"].decode() + "+0000", "%Y%m%d%z") - timedelta(days=1)
    root["dataset2/what"].attrs["startdate"] = np.bytes_(f"{day:%Y%m%d}")
    root["dataset2/what"].attrs["starttime"] = root["dataset2/what"].attrs["endtime"]


def inner_where(root: Any) -> None:
    """Move the grid into the data set."""
    root.move("where", "dataset1/where")


DIALECTS = (
    Dialect(),
    Dialect("DWD RY", offset=-0.01, gain=0.01, quantity="RATE", source="ORG:78,CTY:616", prodname="RY_top_view"),
    Dialect("DWD RV", "ACRR", "u4", 0.001, -0.001, 2.0**32 - 1, source="ORG:78,CTY:616", prodname="RV"),
    Dialect("ODYSSEY", "RATE", "f8", 1.0, 0.0, -9999000.0, -8888000.0, LAEA, nominal=2 / 3, minutes=15),
    Dialect("NIMBUS", "RATE", "f4", 1.0, 0.0, -9999000.0, -8888000.0, LAEA, nominal=0.0, minutes=15),
    Dialect("NIMBUS ACRR", "ACRR", "f8", 1.0, 0.0, -9999000.0, -8888000.0, LAEA, minutes=60),
    Dialect("CIRRUS", "DBZH", "f8", 1.0, 0.0, -9999000.0, -8888000.0, LAEA, cell=1000.0, nominal=0.0),
    Dialect("RMI", "RATE", "f4", None, None, np.nan, None, LCC, (4.4, 50.8), 1000.0, source="NOD:be"),
    Dialect("RMI ACRR", "ACRR", "f8", 1.0, 0.0, np.nan, np.nan, LCC, (4.4, 50.8), 1000.0, source="WMO:06477"),
    Dialect(
        "MeteoSwiss", "RATE", "f4", 1.0, 0.0, np.nan, 0.0, SOMERC, (8.2, 46.8), 1000.0, 0.001, source="ORG:215,CMT:x"
    ),
    Dialect(
        "MeteoSwiss DBZH",
        *("DBZH", "u1", 0.5, -32.0, 255.0, 0.0, SOMERC, (8.2, 46.8), 1000.0),
        source="NOD:chala",
        relation=METEOSWISS_ZR,
    ),
    Dialect("BALTRAD", "DBZH", "u1", 0.4, -30.0, 255.0, 0.0, LAEA, at_centres=True, source="NOD:se", kind="IMAGE"),
    Dialect("SHMU", "TH", "u1", 0.5, -32.0, 255.0, 0.0, source="WMO:11812,NOD:skjav", nominal=0.0),
    Dialect("DMI", "DBZH", "u1", 0.5, -32.0, 255.0, 0.0, source="ORG:94", minutes=10, nominal=0.0),
    Dialect("FMI", "DBZH", "u1", 0.5, -32.0, 255.0, 0.0, AEQD, (25.0, 61.0), source="NOD:fi", relation=FMI_ZR),
    Dialect("zr_a", "DBZH", "u1", 0.5, -32.0, 255.0, 0.0, relation=ZRRelation(300, 1.4, ""), states_relation=True),
    Dialect("DWD DBZH", "DBZH", "u2", 0.01, -327.68, source="ORG:78", relation=DWD_ZR),
    Dialect("two corners", corners=("LL", "UR")),
    Dialect("UL and LR at centres", corners=("UL", "LR"), at_centres=True),
    Dialect("projection in km", projdef=STEREO_KM),
    Dialect("projection and scale in km", projdef=STEREO_KM, scale=0.001),
    Dialect("scale in km", scale=0.001),
    Dialect("degrees", projdef=LONLAT, cell=0.02),
    Dialect("arrays of one", attributes="array"),
    Dialect("padded text", attributes="padded"),
    Dialect("numbers as text", attributes="text"),
    Dialect("Unicode text", attributes="unicode"),
    Dialect("HHMM", clock="%H%M"),
    Dialect("no conventions", conventions=None),
    Dialect("2.0", conventions="ODIM_H5/V2_0"),
    Dialect("2.4", conventions="ODIM_H5/V2_4"),
    Dialect("quality data set", change=quality_dataset),
    Dialect("quality groups", change=quality_group),
    Dialect("velocity first", change=velocity_first),
    Dialect("day's accumulation too", "ACRR", change=accumulation_of_a_day),
    Dialect("grid in the data set", change=inner_where),
    Dialect("no undetect", undetect=None),
    Dialect("nominal in the middle", nominal=0.5),
)


def place_of(dialect: Dialect, rows: int, cols: int) -> tuple[float, float]:
    """Return the outer north-western corner in the units of the projection, about the dialect's centre."""
    x, y = Proj(dialect.projdef)(*dialect.centre)
    cell = dialect.cell / 1000 if "units=km" in dialect.projdef else dialect.cell
    return x - cols * cell / 2, y + rows * cell / 2


def lon_lat_of(dialect: Dialect, rows: int, cols: int, inset: float) -> dict[str, tuple[float, float]]:
    """Return the four corners, `inset` cells within the outer edges."""
    west, north = place_of(dialect, rows, cols)
    cell = dialect.cell / 1000 if "units=km" in dialect.projdef else dialect.cell
    xs = {"L": west + inset * cell, "R": west + (cols - inset) * cell}
    ys = {"U": north - inset * cell, "L": north - (rows - inset) * cell}
    project = Proj(dialect.projdef)
    return {f"{v}{h}": project(xs[h], ys[v], inverse=True) for v in "UL" for h in "LR"}


def counts_of(dialect: Dialect, rate_mmh_HW: np.ndarray) -> np.ndarray:
    """Return the stored numbers of a field: NaN is `nodata` (or NaN), 0 is `undetect` (or a packed 0)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if dialect.quantity in ("DBZH", "TH"):
            value = dialect.relation.reflectivity_dbz(rate_mmh_HW)
        else:
            value = rate_mmh_HW * (dialect.minutes / 60 if dialect.quantity == "ACRR" else 1.0)
        packed = (value - (dialect.offset or 0.0)) / (dialect.gain or 1.0)
        if np.dtype(dialect.dtype).kind != "f":
            packed = np.clip(np.rint(packed), 1 if dialect.undetect is not None else 0, None)
    if dialect.undetect is not None and not np.isnan(dialect.undetect):
        packed = np.where(rate_mmh_HW == 0, dialect.undetect, packed)
    missing = np.nan if dialect.nodata is None else dialect.nodata
    return np.where(np.isnan(rate_mmh_HW), missing, packed).astype(dialect.dtype)


def odim_file(dialect: Dialect, rate_mmh_HW: np.ndarray, end: datetime) -> bytes:
    """Return the bytes of a composite in a dialect."""
    rows, cols = rate_mmh_HW.shape
    start = end - timedelta(minutes=dialect.minutes)
    nominal = start + (end - start) * dialect.nominal
    content = io.BytesIO()
    with h5py.File(content, "w") as root:
        if dialect.conventions:
            _put(root, {"Conventions": dialect.conventions}, dialect)
        times = {"date": f"{nominal:%Y%m%d}", "time": nominal.strftime(dialect.clock)}
        what = {"object": dialect.kind, "version": "H5rad 2.2", "source": dialect.source, **times}
        _put(root.create_group("what"), what, dialect)
        where: dict[str, Any] = {"projdef": dialect.projdef, "xsize": cols, "ysize": rows}
        where |= {"xscale": dialect.cell * dialect.scale, "yscale": dialect.cell * dialect.scale}
        for name, place in lon_lat_of(dialect, rows, cols, 0.5 if dialect.at_centres else 0.0).items():
            if name in dialect.corners:
                where |= {f"{name}_lon": place[0], f"{name}_lat": place[1]}
        _put(root.create_group("where"), where, dialect)
        dataset = root.create_group("dataset1")
        interval = {"startdate": f"{start:%Y%m%d}", "starttime": start.strftime(dialect.clock)}
        interval |= {"enddate": f"{end:%Y%m%d}", "endtime": end.strftime(dialect.clock)}
        _put(
            dataset.create_group("what"),
            interval | ({"prodname": dialect.prodname} if dialect.prodname else {}),
            dialect,
        )
        if dialect.states_relation:
            how = {"zr_a": dialect.relation.a, "zr_b": dialect.relation.b}
            _put(dataset.create_group("how"), how, dialect)
        data = dataset.create_group("data1")
        scale = {name: getattr(dialect, name) for name in ("gain", "offset", "nodata", "undetect")}
        stated = {name: value for name, value in scale.items() if value is not None}
        _put(data.create_group("what"), {"quantity": dialect.quantity, **stated}, dialect)
        data.create_dataset("data", data=counts_of(dialect, rate_mmh_HW), compression="gzip")
        dialect.change(root)
    return content.getvalue()


def _put(group: Any, attributes: dict[str, Any], dialect: Dialect) -> None:
    style = dialect.attributes
    for name, value in attributes.items():
        if isinstance(value, str):
            padded = value.encode() + (b" \0\0" if style == "padded" else b"")
            stored: Any = value if style == "unicode" else np.bytes_(padded)
            if style == "padded":
                stored = np.array(padded, dtype=f"S{len(padded) + 4}")
        else:
            stored = np.bytes_(repr(float(value))) if style == "text" else value
        group.attrs[name] = np.array([stored]) if style == "array" else stored
