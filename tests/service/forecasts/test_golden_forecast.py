"""The files of a forecast of release 0.1.0 are read as they are, in every place that reads one."""

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from core.grid import RADOLAN_SPHERE, Grid
from core.times import utc
from service.forecasts.catalogue import Catalogue
from service.forecasts.fields import FieldCache
from service.forecasts.netcdf import read_attributes
from service.forecasts.probabilities import read_probabilities
from service.forecasts.products import (
    forecast_attributes,
    kept_input,
    lead_png,
    read_forecast,
    read_known,
    read_window,
)
from service.forecasts.records import StoredForecast, read_rate
from service.queries.point import point_series
from tests.service.conftest import START, rain

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "forecast-0.1.0"
ID = "32a71f85-1a80-5e6b-bc1b-d30d41fcc1fa"
GRID = Grid(RADOLAN_SPHERE, -20_000.0, -4_200_000.0, 1000.0, 1000.0, 20, 24, "small")
REFERENCE = START + timedelta(hours=2)
INPUT_TIMES = tuple(None if minutes == 30 else START + timedelta(minutes=minutes) for minutes in range(0, 121, 30))


@pytest.fixture
def forecast(tmp_path) -> StoredForecast:
    folder = tmp_path / "forecasts/2024/06/01"
    shutil.copytree(GOLDEN, folder)
    return read_forecast(folder / f"{ID}.nc")


def test_the_record_is_whole(forecast):
    assert forecast == StoredForecast(
        id=ID,
        status="degraded",
        method="fading",
        reference_time=REFERENCE,
        issued_at=utc("2024-06-01T12:03:00Z"),
        requested_model="default",
        model="fading",
        version="1",
        product="RY",
        grid=GRID,
        input_times=INPUT_TIMES,
        notes=(
            "no scan for 2024-06-01T10:30:00Z: bridged linearly in time between 2024-06-01T10:00:00Z and "
            "2024-06-01T11:00:00Z",
        ),
        missing_radars=(),
        lead_minutes=(30, 60, 90, 120, 150),
        inputs_sha256="c35cb4067773693a9a42f584bb99dfbcf9a530a5817b086b576b23d8128f217d",
        path=forecast.path,
        origin="scans",
        source_grid=GRID,
        thresholds_mmh=(0.1, 0.5, 5.0),
    )


def test_its_attributes_are_written_as_before(forecast):
    before = read_attributes(forecast.path)
    assert forecast_attributes(forecast) == {name: before[name] for name in before if name != "Conventions"}


def test_its_fields_are_read_and_known_is_not_there(forecast):
    newest_mmh_HW = rain(120, grid=GRID).rate_mmh_HW
    fields = FieldCache().read(forecast)
    np.testing.assert_array_equal(fields.rate_mmh_THW[0], newest_mmh_HW / 2)
    np.testing.assert_array_equal(fields.analysis_mmh_HW, newest_mmh_HW)
    assert fields.known_THW is None
    assert read_known(forecast.path) is None
    chances = read_probabilities(forecast.path)
    assert chances is not None
    assert chances.thresholds_mmh == forecast.thresholds_mmh
    assert lead_png(forecast, 30)
    lon_HW, lat_HW = GRID.lon_lat_HW()
    point = point_series(forecast, float(lat_HW[18, 20]), float(lon_HW[18, 20]))
    assert (point.outlook, point.known) == ("rain", (None,) * 5)


def test_its_window_and_observations_are_read(forecast):
    window = read_window(forecast)
    assert (window.status, window.notes, window.model_usable) == ("degraded", forecast.notes, True)
    assert (window.input_times, window.product, window.scan_grid) == (INPUT_TIMES, "RY", GRID)
    assert window.nominal_times == tuple(START + timedelta(minutes=minutes) for minutes in range(0, 121, 30))
    assert kept_input(forecast).sha256 == forecast.inputs_sha256
    assert forecast.observations_path is not None
    np.testing.assert_array_equal(read_rate(forecast.observations_path)[0], rain(150, grid=GRID).rate_mmh_HW)


def test_the_catalogue_is_rebuilt_from_it(forecast, tmp_path):
    catalogue = Catalogue(tmp_path)
    catalogue.rebuild()
    assert catalogue.find(ID) == forecast
