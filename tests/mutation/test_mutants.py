"""The list of mutants is that of the present code; running them takes long (`python -m tests.mutation.run`)."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.mutation.mutants import MUTANTS
from tests.mutation.run import ROOT, applied, killed_before, verdict


def test_there_are_sixty_and_none_twice():
    assert len({(one.file, one.before, one.after) for one in MUTANTS}) == len(MUTANTS) >= 60


@pytest.mark.parametrize("file", sorted({one.file for one in MUTANTS}))
def test_every_mutant_is_a_change_of_a_line_that_is_there(file):
    text = (ROOT / file).read_text()
    for one in (one for one in MUTANTS if one.file == file):
        assert applied(one, text) != text
        assert all(Path(ROOT, name.partition("::")[0]).is_file() for name in one.tests)


def test_a_test_that_fails_without_the_mutant_does_not_kill_it():
    assert verdict("survived", lambda: "killed") == "killed"
    assert not verdict("killed", lambda: "killed").startswith("killed")


def test_a_run_that_goes_on_leaves_out_what_was_killed_and_is_still_a_mutant(tmp_path: Path):
    first, second = (asdict(one) for one in MUTANTS[:2])
    results = [{**first, "result": "killed by time"}, {**second, "result": "survived"}]
    results.append({**first, "before": "a line of last year", "result": "killed"})
    (tmp_path / "results").write_text(json.dumps(results))
    assert [one["before"] for one in killed_before(tmp_path / "results")] == [MUTANTS[0].before]
    assert killed_before(tmp_path / "none") == []
