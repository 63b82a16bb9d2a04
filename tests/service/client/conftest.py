"""A service with a forecast behind a real address, for each file of tests of the clients."""

from collections.abc import Iterator

import pytest

from service.forecasts.nowcast import NowcastService
from tests.service.api_support import fill, service_at
from tests.service.live import served


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> NowcastService:
    made = service_at(tmp_path_factory.mktemp("home"))
    fill(made)
    made.forecast_stored()
    return made


@pytest.fixture(scope="module")
def url(service: NowcastService) -> Iterator[str]:
    with served(service) as address:
        yield address
