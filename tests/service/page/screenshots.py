"""Pictures of the page in the states that readers meet, to be looked at: docs/results/page_features.md names them.

`python -m tests.service.page.screenshots FOLDER [SCENE ...]` writes them, two or three minutes for all scenes.
"""

import json
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from playwright.sync_api import Browser, Page, Route

from service.forecasts.member_maker import make_members
from service.forecasts.nowcast import NowcastService
from tests.service.alerts.test_delivery import receiving
from tests.service.alerts.test_web_push import CONTACT
from tests.service.alerts.test_web_push import Browser as PushBrowser
from tests.service.live import served
from tests.service.page.browser import DESKTOP, NARROW, PHONE, browser_at, chromium, opened, shown, slide
from tests.service.page.prepared import STEP, WET, prepared, weather
from tests.service.page.test_notifications import SUBSCRIBED

Options = dict[str, Any]
LOOKS: Final[dict[str, Options]] = {
    "phone-de": {**PHONE, "locale": "de-DE"},
    "desktop-en-dark": {**DESKTOP, "color_scheme": "dark"},
    "320-de": {**NARROW, "locale": "de-DE"},
}
PLACE: Final = f"#lat={WET[0]}&lon={WET[1]}"
QUERY: Final = f"lat={WET[0]}&lon={WET[1]}"
OLD: Final = datetime(2018, 7, 11, 15, 0, tzinfo=UTC)
SETTLED_MS: Final = 700


@dataclass
class Scenery:
    """Where the pictures go, and what a scene needs."""

    browser: Browser
    folder: Path
    newest: datetime = field(default_factory=lambda: _five_minutes(datetime.now(UTC)))
    shift: timedelta = timedelta()

    def clock(self) -> datetime:
        """The service's time: three minutes after the newest scan, and what a scene adds."""
        return self.newest + timedelta(minutes=3) + self.shift

    @contextmanager
    def service(self, *, scans: int = 25, has_forecast: bool = True, **settings: Any) -> Iterator[NowcastService]:
        with TemporaryDirectory() as home:
            service = prepared(Path(home), clock=self.clock, scans=scans, newest=self.newest, **settings)
            if has_forecast:
                service.forecast_stored(scheduled=True)
            yield service

    @contextmanager
    def looks(self, address: str, look: str, prepare: Callable[[Page], Any] = lambda _: None, **more: Any) -> Any:
        with opened(self.browser, "about:blank", **{**LOOKS[look], **more}) as page:
            prepare(page)
            page.goto(address)
            yield page

    def take(self, page: Page, name: str, *, whole: bool = False) -> None:
        page.wait_for_function("document.getElementById('loading')?.hidden ?? true")
        page.wait_for_timeout(SETTLED_MS)
        page.screenshot(path=self.folder / f"{name}.png", full_page=whole)
        print(name, flush=True)


def _five_minutes(time: datetime) -> datetime:
    return time.replace(minute=time.minute - time.minute % 5, second=0, microsecond=0)


def search(scenery: Scenery) -> None:
    with scenery.service() as service, served(service) as base:
        for look in LOOKS:
            with scenery.looks(f"{base}/", look) as page:
                shown(page).locator("#search").fill("fran")
                page.locator("#results [role=option]").first.wait_for()
                page.keyboard.press("ArrowDown")
                scenery.take(page, f"search-{look}")
                page.locator("#search").fill("no such place")
                scenery.take(page, f"search-none-{look}")


def notify(scenery: Scenery) -> None:
    settings: Options = {"push_contact": CONTACT, "alert_networks": ("127.0.0.1/32",)}
    with scenery.service(**settings) as service, served(service) as base, receiving() as push_service:
        target = PushBrowser().target(push_service.url)
        keys = {name: target[name] for name in ("p256dh", "auth")}
        script = SUBSCRIBED.replace("TARGET", json.dumps({"endpoint": target["endpoint"], "keys": keys}))
        for look in ("phone-de", "desktop-en-dark"):
            prepare = lambda page: page.add_init_script(script)
            with scenery.looks(f"{base}/{PLACE}", look, prepare, permissions=["notifications"]) as page:
                page.locator("#notify").wait_for()
                page.locator("#notify-box").scroll_into_view_if_needed()
                scenery.take(page, f"notify-{look}")
                page.route("**/rules", _without_key)
                page.locator("#notify").click()
                page.locator("#notify-key").wait_for()
                page.locator("#notify-box").scroll_into_view_if_needed()
                scenery.take(page, f"notify-key-{look}")
                page.unroute_all()
                page.locator("#notify").click()
                page.locator("#notify-record:not(:empty)").wait_for()
                page.locator("#notify-box").scroll_into_view_if_needed()
                scenery.take(page, f"notify-on-{look}")
                page.locator("#notify").click()
                page.wait_for_function("document.getElementById('notify-state').textContent === ''")


def _without_key(route: Route) -> None:
    route.fulfill(status=401, content_type="application/json", body='{"detail": "no valid credentials"}')


def record(scenery: Scenery) -> None:
    """The sentences have figures that are made up here: a small store has too few cases."""
    with scenery.service() as service, served(service) as base:
        for look in ("phone-de", "desktop-en-dark"):
            with scenery.looks(f"{base}/{PLACE}", look, _with_record, service_workers="block") as page:
                page.locator("#start-record:not(:empty)").wait_for()
                page.locator("#start-record").scroll_into_view_if_needed()
                scenery.take(page, f"record-{look}")


def _with_record(page: Page) -> None:
    bins = [
        {"from_probability": n / 10, "to_probability": (n + 1) / 10, "observed": (n + 0.4) / 10, "cells": 12345}
        | {"stated": (n + 0.5) / 10, "enough": True}
        for n in range(10)
    ]
    periods = [{"from_minutes": start, "to_minutes": start + 30} for start in range(0, 150, 30)]
    groups = [{"threshold_mmh": mmh, "bins": bins, **period} for mmh in (0.1, 1.0, 5.0) for period in periods]
    starts = [{"cases": 400, "right": 312, "rained": 380, "bins": [], **period} for period in periods]
    ends = [{"cases": 250, "right": 100, **period} for period in periods]
    for path, body in (("reliability", {"groups": groups}), ("rain-times", {"starts": starts, "ends": ends})):
        page.route(re.compile(rf"/verification/{path}\b"), partial(_answer, body))


def _answer(body: Any, route: Route) -> None:
    route.fulfill(json=body)


def widget(scenery: Scenery) -> None:
    with scenery.service() as service, served(service) as base:
        for name, words in (("en", "lang=en&theme=light"), ("de-dark", "lang=de&theme=dark&name=Bad%20Wildungen")):
            for width in (280, 360, 640):
                _widget(scenery, f"{base}/embed?{QUERY}&{words}", f"widget-{name}-{width}", width)
    scenery.shift = timedelta(minutes=30)
    with scenery.service(scans=1, has_forecast=False) as service, served(service) as base:
        _widget(scenery, f"{base}/embed?{QUERY}&lang=de", "widget-waiting", 360, "#status:not(:empty)")


def _widget(scenery: Scenery, address: str, name: str, width: int, awaited: str = "#bars svg") -> None:
    with opened(scenery.browser, address, viewport={"width": width, "height": 420}) as page:
        page.locator(awaited).wait_for()
        scenery.take(page, name)


def offline(scenery: Scenery) -> None:
    with scenery.service() as service, served(service) as base:
        for look in ("phone-de", "desktop-en-dark"):
            with scenery.looks(f"{base}/{PLACE}", look) as page:
                shown(page)
                page.wait_for_function("navigator.serviceWorker.controller !== null")
                page.reload()
                shown(page).locator("#bars svg").wait_for()
                page.wait_for_load_state("networkidle")
                page.context.set_offline(True)
                page.reload()
                shown(page).locator("#bars svg").wait_for()
                scenery.take(page, f"offline-{look}", whole=True)


def archive(scenery: Scenery) -> None:
    with scenery.service() as service, served(service) as base:
        for number in range(1, 4):
            service.store.put(weather(scenery.newest + STEP * number, scenery.newest))
        scenery.shift = timedelta(minutes=15)
        service.verify_observed()
        service.forecast_stored(scheduled=True)
        for look in LOOKS:
            with scenery.looks(f"{base}/{PLACE}", look) as page:
                shown(page).locator("#archive > summary").click()
                page.locator("#archive-time option").nth(1).wait_for(state="attached")
                page.locator("#archive").scroll_into_view_if_needed()
                scenery.take(page, f"archive-list-{look}")
                page.locator("#archive-time").select_option(index=1)
                page.locator("#archive-show").click()
                page.locator("#what option[value=observed]").wait_for(state="attached")
                page.locator("#what").select_option("observed")
                slide(page, 26)
                page.evaluate("scrollTo(0, 0)")
                scenery.take(page, f"archive-{look}")
                page.locator("#newest").click()
                page.locator("#what option[value=observed]").wait_for(state="detached")
                slide(page, 24)
                scenery.take(page, f"archive-back-{look}")
                page.locator("#verification > summary").click()
                page.locator("#curves svg").scroll_into_view_if_needed()
                scenery.take(page, f"skill-{look}")


def stale(scenery: Scenery) -> None:
    with scenery.service() as service, served(service) as base:
        scenery.shift = timedelta(hours=1)
        for look in LOOKS:
            with scenery.looks(f"{base}/{PLACE}", look, service_workers="block") as page:
                scenery.take(shown(page), f"stale-{look}")
                page.route("**/nowcast/latest", lambda route: route.abort())
                page.evaluate("dispatchEvent(new Event('online'))")
                scenery.take(page, f"gone-{look}")
        _widget(scenery, f"{base}/embed?{QUERY}&lang=de", "widget-stale", 360)


def waiting(scenery: Scenery) -> None:
    """Without a scan, with one, and with one that is too old."""
    for name, scans, shift in (("first", 0, 0), ("second", 1, 0), ("old", 1, 700)):
        scenery.shift = timedelta(days=shift)
        with scenery.service(scans=scans, has_forecast=False) as service, served(service) as base:
            for look in LOOKS:
                with scenery.looks(f"{base}/", look) as page:
                    page.wait_for_function("document.getElementById('waiting-text').textContent.length > 20")
                    scenery.take(page, f"waiting-{name}-{look}")


def layers(scenery: Scenery) -> None:
    with scenery.service() as service, served(service) as base:
        make_members(service.latest(), 3)
        for layer in ("rainfall_rate", "probability_of_exceedance_1", "member-2", "sum60"):
            with scenery.looks(f"{base}/{PLACE}&layer={layer}", "desktop-en-dark", color_scheme="light") as page:
                slide(shown(page), 24 + 10)
                page.locator("#motion").click()
                scenery.take(page, f"layer-{layer}")


def replay(scenery: Scenery) -> None:
    scenery.newest = OLD
    with scenery.service(source_kind="replay") as service, served(service) as base:
        for look in LOOKS:
            with scenery.looks(f"{base}/{PLACE}", look) as page:
                slide(shown(page), 24 + 20)
                scenery.take(page, f"replay-{look}")
        _widget(scenery, f"{base}/embed?{QUERY}&lang=de", "widget-replay", 360)
        for name, query in (("de-200", "lang=de&width=200"), ("en-600-dark", "lang=en&width=600&dark=true")):
            picture = urllib.request.urlopen(f"{base}/nowcast/latest/point.png?{QUERY}&{query}").read()
            (scenery.folder / f"point-{name}.png").write_bytes(picture)


SCENES: Final = (search, notify, record, widget, offline, archive, stale, waiting, layers, replay)


def main(folder: Path, names: list[str]) -> None:
    path = chromium()
    if path is None:
        raise SystemExit("no Chromium on this machine: apt-get install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    with browser_at(path) as browser:
        for scene in SCENES:
            if not names or scene.__name__ in names:
                scene(Scenery(browser, folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
