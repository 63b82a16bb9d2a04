"""The notes that windows and implausible fields produce are German on the German page."""

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from core.frame import RadarFrame
from core.grid import RADOLAN_900
from ingest.plausibility import FEWEST_CELLS, field_notes
from ingest.windows.series import series_window
from ingest.windows.window import build_window
from tests.service.api_support import REFERENCE

NODE = shutil.which("node")
GRID = RADOLAN_900.resized(36, 36)
STEP = timedelta(minutes=5)


def frames() -> list[RadarFrame]:
    """Two hours of scans; each field is another one."""
    fields_THW = np.random.default_rng(0).uniform(0.1, 2.0, (25, *GRID.shape)).astype(np.float32)
    times = [REFERENCE - STEP * number for number in reversed(range(25))]
    return [RadarFrame(time, GRID, field_HW, "RY") for time, field_HW in zip(times, fields_THW, strict=True)]


def filled(frame: RadarFrame, value: float) -> RadarFrame:
    return replace(frame, rate_mmh_HW=np.full_like(frame.rate_mmh_HW, value))


def window_notes() -> list[str]:
    scans = frames()
    blank = [*scans[:8], *(filled(scan, np.nan) for scan in scans[8:10]), filled(scans[10], np.nan), *scans[11:]]
    late = [*scans[:-2], replace(scans[-2], valid_time=scans[-2].valid_time + timedelta(minutes=1)), scans[-1]]
    stuck = [*scans[:-4], *(replace(scan, rate_mmh_HW=scans[-1].rate_mmh_HW) for scan in scans[-4:])]
    series = [
        [*scans[:5], *scans[6:]],
        [*scans[:5], *scans[8:]],
        scans[3:],
        scans[1:],
        blank,
        [*scans[:8], filled(scans[8], np.nan), *scans[9:]],
        late,
        stuck,
        [*scans[:-1], filled(scans[-1], np.nan)],
    ]
    half_hours = scans[::6]
    moved = [replace(half_hours[1], valid_time=half_hours[1].valid_time + timedelta(minutes=4))]
    five = [half_hours[:1] + half_hours[2:], half_hours[:1] + half_hours[3:], [half_hours[0], *moved, *half_hours[2:]]]
    windows = [series_window(found, REFERENCE) for found in series]
    windows += [build_window(found, REFERENCE) for found in five]
    return [note for window in windows for note in window.notes]


def plausibility_notes() -> list[str]:
    scans = frames()
    assert GRID.height * GRID.width >= FEWEST_CELLS
    wet = [filled(scan, 400.0) for scan in scans[:2]] + [filled(scans[2], 90.0), filled(scans[3], 2.0)]
    different = [filled(scan, 2.0 + number) for number, scan in enumerate(scans[4:24])]
    return [*field_notes(wet), *field_notes(different)]


@pytest.mark.skipif(NODE is None, reason="no node to run the script with")
def test_every_note_is_translated(tmp_path: Path) -> None:
    notes = [*window_notes(), *plausibility_notes(), "default did not run: fields of its window are missing"]
    notes.append("forecast by extrapolation")
    notes.append("default@1 failed: the model had not finished within 130 s (NOWCAST_TASK_LIMIT_S)")
    (tmp_path / "notes.json").write_text(json.dumps(notes))
    command = [str(NODE), str(Path(__file__).with_name("notes_run.mjs")), str(tmp_path / "notes.json")]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert len(set(notes)) >= 16
    assert [note for note, one in zip(notes, shown, strict=True) if one["language"] != "de"] == []
    assert not [one["text"] for one in shown if "T1" in one["text"] or "undefined" in one["text"]]
