"""Sixty seconds of mutated files, requests, settings and status files; `python -m tests.fuzz.run` for longer."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from tests.fuzz import run as target
from tests.fuzz.run import fuzz, mutated

NAMES = ["readers", "requests", "settings", "status"]


def test_one_seed_gives_one_sequence():
    content = bytes(range(256)) * 4
    made = [mutated(content, random.Random("24:readers:7")) for _ in range(2)]
    assert made[0] == made[1] != content


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_nothing_but_the_documented_errors(tmp_path: Path):
    ends, problems = fuzz(tmp_path, 24, 60, NAMES)
    assert problems == []
    assert ends["readers"]["read"], "some are still read, so that the mutations reach the decoders"
    assert ends["settings"]["accepted"]
    assert ends["requests"]["200"]


def test_a_target_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="reeders"):
        fuzz(tmp_path, 24, 0, ["reeders"])


def test_a_file_that_is_refused_late_is_a_problem(monkeypatch):
    monkeypatch.setattr(target, "LONGEST_S", -1.0)
    assert all(target.reader_case(random.Random(number))[1] for number in range(3))


def test_a_number_of_cases_can_be_asked_for(tmp_path: Path):
    ends, problems = fuzz(tmp_path, 24, 0, ["status"], 7)
    assert (ends["status"].total(), problems) == (7, [])


@pytest.mark.parametrize(("status", "longest_s"), [(500, 2.0), (200, -1.0)])
def test_a_request_that_fails_or_is_answered_late_is_a_problem(status, longest_s, monkeypatch):
    monkeypatch.setattr(target, "LONGEST_REQUEST_S", longest_s)
    document: dict[str, Any] = {"paths": {"/scans": {"get": {}}}}
    client = SimpleNamespace(
        get=lambda _: SimpleNamespace(json=lambda: document),
        request=lambda *_, **__: SimpleNamespace(status_code=status, text="the answer"),
    )
    case: Any = target.request_cases(cast("TestClient", client))
    assert "get /scans" in case(random.Random(1))[1]
