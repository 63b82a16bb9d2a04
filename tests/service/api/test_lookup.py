"""Cached answers are those of the catalogue and of the files, also after another process changes them."""

from datetime import timedelta

import numpy as np
import pytest

from core.errors import InputError, NoDataError
from service.api.lookup import LATEST, RecentForecasts
from service.forecasts.catalogue import Catalogue
from service.forecasts.fields import FIELDS, FieldCache
from service.forecasts.packing import rounded_rate
from service.queries.point import point_series
from tests.service.api_support import GRID, REFERENCE, STEP, fill, frames_at, running, service_at
from tests.service.fakes import fields_of, write_fields


@pytest.fixture
def service(tmp_path):
    made = service_at(tmp_path)
    fill(made)
    return made


def test_a_forecast_by_another_process_is_seen_at_once(service):
    recent = RecentForecasts()
    first = service.forecast_stored()
    assert recent.find(service, LATEST) == first
    assert recent.held(service, LATEST) == first
    for frame in frames_at([REFERENCE + STEP]):
        service.store.put(frame)
    other = service_at(service.settings.home)  # its own engine and caches, like another process
    second = other.forecast_stored()
    assert recent.held(service, LATEST) is None
    assert recent.find(service, LATEST) == second
    assert second.reference_time == first.reference_time + STEP


def test_an_answer_holds_for_a_second_at_most(service, monkeypatch):
    recent = RecentForecasts()
    service.forecast_stored()
    recent.find(service, LATEST)
    assert recent.held(service, LATEST) is not None
    monkeypatch.setattr("service.api.lookup.SURE_S", 0.0)
    assert recent.held(service, LATEST) is None


def test_what_is_not_there_is_not_held(service):
    recent = RecentForecasts()
    with pytest.raises(NoDataError):
        recent.find(service, LATEST)
    with pytest.raises(InputError, match="UUID"):
        recent.find(service, "yesterday")
    assert recent.held(service, LATEST) is None


def test_two_entries_within_a_tick_have_two_versions(service):
    forecast, seen = service.forecast_stored(), set()
    for _ in range(20):
        service.catalogue.put(forecast)
        seen.add(service.catalogue.version)
    assert len(seen) > 15  # an inode may come again, at another time
    assert Catalogue(service.settings.home).version == service.catalogue.version


def test_fields_are_read_once_and_anew_where_the_file_is_another(service, monkeypatch):
    forecast = service.forecast_stored()
    cache = FieldCache()
    fields = cache.read(forecast)
    assert cache.held(forecast) is fields
    assert fields.analysis_mmh_HW is not None
    with pytest.raises(ValueError, match="read-only"):
        fields.rate_mmh_THW[0, 0, 0] = 1
    write_fields(forecast, fields_of(fields.rate_mmh_THW + 1))
    assert cache.held(forecast) is None
    np.testing.assert_array_equal(cache.read(forecast).rate_mmh_THW, rounded_rate(fields.rate_mmh_THW + 1))
    forecast.path.unlink()
    assert cache.held(forecast) is None
    with pytest.raises(NoDataError, match="not readable"):
        cache.read(forecast)


def test_the_memory_has_an_end(service):
    forecasts = [service.forecast_stored(model=name) for name in ("default", "persistence", "extrapolation")]
    small = FieldCache(most_bytes=1)
    for forecast in forecasts:
        small.read(forecast)
    assert [small.held(forecast) is not None for forecast in forecasts] == [False, False, True]


def test_a_lead_without_data_leaves_the_others(service):
    """Three leads are known and two are not: the three are returned, and the outlook after them is not dry."""
    forecast = service.forecast_stored()
    row, col = 20, 50
    rates = forecast.rate_mmh_THW.copy()
    rates[:3, row, col], rates[3:, row, col] = [0.0, 1.5, 0.0], np.nan
    write_fields(forecast, fields_of(rates))
    lon_HW, lat_HW = GRID.lon_lat_HW()
    point = point_series(forecast, float(lat_HW[row, col]), float(lon_HW[row, col]))
    assert point.rate_mmh == (0.0, 1.5, 0.0, None, None)
    assert (point.coverage, point.outlook) == ("temporarily unavailable", "rain")
    assert (point.next_rain_start, point.next_rain_end) == forecast.valid_times[1:3]
    rates[:3, row, col] = 0.0
    write_fields(forecast, fields_of(rates))
    point = point_series(forecast, float(lat_HW[row, col]), float(lon_HW[row, col]))
    assert (point.outlook, point.next_rain_start) == ("unknown", None)
    rates[:, 2, 3] = [0.0, 0.0, 0.0, np.nan, np.nan]  # where no radar ever sees, but the model does
    write_fields(forecast, fields_of(rates))
    assert point_series(forecast, float(lat_HW[2, 3]), float(lon_HW[2, 3])).coverage == "temporarily unavailable"


def test_points_over_http_from_memory(service):
    forecast = service.forecast_stored()
    with running(service) as client:
        first = client.get("/nowcast/latest/point?lat=51&lon=9.5")
        assert FIELDS.held(forecast) is not None
        again = client.get("/nowcast/latest/point?lat=51&lon=9.5")
        assert again.json() == first.json()
        held = {"If-None-Match": first.headers["etag"]}
        assert client.get("/nowcast/latest/point?lat=51&lon=9.5", headers=held).status_code == 304
        assert client.get("/nowcast/latest/point?lat=91&lon=9.5").status_code == 422
        for frame in frames_at([REFERENCE + STEP]):
            service.store.put(frame)
        later = service.forecast_stored()
        newer = client.get("/nowcast/latest/point?lat=51&lon=9.5", headers=held)
        assert newer.json()["forecast_id"] == later.id
        assert newer.json()["reference_time"] == (forecast.reference_time + timedelta(minutes=30)).isoformat().replace(
            "+00:00", "Z"
        )
