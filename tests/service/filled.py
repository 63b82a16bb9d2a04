"""Fixtures of tests of the API that only read: a service with scans, a program that calls it, its forecast."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from service.forecasts.nowcast import NowcastService
from service.forecasts.records import StoredForecast
from tests.service.api_support import fill, running, service_at


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> NowcastService:
    made = service_at(tmp_path_factory.mktemp("home"))
    fill(made)
    return made


@pytest.fixture(scope="module")
def client(service: NowcastService) -> Iterator[TestClient]:
    with running(service) as opened:
        yield opened


@pytest.fixture(scope="module")
def forecast(service: NowcastService) -> StoredForecast:
    return service.forecast_stored()
