"""The rule on commit subjects, as a commit-msg hook: `python tests/commit_subject.py FILE` fails for a bad one."""

import re
import sys
from pathlib import Path

LONGEST = 72
UNFINISHED = re.compile(r"\bwork in progress\b|\bwip\b|^(fixup|squash|amend)!", re.IGNORECASE)


def problems(message: str) -> list[str]:
    """Return what is wrong with the first line of a commit message."""
    subject = next((line for line in message.splitlines() if not line.startswith("#")), "")
    found = []
    if len(subject.split()) < 2:
        found.append(f"expected a subject of at least two words, got {subject!r}")
    if len(subject) > LONGEST:
        found.append(f"expected a subject of at most {LONGEST} characters, got {len(subject)}")
    if UNFINISHED.search(subject):
        found.append(f"expected a subject that says what changes, got {subject!r}")
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems(Path(sys.argv[1]).read_text("utf-8"))) or 0)
