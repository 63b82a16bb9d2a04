"""What the image is made of: `make supply-chain`.

Writes the bill of materials (CycloneDX) to build/sbom.cdx.json and the licences to docs/results/licences.md; ends with
status 1 for a licence that does not go with Apache-2.0, or for a finding of bandit that is not explained here. The
tools are those of deploy/supply-chain.txt, in an environment of their own.
"""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "results" / "licences.md"
SBOM: Final = ROOT / "build" / "sbom.cdx.json"
PACKAGES: Final = ("core", "ingest", "models", "service", "training", "verification")
HEAD: Final = """# Licences

Every Python package of the image with the licence that its own metadata state; made by `make supply-chain`. The
programs of the base image have licences of Debian's packages. psycopg (LGPL-3.0) is used as a library, unchanged.

| package | version | licence |
|---|---|---|
"""
ALLOWED: Final = (
    r"MIT(-0|-CMU| License)?|(New |Simplified |3-Clause )?BSD( License)?|0?BSD(-[23]-Clause)?|BSD-[23]-Clause|"
    r"Zlib|BSL-1\.0|"
    r"Apache-2\.0( WITH LLVM-exception)?|Apache (Software|2\.0) License|Apache License,? (Version )?2\.0|"
    r"ISC( License \(ISCL\))?|MPL-2\.0|Mozilla Public License 2\.0 \(MPL 2\.0\)|PSF-2\.0|"
    r"Python Software Foundation License|CC0-1\.0|CC0 1\.0 Universal \(CC0 1\.0\) Public Domain Dedication|"
    r"EPL-2\.0|LGPL-3\.0-only"
)
"""Licences whose code may be used by an Apache-2.0 program as a library, as packages write them."""

EXPLAINED: Final[Mapping[tuple[str, str], str]] = {
    ("ingest/sources/eumetnet_listing.py", "B314"): "a listing with a document type is refused before it is parsed",
    ("ingest/store/backup.py", "B608"): "names of tables and columns of the catalogue itself",
    ("ingest/store/schema.py", "B608"): "a constant name of a table",
    ("service/healthcheck.py", "B310"): "an http address of this host",
    ("service/process/announce.py", "B310"): "the address of the own API",
    ("service/run.py", "B104"): "compares with the address, does not listen on it",
    ("training/report/tables.py", "B506"): "BaseLoader, which makes texts alone",
}
"""Findings of bandit of at least medium severity, by file and test, with the reason why each is right."""


def locked() -> dict[str, str]:
    """Return the version of every package of the image, torch included, by the name of the lock."""
    lock = re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    torch = re.findall(r"^(torch)==(.+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    return dict([*lock, *torch])


def is_allowed(licence: str) -> bool:
    """Return whether a licence goes with Apache-2.0: each one of "AND" and ";", and one of "OR"."""
    every = re.split(r" AND |; ", licence.strip())
    return all(any(re.fullmatch(ALLOWED, one.strip()) for one in part.split(" OR ")) for part in every)


def write_licences(tools: Path) -> list[str]:
    """Write the page of licences; return the packages without an allowed one."""
    command = [str(tools / "pip-licenses"), "--python", sys.executable, "--from=mixed", "--format=csv", "--with-system"]
    printed = subprocess.run([*command, "--packages", *locked()], check=True, capture_output=True, text=True).stdout
    found = {normal(row["Name"]): row for row in csv.DictReader(io.StringIO(printed))}
    rows, wrong = [], []
    for name, version in sorted(locked().items(), key=lambda item: item[0].lower()):
        row = found.get(normal(name))
        if row is None and is_for_older_python(name):
            continue
        if row is None or row["Version"].partition("+")[0] != version:
            wrong.append(f"{name} {version}: not installed in this version")
        elif not is_allowed(row["License"]):
            wrong.append(f"{name}: {row['License']}")
        else:
            rows.append(f"| {name} | {version} | {row['License']} |\n")
    PAGE.write_text(HEAD + "".join(rows), "utf-8")
    return wrong


def normal(name: str) -> str:
    """Return the name of a package as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_for_older_python(name: str) -> bool:
    """Return whether the lock has a package for Python before 3.11.3 alone."""
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    return any(line.startswith(f"{name}==") and "python_full_version < '3.11.3'" in line for line in lines)


def write_sbom(tools: Path) -> list[str]:
    """Write the bill of materials of the lock and torch; return the packages that it lacks."""
    everything = ROOT / "build" / "image.txt"
    everything.write_text(
        (ROOT / "requirements.lock").read_text("utf-8") + f"\ntorch=={locked()['torch']}\n", encoding="utf-8"
    )
    command = [str(tools / "cyclonedx-py"), "requirements", "--pyproject", str(ROOT / "pyproject.toml")]
    command += ["--output-reproducible", "--output-format", "JSON", "--output-file", str(SBOM), str(everything)]
    subprocess.run(command, check=True, capture_output=True)
    listed = {normal(one["name"]) for one in json.loads(SBOM.read_text("utf-8"))["components"]}
    return [f"{name}: not in the bill of materials" for name in locked() if normal(name) not in listed]


def unexplained(findings: list[dict[str, Any]]) -> list[str]:
    """Return findings of at least medium severity without an explanation, and explanations without a finding."""
    grave = [one for one in findings if one["issue_severity"] != "LOW"]
    new = [
        f"{one['filename']}:{one['line_number']}: {one['test_id']} {one['issue_text']}"
        for one in grave
        if (one["filename"], one["test_id"]) not in EXPLAINED
    ]
    gone = set(EXPLAINED) - {(one["filename"], one["test_id"]) for one in grave}
    return new + [f"{file}: {test} is explained, but not found" for file, test in sorted(gone)]


def check_code(tools: Path) -> list[str]:
    """Return what bandit finds in the code of the image."""
    command = [str(tools / "bandit"), "--quiet", "--recursive", "--format", "json", "--exclude", "*/node_modules/*"]
    done = subprocess.run([*command, *PACKAGES], cwd=ROOT, capture_output=True, text=True)
    return unexplained(json.loads(done.stdout)["results"])


def main(tools: Path) -> int:
    """Write and check everything; return the exit status."""
    (ROOT / "build").mkdir(exist_ok=True)
    wrong = [*write_sbom(tools), *write_licences(tools), *check_code(tools)]
    print("\n".join(wrong) or f"{len(locked())} packages in {SBOM.relative_to(ROOT)} and {PAGE.relative_to(ROOT)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
