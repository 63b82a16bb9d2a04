"""Each row of CONTRIBUTING's table, tried: one file and one line under a free name, and every contract holds for it."""

import re
import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tests.golden.make_reader_files import depth_units

ROOT = Path(__file__).parents[2]
ADDITIONS = Path(__file__).parent / "additions"
KINDS = {  # of CONTRIBUTING's table: the file in `additions`, and at least how many tests of the contract it meets
    "a cell": ("cell", 20),
    "a data set": ("dataset", 8),
    "a radar format": ("radar_format", 7),
    "a score": ("score", 6),
    "a source": ("source", 4),
}
FREE_NAMES = ("toy", pytest.param("squall", marks=pytest.mark.long))
CONTRACTS = [
    *(f"tests/contracts/test_{kind}.py" for kind in ("cells", "models", "datasets", "readers", "scores", "sources")),
    *("tests/contracts/test_toy_cell.py", "tests/training/test_miniatures.py"),
]
WHOLE = "test_toy_cell or test_scores"
"""Files that are run whole: a test there could hold for today's names only."""


def rows():
    """What to add, the file it takes, and the file that gets the line, as CONTRIBUTING's table has them."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    return re.findall(r"^\| (an? [\w ]+) \| `(\S+/NAME\.py)` \| `(\S+/__init__\.py)` \|", text, re.MULTILINE)


def add(tree: Path, name: str) -> None:
    """Add one thing of each kind under `name` to a copy of the project: the file and the line, nothing else."""
    for what, file, init in rows():
        addition = (ADDITIONS / f"{KINDS[what][0]}.py").read_text("utf-8").replace("NAME", name)
        path = tree / file.replace("NAME", name)
        assert not path.exists()
        path.write_text(addition, "utf-8")
        package = str(Path(init).parent).replace("/", ".")
        with (tree / init).open("a", encoding="utf-8") as lines:
            lines.write(f"from {package} import {name} as {name}\n")


def write_golden(tree: Path, name: str) -> None:
    """Write the small file that the contract of a radar format reads."""
    units_HW = depth_units(40, 36)
    rate_mmh_HW = np.where(units_HW < 0, np.nan, units_HW * 0.12)
    head = struct.pack(">qHH", int(datetime(2024, 6, 1, 15, 30, tzinfo=UTC).timestamp()), *units_HW.shape)
    content = f"{name}-radar-1\n".encode() + head + rate_mmh_HW[::-1].astype(">f4").tobytes()
    (tree / "tests" / "golden" / f"{name}.bin").write_bytes(content)


@pytest.fixture(scope="module", params=FREE_NAMES)
def results(request, tmp_path_factory):
    """The name, and the outcome of every contract test on a copy of the project to which it was added."""
    tree = tmp_path_factory.mktemp("copy")
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for line in tracked.splitlines():
        if (ROOT / line).is_file():
            (tree / line).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / line, tree / line)
    add(tree, request.param)
    write_golden(tree, request.param)
    report = tree / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}", *CONTRACTS]
    done = subprocess.run(
        [*command, "-k", f"{request.param} or {WHOLE}"], cwd=tree, capture_output=True, text=True, timeout=1200
    )
    assert report.exists(), done.stdout + done.stderr
    return request.param, list(ET.parse(report).iter("testcase")), done.stdout


def test_the_table_has_every_kind():
    assert [what for what, _, _ in rows()] == list(KINDS)


def test_no_contract_test_fails(results):
    _, cases, output = results
    failed = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    assert failed == [], output


@pytest.mark.parametrize("what", KINDS)
def test_the_contract_of_the_kind_runs_for_the_new_name(results, what):
    name, cases, _ = results
    file, least = KINDS[what]
    contract = {"cell": "test_cells|test_models", "radar_format": "test_readers"}.get(file, f"test_{file}s")
    passed = [
        case.get("name", "")
        for case in cases
        if re.search(contract, case.get("classname", "")) and case.find("failure") is None
    ]
    assert len([one for one in passed if re.search(rf"[\[-]{name}[\]-]", one)]) >= least, passed
