"""A browser, and a service with one forecast, for each file of browser tests."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.service.live import served
from tests.service.page.browser import Clock, browser_at, chromium, with_forecast


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with browser_at(path) as started:
        yield started


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[str]:
    with served(with_forecast(tmp_path_factory.mktemp("home"), clock)) as base:
        yield f"{base}/"
