"""Each part of a running tree is frozen (SIGSTOP): /readyz names it, the supervisor restarts it, and all is well again.

A frozen process keeps its connections and answers nothing; no exit code and no closed socket shows it.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.end_to_end.stack import Stack, fetch, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.long]

LATE_S = 30
TASK_LIMIT_S = 60
HEARTBEAT_S = 10
LIMITS_S = {"worker": TASK_LIMIT_S + HEARTBEAT_S, "alerts": TASK_LIMIT_S + HEARTBEAT_S}
NOTICED_S = 120.0
"""Longest time from the limit to the answer of /readyz, and to the signal of the supervisor, on a busy machine."""

NAMED = {
    "beat": "beat: expected a task",
    "ingest": "ingest: expected a look",
    "worker": "worker: expected a",
    "queue": "broker: no response",
}


def reason(stack: Stack) -> str:
    """What /readyz says; empty where it is ready, "none" where nobody answers."""
    status, body = fetch(stack.url + "/readyz")
    return "" if status == 200 else str(json.loads(body)["detail"]) if status == 503 else "none"


def freeze_and_await_others(stack: Stack, parts: tuple[str, ...]) -> None:
    """Freeze parts: /readyz names each of them before it has worked again, and another process stands in its place."""
    frozen = {part: stack.parts()[part] for part in parts}
    for pid in frozen.values():
        os.kill(pid, signal.SIGSTOP)
    ends_at = time.monotonic() + max(LIMITS_S.get(part, LATE_S) for part in parts) + NOTICED_S
    unnamed = {part for part in parts if part in NAMED}
    left = list(parts)
    while unnamed or (left := [part for part, pid in frozen.items() if stack.parts().get(part, pid) == pid]):
        assert time.monotonic() < ends_at, f"not named: {unnamed}; still frozen: {left}\n{stack.log()}"
        answer = reason(stack) if unnamed else ""
        unnamed = {part for part in unnamed if NAMED[part] not in answer}
        time.sleep(0.2)
    for part in parts:
        assert f"{part} | frozen: no sign of work for {LIMITS_S.get(part, LATE_S)} s; killed" in stack.log()


def test_a_frozen_part_is_named_and_restarted(tmp_path: Path):
    environment = {
        "NOWCAST_PART_LATE_S": str(LATE_S),
        "NOWCAST_TASK_LIMIT_S": str(TASK_LIMIT_S),
        "NOWCAST_HEARTBEAT_S": str(HEARTBEAT_S),
        "NOWCAST_MEMBERS": "0",
    }
    with running_stack(tmp_path, environment=environment) as stack:
        stack.first_forecast()
        for parts in (("beat", "ingest"), ("worker", "alerts"), ("queue",), ("api",)):
            stack.wait_until(lambda: reason(stack) == "", "readiness")
            freeze_and_await_others(stack, parts)
        stack.wait_until(lambda: reason(stack) == "", "readiness")
        reference = stack.get("/nowcast/latest")["reference_time"]
        stack.wait_until(lambda: stack.get("/nowcast/latest")["reference_time"] > reference, "newer forecast")
