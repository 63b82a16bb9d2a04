"""Reads values of a file by a program of another Python: `python foreign_readers.py READER FILE NAME LEAD PLACES`.

PLACES is a list of x, y, longitude and latitude; what is printed are the values there, null where there is none.
"""

import json
import math
import sys


def rioxarray(path, name, lead, places):
    import rioxarray as package

    with package.open_rasterio(path, variable=name, mask_and_scale=True) as opened:
        found = opened[name] if hasattr(opened, "data_vars") else opened
        field = found.isel(time=lead)
        return [float(field.sel(x=x, y=y, method="nearest")) for x, y, _, _ in places]


def qgis(path, name, lead, places):
    """As a layer of the map: by longitude and latitude, in the system that QGIS reads from the file."""
    from qgis.core import (
        QgsApplication,
        QgsCoordinateReferenceSystem,
        QgsCoordinateTransform,
        QgsPointXY,
        QgsProject,
        QgsRasterLayer,
    )

    application = QgsApplication([], False)
    application.initQgis()
    source = f'NETCDF:"{path}":{name}' if name else path
    layer = QgsRasterLayer(source, "rain", "gdal")
    if not layer.isValid() or not layer.crs().isValid():
        sys.exit(f"QGIS opens no layer of {source}")
    earth = QgsCoordinateReferenceSystem("EPSG:4326")
    transform = QgsCoordinateTransform(earth, layer.crs(), QgsProject.instance())
    values = []
    for _, _, lon, lat in places:
        value, is_found = layer.dataProvider().sample(transform.transform(QgsPointXY(lon, lat)), lead + 1)
        values.append(value if is_found else math.nan)
    return values


if __name__ == "__main__":
    reader, path, name, lead, places = sys.argv[1:]
    found = {"rioxarray": rioxarray, "qgis": qgis}[reader](path, name, int(lead), json.loads(places))
    print(json.dumps([None if math.isnan(value) else value for value in found]))
