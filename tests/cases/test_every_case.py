"""Every shared case has a test."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def listed_cases(cases):
    """The cases of the table in README.md, as NUMBER-NAME."""
    return set(re.findall(r"^\| (\d\d-[\w-]+) \|", (cases / "README.md").read_text("utf-8"), re.MULTILINE))


def test_every_case_has_a_test(cases):
    folders = {path.name for path in cases.iterdir() if path.is_dir()}
    listed = listed_cases(cases)
    assert folders <= listed
    assert len(listed) >= 27
    source = "".join(path.read_text("utf-8") for path in HERE.glob("test_*.py") if path.name != Path(__file__).name)
    untested = [case for case in sorted(listed) if case not in source and f"test_case_{case[:2]}_" not in source]
    assert not untested
