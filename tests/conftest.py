"""What every test may use: the real radar files in a folder next to the checkout, where they are."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None, max_examples=50, print_blob=True)
settings.load_profile("project")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.hookimpl(trylast=True)  # after those that are not to run are gone
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the files, begin with those that start programs, then those with the most tests.

    The last files are then short ones, and no process waits long for another.
    """
    if hasattr(config, "workerinput"):
        sizes = Counter(item.path for item in items)
        programs = {item.path for item in items if starts_programs(item)}
        items.sort(key=lambda item: (item.path not in programs, -sizes[item.path]))


def starts_programs(item: pytest.Item) -> bool:
    return item.get_closest_marker("stack") is not None or "browser" in getattr(item, "fixturenames", ())


def _shared(part: str) -> Path:
    folder = SHARED / part
    if not folder.is_dir():
        pytest.skip(f"real radar data are not here: no folder ../shared/{part} next to the checkout")
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """`../shared/data`: events/ and radolan/."""
    return _shared("data")


@pytest.fixture(scope="session")
def golden() -> Path:
    """`../shared/reference/golden`: parameters and predictions of the reference models."""
    return _shared("reference/golden")
