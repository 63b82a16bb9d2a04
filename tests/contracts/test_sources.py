"""What holds for every registered kind of source, on a folder with one file and a server that does not answer."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.errors import UnavailableError
from core.settings import Settings
from ingest.sources import SOURCES, Arrival, Source, SourceContext

ROOT = Path(__file__).parents[2]
NOWHERE = "http://127.0.0.1:9"
"""The discard port: the connection is refused at once."""


@pytest.fixture(params=SOURCES.names())
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "scan.gz").write_bytes(b"a file")
    settings = Settings(
        home=tmp_path / "home", source_kind=request.param, dwd_url=NOWHERE, source_options={"url": NOWHERE}
    )
    return SOURCES.get(request.param)(SourceContext(settings, inbox=tmp_path / "inbox", folder=folder, poll_s=0.05))


def look(source: Source) -> list[Arrival]:
    try:
        return list(source.look())
    except UnavailableError:
        return []


def test_source_has_a_name_for_the_status(source: Source) -> None:
    assert source.name.strip()


def test_look_yields_files_or_is_unavailable(source: Source) -> None:
    assert all(arrival.path.is_file() for arrival in look(source))


def test_a_file_that_was_not_ingested_now_stays_and_is_yielded_again(source: Source) -> None:
    first = look(source)
    for arrival in first:
        source.settle(arrival, None)
        assert arrival.path.is_file()
    assert [arrival.path for arrival in look(source)] == [arrival.path for arrival in first]


def test_ticks_begin_at_once_and_end_with_stop(source: Source) -> None:
    stop = threading.Event()
    ticks = source.ticks(stop)
    next(ticks)
    stop.set()
    assert list(ticks) == []


def test_looking_up_a_kind_loads_neither_readers_nor_store() -> None:
    heavy = "{'xarray', 'h5py', 'cv2', 'ingest.readers', 'ingest.store'} & set(sys.modules)"
    code = f"import ingest.sources, sys; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
