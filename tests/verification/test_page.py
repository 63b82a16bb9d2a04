"""`docs/verification.md` has every score and its example runs; `docs/reference/wrong_scores.md` has every mutant."""

import re
from pathlib import Path

from tests.verification.mutants import MUTANTS
from verification.scores import SCORES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "verification.md").read_text("utf-8")
MUTANTS_PAGE = (DOCS / "reference" / "wrong_scores.md").read_text("utf-8")


def test_every_score_has_a_row():
    rows = {name for line in PAGE.splitlines() if line.startswith("| `") for name in re.findall(r"`([\w-]+)`", line)}
    assert {name for name in SCORES.names() if name not in ("toy", "squall")} <= rows


def test_every_mutant_has_a_row():
    rows = re.findall(r"^\| (.+) \| `(\w+/[\w/]+\.py)` \| `(tests/[\w/]+\.py)` \|$", MUTANTS_PAGE, re.MULTILINE)
    assert rows == [(mutant.name, mutant.file, mutant.tests.partition("::")[0]) for mutant in MUTANTS]


def test_the_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
    exec(compile(example, "docs/verification.md", "exec"), {})
    assert capsys.readouterr().out.startswith("Interval(low=0.")
