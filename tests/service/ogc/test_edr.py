"""OGC API-EDR: documents that other people's models take, and values that are those of the forecast's file."""

import csv
import io
import json
from datetime import timedelta
from urllib.parse import urlsplit

import netCDF4
import numpy as np
import pytest
import shapely
import xarray as xr
from covjson_pydantic.coverage import Coverage, CoverageCollection
from edr_pydantic.capabilities import ConformanceModel, LandingPageModel
from edr_pydantic.collections import Collections, Instance, Instances

from core.times import iso
from service.ogc.coverages import thinning
from service.ogc.edr_meta import CONFORMANCE
from tests.service.api_support import CHANCES_MMH, GRID, REFERENCE, as_stored, chance_of

LON_HW, LAT_HW = GRID.lon_lat_HW()
WET = 40, 26
HERE = "/collections/nowcast"
CHANCES = [f"probability_of_exceedance_{rate_mmh:g}" for rate_mmh in CHANCES_MMH]


def point(row, col):
    return f"POINT({LON_HW[row, col]} {LAT_HW[row, col]})"


def test_landing_page_and_conformance(client):
    for answer in (client.get("/?f=json"), client.get("/"), client.get("/", headers={"Accept": "application/json"})):
        page = LandingPageModel.model_validate_json(answer.content)
        links = {link.rel: urlsplit(link.href).path for link in page.links}
        assert client.get(links["data"]).status_code == 200
        assert client.get(links["service-desc"]).json()["openapi"].startswith("3.")
        classes = ConformanceModel.model_validate(client.get(links["conformance"]).json())
        assert list(classes.conformsTo) == list(CONFORMANCE)
    assert client.get("/", headers={"Accept": "text/html,*/*"}).headers["content-type"].startswith("text/html")
    assert client.get("/", headers={"Accept": "text/html"}).headers["content-type"].startswith("text/html")


def test_the_collection_and_its_instances_lead_to_answers(client, forecast):
    found = Collections.model_validate_json(client.get("/collections").content).collections[0]
    assert found.id == "nowcast"
    assert set(found.parameter_names.root) == {"rainfall_rate", "rainfall_amount", *CHANCES}
    west, south, east, north = found.extent.spatial.bbox[0]
    assert west < LON_HW.min() < LON_HW.max() < east
    assert south < LAT_HW.min() < LAT_HW.max() < north
    runs = Instances.model_validate_json(client.get(f"{HERE}/instances").content).instances
    assert [run.id for run in runs] == [forecast.id]
    run = Instance.model_validate_json(client.get(urlsplit(runs[0].links[0].href).path).content)
    assert run.data_queries is not None
    assert run.data_queries.position is not None
    answer = client.get(urlsplit(run.data_queries.position.link.href).path, params={"coords": point(*WET)})
    assert Coverage.model_validate_json(answer.content).id == forecast.id
    for link in run.links:
        assert client.get(urlsplit(link.href).path).status_code == 200


@pytest.mark.parametrize("path", [HERE, f"{HERE}/instances/latest"])
def test_a_position_has_the_values_of_its_cell(client, forecast, path):
    answer = client.get(f"{path}/position", params={"coords": point(*WET)})
    assert answer.headers["content-type"] == "application/prs.coverage+json"
    coverage = Coverage.model_validate_json(answer.content)
    assert coverage.domain.domainType == "PointSeries"
    body = answer.json()
    np.testing.assert_allclose(body["ranges"]["rainfall_rate"]["values"], forecast.rate_mmh_THW[:, *WET], atol=6e-5)
    assert body["domain"]["axes"]["t"]["values"][0] == "2024-06-01T12:30:00Z"
    assert max(body["ranges"]["rainfall_rate"]["values"]) > 1
    amount = client.get("/nowcast/latest/accumulation", params={"lat": LAT_HW[WET], "lon": LON_HW[WET]}).json()["leads"]
    np.testing.assert_allclose(
        body["ranges"]["rainfall_amount"]["values"], [one["total_mm"] for one in amount], atol=6e-5
    )


def test_xpublish_edr_finds_the_same(client, forecast):
    position = pytest.importorskip("xpublish_edr.geometry.position")
    row, col = 41, 23
    x, y = GRID.x_centres_m[col] + 900, GRID.y_centres_m[row] - 700
    lon, lat = GRID.to_lon_lat(np.array([x]), np.array([y]))
    with xr.open_dataset(forecast.path) as dataset:
        theirs = position.select_by_position(
            dataset[["rainfall_rate", "crs"]], shapely.Point(x, y)
        ).rainfall_rate.values
    ours = client.get(f"{HERE}/position", params={"coords": f"POINT({lon[0]} {lat[0]})"}).json()
    np.testing.assert_allclose(ours["ranges"]["rainfall_rate"]["values"], theirs.ravel(), atol=6e-5)


def test_places_off_the_grid_and_unseen_are_null(client):
    places = f"MULTIPOINT(({LON_HW[WET]} {LAT_HW[WET]}),(-74 40),({LON_HW[2, 3]} {LAT_HW[2, 3]}))"
    answer = client.get(f"{HERE}/position", params={"coords": places})
    assert answer.status_code == 200
    CoverageCollection.model_validate_json(answer.content)
    seen, off, unseen = answer.json()["coverages"]
    assert [one["nowcast:radar_coverage"] for one in (seen, off, unseen)] == ["ok", "no coverage", "no coverage"]
    assert off["ranges"]["rainfall_rate"]["values"] == unseen["ranges"]["rainfall_rate"]["values"] == [None] * 5


def test_a_cube_is_the_grids_own(client, forecast):
    rows, cols = slice(36, 45), slice(20, 31)
    bbox = (
        f"{LON_HW[rows, cols].min()},{LAT_HW[rows, cols].min()},{LON_HW[rows, cols].max()},{LAT_HW[rows, cols].max()}"
    )
    params = {"bbox": bbox, "parameter-name": "rainfall_rate", "datetime": "2024-06-01T13:00:00Z/2024-06-01T13:30Z"}
    answer = client.get(f"{HERE}/cube", params=params)
    Coverage.model_validate_json(answer.content)
    body = answer.json()
    assert body["domain"]["domainType"] == "Grid"
    assert set(body["ranges"]) == {"rainfall_rate"}
    axes = {name: axis["values"] for name, axis in body["domain"]["axes"].items()}
    assert axes["t"] == ["2024-06-01T13:00:00Z", "2024-06-01T13:30:00Z"]
    left = int(np.flatnonzero(np.isclose(GRID.x_centres_m, axes["x"][0]))[0])
    top = int(np.flatnonzero(np.isclose(GRID.y_centres_m, axes["y"][0]))[0])
    values = np.array(body["ranges"]["rainfall_rate"]["values"], float).reshape(2, len(axes["y"]), len(axes["x"]))
    expected = forecast.rate_mmh_THW[1:3, top : top + len(axes["y"]), left : left + len(axes["x"])]
    np.testing.assert_allclose(values, expected, atol=6e-5)
    assert values.max() > 5


def test_an_area_on_the_grid_and_as_places(client, forecast):
    polygon = shapely.Polygon([(8.2, 49.4), (10.1, 49.2), (10.6, 50.9), (8.8, 51.3)])
    params = {"coords": polygon.wkt, "parameter-name": "rainfall_rate", "datetime": "2024-06-01T12:30:00Z"}
    grid = client.get(f"{HERE}/area", params=params)
    Coverage.model_validate_json(grid.content)
    places = client.get(f"{HERE}/area", params={**params, "crs": "CRS84"})
    Coverage.model_validate_json(places.content)
    found = places.json()["domain"]["axes"]["composite"]["values"]
    values = places.json()["ranges"]["rainfall_rate"]["values"]
    cells = [GRID.cell_of(lat, lon) for lon, lat in found]
    np.testing.assert_allclose(values, [forecast.rate_mmh_THW[0, *cell] for cell in cells if cell], atol=6e-5)
    inside = shapely.contains_xy(polygon, LON_HW, LAT_HW)
    assert {tuple(cell) for cell in np.argwhere(inside).tolist()} <= set(cells)
    flat = grid.json()["ranges"]["rainfall_rate"]["values"]
    assert sorted(value for value in flat if value is not None) == sorted(values)
    assert None in flat  # around the polygon


def test_netcdf_by_f(client, forecast):
    params = {"bbox": "8,49,11,51", "f": "NetCDF", "datetime": "../2024-06-01T13:00Z"}
    answer = client.get(f"{HERE}/cube", params=params)
    assert answer.headers["content-type"] == "application/netcdf"
    with netCDF4.Dataset("memory", memory=answer.content) as dataset:
        assert dataset["rainfall_rate"].shape == dataset["rainfall_amount"].shape
        assert dataset["rainfall_rate"].shape[0] == 2
        assert dataset["rainfall_amount"].standard_name == "lwe_thickness_of_precipitation_amount"
        left = int(np.flatnonzero(np.isclose(GRID.x_centres_m, dataset["x"][0]))[0])
        top = int(np.flatnonzero(np.isclose(GRID.y_centres_m, dataset["y"][0]))[0])
        np.testing.assert_array_equal(
            dataset["rainfall_rate"][0, 0], forecast.rate_mmh_THW[0, top, left:][: len(dataset["x"])]
        )
    place = client.get(f"{HERE}/position", params={"coords": point(*WET), "f": "netcdf"})
    with netCDF4.Dataset("memory", memory=place.content) as dataset:
        assert dataset["rainfall_rate"].shape == (5, 1, 1)


def test_conditional_requests(client):
    answer = client.get(f"{HERE}/position", params={"coords": point(*WET)})
    assert {"etag", "last-modified", "expires"} <= set(answer.headers)
    again = client.get(
        f"{HERE}/position", params={"coords": point(*WET)}, headers={"If-None-Match": answer.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    other = client.get(f"{HERE}/position", params={"coords": point(41, 26)})
    assert other.headers["etag"] != answer.headers["etag"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("position?coords=POINT(13 91)", 400),
        ("position?coords=nonsense", 400),
        ("position?coords=POINT EMPTY", 400),
        ("position?coords=LINESTRING(1 2,3 4)", 400),
        ("position", 400),
        ("position?coords=POINT(10 50)&parameter-name=snow", 400),
        ("position?coords=POINT(10 50)&crs=EPSG:25832", 400),
        ("position?coords=POINT(10 50)&datetime=yesterday", 400),
        ("position?coords=POINT(10 50)&datetime=1/2/3", 400),
        ("position?coords=POINT(10 50)&datetime=2020-01-01T00:00:00Z", 404),
        ("position?coords=POINT(10 50)&f=png", 406),
        ("cube?bbox=1,2,3", 400),
        ("cube?bbox=-80,40,-79,41", 404),
        ("area?coords=POLYGON((0 0,2 2,2 0,0 2,0 0))", 400),
        ("instances/00000000-0000-0000-0000-000000000000/position?coords=POINT(10 50)", 404),
        ("instances/x/position?coords=POINT(10 50)", 400),
    ],
)
def test_errors_are_problems(client, path, status):
    answer = client.get(f"{HERE}/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert client.get("/collections/other").status_code == 404


def test_too_many_cells_are_refused_as_json_and_given_as_netcdf(client, monkeypatch):
    monkeypatch.setattr("service.ogc.edr.MOST_CELLS", 100)
    area = f"{HERE}/area?coords=POLYGON((5 47,15 47,15 55,5 55,5 47))"
    refused = client.get(area)
    assert refused.status_code == 413
    assert "NetCDF" in json.loads(refused.content)["detail"]
    assert client.get(f"{area}&f=NetCDF").status_code == 200


def cube_of(client, **query):
    params = {"bbox": "5,47,15,55", "parameter-name": "rainfall_rate", "datetime": "2024-06-01T12:30:00Z", **query}
    answer = client.get(f"{HERE}/cube", params=params)
    assert answer.status_code == 200, answer.text
    Coverage.model_validate_json(answer.content)
    return answer.json()


def test_a_cube_of_too_many_cells_has_every_nth_one(client, forecast, monkeypatch):
    monkeypatch.setattr("service.ogc.edr.MOST_CELLS", 100)
    body = cube_of(client)
    every_y, every_x = body["nowcast:every_cells"]
    assert every_y == every_x > 1
    axes = {name: axis["values"] for name, axis in body["domain"]["axes"].items()}
    assert 25 < len(axes["x"]) * len(axes["y"]) <= 100
    assert axes["x"][1] - axes["x"][0] == pytest.approx(every_x * GRID.pixel_x_m)
    values = np.array(body["ranges"]["rainfall_rate"]["values"], float).reshape(len(axes["y"]), len(axes["x"]))
    rows = [int(np.abs(GRID.y_centres_m - y).argmin()) for y in axes["y"]]
    cols = [int(np.abs(GRID.x_centres_m - x).argmin()) for x in axes["x"]]
    np.testing.assert_allclose(values, forecast.rate_mmh_THW[0][np.ix_(rows, cols)], atol=6e-5)
    places = cube_of(client, crs="CRS84")
    assert len(places["domain"]["axes"]["composite"]["values"]) == values.size
    assert places["ranges"]["rainfall_rate"]["values"] == body["ranges"]["rainfall_rate"]["values"]
    assert client.get(f"{HERE}/cube?bbox=5,47,15,55&f=NetCDF").status_code == 200


def test_a_cube_has_about_as_many_cells_as_asked(client):
    whole = cube_of(client)
    assert "nowcast:every_cells" not in whole
    for name, axis in (("resolution-x", "x"), ("resolution-y", "y")):
        found = cube_of(client, **{name: 10})["domain"]["axes"]
        size = len(whole["domain"]["axes"][axis]["values"])
        assert 10 <= len(found[axis]["values"]) <= 2 * 10 < size
        other = "y" if axis == "x" else "x"
        assert found[other] == whole["domain"]["axes"][other]
    assert cube_of(client, **{"resolution-x": 0})["domain"] == whole["domain"]
    assert client.get(f"{HERE}/cube?bbox=5,47,15,55&resolution-x=-1").status_code == 400


@pytest.mark.parametrize(
    ("shape", "resolution", "most", "expected"),
    [
        ((900, 900), (None, None), 10_000, (9, 9)),
        ((900, 900), (0, 90), 10_000, (3, 30)),
        ((3, 3), (None, None), 100, (1, 1)),
        ((3, 3), (10, 2), 100, (1, 1)),
        ((1, 20_000), (None, None), 10_000, (2, 2)),
    ],
)
def test_thinning_by_hand(shape, resolution, most, expected):
    assert thinning(shape, resolution, most) == expected


def test_owslib_reads_the_collection_and_gets_the_value(service, forecast):
    edr = pytest.importorskip("owslib.ogcapi.edr")
    from tests.service.live import served

    with served(service) as address:
        found = edr.EnvironmentalDataRetrieval(f"{address}/")
        assert found.data() == ["nowcast"]
        assert found.api()["openapi"].startswith("3.0")
        assert set(found.conformance()["conformsTo"]) == set(CONFORMANCE)
        assert found.collection("nowcast")["extent"]["temporal"]["interval"][0][0] == "2024-06-01T12:30:00Z"
        row, col = 41, 22  # asymmetrical: a flip of an axis, or of lat and lon, finds another value or none
        properties = found.query_data(
            "nowcast",
            "position",
            coords=point(row, col),
            parameter_names=["rainfall_rate"],
            datetime_=(REFERENCE + timedelta(minutes=60)).isoformat().replace("+00:00", "Z"),
        )
        body = properties if isinstance(properties, dict) else json.loads(properties.read())
    value = body["ranges"]["rainfall_rate"]["values"]
    assert value == pytest.approx([float(forecast.rate_mmh_THW[1, row, col])], abs=6e-5)
    assert value[0] > 0.5


def test_probabilities_are_parameters(client, forecast):
    expected_NTHW = np.stack([as_stored(chance_of(forecast.rate_mmh_THW, rate_mmh)) for rate_mmh in CHANCES_MMH])
    answer = client.get(f"{HERE}/position", params={"coords": point(*WET), "parameter-name": CHANCES[2]})
    Coverage.model_validate_json(answer.content)
    assert list(answer.json()["ranges"]) == [CHANCES[2]]
    np.testing.assert_allclose(answer.json()["ranges"][CHANCES[2]]["values"], expected_NTHW[2, :, *WET], atol=1.1e-3)
    document = answer.json()["parameters"][CHANCES[2]]
    assert document["observedProperty"] == {"label": {"en": "probability of 5 mm/h or more"}}
    assert document["unit"]["symbol"]["value"] == "1"
    whole = client.get(f"{HERE}/position", params={"coords": point(*WET)}).json()
    assert set(whole["ranges"]) == {"rainfall_rate", "rainfall_amount", *CHANCES}
    off = client.get(f"{HERE}/position", params={"coords": "POINT(-74 40)", "parameter-name": CHANCES[0]}).json()
    assert off["ranges"][CHANCES[0]]["values"] == [None] * 5


@pytest.mark.parametrize(
    "names", [[CHANCES[2], CHANCES[0]], ["rainfall_rate", CHANCES[1]], ["rainfall_amount", CHANCES[1]]]
)
def test_the_file_of_a_query_has_the_thresholds_that_were_asked(client, forecast, names):
    params = {"bbox": "9,50,11,52", "parameter-name": ",".join(names), "f": "NetCDF", "datetime": "2024-06-01T13:00Z"}
    answer = client.get(f"{HERE}/cube", params=params)
    assert answer.status_code == 200, answer.text
    with netCDF4.Dataset("cube.nc", memory=answer.content) as dataset:
        expected = sorted(rate_mmh for rate_mmh, name in zip(CHANCES_MMH, CHANCES, strict=True) if name in names)
        chances = {name: one for name, one in dataset.variables.items() if name.startswith("exceedance_probability_")}
        assert [one.threshold_mmh for one in chances.values()] == expected
        assert {one.shape[0] for one in chances.values()} == {1}
        assert all(0 < float(one[:].max()) <= 1 for one in chances.values())
        for name in ("rainfall_rate", "rainfall_amount"):
            assert (name in dataset.variables) == (name in names)


def test_a_run_without_probabilities_names_what_it_has(client, service):
    baseline = service.forecast_stored(model="persistence")
    document = client.get(f"{HERE}/instances/{baseline.id}").json()
    assert set(document["parameter_names"]) == {"rainfall_rate", "rainfall_amount"}
    asked = {"coords": point(*WET), "parameter-name": CHANCES[0]}
    answer = client.get(f"{HERE}/instances/{baseline.id}/position", params=asked)
    assert answer.status_code == 400
    assert "expected names from rainfall_rate, rainfall_amount, got" in answer.json()["detail"]


@pytest.mark.parametrize("asks", [{"params": {"f": "CSV"}}, {"headers": {"Accept": "text/csv"}}])
def test_places_as_a_table(client, forecast, asks):
    coords = f"MULTIPOINT(({LON_HW[WET]} {LAT_HW[WET]}),(-74 40))"
    params = {"coords": coords, **asks.get("params", {})}
    answer = client.get(f"{HERE}/position", params=params, headers=asks.get("headers"))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["valid_time"] for row in rows[:5]] == [iso(time) for time in forecast.valid_times]
    np.testing.assert_allclose(
        [float(row["rainfall_rate (mm/h)"]) for row in rows[:5]], forecast.rate_mmh_THW[:, *WET], atol=6e-5
    )
    assert [(row["lon"], row["lat"], row["rainfall_rate (mm/h)"]) for row in rows[5:]] == [("-74.0", "40.0", "")] * 5
    assert "probability_of_exceedance_0.5" in rows[0]


def test_a_cube_as_a_table_has_the_values_of_the_coverage(client):
    params = {
        "bbox": "9,50,10,51",
        "parameter-name": "rainfall_rate",
        "datetime": "2024-06-01T12:30Z/2024-06-01T13:00Z",
    }
    for crs, columns in ((None, ["lon", "lat"]), ("native", ["x_m", "y_m"])):
        asked = {**params, **({"crs": crs} if crs else {})}
        rows = list(csv.reader(io.StringIO(client.get(f"{HERE}/cube", params={**asked, "f": "csv"}).text)))
        assert rows[0][:2] == columns
        whole = client.get(f"{HERE}/cube", params={**params, "crs": crs or "CRS84"}).json()
        values = whole["ranges"]["rainfall_rate"]["values"]
        assert [row[-2] for row in rows[1:]] == ["" if one is None else str(one) for one in values]
