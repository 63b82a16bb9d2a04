"""Which of DWD's radar sites a composite lacks."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

DWD_RADARS: Final = frozenset(
    {
        "asb",
        "boo",
        "drs",
        "eis",
        "ess",
        "fbg",
        "fld",
        "hnr",
        "isn",
        "mem",
        "neu",
        "nhb",
        "oft",
        "pro",
        "ros",
        "tur",
        "umd",
    }
)
"""The 17 sites of the present network."""

NETWORK_SINCE: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""Real files list these 17 from here on (in 2017 `emd` stood for `asb`, in 2014 there were 15); before, none counts."""


def dwd_site(name: str) -> str:
    """The three letters of a site: `deasb` and `ASB` are both `asb`."""
    site = name.strip(" '\"<>").lower()
    return site[2:] if len(site) == 5 and site.startswith("de") else site


def missing_dwd_radars(listed: Iterable[str], valid_time: datetime) -> tuple[str, ...]:
    """Sites of the network that a file's own list leaves out; none where the file lists nothing or is too old."""
    sites = {site for name in listed if (site := dwd_site(name))}
    if not sites or valid_time < NETWORK_SINCE:
        return ()
    return tuple(sorted(DWD_RADARS - sites))
