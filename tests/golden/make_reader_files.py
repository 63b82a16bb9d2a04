"""Writes the invented files of the reader contract: `python -m tests.golden.make_reader_files`.

Each holds no data outside of a frame's inner part, dry cells inside of it, and one shower in the north-western quarter.
"""

import gzip
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from pyproj import CRS, Proj

from core.times import utc
from tests.ingest.readers.knmi_files import knmi_file

HERE = Path(__file__).parent
SPHERE = "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +a=6370040 +b=6370040 +x_0=0 +y_0=0 +units=m +no_defs"
RADARS = "asb,boo,drs,eis,ess,fbg,fld,hnr,isn,mem,neu,nhb,oft,pro,ros,tur"  # no umd


def depth_units(rows: int, cols: int) -> np.ndarray:
    """Integers, row 0 in the north; -1 is not observed."""
    units = np.full((rows, cols), -1)
    edge = max(1, rows // 10)
    units[edge:-edge, edge:-edge] = 0
    units[rows // 4 : rows // 4 + edge, cols // 8 : cols // 8 + edge] = 25
    return units


def radolan_binary() -> None:
    units = depth_units(900, 900)
    raw = np.where(units < 0, 0x2000 | 2500, units)[::-1].astype("<u2").tobytes()
    rest = f"VS 3SW   2.29.1PR E-02INT   5GP 900x 900MS {len(RADARS) + 2:>2}<{RADARS}>"
    size = len("RY011530100000624BY1234567") + len(rest) + 1 + len(raw)
    header = f"RY011530100000624BY{size:>7}{rest}\x03".encode()
    (HERE / "radolan-binary.gz").write_bytes(gzip.compress(header + raw, 9, mtime=0))


def radolan_ascii() -> None:
    header = "ncols 900\nnrows 900\nxllcorner -523462\nyllcorner -4658645\ncellsize 1000\nNODATA_value -1\n"
    text = io.StringIO()
    np.savetxt(text, depth_units(900, 900), "%d")
    content = (header + text.getvalue()).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("RW_20240601-1550.asc")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    (HERE / "radolan-ascii.tar.gz").write_bytes(gzip.compress(packed.getvalue(), 9, mtime=0))


def odim_h5() -> None:
    rows, cols, pixel_m, west_m, north_m = 40, 36, 2000.0, -100_000.0, -4_000_000.0
    to_lon_lat = Proj(SPHERE)
    corners = {
        "UL": (west_m, north_m),
        "UR": (west_m + cols * pixel_m, north_m),
        "LR": (west_m + cols * pixel_m, north_m - rows * pixel_m),
        "LL": (west_m, north_m - rows * pixel_m),
    }
    units = depth_units(rows, cols)
    with h5py.File(HERE / "odim-h5.hdf5", "w") as root:
        root.attrs["Conventions"] = np.bytes_("ODIM_H5/V2_3")
        what, where, how = (root.create_group(name) for name in ("what", "where", "how"))
        what.attrs.update({"object": np.bytes_("COMP"), "date": np.bytes_("20240601"), "time": np.bytes_("153000")})
        what.attrs.update({"source": np.bytes_("ORG:78,CMT:invented"), "version": np.bytes_("H5rad 2.3")})
        where.attrs.update({"projdef": np.bytes_(SPHERE), "xsize": cols, "ysize": rows})
        where.attrs.update({"xscale": pixel_m, "yscale": pixel_m})
        for name, place in corners.items():
            lon, lat = to_lon_lat(*place, inverse=True)
            where.attrs.update({f"{name}_lon": lon, f"{name}_lat": lat})
        how.attrs["nodes"] = np.bytes_(",".join(f"'de{name}'" for name in RADARS.split(",")))
        dataset = root.create_group("dataset1")
        times = {"startdate": "20240601", "starttime": "152500", "enddate": "20240601", "endtime": "153000"}
        group = dataset.create_group("what")
        group.attrs.update({name: np.bytes_(value) for name, value in times.items()})
        group.attrs["prodname"] = np.bytes_("RY")
        data = dataset.create_group("data1")
        scale = {"gain": 0.01, "offset": -0.01, "nodata": 65535.0, "undetect": 0.0}
        data.create_group("what").attrs.update({"quantity": np.bytes_("ACRR"), **scale})
        counts = np.where(units < 0, 65535, np.where(units > 0, units + 1, 0)).astype("u2")
        data.create_dataset("data", data=counts, compression="gzip")


def knmi_hdf5() -> None:
    units = depth_units(40, 36)
    counts = np.where(units < 0, 65535, units).astype("u2")
    content = knmi_file(
        "PRECIP_[MM]", "GEO=0.01*PV+0.0", counts, missing=65535, outside=65535, end=utc("2024-06-01T15:30Z")
    )
    (HERE / "knmi-hdf5.h5").write_bytes(content)


def cf_dataset() -> tuple[xr.Dataset, dict[str, dict[str, Any]]]:
    units = depth_units(40, 36)
    rate = np.where(units < 0, np.nan, units * 0.12).astype("f4")[::-1]
    times = np.array(["2024-06-01T15:30", "2024-06-01T16:00"], "datetime64[ns]")
    rate_attributes = {"standard_name": "lwe_precipitation_rate", "units": "mm h-1", "grid_mapping": "crs"}
    dataset = xr.Dataset(
        {
            "precipitation_rate": (("time", "y", "x"), np.stack([rate, rate]), rate_attributes),
            "crs": ((), np.int32(0), CRS(SPHERE).to_cf()),
        },
        coords={
            "time": times,
            "y": ("y", -4_079_000.0 + 2000.0 * np.arange(40), {"units": "m"}),
            "x": ("x", -99_000.0 + 2000.0 * np.arange(36), {"units": "m"}),
        },
        attrs={"Conventions": "CF-1.11", "product": "invented", "interval_minutes": 5},
    )
    packing = {"dtype": "i2", "scale_factor": 0.01, "_FillValue": -32768}
    encoding: dict[str, dict[str, Any]] = {"precipitation_rate": packing, "time": {"units": "seconds since 1970-01-01"}}
    return dataset, encoding


def cf_netcdf() -> None:
    dataset, encoding = cf_dataset()
    encoding["precipitation_rate"]["zlib"] = True
    dataset.to_netcdf(HERE / "cf-netcdf.nc", engine="netcdf4", encoding=encoding)


def cf_zarr() -> None:
    dataset, encoding = cf_dataset()
    with tempfile.TemporaryDirectory() as folder:
        dataset.to_zarr(folder, zarr_format=2, encoding=encoding, consolidated=True)
        (HERE / "cf-zarr.zip").write_bytes(zipped(Path(folder)))


def zipped(folder: Path) -> bytes:
    """Return the files of a folder as a zip archive without times of its own."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())
    return content.getvalue()


if __name__ == "__main__":
    radolan_binary()
    radolan_ascii()
    odim_h5()
    knmi_hdf5()
    cf_netcdf()
    cf_zarr()
