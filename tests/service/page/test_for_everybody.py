"""The page for readers with a keyboard, a screen reader, less motion, their own place, or as an installed program."""

import json
from datetime import timedelta

import pytest
from playwright.sync_api import Route, expect

from service.forecasts.member_maker import make_members
from tests.service.api_support import REFERENCE
from tests.service.live import served
from tests.service.page.browser import PHONE, Clock, chromium, opened, shown, slide, text, with_forecast
from tests.service.page.prepared import STEP, WET, prepared, weather

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine: apt-get install chromium")
FRAME_MS = 50
FOCUSED = "document.activeElement.id || document.activeElement.className"


def tab_to(page, wanted, most=40):
    """Press Tab until an element has the focus; return the elements on the way."""
    passed = []
    for _ in range(most):
        page.keyboard.press("Tab")
        passed.append(page.evaluate(FOCUSED))
        if passed[-1] == wanted:
            return passed
    raise AssertionError(f"{wanted} is not reached by Tab: {passed}")


def test_a_walk_with_the_keyboard_alone(browser, address):
    with opened(browser, address) as page:
        shown(page)
        tab_to(page, "search")
        page.keyboard.type("kassel")
        page.locator("#results [role=option]").first.wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator("#place-name")).to_have_text("Kassel")
        page.wait_for_function("document.activeElement.id === 'place'")  # the answer, not the top of the page
        page.locator("#bars svg").wait_for()
        page.evaluate("document.activeElement.blur()")
        page.locator("h1").click()
        tab_to(page, "play")
        page.keyboard.press("Enter")
        expect(page.locator("#kind")).to_have_text("Forecast")
        page.keyboard.press("Space")
        expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
        tab_to(page, "slider")
        page.keyboard.press("Home")
        expect(page.locator("#offset")).to_have_text("−120 min")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#offset")).to_have_text("−115 min")
        spoken = page.locator("#slider").get_attribute("aria-valuetext")
        assert spoken == f"{text(page, 'kind')} {text(page, 'when')} {text(page, 'offset')}"


def test_the_page_runs_under_its_own_policy_of_content(browser, address):
    """Every other test has it off, since it refuses Playwright's own expressions."""
    with opened(browser, "about:blank", bypass_csp=False) as page:
        refused = []
        page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
        page.goto(address + f"#lat={WET[0]}&lon={WET[1]}")
        expect(page.locator("#kind")).to_have_text("Observed")
        page.locator("#bars svg").wait_for()
        expect(page.locator("#legend li i").first).to_have_css("background-color", "rgb(174, 219, 245)")
        assert [text for text in refused if "Content Security Policy" in text] == []


@pytest.mark.long
def test_the_map_moves_and_chooses_by_keys(browser, address):
    with opened(browser, address) as page:
        shown(page)
        page.locator("#map").focus()
        page.keyboard.press("+")
        page.wait_for_function("location.hash.includes('view=')")
        page.keyboard.press("Enter")
        page.locator("#bars svg").wait_for()
        assert "lat=" in page.evaluate("location.hash")


def test_every_control_has_a_name_and_changes_are_spoken_once(browser, address):
    with opened(browser, "about:blank") as page:
        held: list[Route] = []
        page.route("**/page/places.json", lambda route: held.append(route))
        with page.expect_request("**/page/places.json"):
            page.goto(address + f"#lat={WET[0]}&lon={WET[1]}")
        shown(page)
        page.locator("#bars svg").wait_for()
        nameless = page.evaluate(
            "[...document.querySelectorAll('button, input, select, a[href], [tabindex=\"0\"]')]"
            ".filter((one) => one.offsetParent && !(one.getAttribute('aria-label') || one.textContent.trim()"
            " || one.labels?.length || one.getAttribute('aria-labelledby') || one.title))"
            ".map((one) => one.outerHTML)"
        )
        assert nameless == []
        live = page.evaluate("[...document.querySelectorAll('[aria-live]')].map((one) => one.id)")
        assert set(live) == {"waiting", "place-words"}
        words = page.locator("#place-words").inner_html()
        page.evaluate(
            "new MutationObserver(() => (window.spoken = true)).observe("
            "document.getElementById('place-words'), { childList: true, subtree: true, characterData: true })"
        )
        before = page.locator("#place-name").inner_text()
        held[0].continue_()  # the place gets its name, and is fetched again for it
        expect(page.locator("#place-name")).not_to_have_text(before)
        page.wait_for_load_state("networkidle")
        for index in (30, 31, 32):
            slide(page, index)
            expect(page.locator("#offset")).to_have_text(f"+{5 * (index - 24)} min")
        assert page.evaluate("window.spoken") is None  # the marked bar moves; nothing is read out again
        assert page.locator("#place-words").inner_html() == words


@pytest.mark.long
def test_nothing_moves_by_itself_where_less_motion_is_preferred(browser, address):
    with opened(browser, "about:blank", reduced_motion="reduce") as page:
        page.goto(address)
        assert page.evaluate("getComputedStyle(document.querySelector('.dots i')).animationName") == "none"
        shown(page)
        page.wait_for_load_state("networkidle")
        assert text(page, "offset") == "now"  # it does not play by itself
        page.locator(".leaflet-control-zoom-in").click()
        assert not page.locator(".leaflet-zoom-anim").count()
        began = page.evaluate("performance.now()")
        page.locator("#play").click()
        expect(page.locator("#offset")).to_have_text("+10 min")
        assert page.evaluate("performance.now()") - began > 1500  # slower than 3 pictures in a second


@pytest.mark.long
def test_the_own_place_is_shown(browser, address):
    here = {"latitude": WET[0], "longitude": WET[1]}
    with opened(browser, address, geolocation=here, permissions=["geolocation"], **PHONE) as page:
        shown(page)
        page.locator("#locate").click()
        page.locator("#bars svg").wait_for()
        assert f"lat={WET[0]:.4f}&lon={WET[1]:.4f}" in page.evaluate("location.hash")
    with opened(browser, address) as page:  # no permission
        shown(page)
        page.locator("#locate").click()
        expect(page.locator("#pick")).to_have_text("The location is not available")


@pytest.mark.parametrize(("locale", "name"), [("en-GB", "Rain nowcast"), ("de-DE", "Regenvorhersage")])
@pytest.mark.long
def test_the_page_can_be_installed(browser, address, locale, name):
    with opened(browser, address, locale=locale) as page:
        shown(page)
        page.wait_for_function("navigator.serviceWorker.controller !== null")
        session = page.context.new_cdp_session(page)
        found = session.send("Page.getAppManifest")
        assert found["errors"] == []
        manifest = json.loads(found["data"])
        assert (manifest["name"], manifest["display"]) == (name, "standalone")
        assert {icon["sizes"] for icon in manifest["icons"]} >= {"192x192", "512x512"}
        for icon in manifest["icons"]:
            assert page.request.get(f"{address}page/{icon['src']}").ok
        errors = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
        assert [one["errorId"] for one in errors if one["errorId"] != "in-incognito"] == []


@pytest.mark.long
def test_a_member_is_drawn_on_the_map(browser, tmp_path):
    service = with_forecast(tmp_path / "home", Clock())
    make_members(service.latest(), 3)
    with served(service) as base, opened(browser, f"{base}/") as page:
        shown(page)
        page.locator("#what").select_option("member-2")
        assert "Ensemble member 2 of 3" in page.locator("#what option:checked").inner_text()
        slide(page, 24 + 6)
        expect(page.locator("#offset")).to_have_text("+30 min")
        assert not page.locator("#absent").is_visible()
        tile = page.evaluate(
            "[...document.querySelectorAll('.leaflet-rain-pane .leaflet-layer')]"
            ".find((one) => one.style.opacity !== '0').querySelector('img').src"
        )
        assert "/tiles/member-2/" in tile


@pytest.mark.long
def test_a_frame_of_the_map_changes_within_50_ms(browser, address):
    """From the input of the slider until the browser has painted the frame, all pictures loaded."""
    with opened(browser, address) as page:
        shown(page)
        page.wait_for_load_state("networkidle")
        times = page.evaluate(
            """async () => {
              const slider = document.getElementById("slider"), times = [];
              const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
              for (const index of [...Array(24).keys()].map((step) => 25 + step)) {
                const began = performance.now();
                slider.value = index;
                slider.dispatchEvent(new Event("input"));
                const wanted = `+${5 * (index - 24)} min`;
                while (document.getElementById("offset").textContent !== wanted) await painted();
                await painted();
                times.push(performance.now() - began);
                await new Promise((done) => setTimeout(done, 60));
              }
              return times;
            }"""
        )
        print(f"change of a frame: median {sorted(times)[12]:.0f} ms, largest {max(times):.0f} ms")
        assert sorted(times)[12] < FRAME_MS


@pytest.mark.long
def test_the_archive_lists_the_reader_s_own_day(browser, tmp_path):
    """At 22:30 UTC it is tomorrow in Berlin in summer."""
    clock = Clock()
    clock.now = REFERENCE + timedelta(hours=10, minutes=30)
    service = prepared(tmp_path / "home", clock=clock, scans=1)
    for number in range(25):
        frame = weather(clock.now - STEP * (24 - number))
        service.store.put(frame)
    service.forecast_stored(scheduled=True)
    with served(service) as base, opened(browser, f"{base}/") as page:
        shown(page)
        page.locator("#archive > summary").click()
        page.locator("#archive-time option").first.wait_for(state="attached")
        assert page.locator("#archive-day").input_value() == "2024-06-02"
        assert text(page, "archive-zone") == "Day (Local time)"
        assert page.locator("#archive-time option").first.inner_text().startswith("00:30")
        page.locator("#zone").click()
        expect(page.locator("#archive-zone")).to_have_text("Day (UTC)")
        expect(page.locator("#archive-none")).to_be_visible()  # in UTC the day has not begun
