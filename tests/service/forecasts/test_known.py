"""Where rain can flow in from outside the observed area: marked in every answer, and never an all-clear."""

import io

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from core.colours import DRY, HATCH, NO_DATA
from service.client import Client
from service.client.__main__ import app as client_app
from service.forecasts.exports import exported
from service.forecasts.probabilities import read_probabilities
from service.forecasts.products import read_known
from service.queries.point import point_series
from tests.service.api_support import GRID, fill, running, service_at
from tests.service.fakes import fields_of, write_fields
from tests.service.live import served

INFLOW = np.s_[:, 50:, 40:]
DRY_INFLOW, DRY_KNOWN, UNSEEN = (70, 55), (30, 55), (2, 3)
LON_HW, LAT_HW = GRID.lon_lat_HW()


def place(cell):
    return {"lat": float(LAT_HW[cell]), "lon": float(LON_HW[cell])}


@pytest.fixture
def service(tmp_path):
    made = service_at(tmp_path)
    fill(made)
    return made


@pytest.fixture
def forecast(service):
    made = service.forecast_stored()
    rate_mmh_LHW = made.rate_mmh_THW
    known_LHW = np.isfinite(rate_mmh_LHW)
    known_LHW[INFLOW] = False
    chances = read_probabilities(made.path)
    assert chances is not None
    write_fields(made, fields_of(rate_mmh_LHW, chances.probability_NTHW, chances.thresholds_mmh, known_LHW))
    return made


@pytest.fixture
def client(service, forecast):
    with running(service) as client:
        yield client


def test_a_dry_place_with_inflow_is_no_all_clear(client, forecast):
    answers = {
        cell: client.get("/nowcast/latest/point", params=place(cell)).json() for cell in (DRY_INFLOW, DRY_KNOWN, UNSEEN)
    }
    assert [row["known"] for row in answers[DRY_INFLOW]["series"]] == [False] * 5
    assert [row["rate_mmh"] for row in answers[DRY_INFLOW]["series"]] == [0.0] * 5
    assert answers[DRY_INFLOW]["outlook"] == "unknown"
    assert [row["known"] for row in answers[DRY_KNOWN]["series"]] == [True] * 5
    assert answers[DRY_KNOWN]["outlook"] == "dry"
    assert [row["known"] for row in answers[UNSEEN]["series"]] == [None] * 5
    assert point_series(forecast, 40.0, -74.0).known == (None,) * 5


def test_a_picture_hatches_inflow_and_nothing_else(client):
    picture = np.asarray(Image.open(io.BytesIO(client.get("/nowcast/latest/image/30.png").content)))
    scale = picture.shape[0] // GRID.height
    cells = {cell: picture[cell[0] * scale :, cell[1] * scale :][:scale, :scale] for cell in (DRY_KNOWN, UNSEEN)}
    assert (cells[DRY_KNOWN] == DRY).all()
    assert (cells[UNSEEN] == NO_DATA).all()
    inflow = picture[50 * scale :, 40 * scale :].reshape(-1, 4)
    lines = (inflow == HATCH).all(axis=1).mean()
    assert 0.1 < lines < 0.15, "one pixel of eight along a row"
    assert (inflow == DRY).all(axis=1).any(), "the value stays visible between the lines"


@pytest.mark.parametrize("layer", ["rainfall_rate", "rainfall_amount"])
def test_a_web_map_hatches_inflow(client, layer):
    lon, lat = float(LON_HW[DRY_INFLOW]), float(LAT_HW[DRY_INFLOW])
    request = {"service": "WMS", "version": "1.3.0", "request": "GetMap", "layers": layer, "styles": ""}
    box = {"crs": "CRS:84", "bbox": f"{lon - 0.1},{lat - 0.1},{lon + 0.1},{lat + 0.1}"}
    size = {"width": 64, "height": 64, "format": "image/png", "transparent": "true"}
    answer = client.get("/wms", params={**request, **box, **size})
    assert answer.headers["content-type"] == "image/png", answer.text
    picture = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
    assert ((picture == HATCH).all(axis=-1)).mean() == pytest.approx(1 / 8, abs=0.02)


def test_a_box_and_the_source_grid_carry_it(client, forecast):
    half = 1.0
    lat, lon = place(DRY_INFLOW).values()
    bbox = f"{lon - half},{lat - half},{lon + half},{lat + half}"
    answer = client.get("/nowcast/latest/box", params={"bbox": bbox}, headers={"Accept": "application/netcdf"})
    with xr.open_dataset(io.BytesIO(answer.content)) as dataset:
        assert dataset.known.shape == dataset.rainfall_rate.shape
        assert not dataset.known.values[:, -1, -1].any()
    with xr.open_dataset(exported(forecast, "nc", source=True)) as dataset:
        fine_THW = dataset.known.values == 1
    rows = np.arange(fine_THW.shape[1]) * GRID.height // fine_THW.shape[1]
    cols = np.arange(fine_THW.shape[2]) * GRID.width // fine_THW.shape[2]
    own_THW = read_known(forecast.path)
    assert own_THW is not None
    np.testing.assert_array_equal(fine_THW, own_THW[:, rows[:, None], cols])


def test_the_client_shows_it(service, forecast, monkeypatch, capsys, tmp_path):
    with served(service) as url:
        monkeypatch.setenv("NOWCAST_CLIENT_URL", url)
        lat, lon = place(DRY_INFLOW).values()
        client_app(["point", str(lat), str(lon)], standalone_mode=False)
        with Client(url) as client:
            plain = client.latest().plot(tmp_path / "rain.png")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("unknown")
    assert lines[1].startswith("observed ")
    assert len(lines) == 7
    assert all("inflow not observed" in line for line in lines[2:])
    assert (np.asarray(Image.open(plain).convert("RGB")) == HATCH[:3]).all(axis=-1).any()


def test_a_forecast_of_an_older_release_has_null(service, forecast):
    with xr.open_dataset(forecast.path, decode_cf=False) as dataset:
        older = dataset.drop_vars("known").load()
    older.to_netcdf(forecast.path)
    with running(service) as client:
        answer = client.get("/nowcast/latest/point", params=place(DRY_INFLOW)).json()
        assert [row["known"] for row in answer["series"]] == [None] * 5
        assert answer["outlook"] == "dry"
        assert client.get("/nowcast/latest/image/30.png").status_code == 200
