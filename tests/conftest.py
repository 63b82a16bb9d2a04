"""What every test may use: the real radar files in a folder next to the checkout, where they are."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None, max_examples=50, print_blob=True)
settings.load_profile("project")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


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
