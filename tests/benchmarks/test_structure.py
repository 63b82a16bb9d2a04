"""The structural numbers, on a checkout of a few lines."""

from pathlib import Path

import pytest

from benchmarks.structure import counted, traced

ROOT = Path(__file__).parents[2]
LONG = "def long():\n" + '    """Do nothing.\n\n    At length.\n    """\n' + "    pass\n" * 30
FILES = {
    "core/__init__.py": "",
    "core/a.py": "from core import b\n\nclass Twice: ...\n" + LONG,
    "core/b.py": "def later():\n    import core.a\n",
    "models/c.py": "from core.a import long\n\nclass Twice: ...\nclass Once: ...\n",
    "core/d.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import core.b\nimport models.c\n",
}


def test_the_counts_of_a_small_checkout(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert counted(tmp_path) == {
        "files of Python, without tests": 5,
        "lines": sum(text.count("\n") for text in FILES.values()),
        "functions over 30 lines": 1,
        "modules with one importer": 2,
        "of them under 70 lines": 2,
        "circles of files": 1,
        "files in circles": 2,
        "arrows upwards between packages": 1,
        "class names used twice": 1,
    }


@pytest.mark.long
@pytest.mark.parametrize("what", ["scan", "upload"])
def test_one_scan_and_one_upload_are_traced(what):
    numbers = traced(ROOT, what)
    assert numbers[f"files that one {what} runs"] > 10
    assert numbers[f"SQLite connections of one {what}"] > 0
