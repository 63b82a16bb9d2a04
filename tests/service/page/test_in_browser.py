"""The page in headless Chromium, served by the API on a small store: what a visitor sees and does."""

import re
from itertools import pairwise

import pytest
from playwright.sync_api import CDPSession, Route, expect

from core.times import iso
from tests.service.api_support import REFERENCE
from tests.service.live import served
from tests.service.page.browser import (
    NARROW,
    PHONE,
    Clock,
    box_of,
    chromium,
    opened,
    shown,
    slide,
    text,
    violations,
    with_forecast,
)
from tests.service.page.prepared import STEP, WET, prepared, weather

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine: apt-get install chromium")
MINIMUM_PX = 44
PLACE = f"#lat={WET[0]}&lon={WET[1]}"
BEFORE_RAIN_BYTES = 400_000
FIRST_S = 1.0
FRAME_S = 0.05
TRANSFERRED = (
    "['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind)).map((one) => one.transferSize)"
)
WORD_BOXES = """[...document.querySelectorAll("#legend li small:not(:empty)")].map((one) => {
  const range = document.createRange();
  range.selectNodeContents(one);
  return range.getBoundingClientRect().toJSON();
})"""


def busy_s(session: CDPSession) -> float:
    """Processor time of the page's main thread so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def test_load_play_and_slide(browser, address):
    with opened(browser, address) as page:
        shown(page)
        assert (text(page, "kind"), text(page, "offset")) == ("Observed", "now")
        assert "14:00" in text(page, "when")
        assert text(page, "day") == "1 Jun 2024"  # it is not today
        assert text(page, "status") == "degraded"  # a scan is missing
        expect(page.locator("#notice")).to_contain_text("incomplete radar data")
        assert text(page, "scan-time") == "14:00"
        page.locator("#play").click()
        expect(page.locator("#kind")).to_have_text("Forecast")
        page.locator("#play").click()
        slide(page, 24 + 12)
        expect(page.locator("#offset")).to_have_text("+60 min")
        slide(page, 24 - 8)  # the scan that is missing
        expect(page.locator("#absent")).to_be_visible()
        assert "No scan at 13:20" in text(page, "absent")


def test_the_label_waits_for_the_picture_on_a_slow_line(browser, address):
    with opened(browser, "about:blank") as page:
        held = []

        def hold(route):
            held.append(route) if "T13:" in route.request.url else route.continue_()

        page.route(re.compile(r"/tiles/.*\.png"), hold)
        page.goto(address)
        shown(page)
        slide(page, 24 + 12)
        expect(page.locator("#loading")).to_be_visible()
        assert text(page, "offset") == "now"  # the frame on the map is still this one
        panes = page.evaluate(
            "[...document.querySelectorAll('.leaflet-rain-pane .leaflet-layer')]"
            ".filter((one) => one.style.opacity !== '0').length"
        )
        assert panes == 1  # and its picture has not gone white
        page.wait_for_function("document.getElementById('loading').textContent.includes('15:00')")
        for route in held:
            route.continue_()
        page.unroute_all(behavior="ignoreErrors")
        slide(page, 24 + 12)
        expect(page.locator("#offset")).to_have_text("+60 min")


@pytest.mark.long
def test_the_coast_is_fetched_after_the_first_rain(browser, address):
    with opened(browser, "about:blank") as page:
        held: list[Route] = []
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.route(re.compile(r"/tiles/.*\.png"), lambda route: held.append(route))
        page.goto(address)
        page.wait_for_function("document.getElementById('loading').textContent !== ''")
        page.wait_for_timeout(500)
        assert held
        assert not [url for url in asked if url.endswith(("basemap.json", "places.json"))]
        with page.expect_request("**/page/basemap.json"):
            for route in held:
                route.continue_()
        page.unroute_all(behavior="ignoreErrors")


def test_click_and_share_a_place(browser, address):
    with opened(browser, address + PLACE) as page:
        shown(page)
        expect(page.locator("#place-words p").first).to_contain_text("ain")
        assert page.locator("#bars rect.rate").count() > 0
        assert page.locator("#bars rect.chance").count() > 0
        box = box_of(page, "#map")
        before = page.evaluate("location.hash")
        page.mouse.click(box["x"] + 200, box["y"] + 300)
        page.wait_for_function("(old) => location.hash !== old", arg=before)
        place = page.evaluate("location.hash")
        slide(page, 24 + 6)
        page.locator("#what").select_option("probability_of_exceedance_1")
        page.locator("#slider").dispatch_event("change")
        link = page.evaluate("location.href")
        assert "layer=probability_of_exceedance_1" in link
        assert "time=2024-06-01T12:30:00Z" in link
    with opened(browser, link) as page:
        shown(page)
        expect(page.locator("#offset")).to_have_text("+30 min")
        assert page.locator("#what").input_value() == "probability_of_exceedance_1"
        assert place.split("&view")[0] in page.evaluate("location.hash")


def test_zoom_and_search_with_the_keyboard(browser, address):
    with opened(browser, address) as page:
        shown(page)
        page.locator(".leaflet-control-zoom-in").click()
        page.wait_for_function("location.hash.includes('view=')")
        page.locator("#search").fill("kassel")
        page.locator("#results [role=option]").first.wait_for()
        page.keyboard.press("ArrowDown")
        assert page.locator("#search").get_attribute("aria-activedescendant") == "result-0"
        page.keyboard.press("Enter")
        expect(page.locator("#place-name")).to_have_text("Kassel")
        page.locator("#search").fill("no such place")
        expect(page.locator("#no-result")).to_have_text("No place found")


def test_languages_zones_and_colours(browser, address):
    with opened(browser, address + PLACE, locale="de-DE") as page:
        shown(page)
        assert text(page, "kind") == "Gemessen"
        assert page.evaluate("document.documentElement.lang") == "de"
        page.locator("#zone").click()
        expect(page.locator("#when")).to_have_text("12:00 UTC")
        page.locator("#language").click()
        expect(page.locator("#kind")).to_have_text("Observed")
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.locator("#theme").click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        page.reload()
        shown(page)
        assert (text(page, "kind"), page.evaluate("document.documentElement.dataset.theme")) == ("Observed", "dark")


def test_where_no_radar_sees_it_is_not_dry(browser, address):
    with opened(browser, address + "#lat=54.2&lon=3.5") as page:
        shown(page)
        expect(page.locator("#place-words")).to_contain_text("No radar coverage")
        assert page.locator("#bars svg").count() == 0
        assert page.locator("#legend .sign").count() == 2


@pytest.mark.parametrize(
    "options", [{}, {**PHONE, "color_scheme": "dark", "locale": "de-DE"}], ids=["day", "phone at night"]
)
def test_axe_finds_nothing(browser, address, options):
    with opened(browser, address + PLACE, **options) as page:
        shown(page)
        page.locator("#bars svg").wait_for()
        page.evaluate("document.querySelectorAll('aside > details').forEach((one) => (one.open = true))")
        assert violations(page) == []


@pytest.mark.parametrize("options", [PHONE, NARROW], ids=["390", "320"])
def test_on_a_phone(browser, address, options):
    with opened(browser, address + PLACE, **options) as page:
        shown(page)
        page.locator("#bars svg").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert box_of(page, ".top")["height"] < 3 * MINIMUM_PX
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        assert box_of(page, "#age")["y"] >= 0  # in view at the end of the page as well
        small = page.evaluate(
            "(least) => [...document.querySelectorAll('button, select, input, summary, [role=option]')]"
            ".filter((one) => one.offsetParent && (one.offsetHeight < least || one.offsetWidth < least))"
            ".map((one) => one.id || one.outerHTML)",
            MINIMUM_PX,
        )
        assert small == []
        words = page.locator("#legend li small:not(:empty)")
        assert words.all_inner_texts() == ["light", "moderate", "heavy", "very heavy"]
        legend = box_of(page, ".legend")
        places = [(box["x"], box["x"] + box["width"]) for box in page.evaluate(WORD_BOXES)]
        assert all(end <= start for (_, end), (start, _) in pairwise(places))  # no word over the next one
        assert places[-1][1] <= legend["x"] + legend["width"]


def first_rain(browser, address) -> tuple[int, float, float]:
    """Bytes and seconds of processor time until the first rain is seen, and such seconds of one frame after it."""
    with opened(browser, "about:blank", service_workers="block") as page:
        page.route(re.compile(r"/page/(basemap|places)\.json"), lambda _: None)  # fetched after the first rain
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(address)
        shown(page)
        sizes = page.evaluate(TRANSFERRED)
        assert len(sizes) > 8  # the page's own files, answers of the interface, tiles
        first_s = busy_s(session)
        page.wait_for_load_state("load")
        began_s = busy_s(session)
        for index in range(25, 37):
            slide(page, index)
            expect(page.locator("#offset")).to_have_text(f"+{5 * (index - 24)} min")
        frame_s = (busy_s(session) - began_s) / 12
        page.unroute_all(behavior="ignoreErrors")
    return sum(sizes), first_s, frame_s


def test_the_first_rain_costs_little(browser, address):
    """Processor time, the least of three: what a clock says depends on what else the machine does."""
    measured = [first_rain(browser, address)]
    while not (fits := min(one[1] for one in measured) < FIRST_S and min(one[2] for one in measured) < FRAME_S):
        if len(measured) == 3:
            break
        measured.append(first_rain(browser, address))
    assert fits, measured
    assert max(one[0] for one in measured) < BEFORE_RAIN_BYTES


@pytest.mark.long
def test_a_link_to_a_forecast_that_was_deleted_shows_the_newest(browser, address):
    with opened(browser, f"{address}#run=00000000-0000-4000-8000-000000000000") as page:
        shown(page)
        assert not page.locator("#newest").is_visible()
        page.wait_for_function("!location.hash.includes('run=')")


def test_age_and_loss_of_the_service_are_loud(browser, tmp_path):
    clock = Clock()
    service = with_forecast(tmp_path / "home", clock)
    with served(service) as base, opened(browser, f"{base}/", service_workers="block") as page:
        shown(page)
        assert not page.locator("#banner").is_visible()
        expect(page.locator("#offset")).to_have_text("now")
        clock.later(hours=1)
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#banner")).to_contain_text("too old")
        expect(page.locator("#offset")).to_have_text("last scan")  # not "now"
        expect(page.locator(".tick.now")).to_have_text("14:00")
        page.reload()
        shown(page)
        expect(page.locator("#banner")).to_contain_text("too old")
        expect(page.locator("#offset")).to_have_text("last scan")
        assert text(page, "status") == "stale"
        page.route("**/nowcast/latest", lambda route: route.abort())
        page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#banner")).to_contain_text("does not respond")
        assert text(page, "kind") == "Observed"  # the last forecast stays


def test_the_age_goes_on_where_an_answer_is_revalidated(browser, tmp_path):
    clock = Clock()
    with served(with_forecast(tmp_path / "home", clock)) as base, opened(browser, f"{base}/") as page:
        shown(page)
        before = int(text(page, "age-value").split()[0])
        clock.later(minutes=5)
        with page.expect_response("**/nowcast/latest") as answer:
            page.evaluate("dispatchEvent(new Event('online'))")
        expect(page.locator("#age-value")).to_contain_text(f"{before + 5} min")
        assert answer.value.headers["x-clock"] == iso(clock())


def test_a_replay_and_invented_weather_are_called_so(browser, tmp_path):
    for name, settings, words in (
        ("replay", {"source_kind": "replay"}, "Replay of recorded radar data"),
        ("invented", {"invented": True}, "Invented weather"),
    ):
        with served(with_forecast(tmp_path / name, Clock(), **settings)) as base, opened(browser, f"{base}/") as page:
            shown(page)
            expect(page.locator("#notice")).to_contain_text(words)
            page.goto(f"{base}/embed?lat={WET[0]}&lon={WET[1]}&lang=en")
            expect(page.locator("#status")).to_contain_text(words)
            expect(page.locator("#scan-time")).to_contain_text("1 Jun 2024")


def test_the_reason_of_waiting_is_named(browser, tmp_path):
    clock = Clock()
    service = prepared(tmp_path / "home", clock=clock, scans=1)
    clock.later(days=700)
    with served(service) as base, opened(browser, f"{base}/") as page:
        expect(page.locator("#waiting-text")).to_contain_text("--replay instead of --source")
        assert "1 Jun 2024" in text(page, "waiting-text")
        assert text(page, "waiting-command").startswith("nowcast run --replay ")
        page.wait_for_function("navigator.serviceWorker.getRegistration().then(Boolean)")  # it can be installed already
    with served(service) as base, opened(browser, f"{base}/", locale="de-DE") as page:
        expect(page.locator("#waiting-text")).to_contain_text("zu alt für eine Vorhersage")
        assert text(page, "waiting-title") == "Warten auf die erste Vorhersage"


@pytest.mark.long
def test_the_last_forecast_is_readable_offline_and_marked_as_old(browser, address):
    with opened(browser, address + PLACE) as page:
        shown(page)
        page.wait_for_function("navigator.serviceWorker.controller !== null")
        page.reload()
        shown(page)
        page.locator("#bars svg").wait_for()
        page.wait_for_load_state("networkidle")
        page.context.set_offline(True)
        page.reload()
        shown(page)
        expect(page.locator("#banner")).to_contain_text("No connection")
        page.locator("#bars svg").wait_for()


@pytest.mark.long
def test_the_widget(browser, address):
    with opened(browser, f"{address}embed?lat={WET[0]}&lon={WET[1]}&lang=de&theme=dark") as page:
        page.locator("#bars svg").wait_for()
        assert "Regen" in text(page, "place-words") or "regnet" in text(page, "place-words")
        assert violations(page) == []
    with opened(browser, f"{address}embed?lat=x") as page:
        expect(page.locator("#status")).to_contain_text("lat and lon")


def test_back_from_the_archive_the_newest_scan_is_now_again(browser, address):
    """Also where the forecast of the archive is the newest one itself."""
    with opened(browser, address + PLACE, service_workers="block") as page:
        shown(page)
        page.locator("#bars svg").wait_for()
        page.locator("#archive > summary").click()
        page.locator("#archive-time option").first.wait_for(state="attached")
        page.locator("#archive-show").click()
        expect(page.locator("#offset")).to_have_text("last scan")
        expect(page.locator("#what option[value=observed]")).to_have_count(1)
        page.route("**/point?**", lambda route: route.abort())
        page.locator("#newest").click()
        expect(page.locator("#offset")).to_have_text("now")
        expect(page.locator(".tick.now")).to_have_text("now")
        expect(page.locator("#what option[value=observed]")).to_have_count(0)
        expect(page.locator("#place-words")).to_have_text("The service does not respond")  # nothing of another forecast
        page.unroute_all(behavior="ignoreErrors")
        page.evaluate("dispatchEvent(new Event('online'))")
        page.locator("#bars svg").wait_for()
        slide(page, 24 + 6)
        expect(page.locator("#bars .selected")).to_have_count(1)  # the card follows the map


@pytest.mark.long
def test_the_archive_shows_a_forecast_next_to_its_observations(browser, tmp_path):

    clock = Clock()
    service = with_forecast(tmp_path / "home", clock)
    for number in range(1, 4):
        service.store.put(weather(REFERENCE + STEP * number))
    clock.later(minutes=15)
    service.verify_observed()
    service.forecast_stored(scheduled=True)
    with served(service) as base, opened(browser, f"{base}/") as page:
        shown(page)
        page.locator("#verification > summary").click()
        expect(page.locator("#curves svg polyline")).to_have_count(3)
        expect(page.locator("#curves-known svg polyline")).to_have_count(3)
        page.locator("#archive > summary").click()
        page.locator("#archive-time option").nth(1).wait_for(state="attached")
        page.locator("#archive-time").select_option(index=1)
        page.locator("#archive-show").click()
        expect(page.locator("#notice")).to_contain_text("From the archive")
        page.locator("#what").select_option("observed")
        slide(page, 24 + 2)
        expect(page.locator("#offset")).to_have_text("+10 min")
        assert text(page, "kind") == "Observed"
        slide(page, 24 + 5)
        expect(page.locator("#absent")).to_be_visible()
        page.locator("#newest").click()
        expect(page.locator("#notice")).not_to_contain_text("From the archive")
        expect(page.locator("#newest")).to_be_hidden()
