"""The comparison with other programs in the guide: each row that says "yes" names a test or a command that exists."""

import re
from functools import cache

import pytest

from service.command import SUBCOMMANDS
from tests.parsed import ROOT, tree

PAGE = ROOT / "docs" / "research" / "comparison.md"
HERE, SHOWN = 5, 6


def rows():
    """The rows of the tables as cells, without headings."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells for cells in found if cells[0] and not cells[0].startswith("-")]


@cache
def collected(name):
    """The functions of a file that pytest collects."""
    return {getattr(node, "name", "") for node in tree(name).body}


@pytest.mark.parametrize("cells", rows(), ids=lambda cells: cells[0])
def test_what_is_here_is_shown_by_a_test_that_exists(cells):
    assert len(cells) == SHOWN + 1
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", cells[SHOWN])
    assert cells[HERE] in {"yes", "part", "by pysteps", "**no**"}
    assert bool(named) == (cells[HERE] != "**no**")
    assert [name for name, test in named if test not in collected(name)] == []


def test_the_tables_have_rows():
    assert sum(cells[HERE] == "yes" for cells in rows()) > 40


def test_the_commands_of_the_guide_for_researchers_exist():
    """`python -m PACKAGE.MODULE`, `make TARGET` and `nowcast NAME` on its pages."""
    text = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "docs" / "research").glob("*.md")))
    modules = set(re.findall(r"python -m ((?:training|models|ingest|benchmarks)[\w.]*\w)", text))
    places = [ROOT / name.replace(".", "/") for name in modules]
    missing = [str(at) for at in places if not (at.with_suffix(".py").is_file() or (at / "__main__.py").is_file())]
    assert len(modules) > 10
    assert missing == []
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^make ([\w-]+)|`make ([\w-]+)", text, re.MULTILINE))
    assert [name for pair in targets for name in pair if name and f"\n{name}:" not in f"\n{makefile}"] == []
    known = {one.name for one in SUBCOMMANDS}
    assert set(re.findall(r"(?:`|^)nowcast ([a-z][\w-]*)", text, re.MULTILINE)) <= known
