"""`make interoperability`: installs what installs, runs every row of the table, writes it with versions and results.

`python -m tests.interoperability.run [--only NAME ...]`. Packages of PyPI and npm go into `build/environments`;
programs of Debian that are missing are unpacked into `build/debian`, without root. A row that could not run keeps its
recorded result with its date. The exit status is 1 if a row failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from tests.environments import ROOT
from tests.interoperability.debian import add_programs, path_of_programs
from tests.interoperability.table import ROWS, Row
from tests.interoperability.tools import versions_of

RECORDS: Final = ROOT / "docs" / "results" / "interoperability.json"
PAGE: Final = ROOT / "docs" / "results" / "interoperability.md"
BEGIN: Final = "<!-- written by tests.interoperability.run -->"
END: Final = "<!-- end of what it writes -->"
LIMIT_S: Final = 3600
Record = dict[str, Any]


def run_row(row: Row, *, limit_s: float = LIMIT_S) -> Record | str:
    """Run the tests of a row; gives its record, or the reason why nothing ran."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *row.words()]
        environment = {**os.environ, "PATH": path_of_programs(), "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return f"not finished within {limit_s:g} s"
        if not report.exists():
            return (done.stdout + done.stderr).strip()[-400:]
        counts, reasons = counted(report)
    if counts["failed"]:
        print(done.stdout[-6000:], file=sys.stderr)
    elif not counts["passed"]:
        return "; ".join(sorted(reasons)) or "no test was chosen"
    found = versions_of(row.tools)
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "versions": found, **counts}


def counted(report: Path) -> tuple[dict[str, int], set[str]]:
    """The numbers of tests by their outcome, and why some were skipped."""
    counts, reasons = {"passed": 0, "failed": 0, "skipped": 0}, set[str]()
    for case in ElementTree.parse(report).iter("testcase"):
        skipped = case.find("skipped")
        outcome = "passed" if skipped is None else "skipped"
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = "failed"
        counts[outcome] += 1
        if skipped is not None:
            reasons.add(skipped.get("message", ""))
    return counts, reasons


def page_with(text: str, records: Mapping[str, Record]) -> str:
    """The page with its table written again between the two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table(records)}\n{END}{after}"


def table(records: Mapping[str, Record]) -> str:
    """The table in Markdown; a row without a record has run nowhere yet."""
    lines = ["| tool | version | what | result | tests | date | command |", "|---|---|---|---|---|---|---|"]
    for row in ROWS:
        record = records.get(row.name, {})
        versions = record.get("versions", {})
        cells = [
            ", ".join(row.tools),
            ", ".join(versions.get(name, "unknown") for name in row.tools),
            row.what,
            row.result if record and not record["failed"] else "**failed**" if record else "not run yet",
            outcome_of(record),
            record.get("date", ""),
            f"`{shown_command(row)}`",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def outcome_of(record: Mapping[str, Any]) -> str:
    """Such as "9 passed, 2 skipped"."""
    return ", ".join(f"{record[name]} {name}" for name in ("passed", "failed", "skipped") if record.get(name))


def shown_command(row: Row) -> str:
    """The command of a row as one types it."""
    return " ".join(["pytest", *(f'"{word}"' if " " in word or not word else word for word in row.words())])


def main() -> int:
    """Run the rows, and write records and page after each, so that an interrupted run keeps what it has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[row.name for row in ROWS], help="names of rows; all without it")
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="longest time of a row")
    parser.add_argument("--list", action="store_true", help="print the names of the rows, and end")
    options = parser.parse_args()
    rows = [row for row in ROWS if not options.only or row.name in options.only]
    if options.list:
        print("\n".join(row.name for row in rows))
        return 0
    for line in add_programs(sorted({name for row in rows for name in row.programs})):
        print(f"missing: {line}")
    failed = False
    for row in rows:
        outcome = run_row(row, limit_s=options.limit_s)
        if isinstance(outcome, str):
            print(f"{row.name}: not run, its record stays: {outcome}", flush=True)
            continue
        failed |= bool(outcome["failed"])
        print(f"{row.name}: {outcome_of(outcome)}; {outcome['versions']}", flush=True)
        write(row.name, outcome)
    return int(failed)


def write(name: str, record: Record) -> None:
    """Replace the record of a row, and write the page again."""
    records = json.loads(RECORDS.read_text("utf-8"))
    records[name] = record
    ordered = {row.name: records[row.name] for row in ROWS if row.name in records}
    RECORDS.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    PAGE.write_text(page_with(PAGE.read_text("utf-8"), ordered), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
