"""What the image is made of: licences that go with Apache-2.0, code without findings, and no secret in the checkout."""

import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.environments import ROOT, python_with

SECRETS = {
    "private key": r"-----BEGIN (?:RSA |EC |OPENSSH |DSA |ENCRYPTED |)PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{64,}",
    "AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20}\b",
    "Slack token": r"\bxox[abpr]-[A-Za-z0-9-]{20,}",
    "registry token": r"\bpypi-AgEI[A-Za-z0-9_-]{50,}|\bnpm_[A-Za-z0-9]{36}\b",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "token": r"\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}",
    "password in a URL": r"\b(?:postgresql(?:\+psycopg)?|rediss?|mqtts?|smtps?)://[^\s:@/{}\"']+:[A-Za-z0-9+/=_-]{16,}@",
}
"""Patterns of what must not be committed, by name."""

LARGEST = 2**18


@pytest.fixture(scope="module")
def chain() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supply_chain", ROOT / "deploy" / "supply_chain.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_package_of_the_image_has_an_allowed_licence(chain):
    rows = [line.strip("| ").split(" | ") for line in chain.PAGE.read_text("utf-8").splitlines() if line[:2] == "| "]
    listed = {name: (version, licence) for name, version, licence in rows[1:]}
    for name, version in chain.locked().items():
        if not chain.is_for_older_python(name):
            assert listed[name][0] == version, "run `make supply-chain`"
            assert chain.is_allowed(listed[name][1]), name
    assert set(listed) <= set(chain.locked())


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 AND BSD-2-Clause", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only", False),
        ("MIT AND AGPL-3.0-or-later", False),
        ("BSD License; GNU General Public License v3 (GPLv3)", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_a_licence_that_does_not_go_with_ours_is_refused(chain, licence, allowed):
    assert chain.is_allowed(licence) == allowed


def test_a_finding_without_an_explanation_fails_and_so_does_one_that_is_gone(chain):
    explained = [
        {"filename": file, "test_id": test, "line_number": 1, "issue_severity": "MEDIUM", "issue_text": "text"}
        for file, test in chain.EXPLAINED
    ]
    assert chain.unexplained(explained) == []
    assert len(chain.unexplained(explained[1:])) == 1
    new = {"filename": "core/new.py", "test_id": "B602", "line_number": 1, "issue_severity": "HIGH", "issue_text": "x"}
    assert chain.unexplained([*explained, new]) == ["core/new.py:1: B602 x"]
    assert chain.unexplained([*explained, new | {"issue_severity": "LOW"}]) == []


@pytest.mark.long
def test_the_tools_themselves_find_nothing(chain, tmp_path: Path, monkeypatch):
    tools = python_with(ROOT / "deploy" / "supply-chain.txt").parent
    before = chain.PAGE.read_text("utf-8")
    monkeypatch.setattr(chain, "PAGE", tmp_path / "licences.md")
    monkeypatch.setattr(chain, "SBOM", tmp_path / "sbom.json")
    assert [*chain.write_sbom(tools), *chain.write_licences(tools), *chain.check_code(tools)] == []
    assert (tmp_path / "licences.md").read_text("utf-8") == before


def test_no_secret_is_committed():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    found = []
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and path.stat().st_size <= LARGEST and path != Path(__file__):
            content = path.read_bytes()
            if b"\0" not in content[:4096]:  # a binary file holds no text
                text = content.decode("latin-1")
                found += [f"{name}: {kind}" for kind, pattern in SECRETS.items() if re.search(pattern, text)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE " + "KEY-----\n" + "A" * 64,
        "key = AKIA" + "ABCDEFGHIJKLMNOP",
        "ghp_" + "a" * 36,
        "redis://user:" + "0123456789abcdef0123@host/0",
    ],
)
def test_the_patterns_of_secrets_find_one(text):
    assert any(re.search(pattern, text) for pattern in SECRETS.values())
