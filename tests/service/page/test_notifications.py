"""Notifications in a real browser: the button, the rule behind it, an encrypted message, the service worker."""

import json
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, expect

from service.alerts.channels.web_push import public_key
from service.alerts.rulebook import rule_book
from tests.service.alerts.test_delivery import receiving
from tests.service.alerts.test_web_push import CONTACT, Browser
from tests.service.live import served
from tests.service.page.browser import Clock, opened, shown, with_forecast
from tests.service.page.prepared import WET

pytestmark = pytest.mark.long

SUBSCRIBED = """
PushManager.prototype.getSubscription = async () => null;
PushManager.prototype.subscribe = async (options) => {
  window.subscribedWith = { visible: options.userVisibleOnly, key: [...new Uint8Array(options.applicationServerKey)] };
  return { toJSON: () => (TARGET) };
};
"""
"""In place of a push service, which is on the internet; all else is the browser's own."""

KEY = "btoa(String.fromCharCode(...window.subscribedWith.key))"
URL_SAFE = str.maketrans("+/", "-_")
SHOWN = """() => navigator.serviceWorker.ready.then((worker) => worker.getNotifications())
    .then((all) => all.map(({ title, body, tag }) => ({ title, body, tag })))"""


def registration_of(session: CDPSession) -> str:
    """Id of the page's service worker."""
    found: list[Any] = []
    session.on("ServiceWorker.workerRegistrationUpdated", lambda event: found.extend(event["registrations"]))
    session.send("ServiceWorker.enable")
    session.send(
        "Runtime.evaluate", {"expression": "navigator.serviceWorker.ready.then(() => 1)", "awaitPromise": True}
    )
    return str(found[-1]["registrationId"])


def deliver_to(page: Page, address: str, data: str) -> None:
    """Give the service worker a message, as the browser does when its push service has one."""
    session = page.context.new_cdp_session(page)
    message = {"origin": address.rstrip("/"), "registrationId": registration_of(session), "data": data}
    session.send("ServiceWorker.deliverPushMessage", message)


def test_a_click_subscribes_and_a_message_is_shown_as_a_notification(browser, tmp_path):
    service = with_forecast(tmp_path, Clock(), push_contact=CONTACT, alert_networks=("127.0.0.1/32",))
    book, keys = rule_book(service.settings), Browser()
    with served(service) as address, receiving() as push_service:
        target = keys.target(push_service.url)
        subscription = {"endpoint": target["endpoint"], "keys": {name: target[name] for name in ("p256dh", "auth")}}
        script = SUBSCRIBED.replace("TARGET", json.dumps(subscription))
        with opened(browser, "about:blank", permissions=["notifications"]) as page:
            page.add_init_script(script)
            page.goto(f"{address}/#lat={WET[0]}&lon={WET[1]}")
            shown(page)
            expect(page.locator("#notify")).to_have_text("Notify me of rain here")
            page.locator("#notify").click()
            expect(page.locator("#notify-state")).to_contain_text("This browser shows a notification")
            assert page.evaluate("window.subscribedWith.visible") is True
            assert page.evaluate(KEY).translate(URL_SAFE).rstrip("=") == public_key(book.engine)
            (rule,) = book.select(None)
            definition = rule.definition
            assert (definition["quantity"], definition["targets"]) == ("start", [target])
            assert (definition["place"]["lat"], definition["place"]["lon"]) == WET

            ask = partial(page.evaluate, "(path) => fetch(path, { method: 'POST' }).then((answer) => answer.json())")
            assert ask(f"rules/{rule.id}/test")["results"][0]["delivered"]
            read = keys.read(push_service.got[0][1])
            deliver_to(page, address, json.dumps(read))
            page.wait_for_function(f"async () => (await ({SHOWN})()).length")
            (notification,) = page.evaluate(SHOWN)
            assert notification == {name: read[name] for name in ("title", "body", "tag")}
            assert "test message" in notification["body"]

            page.locator("#notify").click()
            expect(page.locator("#notify")).to_have_text("Notify me of rain here")
            assert book.select(None) == []


def test_without_permission_nothing_is_subscribed(browser, tmp_path):
    service = with_forecast(tmp_path, Clock(), push_contact=CONTACT)
    with served(service) as address, opened(browser, "about:blank") as page:
        page.add_init_script(
            SUBSCRIBED.replace("TARGET", "{}") + "Notification.requestPermission = async () => 'denied';"
        )
        page.goto(f"{address}/#lat={WET[0]}&lon={WET[1]}")
        shown(page)
        page.locator("#notify").click()
        expect(page.locator("#notify-state")).not_to_be_empty()
        assert page.evaluate("window.subscribedWith") is None
        assert rule_book(service.settings).select(None) == []
