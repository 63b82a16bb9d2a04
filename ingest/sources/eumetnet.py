"""EUMETNET's open radar data (ORD): OPERA's composites of Europe, CC BY 4.0.

The objects of the last 24 hours are in a public S3 bucket; new ones are found by its listing, or by OGC API-EDR, and
announced over MQTT (https://eumetnet.github.io/openradardata-documentation).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx2 as httpx

from ingest.sources.base import ATTRIBUTIONS, SOURCES, SourceContext
from ingest.sources.eumetnet_listing import (
    ObjectPage,
    OrdObject,
    first_key,
    linked_objects,
    object_url,
    parse_object_page,
)
from ingest.sources.notifications import Notifications
from ingest.sources.polled import AHEAD, BACKFILL, Offer, PolledSource

OPERA: Final = "0-20010-0-OPERA"
"""WIGOS identifier of OPERA's composites."""

POLL_S: Final = 60.0
"""Shortest time between two listings without a message."""

NOTIFIED_S: Final = 15.0
"""Shortest time between two listings with messages, however many there are."""

CHECK_S: Final = 0.2
MAX_PAGES: Final = 20
ATTRIBUTIONS.register("ord")("EUMETNET OPERA (CC BY 4.0)")


class OrdSource(PolledSource):
    """Polls the listing of the bucket for one quantity of OPERA's composites.

    Args:
        url: of the bucket.
        inbox: a folder of our own; files that a crash left in it are ingested at the next start.
        known: whether a file of that name was ingested before.
        quantity: RATE or DBZH.
        edr_url: root of the EDR interface, which then lists the objects; None: the bucket does.
        notifications: of new objects, which make it look at once; None: it polls only.
        options: as of `PolledSource`.
    """

    def __init__(
        self,
        url: str,
        inbox: Path,
        *,
        known: Callable[[str], bool],
        quantity: str = "RATE",
        edr_url: str | None = None,
        notifications: Notifications | None = None,
        **options: Any,
    ) -> None:
        super().__init__(url, inbox, known=known, **options)
        self._quantity, self._edr_url = quantity, edr_url
        self._notifications = notifications

    def listed(self, client: httpx.Client) -> list[Offer]:
        """Return the composites of the time that a forecast needs, the newest first."""
        start, end = self.now - BACKFILL, self.now + AHEAD
        found = self._by_edr(client, start, end) if self._edr_url else self._by_bucket(client, start, end)
        objects = {one.key: one for one in found if start <= one.time <= end}
        if not objects:
            raise FileNotFoundError(
                f"{self._edr_url or self._url}: expected composites of {self._quantity} since {start:%Y-%m-%dT%H:%MZ}, "
                f"got none"
            )
        newest_first = sorted(objects.values(), key=lambda one: one.time, reverse=True)
        return [Offer(object_url(self._url, one.key), one.name, one.mark) for one in newest_first]

    def ticks(self, stop: threading.Event) -> Iterator[None]:
        """Yield at once, then every `wait_s`, and soon after a message that announces a composite."""
        arrived = self._notifications.arrived if self._notifications else threading.Event()
        with self._notifications.listening() if self._notifications else nullcontext():
            yield None
            while self._has_waited(stop, arrived):
                arrived.clear()
                yield None

    def _has_waited(self, stop: threading.Event, arrived: threading.Event) -> bool:
        """Wait for the time of the next look; return False if the source is to end.

        A message shortens the wait to `NOTIFIED_S` at most, and not at all while the server fails.
        """
        begin_s = time.monotonic()
        wait_s, least_s = self.wait_s, min(NOTIFIED_S, self.wait_s)
        while not stop.wait(min(CHECK_S, wait_s)):
            waited_s = time.monotonic() - begin_s
            if waited_s >= wait_s or (arrived.is_set() and not self.fails and waited_s >= least_s):
                return True
        return False

    def _by_bucket(self, client: httpx.Client, start: datetime, end: datetime) -> Iterator[OrdObject]:
        """Yield the objects by ListObjectsV2, day by day, from the first time on."""
        day = start
        while day.date() <= end.date():
            midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
            prefix = first_key(midnight).partition("@")[0]
            query = {"list-type": "2", "prefix": f"{prefix}@", "start-after": first_key(max(start, midnight))}
            for _ in range(MAX_PAGES):
                page = self.page(client, f"{self._url}/?{urlencode(query)}", self._parsed)
                if page is None:
                    break
                yield from page.objects
                if page.next_token is None:
                    break
                query["continuation-token"] = page.next_token
            day = midnight + timedelta(days=1)

    def _parsed(self, content: bytes) -> ObjectPage:
        return parse_object_page(content, self._quantity)

    def _by_edr(self, client: httpx.Client, start: datetime, end: datetime) -> list[OrdObject]:
        """Return the objects by the locations query of EDR."""
        query = {
            "datetime": f"{start:%Y-%m-%dT%H:%MZ}/{end:%Y-%m-%dT%H:%MZ}",
            "standard_name": self._quantity,
            "format": "ODIM",
            "f": "CoverageJSON",
        }
        url = f"{str(self._edr_url).rstrip('/')}/collections/observations/locations/{OPERA}?{urlencode(query)}"
        return self.page(client, url, lambda content: linked_objects(content, self._url, self._quantity)) or []


@SOURCES.register("ord")
def open_ord(context: SourceContext) -> OrdSource:
    """Poll EUMETNET's open radar data, at most once a minute, or when a message announces a composite.

    Raises:
        ConfigError: the URL of the MQTT broker is not one.
    """
    settings = context.settings
    bucket_url, quantity = settings.ord_url, settings.ord_quantity
    notifications = None
    if settings.ord_mqtt_url is not None:
        notifications = Notifications(
            settings.ord_mqtt_url.get_secret_value(),
            f"ORD/eu.eumetnet/{OPERA}/{quantity}",
            lambda message: bool(linked_objects(message, bucket_url, quantity)),
        )
    return OrdSource(
        bucket_url,
        context.inbox,
        known=context.known,
        quantity=quantity,
        edr_url=settings.ord_edr_url,
        notifications=notifications,
        poll_s=max(context.poll_s, POLL_S),
    )
