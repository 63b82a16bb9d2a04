"""docs/operator/security.md: every bound is the number of the code."""

import importlib
import re
from pathlib import Path

import pytest

from core.settings import PREFIX, Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operator" / "security.md"
UNITS = {"": 1, "s": 1, "MiB": 2**20, "GiB": 2**30}
ROW = re.compile(r"^\| [^|]+ \| (\d+) ?(\w*) \| `([\w.]+)` \|$", re.MULTILINE)
ROWS = ROW.findall(PAGE.read_text())


def number_of(name: str) -> float:
    if name.startswith(PREFIX):
        return float(Settings.model_fields[name.removeprefix(PREFIX).lower()].default)
    module, _, constant = name.rpartition(".")
    return float(getattr(importlib.import_module(module), constant))


@pytest.mark.parametrize(("number", "unit", "name"), ROWS, ids=[row[2] for row in ROWS])
def test_a_bound_is_that_of_the_code(number, unit, name):
    assert int(number) * UNITS[unit] == number_of(name)


def test_every_row_of_the_bounds_is_compared():
    table = PAGE.read_text().partition("## What is bounded")[2].partition("## What is not")[0]
    assert len(ROWS) == len([line for line in table.splitlines() if line.startswith("|")]) - 2 > 30
