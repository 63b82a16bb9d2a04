"""Long lists in pages: `cursor` says where the last page ended, a `Link` header with rel="next" has the next one."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Final

from fastapi import Query, Request, Response

from core.errors import InputError

LONGEST: Final = 200

Cursor = Annotated[
    str | None,
    Query(description="of the page before, as its link `next` has it", max_length=LONGEST, pattern="^[A-Za-z0-9_-]*$"),
]
Limit = Annotated[int, Query(description="rows of one page", ge=1, le=1000)]
Place = tuple[datetime, str]


def place_of(cursor: str | None) -> Place | None:
    """Time and id of the last row of the page before.

    Raises:
        InputError: no cursor of ours.
    """
    if not cursor:
        return None
    try:
        time, _, key = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
        parsed = datetime.fromisoformat(time)
    except (ValueError, binascii.Error) as err:
        raise InputError(f"cursor {cursor!r} came; one from a link `next` was due") from err
    if parsed.tzinfo is None:
        raise InputError(f"cursor {cursor!r} came; one from a link `next` was due")
    return parsed, key


def next_link(request: Request, response: Response, last: Place | None) -> str | None:
    """The link to the page after the row `last`, in the header `Link` too (RFC 8288); None: there is no more."""
    if last is None:
        return None
    cursor = base64.urlsafe_b64encode(f"{last[0].isoformat()} {last[1]}".encode()).decode().rstrip("=")
    url = request.url.include_query_params(cursor=cursor)
    link = f"{url.path}?{url.query}"
    response.headers["Link"] = f'<{link}>; rel="next"'
    return link
