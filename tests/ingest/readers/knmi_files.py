"""KNMI's own HDF5 composites, invented on a small grid."""

import io
from datetime import datetime, timedelta
from typing import Final

import h5py
import numpy as np
from pyproj import Proj

from core.times import utc

END: Final = utc("2021-06-22T20:05Z")


def knmi_file(
    parameter: str, formula: str, counts: np.ndarray, *, missing: int, outside: int, end: datetime = END
) -> bytes:
    """Five minutes in KNMI's layout of 2021 on a small grid; row 0 is the northern one."""
    rows, cols = counts.shape
    projection = "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378.14 +b=6356.75 +x_0=0 y_0=0"
    with h5py.File(content := io.BytesIO(), "w") as root:
        overview = {"product_group_name": "RAD_NL25_RAC"}
        for name, time in (("start", end - timedelta(minutes=5)), ("end", end)):
            overview[f"product_datetime_{name}"] = time.strftime("%d-%b-%Y;%H:%M:%S.000").upper()
        root.create_group("overview").attrs.update({name: np.bytes_(text) for name, text in overview.items()})
        where = root.create_group("geographic")
        where.attrs["geo_dim_pixel"] = np.bytes_("KM,KM")
        pixels = {
            "geo_column_offset": 100.0,
            "geo_row_offset": 3700.0,
            "geo_pixel_size_x": 1.0,
            "geo_pixel_size_y": -1.0,
        }
        pixels |= {"geo_number_columns": cols, "geo_number_rows": rows}
        where.attrs.update({name: np.array([value]) for name, value in pixels.items()})
        where.create_group("map_projection").attrs["projection_proj4_params"] = np.bytes_(projection)
        project = Proj(projection.replace("6378.14", "6378140").replace("6356.75", "6356750").replace("y_0", "+y_0"))
        edges = [(100, -3700 - rows), (100, -3700), (100 + cols, -3700), (100 + cols, -3700 - rows)]
        where.attrs["geo_product_corners"] = np.array(
            [project(x * 1e3, y * 1e3, inverse=True) for x, y in edges]
        ).ravel()
        image = root.create_group("image1")
        image.attrs["image_geo_parameter"] = np.bytes_(parameter)
        calibration = image.create_group("calibration")
        calibration.attrs["calibration_formulas"] = np.bytes_(formula)
        calibration.attrs["calibration_missing_data"] = np.array([missing])
        calibration.attrs["calibration_out_of_image"] = np.array([outside])
        image.create_dataset("image_data", data=counts)
    return content.getvalue()
