"""Fixtures of the cases: the shared files, and the five doors of `tests.cases.doors`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.frame import RadarFrame
from tests.cases.doors import (
    Door,
    outcome_of_archive,
    outcome_of_folder,
    outcome_of_predict,
    outcome_of_training,
    outcome_of_upload,
)
from tests.service.api_support import running, service_at


@pytest.fixture(scope="session")
def cases() -> Path:
    """`../shared/cases`: inputs of people elsewhere."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip("the shared cases are not here: no folder ../shared/cases next to the checkout")
    return folder


@pytest.fixture(scope="session")
def upload_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """POST /nowcast of one application for all tests; frames are seen on their way to the forecast."""
    service = service_at(tmp_path_factory.mktemp("upload"))
    seen: list[RadarFrame] = []
    forecast = service.forecast_upload

    def spied(frames: Sequence[RadarFrame], *others: Any, **options: Any) -> Any:
        seen.extend(frames)
        return forecast(frames, *others, **options)

    service.forecast_upload = spied  # type: ignore[method-assign]
    with running(service) as client:
        yield lambda files: outcome_of_upload(client, files, seen)


@pytest.fixture
def door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Door]:
    """Return a door by its name: `door("folder")(files)`, files as paths or as bytes by name."""

    def chosen(name: str) -> Door:
        if name == "upload":
            opened: Door = request.getfixturevalue("upload_door")
            return opened
        folder = tmp_path_factory.mktemp(name)
        doors: dict[str, Door] = {
            "folder": lambda files: outcome_of_folder(folder / "home", files),
            "archive": lambda files: outcome_of_archive(folder, files),
            "predict": lambda files: outcome_of_predict(folder, files, monkeypatch),
            "training": lambda files: outcome_of_training(folder, files),
        }
        return doors[name]

    return chosen
