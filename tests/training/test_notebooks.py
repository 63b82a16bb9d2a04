"""The notebooks of the guide run from the first cell to the last; that on digits with smaller settings."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import jupytext
import pytest

from tests.end_to_end.stack import process_environment

RESEARCH = Path(__file__).parents[2] / "docs" / "research"
NOTEBOOKS = ("digits", "radolan")
PRINTED = {
    "digits": ("ms-convlstm", "persistence", "extrapolation", "SSIM"),
    "radolan": ("19 files", "RY 2026-06-01", "CSI at 0.5 mm/h, mask known", "persistence"),
}
QUICKER = {
    "max_steps=40": "max_steps=1",
    'hidden_channels=8", "num_layers=4", "size=32"': 'hidden_channels=2", "num_layers=4", "size=32"',
    "invented_digits=200": "invented_digits=20",
    "train_clips=200": "train_clips=8",
    "test_clips=20": "test_clips=2",
}
"""Settings of the digits notebook, and those with which it takes seconds."""
DRAWN = {"digits": "runs/notebook/digits.png", "radolan": "runs/radolan.png"}


def run_notebook(name: str, folder: Path, quicker: Mapping[str, str]) -> str:
    """What the cells print, run one after the other in a folder of their own; `quicker` replaces settings in them."""
    notebook = jupytext.read(RESEARCH / f"{name}.md", fmt="md")
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) >= 5
    code = "\n\n".join(cells)
    for before, after in quicker.items():
        assert code.count(before) == 1, f"the notebook has no {before}"
        code = code.replace(before, after)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "quicker"),
    [
        ("digits", QUICKER),
        pytest.param("digits", {}, marks=pytest.mark.long, id="digits as they stand"),
        ("radolan", {}),
    ],
)
def test_a_notebook_runs(name, quicker, tmp_path):
    printed = run_notebook(name, tmp_path, quicker)
    assert [text for text in PRINTED[name] if text not in printed] == []
    assert (tmp_path / DRAWN[name]).read_bytes().startswith(b"\x89PNG")


def test_every_notebook_of_the_guide_is_run():
    found = [
        path.stem for path in sorted(RESEARCH.glob("*.md")) if path.read_text("utf-8").startswith("---\njupytext:")
    ]
    assert found == list(NOTEBOOKS) == list(PRINTED)
