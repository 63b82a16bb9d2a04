"""The map service: what QGIS asks and what OWSLib reads, against the forecast file's own values."""

import io
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pyproj import Transformer

from core.colours import CHANCE_COLOURS, NO_DATA, colours
from core.errors import UnavailableError
from core.grid import RADOLAN_SPHERE, Grid
from core.times import iso
from service.api.pictures import credited
from service.api.views import attribution_text
from service.ogc.wms_times import extents
from service.queries.maps import View, cells_of, map_png
from tests.service.api_support import CHANCES_MMH, GRID, REFERENCE, as_stored, chance_of, fill, running, service_at
from tests.service.live import served

LON_HW, LAT_HW = GRID.lon_lat_HW()
WET = 41, 22
"""Not symmetrical: a flipped axis or an exchanged pair of coordinates finds something else."""

MAP = {
    "service": "WMS",
    "version": "1.3.0",
    "request": "GetMap",
    "layers": "rainfall_rate",
    "styles": "",
    "format": "image/png",
    "transparent": "true",
}


def _projected(system, west, south, east, north):
    to_system = Transformer.from_crs("EPSG:4326", system, always_xy=True)
    (x0, y0), (x1, y1) = to_system.transform(west, south), to_system.transform(east, north)
    return (y0, x0, y1, x1) if system == "EPSG:31467" else (x0, y0, x1, y1)


BOXES: dict[str, Callable[..., tuple[float, ...]]] = {
    "EPSG:25832": partial(_projected, "EPSG:25832"),
    "EPSG:31467": partial(_projected, "EPSG:31467"),
    "EPSG:3857": lambda west, south, east, north: (*_mercator(west, south), *_mercator(east, north)),
    "EPSG:4326": lambda west, south, east, north: (south, west, north, east),
    "CRS:84": lambda west, south, east, north: (west, south, east, north),
}


def _mercator(lon, lat):
    return Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(lon, lat)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    made = service_at(tmp_path_factory.mktemp("home"))
    fill(made)
    fill(made, REFERENCE - timedelta(hours=1))
    return made


@pytest.fixture(scope="module")
def forecast(service):
    service.forecast_stored(REFERENCE - timedelta(minutes=30))
    return service.forecast_stored()


@pytest.fixture(scope="module")
def client(service, forecast):
    with running(service) as client:
        yield client


def box_around(crs, row, col, half=0.5):
    lon, lat = float(LON_HW[row, col]), float(LAT_HW[row, col])
    return ",".join(map(repr, map(float, BOXES[crs](lon - half, lat - half / 2, lon + half, lat + half / 2))))


def pixels(answer):
    assert answer.headers["content-type"] == "image/png", answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


@pytest.mark.parametrize("crs", list(BOXES))
def test_a_map_shows_every_cell_at_its_place(client, forecast, crs):
    box = ",".join(map(str, BOXES[crs](5.0, 47.5, 14.0, 54.0)))
    answer = client.get(
        "/wms", params={**MAP, "crs": crs, "bbox": box, "width": 180, "height": 260, "time": "2024-06-01T13:00:00Z"}
    )
    shown = pixels(answer)
    assert shown.shape == (260, 180, 4)
    if crs == "EPSG:3857":
        (west, south), (east, north) = _mercator(5.0, 47.5), _mercator(14.0, 54.0)
    elif crs in ("EPSG:25832", "EPSG:31467"):
        edges = BOXES[crs](5.0, 47.5, 14.0, 54.0)
        west, south, east, north = edges if crs == "EPSG:25832" else [edges[i] for i in (1, 0, 3, 2)]
    else:
        west, south, east, north = 5.0, 47.5, 14.0, 54.0
    colours_HWC = colours(forecast.rate_mmh_THW[1])
    system = "EPSG:4326" if crs == "CRS:84" else crs
    back = Transformer.from_crs(system, "EPSG:4326", always_xy=True)
    wet = 0
    for row in range(5, 260, 9):
        for col in range(3, 180, 7):
            x = west + (col + 0.5) * (east - west) / 180
            y = north - (row + 0.5) * (north - south) / 260
            lon, lat = back.transform(x, y)
            cell = GRID.cell_of(lat, lon)
            expected = colours_HWC[cell] if cell else np.zeros(4)
            assert (shown[row, col] == expected).all(), (row, col)
            wet += int(shown[row, col, 3] == 255)
    assert wet > 10


@pytest.mark.parametrize("crs", list(BOXES))
def test_the_value_below_a_pixel(client, forecast, crs):
    params = {
        **MAP,
        "request": "GetFeatureInfo",
        "crs": crs,
        "bbox": box_around(crs, *WET),
        "width": 101,
        "height": 101,
        "query_layers": "rainfall_rate",
        "info_format": "application/json",
        "i": 50,
        "j": 50,
        "time": "2024-06-01T13:30:00Z",
    }
    body = client.get("/wms", params=params).json()
    properties = body["features"][0]["properties"]
    assert properties["value"] == float(forecast.rate_mmh_THW[2, *WET])
    assert properties["value"] > 0.5
    assert properties["reference_time"] == "2024-06-01T12:00:00Z"
    lon, lat = body["features"][0]["geometry"]["coordinates"]
    assert (lon, lat) == pytest.approx((LON_HW[WET], LAT_HW[WET]), abs=0.01)
    text = client.get("/wms", params={**params, "info_format": "text/plain"}).text
    assert f"value: {properties['value']}\n" in text
    amount = client.get("/wms", params={**params, "query_layers": "rainfall_amount"}).json()["features"][0][
        "properties"
    ]
    place = client.get("/nowcast/latest/accumulation", params={"lat": lat, "lon": lon}).json()["leads"][2]
    assert (amount["value"], amount["unit"]) == (pytest.approx(place["total_mm"]), "mm")


def test_a_layer_of_probability(client, forecast):
    name = "probability_of_exceedance_0.5"
    params = {
        **MAP,
        "layers": name,
        "crs": "CRS:84",
        "bbox": box_around("CRS:84", *WET),
        "width": 101,
        "height": 101,
        "time": "2024-06-01T13:30:00Z",
    }
    expected = as_stored(chance_of(forecast.rate_mmh_THW[2], 0.5))
    shown = pixels(client.get("/wms", params={**params, "styles": "chance"}))
    assert (shown[50, 50] == colours(expected, CHANCE_COLOURS)[WET]).all()
    asked = {**params, "request": "GetFeatureInfo", "query_layers": name, "i": 50, "j": 50}
    properties = client.get("/wms", params=asked).json()["features"][0]["properties"]
    assert (properties["value"], properties["unit"]) == (pytest.approx(float(expected[WET]), abs=1.1e-3), "1")
    assert 0.1 < properties["value"] < 1
    assert client.get("/wms", params={**params, "styles": "rain"}).status_code == 400
    unknown = client.get("/wms", params={**params, "layers": "probability_of_exceedance_3"})
    assert unknown.status_code == 400
    assert name in unknown.text
    rain, chance = (
        client.get(f"/wms?request=GetLegendGraphic&layer={layer}&format=image/png") for layer in ("rainfall_rate", name)
    )
    assert Image.open(io.BytesIO(chance.content)).size == (150, 150)
    assert rain.content != chance.content


def test_dry_is_transparent_no_data_grey_and_off_the_grid_nothing(client):
    def one(row, col, **more):
        params = {
            **MAP,
            "crs": "CRS:84",
            "bbox": box_around("CRS:84", row, col, 0.001),
            "width": 3,
            "height": 3,
            **more,
        }
        return pixels(client.get("/wms", params=params))

    assert tuple(one(2, 3)[1, 1]) == NO_DATA
    assert (one(20, 50)[..., 3] == 0).all()
    off = {**MAP, "crs": "CRS:84", "bbox": "-80,40,-79,41", "width": 5, "height": 4}
    assert (pixels(client.get("/wms", params=off))[..., 3] == 0).all()
    opaque = one(20, 50, transparent="FALSE", bgcolor="0x102030")
    assert (opaque == (16, 32, 48)).all()


def test_another_run_by_its_reference_time(client, service, forecast):
    first = service.list(end=REFERENCE - timedelta(minutes=1), model="default")[0]
    params = {**MAP, "crs": "CRS:84", "bbox": "5,47.5,14,54", "width": 60, "height": 60}
    older = client.get("/wms", params={**params, "DIM_REFERENCE_TIME": iso(first.reference_time)})
    newer = client.get("/wms", params=params)
    assert older.status_code == 200
    assert older.content != newer.content
    cells = cells_of(View("CRS:84", 5, 47.5, 14, 54, 60, 60), first.grid)
    credit = attribution_text(first, service.settings)
    assert older.content == credited(map_png(first.rate_mmh_THW[0], cells), credit)
    assert client.get("/wms", params={**params, "dim_reference_time": "2020-01-01T00:00:00Z"}).status_code == 400


def test_names_in_any_case_and_conditional_requests(client):
    params = {**MAP, "crs": "CRS:84", "bbox": "5,47.5,14,54", "width": 60, "height": 60}
    answer = client.get("/wms", params={name.upper(): value for name, value in params.items()})
    assert answer.status_code == 200
    assert {"etag", "last-modified", "expires"} <= set(answer.headers)
    again = client.get("/wms", params={**params}, headers={"If-None-Match": "*"})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"request": "GetTile"}, 422),
        ({"layers": "snow"}, 422),
        ({"layers": ""}, 422),
        ({"styles": "pink"}, 422),
        ({"crs": "EPSG:2154"}, 422),
        ({"bbox": "1,2,3"}, 422),
        ({"bbox": "3,2,1,4"}, 422),
        ({"bbox": "1,2,nan,4"}, 422),
        ({"width": "0"}, 422),
        ({"width": "x"}, 422),
        ({"width": "5000"}, 413),
        ({"format": "image/jpeg"}, 406),
        ({"time": "2024-06-01T13:01:00Z"}, 404),
        ({"time": "soon"}, 404),
        ({"transparent": "maybe"}, 422),
        ({"transparent": "false", "bgcolor": "red"}, 422),
        ({"version": "1.1.1"}, 422),
        ({"version": "1.0.7"}, 422),
        ({"service": "WFS"}, 422),
        ({"request": "GetFeatureInfo", "query_layers": "rainfall_rate", "i": "60", "j": "0"}, 422),
    ],
)
def test_errors_are_exceptions_or_on_request_problem_documents(client, change, status):
    params = {**MAP, "crs": "CRS:84", "bbox": "5,47.5,14,54", "width": "60", "height": "60", **change}
    for document in (
        client.get("/wms", params={**params, "exceptions": "application/problem+json"}),
        client.get("/wms", params=params, headers={"Accept": "application/problem+json, */*;q=0.1"}),
    ):
        assert (document.status_code, document.headers["content-type"]) == (status, "application/problem+json")
    answer = client.get("/wms", params=params)
    report = ElementTree.fromstring(answer.content)
    assert answer.status_code == 400
    assert report[0].text == document.json()["detail"]


CODES = [
    ({"layers": "snow"}, "LayerNotDefined"),
    ({"styles": "pink"}, "StyleNotDefined"),
    ({"format": "image/jpeg"}, "InvalidFormat"),
    ({"time": "2024-06-01T13:01:00Z"}, "InvalidDimensionValue"),
    ({"dim_reference_time": "2020-01-01T00:00:00Z"}, "InvalidDimensionValue"),
    ({"request": "GetTile"}, "OperationNotSupported"),
    ({"bbox": "<&>"}, None),
    ({"width": "99999"}, None),
]


@pytest.mark.parametrize(("change", "code"), CODES)
@pytest.mark.parametrize("version", ["1.3.0", "1.1.1"])
def test_exceptions_of_both_versions(client, version, change, code):
    system = {"crs": "CRS:84"} if version == "1.3.0" else {"srs": "EPSG:4326"}
    params = {**MAP, "version": version, **system, "bbox": "5,47.5,14,54", "width": "60", "height": "60"}
    assert client.get("/wms", params=params).status_code == 200
    answer = client.get("/wms", params={**params, **change})
    kind, space = {
        "1.3.0": ("text/xml; charset=utf-8", "{http://www.opengis.net/ogc}"),
        "1.1.1": ("application/vnd.ogc.se_xml", ""),
    }[version]
    assert (answer.status_code, answer.headers["content-type"]) == (400, kind)
    report = ElementTree.fromstring(answer.content)
    assert (report.tag, report.get("version")) == (f"{space}ServiceExceptionReport", version)
    assert [child.tag for child in report] == [f"{space}ServiceException"]
    assert report[0].get("code") == code
    assert "expected" in str(report[0].text) or "no run of" in str(report[0].text)


@pytest.mark.parametrize(
    ("version", "system", "code"),
    [("1.3.0", "crs", "InvalidCRS"), ("1.1.1", "srs", "InvalidSRS"), (None, "srs", "InvalidSRS")],
)
def test_a_system_that_there_is_not(client, version, system, code):
    params = {**MAP, "version": version, system: "EPSG:2154", "bbox": "1,2,3,4", "width": "9", "height": "9"}
    answer = client.get("/wms", params={name: text for name, text in params.items() if text})
    assert ElementTree.fromstring(answer.content)[0].get("code") == code


def test_what_is_not_the_map_clients_fault_stays_a_problem(client, monkeypatch):
    assert client.get("/nowcast/none").headers["content-type"] == "application/problem+json"

    def away(*_):
        raise UnavailableError("the catalogue does not answer")

    monkeypatch.setattr("service.ogc.wms._newest", away)
    answer = client.get("/wms?service=WMS&request=GetCapabilities")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.headers["retry-after"]


@pytest.mark.parametrize(
    ("asked", "document"),
    [
        ("", "1.3.0"),
        ("&version=1.3.0", "1.3.0"),
        ("&version=1.4", "1.3.0"),
        ("&version=1.1.1", "1.1.1"),
        ("&version=1.2.9", "1.1.1"),
        ("&version=1.0.0", "1.1.1"),
        ("&wmtver=1.0.0", "1.1.1"),
        ("&version=newest", "1.3.0"),
    ],
)
def test_the_version_is_negotiated(client, asked, document):
    answer = client.get(f"/wms?service=WMS&request=GetCapabilities{asked}")
    assert ElementTree.fromstring(answer.content).get("version") == document
    kinds = {"1.3.0": "text/xml; charset=utf-8", "1.1.1": "application/vnd.ogc.wms_xml"}
    assert answer.headers["content-type"] == kinds[document]


def test_the_elder_capabilities_have_the_elements_in_the_order_of_their_dtd(client):
    content = client.get("/wms?service=WMS&request=GetCapabilities&version=1.1.1").content
    assert b"<!DOCTYPE WMT_MS_Capabilities SYSTEM" in content[:200]
    root = ElementTree.fromstring(content)
    assert [child.tag for child in root] == ["Service", "Capability"]
    expected = ["Name", "Title", "Abstract", "OnlineResource", "Fees", "AccessConstraints"]
    assert [child.tag for child in root[0]] == expected
    assert root[0][0].text == "OGC:WMS"
    assert [child.tag for child in root[1]] == ["Request", "Exception", "Layer"]
    assert [one.text for one in root[1][1]] == ["application/vnd.ogc.se_xml", "application/problem+json"]
    top, layer = root.findall(".//Layer")[:2]
    expected = ["Title", *["SRS"] * 4, "LatLonBoundingBox", *["BoundingBox"] * 4, "Attribution"]
    assert [child.tag for child in top][:11] == expected
    expected = ["Name", "Title", "Abstract", "Dimension", "Dimension", "Extent", "Extent", "Style"]
    assert [child.tag for child in layer] == expected
    box = next(one for one in top.findall("BoundingBox") if one.get("SRS") == "EPSG:4326")
    assert float(str(box.get("minx"))) < LON_HW.min() < 20 < LAT_HW.min(), "longitude comes first"


def test_the_same_picture_in_both_versions_and_another_one_with_the_axes_exchanged(client):
    size = {"width": "90", "height": "130"}
    of_130 = {**MAP, "crs": "EPSG:4326", "bbox": "47.5,5,54,14", **size}
    of_111 = {**MAP, "version": "1.1.1", "srs": "EPSG:4326", "bbox": "5,47.5,14,54", **size}
    first, second = client.get("/wms", params=of_130), client.get("/wms", params=of_111)
    assert first.status_code == 200
    assert first.content == second.content
    wrong = client.get("/wms", params={**of_111, "bbox": "47.5,5,54,14"})
    assert wrong.content != first.content


def test_the_capabilities_have_the_elements_in_the_schemas_order(client):
    root = ElementTree.fromstring(client.get("/wms?service=WMS&request=GetCapabilities").content)
    space = "{http://www.opengis.net/wms}"
    assert (root.tag, root.get("version")) == (f"{space}WMS_Capabilities", "1.3.0")
    order = ["Name", "Title", "Abstract", "OnlineResource", "Fees", "AccessConstraints", "MaxWidth", "MaxHeight"]
    assert [child.tag.removeprefix(space) for child in root[0]] == order
    layer = root.findall(f".//{space}Layer")[1]
    assert [child.tag.removeprefix(space) for child in layer] == [
        "Name",
        "Title",
        "Abstract",
        "Dimension",
        "Dimension",
        "Style",
    ]
    top = root.findall(f".//{space}Layer")[0]
    tags = [child.tag.removeprefix(space) for child in top]
    assert tags[:8] == ["Title", *["CRS"] * 5, "EX_GeographicBoundingBox", "BoundingBox"]
    legend = client.get("/wms?service=WMS&request=GetLegendGraphic&layer=rainfall_rate&format=image/png")
    assert Image.open(io.BytesIO(legend.content)).size == (150, 150)


@pytest.mark.parametrize("version", ["1.3.0", "1.1.1"])
def test_owslib_reads_the_capabilities_and_gets_the_value(service, forecast, version):
    wms = pytest.importorskip("owslib.wms")
    with served(service) as address:
        found = wms.WebMapService(f"{address}/wms", version=version)
        assert found.identification.version == version
        chances = [f"probability_of_exceedance_{rate_mmh:g}" for rate_mmh in CHANCES_MMH]
        assert list(found.contents) == ["rainfall_rate", "rainfall_amount", *chances]
        assert found[chances[1]].title == "Probability of 0.5 mm/h or more"
        assert list(found[chances[1]].styles) == ["chance"]
        layer = found["rainfall_rate"]
        # from the first scan to the last lead, without a gap
        start, end = REFERENCE - timedelta(hours=3), forecast.valid_times[-1]
        assert layer.timepositions == [f"{iso(start)}/{iso(end)}/PT30M"]
        if version == "1.3.0":  # OWSLib reads no other extents of 1.1.1
            assert layer.dimensions["reference_time"]["default"] == "2024-06-01T12:00:00Z"
        west, south, east, north = layer.boundingBoxWGS84
        assert west < LON_HW.min() < LON_HW.max() < east
        assert south < LAT_HW.min() < LAT_HW.max() < north
        assert {"EPSG:3857", "EPSG:4326"} <= set(layer.crsOptions)
        lon, lat = float(LON_HW[WET]), float(LAT_HW[WET])
        about = {"layers": ["rainfall_rate"], "size": (101, 101), "format": "image/png"}
        about["time"] = iso(forecast.valid_times[1])
        for crs in ("EPSG:4326", "EPSG:3857"):
            corners = (lon - 0.2, lat - 0.1, lon + 0.2, lat + 0.1)  # OWSLib itself turns EPSG:4326 round for 1.3.0
            box = corners if crs == "EPSG:4326" else (*_mercator(*corners[:2]), *_mercator(*corners[2:]))
            info = found.getfeatureinfo(
                srs=crs, bbox=box, query_layers=["rainfall_rate"], info_format="application/json", xy=(50, 50), **about
            )
            value = json.loads(info.read())["features"][0]["properties"]["value"]
            assert value == float(forecast.rate_mmh_THW[1, *WET])
            picture = found.getmap(srs=crs, bbox=box, transparent=True, styles=["rain"], **about)
            shown = np.asarray(Image.open(io.BytesIO(picture.read())))
            assert (shown[50, 50] == colours(forecast.rate_mmh_THW[1])[WET]).all()
        assert value > 0.5
        with pytest.raises(pytest.importorskip("owslib.util").ServiceException, match=r"time: expected .*, got"):
            found.getmap(srs="EPSG:3857", bbox=box, **{**about, "time": "2001-01-01T00:00:00Z"})


def test_a_grid_far_from_the_map_and_the_poles():
    grid = Grid(RADOLAN_SPHERE, -1000.0, 1000.0, 500.0, 500.0, 4, 4)  # around the pole
    cells = cells_of(View("CRS:84", -180, -90, 180, 90, 36, 18), grid)
    assert cells.shape == (18, 36)
    assert (cells == -1).all()
    world = cells_of(View("EPSG:3857", -4e7, -4e7, 4e7, 4e7, 8, 8), GRID)
    assert (world[:, 0] == -1).all()


AT = {**MAP, "crs": "CRS:84", "bbox": "5,47.5,14,54", "width": 60, "height": 60}


def shown_by(client, **change):
    answer = client.get("/wms", params={**AT, **change})
    assert answer.status_code == 200, answer.text
    return answer.content


def test_a_time_before_the_newest_run_shows_the_scan_and_other_layers_an_earlier_run(client, service, forecast):
    scan = service.store.scans(start=REFERENCE, end=REFERENCE)[0]
    cells = cells_of(View("CRS:84", 5, 47.5, 14, 54, 60, 60), GRID)
    expected = map_png(service.store.load(scan).rate_mmh_HW, cells)
    assert shown_by(client, time=iso(REFERENCE)) == credited(expected, attribution_text(forecast, service.settings))
    assert shown_by(client, time=iso(REFERENCE)) != shown_by(client)
    earlier = service.list(end=REFERENCE - timedelta(minutes=1), model="default")[0]
    assert REFERENCE in earlier.valid_times
    assert REFERENCE not in forecast.valid_times
    layer = f"probability_of_exceedance_{CHANCES_MMH[1]:g}"
    of_run = shown_by(client, layers=layer, time=iso(REFERENCE), dim_reference_time=iso(earlier.reference_time))
    assert shown_by(client, layers=layer, time=iso(REFERENCE)) == of_run
    info = {"request": "GetFeatureInfo", "info_format": "application/json", "i": 30, "j": 30}
    for name, kind, run in (("rainfall_rate", "observed", None), (layer, "forecast", iso(earlier.reference_time))):
        answer = client.get("/wms", params={**AT, **info, "layers": name, "query_layers": name, "time": iso(REFERENCE)})
        found = answer.json()["features"][0]["properties"]
        assert (found["time"], found["kind"], found["reference_time"]) == (iso(REFERENCE), kind, run)


def test_every_time_of_the_capabilities_has_a_map(client, service, forecast):
    root = ElementTree.fromstring(client.get("/wms?service=WMS&request=GetCapabilities").content)
    space = "{http://www.opengis.net/wms}"
    for layer in root.findall(f".//{space}Layer")[1:]:
        dimension = layer.find(f"{space}Dimension[@name='time']")
        assert dimension is not None
        start, end, step = str(dimension.text).split("/")
        assert step == "PT30M"
        time, count = datetime.fromisoformat(start), 0
        while time <= datetime.fromisoformat(end):
            assert shown_by(client, layers=layer.findtext(f"{space}Name"), time=iso(time)).startswith(b"\x89PNG")
            time, count = time + timedelta(minutes=30), count + 1
        assert count >= 6
        assert dimension.get("default") == iso(forecast.valid_times[0])


def test_an_interval_shows_the_first_time_within_it(client):
    first = shown_by(client, time="2024-06-01T11:31:00Z/2024-06-01T12:31:00Z")
    assert first == shown_by(client, time="2024-06-01T12:00:00Z")
    assert shown_by(client, time="2024-06-01T12:31:00Z/2024-06-01T14:00:00Z/PT30M") == shown_by(
        client, time="2024-06-01T13:00:00Z"
    )


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([0], "{0}"),
        ([0, 5], "{0},{5}"),
        ([10, 0, 5, 5], "{0}/{10}/PT5M"),
        ([0, 5, 10, 30, 45, 60], "{0}/{10}/PT5M,{30}/{60}/PT15M"),
        ([0, 0.5, 1], "{0}/{1}/PT30S"),
        ([], ""),
    ],
)
def test_extents_by_hand(minutes, expected):
    def at(found):
        return iso(REFERENCE + timedelta(minutes=float(found[1])))

    times = [REFERENCE + timedelta(minutes=minute) for minute in minutes]
    assert extents(times) == re.sub(r"\{([\d.]+)\}", at, expected)


def test_the_systems_of_germanys_authorities_are_in_the_capabilities(client):
    for version, name in (("1.3.0", "CRS"), ("1.1.1", "SRS")):
        text = client.get(f"/wms?service=WMS&request=GetCapabilities&version={version}").text
        for system in ("EPSG:25832", "EPSG:31467"):
            assert f"<{name}>{system}</{name}>" in text
            assert f'BoundingBox {name}="{system}"' in text
    root = ElementTree.fromstring(client.get("/wms?service=WMS&request=GetCapabilities").content)
    boxes = {box.get("CRS"): box for box in root.iter("{http://www.opengis.net/wms}BoundingBox")}
    assert 5_000_000 < float(boxes["EPSG:31467"].get("minx", "")) < 6_300_000  # northing first
    assert 5_000_000 < float(boxes["EPSG:25832"].get("miny", "")) < 6_300_000
