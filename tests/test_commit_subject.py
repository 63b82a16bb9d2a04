"""The rule on commit subjects holds in the hook, and the hook is installed with the others."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.commit_subject import LONGEST, problems

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("subject", ["One word for one thing", "A" * 35 + " " + "b" * (LONGEST - 36)])
def test_a_good_subject_passes(subject):
    assert problems(f"{subject}\n\nThe body may have lines of any length, and may name work in progress.") == []


@pytest.mark.parametrize(
    "subject", ["", "x", "A " + "b" * (LONGEST - 1), "Work in progress: cells", "WIP on cells", "fixup! One word"]
)
def test_a_bad_subject_is_named(subject):
    assert problems(f"{subject}\n")


def test_the_hook_fails_for_a_bad_subject(tmp_path):
    (tmp_path / "message").write_text("Work in progress: cells\n")
    hook = [sys.executable, "tests/commit_subject.py", str(tmp_path / "message")]
    assert subprocess.run(hook, cwd=ROOT, capture_output=True).returncode == 1
    (tmp_path / "message").write_text("One word for one thing\n")
    assert subprocess.run(hook, cwd=ROOT, capture_output=True).returncode == 0


def test_pre_commit_runs_the_hook():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert "commit-msg" in hooks["default_install_hook_types"]
    (hook,) = [hook for repo in hooks["repos"] for hook in repo["hooks"] if hook["id"] == "commit-subject"]
    assert hook["stages"] == ["commit-msg"]
    assert hook["entry"].endswith("tests/commit_subject.py")
