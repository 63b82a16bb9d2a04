"""Wrong versions of the verification each fail a test; `docs/reference/wrong_scores.md` lists them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.verification.mutants import MUTANTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """The first test that fails, by mutant, on a copy of every module, test and configuration, without data."""
    folder = tmp_path_factory.mktemp("copy")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.toml", "*.yaml", "*.txt"]
    for line in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        if (ROOT / line).is_file():
            (folder / line).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / line, folder / line)
    command = [sys.executable, "-B", "-m", "tests.verification.mutants"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_the_source(mutant):
    text = (ROOT / mutant.file).read_text("utf-8")
    assert mutant.before in text
    compile(text.replace(mutant.before, mutant.after, 1), mutant.file, "exec")
    assert (ROOT / mutant.tests.partition("::")[0]).is_file()


@pytest.mark.long
def test_without_a_mutant_every_test_passes(failures):
    assert failures[""] == ""


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fails_a_test(mutant, failures):
    assert failures[mutant.name].isidentifier(), failures[mutant.name]
