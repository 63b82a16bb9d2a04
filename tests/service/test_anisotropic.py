"""A model whose grid cells are higher than wide, over HTTP: places, the file, the scores, an area."""

import io

import numpy as np
import pytest
import xarray as xr

from core.cells import CellEdges
from core.grid import RADOLAN_900
from core.times import iso
from ingest.windows.regrid import onto
from tests.service.api_support import GRID, REFERENCE, fill, frames_at, lead_times, load_with, running, service_at
from verification.counts import contingency

ROWS, COLS = 30, 60
"""The model's cells over the 72 x 60 cells of the scans: 30 km high and 15 km wide."""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    edges = CellEdges(30_000.0, 15_000.0, fewest=8)
    made = service_at(tmp_path_factory.mktemp("home"), load=load_with(edges))
    fill(made)
    made.forecast_stored()
    for frame in frames_at(lead_times()):
        made.store.put(frame)
    assert made.verify_observed() > 0
    return made


@pytest.fixture(scope="module")
def client(service):
    with running(service) as made:
        yield made


def test_the_grid_has_the_edges_of_the_model(client):
    grid = client.get("/nowcast/latest").json()["grid"]
    assert (grid["height"], grid["width"]) == (ROWS, COLS)
    assert (grid["pixel_y_m"], grid["pixel_x_m"]) == (30_000.0, 15_000.0)


def test_a_place_has_the_value_of_its_own_cell(client, service):
    forecast = service.latest()
    lon_HW, lat_HW = forecast.grid.lon_lat_HW()
    wettest = np.unravel_index(np.nanargmax(forecast.rate_mmh_THW[1]), forecast.grid.shape)
    for row, col in (wettest, (0, 40), (ROWS - 1, COLS - 1), (21, 8)):
        place = {"lat": lat_HW[row, col], "lon": lon_HW[row, col]}
        point = client.get("/nowcast/latest/point", params=place).json()
        assert (point["row"], point["col"]) == (row, col)
        found = [lead["rate_mmh"] for lead in point["series"]]
        np.testing.assert_allclose(np.array(found, float), forecast.rate_mmh_THW[:, row, col], rtol=1e-6)


def test_the_file_has_both_spacings_and_the_same_values(client, service):
    with xr.open_dataset(io.BytesIO(client.get("/nowcast/latest/file.nc").content), engine="h5netcdf") as dataset:
        assert np.diff(dataset["x"].values) == pytest.approx(np.full(COLS - 1, 15_000.0))
        assert np.diff(dataset["y"].values) == pytest.approx(np.full(ROWS - 1, -30_000.0))
        np.testing.assert_array_equal(dataset["rainfall_rate"].values, service.latest().rate_mmh_THW)


def test_scores_count_the_cells_of_the_model(client, service):
    forecast = service.latest()
    observed_THW = onto(np.stack([one.rate_mmh_HW for one in frames_at(lead_times())]), GRID, forecast.grid)
    covered_HW = np.isfinite(forecast.rate_mmh_THW[0])
    scores = client.get("/nowcast/latest").json()["verification"]["scores"]
    rolling = client.get("/verification", params={"model": "default", "end": iso(lead_times()[-1])}).json()["scores"]
    for rows in (scores, rolling):
        own = {(row["lead_minutes"], row["threshold_mmh"]): row for row in rows if row["model"] == "default"}
        for index, lead in enumerate(forecast.lead_minutes):
            seen_HW = np.where(covered_HW, observed_THW[index], np.nan)
            expected = contingency(forecast.rate_mmh_THW[index], seen_HW, 0.5)
            assert own[lead, 0.5]["hits"] == expected.hits
            assert own[lead, 0.5]["misses"] == expected.misses
            assert own[lead, 0.5]["false_alarms"] == expected.false_alarms


def test_a_polygon_around_one_cell_has_its_area(client, service):
    grid = service.latest().grid
    x, y = grid.west_m + 20 * 15_000.0, grid.north_m - 10 * 30_000.0
    lon, lat = grid.to_lon_lat(np.array([x, x + 15_000, x + 15_000, x]), np.array([y, y, y - 30_000, y - 30_000]))
    ring = ", ".join(f"{a} {b}" for a, b in zip([*lon, lon[0]], [*lat, lat[0]], strict=True))
    area = client.get("/nowcast/latest/area", params={"polygon": f"POLYGON(({ring}))"}).json()
    assert area["area_km2"] == pytest.approx(450, rel=0.2)  # the scale of the projection is not 1
    assert area["leads"][0]["coverage"] == pytest.approx(1.0)


def test_the_scans_of_the_test_are_those_of_germany():
    assert GRID.extent_m == RADOLAN_900.extent_m
    assert lead_times()[0] - (lead_times()[1] - lead_times()[0]) == REFERENCE
