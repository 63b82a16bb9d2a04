"""What EUMETNET's open radar data (ORD) offers: pages of an S3 listing, links in EDR's answers and MQTT messages."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from core.errors import UnavailableError

QUANTITIES: Final = ("RATE", "DBZH")
"""OPERA's composites that a forecast can start from: rain rates (NIMBUS, 2 km, every 15 minutes) and the column
maximum of reflectivity (CIRRUS, 1 km, every 5 minutes). ACRR, an hourly sum, is not among them."""

COMPOSITES: Final = "OPERA/COMP/OPERA@"
"""Start of the composites' keys below the folder of their day."""

DEEPEST: Final = 64
"""Levels of JSON that are searched for links."""


@dataclass(frozen=True)
class OrdObject:
    """An object of the bucket; `mark` is its tag, size and time, as far as the listing states them."""

    key: str
    time: datetime
    mark: str = ""

    @property
    def name(self) -> str:
        """Return the last part of the key."""
        return self.key.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class ObjectPage:
    """One page of a listing, and the token of the next one."""

    objects: tuple[OrdObject, ...]
    next_token: str | None


def first_key(time: datetime) -> str:
    """Return the start of the keys of a time's composites: `YYYY/MM/DD/OPERA/COMP/OPERA@YYYYMMDDTHHMM`."""
    return f"{time:%Y/%m/%d}/{COMPOSITES}{time:%Y%m%dT%H%M}"


def object_url(bucket_url: str, key: str) -> str:
    """Return an object's address; the bucket is the last part of `bucket_url`."""
    return f"{bucket_url.rstrip('/')}/{quote(key, safe='/@')}"


def composite_of(key: str, quantity: str, mark: str = "") -> OrdObject | None:
    """Return the object of a key; None for other quantities, other formats (GeoTIFF) and single radars."""
    match = re.fullmatch(rf"\d{{4}}/\d\d/\d\d/{COMPOSITES}(\d{{8}}T\d{{4}})@\d+@{quantity}\.h5", key)
    if match is None:
        return None
    try:
        return OrdObject(key, datetime.strptime(match[1], "%Y%m%dT%H%M").replace(tzinfo=UTC), mark)
    except ValueError:
        return None


def parse_object_page(content: bytes, quantity: str) -> ObjectPage:
    """Return one page of S3's ListObjectsV2; only the composites of a quantity.

    Raises:
        UnavailableError: not such a page.
    """
    try:
        if b"<!DOCTYPE" in content:
            raise ValueError("a document type, which no listing has")
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError) as err:
        raise UnavailableError(f"expected a listing of S3, got {content[:80]!r}...: {err}") from err
    if _local(root) != "ListBucketResult":
        raise UnavailableError(f"expected a listing of S3 (ListBucketResult), got {_local(root)}")
    found = []
    for entry in (child for child in root if _local(child) == "Contents"):
        fields = {_local(child): child.text or "" for child in entry}
        mark = " ".join(fields.get(name, "") for name in ("ETag", "Size", "LastModified"))
        found.append(composite_of(fields.get("Key", ""), quantity, mark))
    fields = {_local(child): child.text or "" for child in root}
    token = fields.get("NextContinuationToken") if fields.get("IsTruncated") == "true" else None
    return ObjectPage(tuple(one for one in found if one is not None), token or None)


def linked_objects(content: bytes, bucket_url: str, quantity: str) -> list[OrdObject]:
    """Return the composites of the bucket that any `href` of a JSON document refers to, in ascending time.

    EDR's answers and the MQTT messages state links at different depths. A link to another server is not followed.

    Raises:
        UnavailableError: the content is not JSON.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as err:
        raise UnavailableError(f"expected JSON with links, got {content[:80]!r}...: {err}") from err
    root = f"{bucket_url.rstrip('/')}/"
    keys = {unquote(href.removeprefix(root)) for href in _links(document) if href.startswith(root)}
    found = (composite_of(key, quantity) for key in keys)
    return sorted((one for one in found if one is not None), key=lambda one: one.time)


def _links(value: Any, depth: int = 0) -> Iterator[str]:
    if depth > DEEPEST:
        return
    if isinstance(value, dict):
        if isinstance(value.get("href"), str):
            yield value["href"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _links(inner, depth + 1)


def _local(element: ElementTree.Element) -> str:
    """Return an element's name without its namespace, which differs between makers of S3 servers."""
    return element.tag.rsplit("}", 1)[-1]
