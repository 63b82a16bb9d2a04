"""DWD's open data: new scans of RY, the analyses of RV if RY is missing or late; YW, and hours of RW, on request."""

from __future__ import annotations

import io
import logging
import tarfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx

from ingest.radar_sites import DWD_CREDIT
from ingest.sources.base import ATTRIBUTIONS, SOURCES, SourceContext
from ingest.sources.listing import RV, RW, RY, YW, Product, Remote, files_of
from ingest.sources.polled import AHEAD, BACKFILL, SHORTEST_POLL_S, Offer, PolledSource

LATE: Final = timedelta(minutes=20)
PRODUCTS: Final[Mapping[str, Product]] = {"RY": RY, "YW": YW}
"""Products of `NOWCAST_DWD_PRODUCT`."""

ATTRIBUTIONS.register("dwd")(DWD_CREDIT)
log = logging.getLogger(__name__)


class DwdSource(PolledSource):
    """Polls the listings of one product; RV replaces a late RY, nothing replaces YW.

    Args:
        url: root of the radar data on the server.
        inbox: a folder of our own; files that a crash left in it are ingested at the next start.
        known: whether a file of that name was ingested before.
        product: RY, or YW (adjusted to rain gauges, half an hour late).
        hourly: fetch RW too, the hourly sums adjusted to rain gauges.
        options: as of `PolledSource`.
    """

    def __init__(
        self,
        url: str,
        inbox: Path,
        *,
        known: Callable[[str], bool],
        product: str = "RY",
        hourly: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(url, inbox, known=known, **options)
        self._product, self._hourly = PRODUCTS[product], hourly

    def listed(self, client: httpx.Client) -> list[Offer]:
        """Return the files to fetch, the newest first; hours of RW after what a forecast waits for."""
        product, files = self._newest_product(client)
        hours = self._recent(self._list(client, RW)) if self._hourly else []
        return [self._offer(product, file) for file in reversed(files)] + [
            self._offer(RW, file) for file in reversed(hours)
        ]

    def _newest_product(self, client: httpx.Client) -> tuple[Product, list[Remote]]:
        """Return the product of the source; RV in place of RY if RY has no recent file and RV a newer one."""
        product = self._product
        files = self._list(client, product)
        folders = [product.folder]
        if product is RY and not (files and self.now - files[-1].time <= LATE):
            rv = self._list(client, RV)
            if rv and (not files or rv[-1].time > files[-1].time):
                log.warning("RY is %s; taking the analyses of RV", "late" if files else "not there")
                return RV, self._recent(rv)
            folders.append(RV.folder)
        if not files:
            places = " and ".join(f"{folder}/" for folder in folders)
            raise FileNotFoundError(f"{self._url}: expected radar files, got no file in {places}")
        return product, self._recent(files)

    def _recent(self, files: list[Remote]) -> list[Remote]:
        return [file for file in files if file.time >= files[-1].time - BACKFILL]  # an empty list stays empty

    def _list(self, client: httpx.Client, product: Product) -> list[Remote]:
        """Return the product's files up to the present; none if it has no listing."""

        def parse(page: bytes) -> list[Remote]:
            return files_of(product, page.decode("utf-8", "replace"))

        found = self.page(client, f"{self._url}/{product.folder}/", parse) or []
        latest = self.now + AHEAD
        return [file for file in found if file.time <= latest]

    def _offer(self, product: Product, file: Remote) -> Offer:
        url = f"{self._url}/{product.folder}/{file.name}"
        return Offer(url, product.local_name(file), file.mark, first_member if product.first_member else None)


@SOURCES.register("dwd")
def open_dwd(context: SourceContext) -> DwdSource:
    """Poll DWD's open data, at most every 15 seconds."""
    settings = context.settings
    return DwdSource(
        settings.dwd_url,
        context.inbox,
        known=context.known,
        product=settings.dwd_product,
        hourly=settings.dwd_hourly,
        poll_s=max(context.poll_s, SHORTEST_POLL_S),
    )


def first_member(archive: bytes) -> bytes:
    """Return the first file of a tar by name (lead time 0); other bytes unchanged, for the reader to refuse."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = sorted((member for member in tar if member.isfile()), key=lambda member: member.name)
            file = tar.extractfile(members[0]) if members else None
            return file.read() if file is not None else archive
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return archive
