"""Invented RADKLIM YW in DWD's layouts: a rain cell that moves east over a dry country, binary in tar and NetCDF."""

import io
import tarfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from pyproj import CRS

from core.grid import RADOLAN_1100, RADOLAN_SPHERE
from tests.ingest.readers.radolan_files import NO_DATA, Header, radolan_file

RADARS = (
    *("boo", "ros", "emd", "hnr", "umd", "pro", "ess", "fld", "drs", "neu"),
    *("nhb", "oft", "eis", "tur", "isn", "fbg", "mem"),
)
ROW, COL = 600, 400
"""Grid cell of the rain at `START`, rows from the north."""

START = datetime.fromisoformat("2019-06-11T14:00Z")
LON_LAT = tuple(map(float, RADOLAN_1100.to_lon_lat(RADOLAN_1100.x_centres_m[COL], RADOLAN_1100.y_centres_m[ROW])))
COUNTS_PEAK = 300
"""Largest value of a field in 0.01 mm: 36 mm/h."""

WIDTH, REACH = 8, 40


def times(hours: float, start: datetime = START) -> list[datetime]:
    return [start + timedelta(minutes=5 * number) for number in range(round(hours * 12) + 1)]


def counts_HW(time: datetime) -> np.ndarray:
    """Counts of 0.01 mm in 5 minutes, row 0 in the north: one cell per step to the east, not observed in the west."""
    counts = np.zeros(RADOLAN_1100.shape, np.uint16)
    counts[:, :20] = NO_DATA | 2500
    col = COL + round((time - START).total_seconds() / 300)
    rows, cols = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
    rain = COUNTS_PEAK * np.exp(-(rows**2 + cols**2) / (2 * WIDTH**2))
    counts[ROW - REACH : ROW + REACH + 1, col - REACH : col + REACH + 1] = rain
    return counts


def yw_bytes(time: datetime, counts: np.ndarray) -> bytes:
    """A file of DWD's reanalysis, byte for byte."""
    header = Header(
        "YW",
        time,
        RADOLAN_1100.shape,
        software="2.18.3",
        unit="U0",
        flags="00000000",
        reanalysis="2017.002",
        radars=RADARS,
    )
    return radolan_file(header, counts[::-1].astype("<u2"))


def yw_name(time: datetime) -> str:
    return f"raa01-yw2017.002_10000-{time:%y%m%d%H%M}-dwd---bin"


def tar_bytes(files: Iterable[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def write_month(folder: Path, when: Iterable[datetime]) -> Path:
    """Days in a month, as DWD packs them: `YW2017.002_201906.tar.gz` with a tar.gz for each day."""
    by_day: dict[str, list[datetime]] = {}
    for time in when:
        by_day.setdefault(f"{time:%Y%m%d}", []).append(time)
    days = [
        (f"YW2017.002_{day}.tar.gz", tar_bytes((yw_name(time), yw_bytes(time, counts_HW(time))) for time in found))
        for day, found in by_day.items()
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"YW2017.002_{next(iter(by_day))[:6]}.tar.gz"
    path.write_bytes(tar_bytes(days))
    return path


def write_day(folder: Path, when: list[datetime]) -> Path:
    """One day in NetCDF, as DWD has it: sums in mm, rows from the south, a projection in kilometres."""
    counts_THW = np.stack([counts_HW(time)[::-1] for time in when])
    amount_THW = np.where(counts_THW & NO_DATA, np.nan, counts_THW / 100).astype(np.float32)
    crs = {"crs_wkt": CRS(RADOLAN_SPHERE.replace("+units=m", "+units=km")).to_wkt()}
    axes = {a: {"standard_name": f"projection_{a}_coordinate", "units": "m"} for a in "xy"}
    attributes = {"standard_name": "rainfall_amount", "units": "kg m-2", "grid_mapping": "crs"}
    dataset = xr.Dataset(
        {"RR": (("time", "y", "x"), amount_THW, attributes), "crs": ((), np.int32(0), crs)},
        coords={
            "time": [np.datetime64(time.replace(tzinfo=None), "ns") for time in when],
            "y": ("y", RADOLAN_1100.y_centres_m[::-1], axes["y"]),
            "x": ("x", RADOLAN_1100.x_centres_m, axes["x"]),
        },
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"YW_2017.002_{when[0]:%Y%m%d}.nc"
    dataset.to_netcdf(path, encoding={"RR": {"zlib": True, "complevel": 1, "_FillValue": np.float32(-1.0)}})
    return path


def write_catalogue(path: Path, rows: Iterable[tuple[str, datetime, datetime]]) -> Path:
    """A table with the columns of edition v2026.01, the place being that of the rain at `START`."""
    x_m, y_m = RADOLAN_1100.x_centres_m[COL], RADOLAN_1100.y_centres_m[ROW]
    lines = ["KEY_FIELD,Date_START,Date_END,Duration,x_RRmaxPRJ,y_RRmaxPRJ,SRImax"]
    for name, start, end in rows:
        lines.append(f"{name},{start:%Y-%m-%d %H:%M:%S},{end:%Y-%m-%d %H:%M:%S},1,{x_m:.0f},{y_m:.0f},5")
    path.write_text("\n".join(lines) + "\n")
    return path
