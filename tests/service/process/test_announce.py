"""The console: the address once it answers, each step once, the command for recordings, and scans that stay away."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from service.process.announce import announce, fetched, silence_words, step_words

STALE = "stale: the newest scan, of 2026-11-30T20:00:00Z, is 700 s old"
LATE = "forecast: expected a new one every 5 minutes, the newest, of 2026-11-30T20:00:00Z, was made 690 s ago"
WAITING = {"kind": "recent scans", "detail": "the scans are of 2018", "command": "nowcast run --replay old"}


class EndOfAnswersError(Exception):
    """Raised by the last answer: the console is watched without an end."""


def _run(say, fetch):
    with pytest.raises(EndOfAnswersError):
        asyncio.run(announce("http://127.0.0.1:8000", "the address", say, fetch, look_s=0.0, step_s=0.0, watch_s=0.0))


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
        if not answers:
            raise EndOfAnswersError
        path, status, document = answers.pop(0)
        assert url == f"http://127.0.0.1:8000/{path}"
        assert bool(lines) == (path == "readyz"), "nothing is printed before the address answers"
        return status, document

    _run(lines.append, fetch)
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


@pytest.mark.parametrize("status", ["200 OK", "503 Service Unavailable"])
def test_an_answer_that_ends_too_early_is_none(status):
    def answer() -> None:
        with server.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 100\r\n\r\n{{".encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        found = fetched(f"http://127.0.0.1:{server.getsockname()[1]}/readyz")
        thread.join()
    assert found == (503 if status.startswith("503") else 0, {})


def test_the_end_of_scans_is_printed_once_and_their_return_once():
    fresh, stale = {"checks": {"data": "ok"}}, {"checks": {"data": STALE}}
    answers: list[tuple[int, Any]] = [
        (200, {}),  # it lives
        (200, fresh),  # the first forecast is there
        (200, fresh),
        (200, stale),
        (503, {"detail": f"{LATE}; data: {STALE}"}),
        (0, {}),  # the API restarts
        (503, {"detail": "broker: no response"}),  # nothing is known of the data
        (200, stale),
        (200, fresh),
        (200, fresh),
        (503, {"detail": f"{LATE}; data: {STALE}"}),
    ]
    lines: list[str] = []

    def fetch(url: str) -> tuple[int, Any]:
        if not answers:
            raise EndOfAnswersError
        return answers.pop(0)

    _run(lines.append, fetch)
    silent = "no new scan: the newest scan, of 2026-11-30T20:00:00Z, is 700 s old "
    silent += "(http://127.0.0.1:8000/ingest says how the source responds)"
    assert lines[2:] == [silent, "scans arrive again, after 0 minutes", silent]


def test_other_reasons_are_no_end_of_scans():
    assert silence_words(200, {"checks": {"data": "no scan is stored yet"}}) == ""
    assert silence_words(503, {"detail": LATE}) is None
    assert silence_words(0, {}) is None
