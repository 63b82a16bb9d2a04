"""Real radar through the REST interface: ten frames of the OPERA event over Germany, and their scores by hand."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
import xarray as xr
from pyproj import CRS, Transformer
from starlette.testclient import TestClient

from core.settings import Settings
from service.app import create_app
from service.forecasts.nowcast import NowcastService
from tests.waiting import PATIENCE_S

CITIES = {"Berlin": (52.52, 13.405), "Munich": (48.137, 11.575), "Hamburg": (53.551, 9.994)}
SHAPES = {"default": (225, 225), "guided": (124, 124)}
COUNTS = ("hits", "misses", "false_alarms", "correct_negatives")


@pytest.fixture(scope="module")
def event(shared_data: Path) -> Path:
    return shared_data / "events" / "opera_germany_20180824.nc"


@pytest.fixture(scope="module")
def files(event: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Five frames 30 minutes apart and the five that followed, cut as a user would do it."""
    folder = tmp_path_factory.mktemp("cut")
    with xr.open_dataset(event) as dataset:
        dataset.isel(time=slice(0, 10, 2)).to_netcdf(folder / "five.nc")
        dataset.isel(time=slice(10, 20, 2)).to_netcdf(folder / "next.nc")
    return (folder / "five.nc").read_bytes(), (folder / "next.nc").read_bytes()


@pytest.fixture(scope="module", params=list(SHAPES))
def model(request: pytest.FixtureRequest) -> str:
    """The default on cells of 4 km, and the paper's setting on its own grid."""
    return str(request.param)


@pytest.fixture(scope="module")
def client(model: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    cells = {"grid_m": 4000.0} if model == "default" else {}
    settings = Settings(home=tmp_path_factory.mktemp("home"), device="cpu", model=model, **cells)  # type: ignore[arg-type]
    app = create_app(NowcastService.from_settings(settings))
    with TestClient(app, "http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        assert app.state.backend.wait_warm(timeout_s=PATIENCE_S)
        yield client


@pytest.fixture(scope="module")
def answer(client: TestClient, model: str, files: tuple[bytes, bytes]) -> dict[str, Any]:
    five, following = files
    sent = [("frames", ("FIVE.nc", five)), ("observations", ("NEXT.nc", following))]
    reply = client.post("/nowcast", files=sent, data={"model": model})
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def _download(client: TestClient, link: str, path: Path) -> Path:
    path.write_bytes(client.get(link).content)
    return path


def test_five_leads_on_the_models_grid(model: str, answer: dict[str, Any]) -> None:
    assert [lead["lead_minutes"] for lead in answer["leads"]] == [30, 60, 90, 120, 150]
    assert answer["reference_time"] == "2018-08-24T20:00:00Z"
    assert answer["leads"][0]["valid_time"] == "2018-08-24T20:30:00Z"
    assert (answer["grid"]["height"], answer["grid"]["width"]) == SHAPES[model]
    assert answer["model"]["name"] == model
    assert answer["status"] == "stale"  # an event of 2018 is never refused, and never looks fresh
    assert answer["verification"]["kind"] == "this_forecast"


def test_counts_equal_those_of_the_two_files(
    client: TestClient, model: str, answer: dict[str, Any], tmp_path: Path
) -> None:
    forecast_file = _download(client, f"/nowcast/{answer['forecast_id']}/file.nc", tmp_path / "forecast.nc")
    observed_file = _download(client, answer["links"]["observations"], tmp_path / "observed.nc")
    with xr.open_dataset(forecast_file) as f, xr.open_dataset(observed_file) as o:
        np.testing.assert_array_equal(f.time.values, o.time.values)
        forecast, observed = f.rainfall_rate.values, o.rainfall_rate.values
    rows = [row for row in answer["verification"]["scores"] if row["model"] == model]
    assert {row["threshold_mmh"] for row in rows} >= {0.1, 0.5, 1, 2, 5, 10, 30}
    for row in rows:
        lead = row["lead_minutes"] // 30 - 1
        both = np.isfinite(forecast[lead]) & np.isfinite(observed[lead])
        forecast_yes, observed_yes = (
            forecast[lead][both] >= row["threshold_mmh"],
            observed[lead][both] >= row["threshold_mmh"],
        )
        a, b, c = (
            int((forecast_yes & observed_yes).sum()),
            int((forecast_yes & ~observed_yes).sum()),
            int((~forecast_yes & observed_yes).sum()),
        )
        d = int(both.sum()) - a - b - c
        assert [row[name] for name in COUNTS] == [a, c, b, d]
        assert row["csi"] == (pytest.approx(a / (a + b + c)) if a + b + c else None)
        below = (a + c) * (c + d) + (a + b) * (b + d)
        assert row["hss"] == (pytest.approx(2 * (a * d - b * c) / below, abs=1e-9) if below else None)


def test_the_baselines_are_scored_on_the_same_cells(model: str, answer: dict[str, Any]) -> None:
    cells: dict[tuple[int, float], set[tuple[int, int]]] = {}
    for row in answer["verification"]["scores"]:
        observed = row["hits"] + row["misses"]
        total = sum(row[name] for name in COUNTS)
        cells.setdefault((row["lead_minutes"], row["threshold_mmh"]), set()).add((observed, total))
    assert {row["model"] for row in answer["verification"]["scores"]} == {model, "persistence", "extrapolation"}
    assert all(len(same) == 1 for same in cells.values())


def test_the_model_beats_both_baselines_at_half_a_millimetre(model: str, answer: dict[str, Any]) -> None:
    def csi(name: str) -> float:
        rows = [r for r in answer["verification"]["scores"] if (r["model"], r["threshold_mmh"]) == (name, 0.5)]
        hits, misses, false_alarms = (sum(r[name] for r in rows) for name in COUNTS[:3])
        return float(hits / (hits + misses + false_alarms))

    assert csi(model) > max(csi("persistence"), csi("extrapolation"))


def test_xarray_and_gdal_find_the_cities(client: TestClient, answer: dict[str, Any], tmp_path: Path) -> None:
    path = _download(client, answer["links"]["file"], tmp_path / "forecast.nc")
    with xr.open_dataset(path) as dataset, rasterio.open(f"netcdf:{path}:rainfall_rate") as raster:
        crs = CRS.from_wkt(dataset.crs.attrs["crs_wkt"])
        to_grid = Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)
        assert raster.count == 5
        for lat, lon in CITIES.values():
            x, y = to_grid.transform(lon, lat)
            col, row = int(abs(dataset.x.values - x).argmin()), int(abs(dataset.y.values - y).argmin())
            (gdal_x,), (gdal_y,) = rasterio.warp.transform("EPSG:4326", raster.crs, [lon], [lat])
            gdal_row, gdal_col = raster.index(gdal_x, gdal_y)
            assert max(abs(gdal_row - row), abs(gdal_col - col)) <= 1
            point = client.get(f"/nowcast/{answer['forecast_id']}/point", params={"lat": lat, "lon": lon}).json()
            values = dataset.rainfall_rate.values[:, row, col]
            rates = [entry["rate_mmh"] for entry in point["series"]]
            np.testing.assert_allclose(rates, values, atol=1e-6)
            np.testing.assert_allclose(raster.read(1)[row, col], values[0], atol=1e-6)


def test_the_same_input_is_the_same_forecast(
    client: TestClient, model: str, files: tuple[bytes, bytes], answer: Any
) -> None:
    again = client.post("/nowcast", files=[("frames", ("other name.nc", files[0]))], data={"model": model}).json()
    assert again["forecast_id"] == answer["forecast_id"]
    assert again["issued_at"] == answer["issued_at"]


def test_the_file_itself_on_request(client: TestClient, model: str, files: tuple[bytes, bytes]) -> None:
    sent = [("frames", ("five.nc", files[0]))]
    reply = client.post("/nowcast", files=sent, data={"model": model}, headers={"Accept": "application/netcdf"})
    assert reply.headers["content-type"] == "application/netcdf"
    with xr.open_dataset(io.BytesIO(reply.content), engine="h5netcdf") as dataset:
        assert dataset.rainfall_rate.dims == ("time", "y", "x")
        assert dataset.y.values[0] > dataset.y.values[-1]
