"""What the ingest tests share: the real events that their expected values were taken from."""

from pathlib import Path

import pytest

REAL_EVENTS = (
    "bom_20201031.nc",
    "fmi_20160928.nc",
    "knmi_20100826.nc",
    "mch_20150515.nc",
    "mch_20170131.nc",
    "opera_europe_20180824.nc",
    "opera_germany_20180824.nc",
)
"""The first table of ../shared/data/README.md. The folder also holds a larger set with gaps, clutter and other scales
of rates, for which the ranges asserted here do not hold; so the files are named and not globbed."""


@pytest.fixture(scope="session")
def real_events(shared_data: Path) -> list[Path]:
    """Return the paths of the seven gap-free events; skip where one of them is missing."""
    paths = [shared_data / "events" / name for name in REAL_EVENTS]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        pytest.skip(f"../shared/data/events lacks {', '.join(missing)}")
    return paths
