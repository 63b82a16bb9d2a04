"""The notebooks of the guide run as they stand, from the first cell to the last."""

import subprocess
import sys
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
DRAWN = {"digits": "runs/notebook/digits.png", "radolan": "runs/radolan.png"}


def run_notebook(name: str, folder: Path) -> str:
    """What the cells print, run one after the other in a folder of their own."""
    notebook = jupytext.read(RESEARCH / f"{name}.md", fmt="md")
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert len(cells) >= 5
    done = subprocess.run(
        [sys.executable, "-c", "\n\n".join(cells)],
        cwd=folder,
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [pytest.param("digits", marks=pytest.mark.long), "radolan"])
def test_a_notebook_runs(name, tmp_path):
    printed = run_notebook(name, tmp_path)
    assert [text for text in PRINTED[name] if text not in printed] == []
    assert (tmp_path / DRAWN[name]).read_bytes().startswith(b"\x89PNG")


def test_every_notebook_of_the_guide_is_run():
    found = [
        path.stem for path in sorted(RESEARCH.glob("*.md")) if path.read_text("utf-8").startswith("---\njupytext:")
    ]
    assert found == list(NOTEBOOKS) == list(PRINTED)
