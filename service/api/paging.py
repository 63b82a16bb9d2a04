"""Long lists in pages: `cursor` continues after the last row; a `Link` header with rel="next" has the next page."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Final

from fastapi import Query, Request, Response

from core.errors import InputError, shown
from service.schemas.forecasts import YEARS

LONGEST: Final = 200

Cursor = Annotated[
    str | None,
    Query(
        description="position after the previous page, from its link `next`",
        max_length=LONGEST,
        pattern="^[A-Za-z0-9_-]*$",
    ),
]
Limit = Annotated[int, Query(description="maximum number of rows per page", ge=1, le=1000)]
Position = tuple[datetime, str]


def position_of(cursor: str | None) -> Position | None:
    """Return time and id of the previous page's last row.

    Raises:
        InputError: not a cursor of this service.
    """
    if not cursor:
        return None
    try:
        time, _, key = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
        parsed = datetime.fromisoformat(time)
    except (ValueError, binascii.Error) as err:
        raise InputError(f"cursor: expected one from a link `next`, got {shown(cursor)}") from err
    if parsed.tzinfo is None or parsed.year not in YEARS or "\x00" in key:  # PostgreSQL has no text with a zero
        raise InputError(f"cursor: expected one from a link `next`, got {shown(cursor)}")
    return parsed, key


def next_link(request: Request, response: Response, last: Position | None) -> str | None:
    """Return the link to the page after the row `last`, also set as header `Link` (RFC 8288); None if there is none."""
    if last is None:
        return None
    cursor = base64.urlsafe_b64encode(f"{last[0].isoformat()} {last[1]}".encode()).decode().rstrip("=")
    url = request.url.include_query_params(cursor=cursor)
    link = f"{url.path}?{url.query}"
    response.headers["Link"] = f'<{link}>; rel="next"'
    return link
