"""The list of mutants is that of the present code; running them takes long (`python -m tests.mutation.run`)."""

from pathlib import Path

import pytest

from tests.mutation.mutants import MUTANTS
from tests.mutation.run import ROOT, applied, verdict


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
