"""Damaged files of every reader: refused by name, or sound and equal to the undamaged frames; some now, all in long."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import FrameError
from core.grid import RADOLAN_SPHERE, Grid
from core.grid_checks import checked_grid
from ingest.readers import READERS as REGISTERED
from ingest.readers import read_frames
from tests.ingest.readers import mutation_inputs, mutations
from tests.ingest.readers.mutations import READERS, differences, tried

ROOT = Path(__file__).parents[3]
COUNTS = {
    "radolan-binary": 8000,
    "radolan-ascii": 3000,
    "radklim": 4000,
    "netcdf4": 8000,
    "netcdf3": 6000,
    "zarr": 5000,
    "odim-h5": 10_000,
    "knmi-hdf5": 4000,
    "rydl": 3000,
    "packed": 4000,
}
PART = 500
FORMATS = {"netcdf4": "cf-netcdf", "netcdf3": "cf-netcdf", "radklim": "cf-netcdf", "zarr": "cf-zarr"}


def test_every_registered_reader_is_tried_and_they_are_fifty_thousand() -> None:
    assert {FORMATS.get(name, name) for name in READERS} >= set(REGISTERED.names())
    assert set(COUNTS) == set(READERS)
    assert sum(COUNTS.values()) >= 50_000


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", READERS)
def test_some_damaged_files(reader: str) -> None:
    bad = [f"{name}: {found}" for name, found, _ in tried(reader, 0, 8) if found not in ("refused", "read")]
    assert not bad


@pytest.mark.long
@pytest.mark.parametrize("reader", READERS)
def test_all_damaged_files(reader: str, tmp_path: Path) -> None:
    """Each part is a process of its own, so that a crash of a library is an outcome of the test, not its end."""
    for seed in range(1, COUNTS[reader] // PART + 1):
        options = ["--reader", reader, "--seed", str(seed), "--count", str(PART)]
        folders = ["--log", str(tmp_path / "log"), "--keep", str(tmp_path / "kept")]
        done = subprocess.run(
            [sys.executable, "-m", "tests.ingest.readers.mutations", *options, *folders],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=1800,
        )
        assert done.returncode == 0, (tmp_path / "log").read_text().splitlines()[-1:] or done.stderr[-2000:]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert sum(line.get("read", 0) + line.get("refused", 0) for line in lines) == COUNTS[reader]
    assert any(line.get("refused", 0) for line in lines)


def test_a_wrong_frame_is_found() -> None:
    """The comparison can fail: one cell more than damaged bytes, another time, another place, a lost frame."""
    (content, *_) = mutation_inputs.odim().values()
    (frame,) = read_frames(content)
    other_HW = frame.rate_mmh_HW.copy()
    other_HW[0, :2] += 1
    changed = type(frame)(frame.valid_time, frame.grid, other_HW, frame.product)
    assert "2 cells differ, 1 bytes changed" in differences([frame], [changed], 1)
    assert not differences([frame], [changed], 2)
    moved = type(frame)(frame.valid_time, frame.grid.resized(*frame.grid.shape[::-1]), other_HW.T, frame.product)
    assert differences([frame], [moved], 99)
    assert mutations.unsound([]) == "unsound: no frame and no refusal"
    negative = type(frame)(frame.valid_time, frame.grid, np.full_like(other_HW, -1), frame.product)
    assert "rates below 0" in mutations.unsound([negative])


def test_a_number_of_cells_beyond_all_memory_is_refused() -> None:
    with pytest.raises(FrameError, match="expected corners on Earth"):
        checked_grid(Grid(RADOLAN_SPHERE, 0.0, -4e6, 1000.0, 1000.0, 40, 2**53))
