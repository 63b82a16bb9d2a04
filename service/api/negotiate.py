"""Content negotiation: which available media type a client accepts (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Sequence
from typing import Final

from core.errors import NotAcceptableError, shown

CSV: Final = "text/csv"
JSON: Final = "application/json"
NETCDF: Final = "application/netcdf"
QUALITY: Final = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
SAME_AS: Final = {"application/x-netcdf": NETCDF, "application/x-netcdf4": NETCDF}


def chosen_type(accept: str | None, offered: Sequence[str] = (JSON, NETCDF)) -> str:
    """Return the offered media type that `accept` ranks highest, the first one among equals.

    Raises:
        NotAcceptableError: `accept` excludes all of them.
    """
    ranges = _ranges(accept or "*/*")
    qualities = [_quality(media_type, ranges) for media_type in offered]
    best = max(qualities)
    if best <= 0:
        raise NotAcceptableError(f"Accept: expected one of {', '.join(offered)}, got {shown(accept)}")
    return offered[qualities.index(best)]


def is_rather(accept: str | None, media_type: str, than: str) -> bool:
    """Return whether `accept` ranks one media type above another one."""
    ranges = _ranges(accept or "*/*")
    return _quality(media_type, ranges) > _quality(than, ranges)


def _ranges(accept: str) -> list[tuple[str, float]]:
    ranges = []
    for part in accept.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        if QUALITY.fullmatch(quality):  # a range with an invalid quality is ignored
            ranges.append((SAME_AS.get(media_range, media_range), float(quality)))
    return ranges


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality of the most specific range that matches the type; 0 if none does."""
    by_precision = {media_type: 3, f"{media_type.split('/')[0]}/*": 2, "*/*": 1}
    fitting = [(by_precision[name], quality) for name, quality in ranges if name in by_precision]
    return max(fitting)[1] if fitting else 0.0
