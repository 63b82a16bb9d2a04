"""The table of programs of others: every row names tests that there are, and the page is what the records give."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.environments import ROOT
from tests.interoperability import debian
from tests.interoperability.run import PAGE, RECORDS, counted, outcome_of, page_with, shown_command, table
from tests.interoperability.table import ROWS, Row
from tests.interoperability.tools import TOOLS, versions_of

REPORT = """<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure message="x"/></testcase>
<testcase name="c"><skipped message="no program"/></testcase><testcase name="d"><error message="y"/></testcase>
</testsuite></testsuites>"""


def names_in(path: Path) -> set[str]:
    """The tests of a file, or of the files of a folder."""
    files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
    return {
        node.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_rows_have_names_of_their_own_and_tools_whose_versions_are_read():
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert {name for row in ROWS for name in row.tools} == set(TOOLS)
    assert {name for row in ROWS for name in row.programs} == set(debian.PROGRAMS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_names_tests_that_there_are(row: Row):
    for name in row.tests:
        assert names_in(ROOT / name), name
    text = "\n".join(
        file.read_text("utf-8")
        for name in row.tests
        for file in ((ROOT / name).rglob("test_*.py") if (ROOT / name).is_dir() else [ROOT / name])
    )
    for word in set(re.findall(r"\w+", row.chosen)) - {"and", "or", "not"}:
        assert word in text, f"no test of {row.tests} has {word} in its name"


@pytest.mark.long  # each imports what its tests import
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_chooses_tests(row: Row):
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *row.words()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "::test_" in done.stdout


def test_the_page_is_what_the_records_give():
    text, records = PAGE.read_text("utf-8"), json.loads(RECORDS.read_text("utf-8"))
    assert page_with(text, records) == text, "run `make interoperability`, or tests.interoperability.run --only ROW"
    assert set(records) <= {row.name for row in ROWS}
    assert not [name for name, record in records.items() if record["failed"]]


def test_every_test_that_the_page_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", PAGE.read_text("utf-8"))
    assert len(named) > 40
    missing = [(path, test) for path, test in named if not (ROOT / path).exists()]
    assert missing == []
    assert [(path, test) for path, test in named if test and test not in names_in(ROOT / path)] == []


def test_a_row_that_did_not_run_keeps_its_record_and_a_failed_one_is_shown():
    kept = {"date": "2026-11-01", "versions": {"nginx": "1.2.3"}, "passed": 9, "failed": 0, "skipped": 1}
    line = next(line for line in table({"nginx": kept}).splitlines() if line.startswith("| nginx "))
    assert line.split(" | ")[1] == "1.2.3"
    assert line.split(" | ")[3:6] == ["as expected", "9 passed, 1 skipped", "2026-11-01"]
    assert "| not run yet |" in table({"nginx": kept})
    assert "| **failed** |" in table({"nginx": {**kept, "failed": 1}})
    page = page_with("before\n" + table_marks("a table of before") + "after\n", {"nginx": kept})
    assert (page.startswith("before\n"), page.endswith("after\n"), "of before" in page) == (True, True, False)


def table_marks(text: str) -> str:
    return f"<!-- written by tests.interoperability.run -->\n{text}\n<!-- end of what it writes -->"


def test_outcomes_are_counted_with_the_reasons_of_skips(tmp_path: Path):
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    counts, reasons = counted(report)
    assert (counts, reasons) == ({"passed": 1, "failed": 2, "skipped": 1}, {"no program"})
    assert outcome_of(counts) == "1 passed, 2 failed, 1 skipped"


def test_a_command_can_be_copied():
    row = Row("x", (), "", "", ("tests/a.py",), "not b")
    assert shown_command(row) == 'pytest -m "" -k "not b" tests/a.py'


def test_versions_are_those_of_the_packages():
    assert versions_of(("OWSLib",)) == {"OWSLib": __import__("owslib").__version__}


def test_an_unpacked_program_finds_its_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(debian, "ROOT_OF_PROGRAMS", tmp_path)
    program = tmp_path / "root" / "usr" / "bin" / "cdo"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$LD_LIBRARY_PATH $1"\n')
    program.chmod(0o755)
    debian._write_start("cdo")
    printed = subprocess.run([str(tmp_path / "start" / "cdo"), "two words"], capture_output=True, text=True).stdout
    assert f"{tmp_path}/root/usr/lib/x86_64-linux-gnu:" in printed
    assert printed.endswith(" two words\n")


def test_without_apt_every_missing_program_has_a_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(debian, "found", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert debian.add_programs(["cdo", "caddy"]) == [
        "cdo: no apt-get on this machine",
        "caddy: no apt-get on this machine",
    ]
