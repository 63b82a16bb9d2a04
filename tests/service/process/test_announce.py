"""The console while the service starts: the address once it answers, each step once, and the command for recordings."""

import asyncio
from typing import Any

from service.process.announce import announce, fetched, step_words

WAITING = {"kind": "recent scans", "detail": "the scans are of 2018", "command": "nowcast run --replay old"}


def test_the_address_is_printed_when_it_answers_and_then_each_step_once():
    answers: list[tuple[str, int, Any]] = [
        ("livez", 0, {}),
        ("livez", 200, {}),
        ("readyz", 503, {"detail": "model: loading"}),
        ("readyz", 503, {"detail": "model: loading"}),
        ("readyz", 0, {}),
        ("readyz", 200, {"waiting_for": WAITING}),
        ("readyz", 200, {"waiting_for": None}),
    ]
    lines: list[str] = []

    def fetch(url: str) -> tuple[int, Any]:
        path, status, document = answers.pop(0)
        assert url == f"http://127.0.0.1:8000/{path}"
        assert bool(lines) == (path == "readyz"), "nothing is printed before the address answers"
        return status, document

    asyncio.run(announce("http://127.0.0.1:8000", "the address", lines.append, fetch, look_s=0.0, step_s=0.0))
    assert not answers
    assert lines[:3] == [
        "the address",
        "starting: model: loading",
        "waiting for the recent scans: the scans are of 2018: nowcast run --replay old",
    ]
    assert lines[3].startswith("the first forecast is there, ")
    assert len(lines) == 4


def test_nothing_answers_at_a_closed_port():
    assert fetched("http://127.0.0.1:9/livez") == (0, {})
    assert step_words(0, {}) == ""
