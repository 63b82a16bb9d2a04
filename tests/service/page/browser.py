"""Chromium for tests of the page: found on this machine, driven by Playwright."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, FloatRect, Page, expect, sync_playwright

from service.forecasts.nowcast import NowcastService
from tests.service.api_support import NOW
from tests.service.page.prepared import prepared

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS: Final = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Without a sandbox, since tests also run as root; the others keep it from looking for other hosts."""
PATIENCE_MS: Final = 60_000
"""Longest wait for anything on the page: reached only where it never becomes true."""
DESKTOP: Final[dict[str, Any]] = {"viewport": {"width": 1280, "height": 800}}
PHONE: Final[dict[str, Any]] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
NARROW: Final[dict[str, Any]] = {"viewport": {"width": 320, "height": 640}, "is_mobile": True, "has_touch": True}


@cache
def chromium() -> str | None:
    """Return the path of a Chromium on this machine that runs: a name may be a stub, or half installed."""
    return next((path for name in NAMES if (path := shutil.which(name)) and _runs(path)), None)


def _runs(path: str) -> bool:
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@contextmanager
def browser_at(path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


class Clock:
    """The service's time, which a test may move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self):
        return self.now

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)


@contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """A page of its own, with an English reader in Berlin; errors of its scripts fail the test.

    The policy of content is off unless a test sets `bypass_csp=False`: it refuses the expressions of Playwright.
    """
    reader = {"locale": "en-GB", "timezone_id": "Europe/Berlin", "bypass_csp": True}
    context = browser.new_context(**{**reader, **DESKTOP, **options})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert not errors


def shown(page: Page) -> Page:
    """Return the page with a frame on the map."""
    page.wait_for_function("document.getElementById('kind').textContent !== ''")
    return page


def text(page: Page, name: str) -> str:
    return page.locator(f"#{name}").inner_text().strip()


def with_forecast(home: Path, clock: Callable[[], Any], **settings: Any) -> NowcastService:
    service = prepared(home, clock=clock, **settings)
    service.forecast_stored(scheduled=True)
    return service


def slide(page: Page, index: int) -> None:
    """Move the slider to a frame, as a reader does by hand."""
    page.evaluate(
        "(to) => { const s = document.getElementById('slider'); s.value = to; s.dispatchEvent(new Event('input')); }",
        index,
    )


def box_of(page: Page, selector: str) -> FloatRect:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box


def violations(page: Page) -> list[str]:
    """Return what axe finds on a page: the rule and the elements."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found]
