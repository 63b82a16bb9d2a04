"""The tree of processes, with real processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from service.process import supervisor
from service.process.supervisor import LEASH, ProcessSpec, SupervisedProcess
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.stack

SLEEPER = (sys.executable, "-c", "import os, time; print('pid', os.getpid(), flush=True); time.sleep(600)")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(pid: int) -> bool:
    return not alive(pid)


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not met():
            await asyncio.sleep(0.01)


def test_a_killed_process_is_restarted_and_a_stopped_one_is_not(capsys):
    async def scenario() -> None:
        starts: list[int] = []
        kept = SupervisedProcess(ProcessSpec("sleeper", SLEEPER, before_start=lambda: starts.append(len(starts))))
        await until(lambda: kept.process)
        assert kept.process
        first = kept.process.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: kept.process and kept.process.pid != first)
        second = kept.process.pid
        assert alive(second)
        await kept.stop()
        assert not alive(second)
        assert starts == [0, 1]

    asyncio.run(scenario())
    assert "ended unexpectedly (signal SIGKILL); restarted in 0.5 s" in capsys.readouterr().out


def test_a_part_that_ignores_the_stop_is_killed_with_what_it_started(capsys):
    deaf = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time;"
        ' signal.signal(signal.SIGTERM, signal.SIG_IGN); print("deaf", flush=True); time.sleep(600)\']);'
        "print('child', child.pid, flush=True); time.sleep(600)"
    )

    async def scenario() -> list[int]:
        kept = SupervisedProcess(ProcessSpec("deaf", (sys.executable, "-c", deaf)))
        output = ""

        def started() -> bool:
            nonlocal output
            output += str(capsys.readouterr().out)
            return "| child" in output and "| deaf" in output

        await until(started)
        assert kept.process
        await kept.stop(grace_s=0.2)
        return [kept.process.pid, int(output.split("| child ")[1].split()[0])]

    for pid in asyncio.run(scenario()):
        wait_until(partial(ended, pid), f"end of process {pid}")


def test_a_process_whose_work_ends_is_not_restarted(capsys):
    async def scenario() -> None:
        kept = SupervisedProcess(ProcessSpec("short", (sys.executable, "-c", "print('one line')"), ends=True))
        async with asyncio.timeout(PATIENCE_S):
            await kept._keeping

    asyncio.run(scenario())
    out = capsys.readouterr().out
    assert out.count("one line") == 1
    assert "   short | one line\n" in out


def test_an_error_before_a_start_is_logged_and_the_start_retried(capsys):
    async def scenario() -> None:
        fails = iter([True, False])

        def before_start() -> None:
            if next(fails):
                raise ConnectionError("the queue does not answer")

        kept = SupervisedProcess(ProcessSpec("sleeper", SLEEPER, before_start=before_start))
        await until(lambda: kept.process)
        await kept.stop()

    asyncio.run(scenario())
    assert "sleeper | cannot start: the queue does not answer\n" in capsys.readouterr().out


def test_a_program_that_does_not_exist_is_logged_and_retried(capsys):
    async def scenario() -> None:
        kept = SupervisedProcess(ProcessSpec("none", ("/no/such/program",)))
        out = ""

        def tried_twice() -> bool:
            nonlocal out
            out += str(capsys.readouterr().out)
            return out.count("restarted in") == 2

        await until(tried_twice)
        await kept.stop()
        assert "cannot run /no/such/program: No such file or directory" in out
        assert "in 0.5 s" in out
        assert "in 1 s" in out

    asyncio.run(scenario())


def test_a_frozen_process_is_killed_and_started_again_and_a_working_one_is_not(capsys):
    """The clock of a sign may be wrong: only its changes count. One that is not known proves nothing."""

    async def scenario() -> None:
        signs: dict[str, object] = {"worked": 0}

        def works() -> object:
            pid = kept.process.pid if kept.process else 0
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
                signs["worked"] = time.monotonic()
            return signs["worked"]

        kept = SupervisedProcess(ProcessSpec("sleeper", SLEEPER, sign=works, silent_s=0.4))
        unknown = SupervisedProcess(ProcessSpec("unknown", SLEEPER, sign=lambda: None, silent_s=0.1))
        await until(lambda: kept.process and unknown.process)
        assert kept.process
        assert unknown.process
        first, other = kept.process.pid, unknown.process.pid
        await asyncio.sleep(1.0)
        assert kept.process.pid == first, "it works"
        os.kill(first, signal.SIGSTOP)
        await until(lambda: kept.process and kept.process.pid != first)
        assert not alive(first)
        assert unknown.process.pid == other
        await kept.stop()
        await unknown.stop()

    asyncio.run(scenario())
    output = capsys.readouterr().out
    assert "sleeper | frozen: no sign of work for 0.4 s; killed" in output
    assert "ended unexpectedly (signal SIGKILL); restarted in 0.5 s" in output


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_no_orphan_is_left_when_the_parent_is_killed():
    parent_code = (
        "import os, subprocess, sys, time;"
        f"subprocess.Popen([sys.executable, {str(LEASH)!r}, str(os.getpid()), *{SLEEPER!r}]); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline().split()[1])
        assert alive(child)
        parent.kill()
        wait_until(partial(ended, child), "end of the child, whose parent has ended")


def test_nothing_is_started_for_a_parent_that_has_ended():
    done = subprocess.run(
        [sys.executable, str(LEASH), "999999999", *SLEEPER], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 1
    assert "process 999999999 has ended" in done.stderr


def test_a_process_that_starts_slowly_is_not_frozen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """On a busy machine the libraries take minutes; restarts would add to the load, each cut off before its end."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(supervisor, "processor_ticks", lambda pid: next(ticks))
    monkeypatch.setattr(supervisor, "STARTING_S", 1.0)

    async def scenario() -> None:
        slow = SupervisedProcess(ProcessSpec("slow", SLEEPER, sign=lambda: 0, silent_s=0.2))
        await until(lambda: slow.process)
        assert slow.process
        began, first = time.monotonic(), slow.process
        await until(lambda: first.returncode is not None)
        assert time.monotonic() - began > 1.0, "it was killed while it used the processor"
        await slow.stop()

    asyncio.run(scenario())
    assert "slow | frozen" in capsys.readouterr().out, "not for ever"


def test_the_processor_time_of_a_process_grows_while_it_works():
    def work() -> bool:
        return sum(range(10**5)) > 0 and supervisor.processor_ticks(os.getpid()) > before

    before = supervisor.processor_ticks(os.getpid())
    wait_until(work, "more processor time")
    assert supervisor.processor_ticks(0) == 0
