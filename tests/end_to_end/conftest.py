"""The running system as fixtures: `python -m service.run` as a user starts it, with real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.stack import Stack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack on an invented radar day for the tests of a file that do not end it; it has a forecast.

    It takes a processor, and so ends with the file: the files that follow would need nearly twice their time.
    """
    home: Path = tmp_path_factory.mktemp("stack")
    with running_stack(home, "--speed", "30") as started:
        started.first_forecast()
        yield started
