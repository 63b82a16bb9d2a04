"""The credit of the radar data is in every answer of every media type: documents, tables, pictures and files."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import netCDF4
import pytest
from PIL import Image
from rasterio.io import MemoryFile
from starlette.testclient import TestClient

from service.api.pictures import credited
from tests.service.api_support import fill, frames_at, lead_times, running, service_at

CREDIT = "Radar: Wetterdienst Überall (CC BY 4.0)"
TILE = "2024-06-01T12:30:00Z/6/33/21.png"
WMS = "/wms?service=WMS&version=1.3.0&crs=EPSG:4326&bbox=50,9,52,11&width=20&height=20"
MAP = f"{WMS}&request=GetMap&layers=rainfall_rate&styles=&format=image/png"
INFO = f"{WMS}&request=GetFeatureInfo&layers=rainfall_rate&query_layers=rainfall_rate&styles=&i=3&j=3"
AREA = "POLYGON((9 50, 10 50, 10 51, 9 51, 9 50))"
EDR = "/collections/nowcast"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    service = service_at(tmp_path_factory.mktemp("home"), attribution=CREDIT)
    fill(service)
    service.forecast_stored()
    service.store.put(*frames_at(lead_times()[:1]))
    with running(service) as made:
        yield made


def of_json(content: bytes) -> list[str]:
    """Every text of a document that is under a name with `attribution`."""
    found = []

    def look(value: Any, name: str = "") -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                look(inner, key)
        elif isinstance(value, list):
            for inner in value:
                look(inner, name)
        elif "attribution" in name:
            found.append(str(value))

    look(json.loads(content))
    return found


def of_picture(content: bytes) -> list[str]:
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        texts = [picture.info.get("Copyright"), picture.info.get("comment"), picture.getexif().get(0x8298)]
    return [one.decode() if isinstance(one, bytes) else str(one) for one in texts if one]


def of_netcdf(content: bytes) -> list[str]:
    with netCDF4.Dataset("memory", memory=content) as dataset:
        return [dataset.attribution]


def of_hdf5(content: bytes) -> list[str]:
    with h5py.File(io.BytesIO(content)) as file:
        found = file["how"].attrs["attribution"]
    return [found.decode() if isinstance(found, bytes) else str(found)]


def of_geotiff(content: bytes) -> list[str]:
    with MemoryFile(content) as memory, memory.open() as raster:
        return [raster.tags()["ATTRIBUTION"]]


def of_text(content: bytes) -> list[str]:
    return [line for line in content.decode().splitlines() if "Wetterdienst" in line]


READERS: dict[str, Callable[[bytes], list[str]]] = {
    "application/json": of_json,
    "application/prs.coverage+json": of_json,
    "image/png": of_picture,
    "image/gif": of_picture,
    "image/webp": of_picture,
    "application/netcdf": of_netcdf,
    "application/x-hdf5": of_hdf5,
    "image/tiff": of_geotiff,
    "text/csv": of_text,
    "text/plain": of_text,
    "text/xml": of_text,
}
JSON, CSV, NETCDF = "application/json", "text/csv", "application/netcdf"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *((f"/nowcast/latest{part}", JSON) for part in ("", "/map", "/motion", "/box?bbox=9,50,10,51")),
        *((f"/nowcast/latest/{part}?lat=51&lon=10", JSON) for part in ("point", "minutes", "accumulation")),
        *((f"/nowcast/latest/{part}?lat=51&lon=10", CSV) for part in ("point", "minutes", "accumulation")),
        *((f"/nowcast/latest/area?polygon={AREA}", kind) for kind in (JSON, CSV)),
        *((path, JSON) for path in ("/observed", "/tiles", "/public/weather-maps.json", "/radar?format=bytes")),
        *(("/observed/point?lat=51&lon=10", kind) for kind in (JSON, CSV)),
        ("/weatherapi/nowcast/2.0/complete?lat=51&lon=10", JSON),
        ("/v1/forecast?latitude=51&longitude=10&minutely_15=rain", JSON),
        *((f"{EDR}/position?coords=POINT(10 51)&f={f}", kind) for f, kind in (("CoverageJSON", None), ("CSV", CSV))),
        (f"{EDR}/cube?bbox=9,50,10,51&f=NetCDF", NETCDF),
        (f"{EDR}/area?coords={AREA}&f=CoverageJSON", None),
        *((f"{INFO}&info_format={kind}", None) for kind in ("application/json", "text/plain")),
        ("/wms?service=WMS&request=GetCapabilities", None),
        *((f"/nowcast/latest/{part}.png", None) for part in ("image/30", "observed/4", "observations/30")),
        *(("/nowcast/latest/image/30.png?probability_of=0.5", None), (MAP, None), ("/observed/image", None)),
        *((f"/nowcast/latest/animation.{kind}", None) for kind in ("webp", "gif", "png")),
        ("/nowcast/latest/point.png?lat=51&lon=10", None),
        *((f"/tiles/rainfall_rate/{TILE}", None), ("/v2/radar/nowcast_1717245000/256/6/33/21/2/1_1.png", None)),
        *((f"/nowcast/latest/file.{suffix}", None) for suffix in ("nc", "h5", "tif")),
        *((f"/nowcast/latest/{part}", NETCDF) for part in ("", "box?bbox=9,50,10,51", "observations.nc")),
    ],
)
def test_every_answer_has_the_credit(client, path, kind):
    answer = client.get(path.replace("/latest/?", "/latest?").rstrip("/"), headers={"Accept": kind} if kind else None)
    assert answer.status_code == 200, answer.text
    media_type = answer.headers["content-type"].partition(";")[0]
    found = READERS[media_type](answer.content)
    plain = CREDIT.encode("ascii", "replace").decode() if media_type == "image/webp" else CREDIT
    assert any(text in one for text in (CREDIT, plain) for one in found), f"{media_type}: {found}"


def test_a_credited_picture_has_the_same_pixels():
    buffer = io.BytesIO()
    Image.linear_gradient("L").save(buffer, format="PNG")
    with Image.open(io.BytesIO(credited(buffer.getvalue(), CREDIT))) as picture:
        assert picture.tobytes() == Image.linear_gradient("L").tobytes()
        assert picture.info["Copyright"] == CREDIT
