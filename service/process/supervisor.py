"""Supervised processes: started in order, restarted when one dies, stopped together, none left behind."""

import asyncio
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from core.logs import without_passwords
from core.settings import get_settings
from core.times import iso

LEASH: Final = Path(__file__).with_name("leash.py")
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0
STEADY_S: Final = 20.0
GRACE_S: Final = 8.0
WATCH_S: Final = 5.0
"""Longest time between two looks whether a process works."""

STARTING_S: Final = 900.0
"""Until its first sign of work, and for this long at most, a process that uses the processor is starting, not frozen:
on a busy machine the libraries alone take minutes, and a restart would only add to the load."""

LINE_BYTES: Final = 2**20


def log_line(name: str, text: str) -> None:
    """Print one log line of the process `name`: as JSON by the settings, unchanged where it is JSON already."""
    if get_settings().log_format == "text":
        print(f"{name:>8} | {text}", flush=True)
    elif text.startswith("{"):
        print(text, flush=True)
    else:
        print(json.dumps({"at": iso(datetime.now(UTC)), "part": name, "message": without_passwords(text)}), flush=True)


@dataclass(frozen=True)
class ProcessSpec:
    """Specification of one process of the tree."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[], bool] = lambda: True
    """The process is first started when this returns True, or after `after_s`."""
    after_s: float = LONGEST_WAIT_S
    before_start: Callable[[], None] = lambda: None
    """Called before each start of the process."""
    ends: bool = False
    """The process has work that ends: after exit status 0 it is not restarted."""
    sign: Callable[[], object] | None = None
    """Returns a value that changes while the process works; None stands for "not known now". Called in a thread."""
    silent_s: float = math.inf
    """Longest time without a change of the sign: then the process is frozen, and is restarted."""


class SupervisedProcess:
    """A process that is restarted when it dies; create it in a running event loop of the main thread (see `leash`)."""

    def __init__(self, spec: ProcessSpec):
        self.spec = spec
        self.process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Terminate the process, and kill it with all that it started if it takes longer than `grace_s`."""
        self._stopping = True
        if self.process is None or self.process.returncode is not None:
            self._keeping.cancel()
        else:
            self._signal(signal.SIGTERM)
        _, unfinished = await asyncio.wait([self._keeping], timeout=grace_s)
        if unfinished:
            log_line(self.spec.name, f"still running after {grace_s:g} s: killed")
            self._signal(signal.SIGKILL)
            await asyncio.wait([self._keeping])

    async def _keep(self) -> None:
        wait_s = FIRST_WAIT_S
        with suppress(TimeoutError):
            async with asyncio.timeout(self.spec.after_s):
                while not self.spec.after():
                    await asyncio.sleep(0.2)
        while not self._stopping:
            started = time.monotonic()
            code = await self._run_once()
            if self._stopping or (self.spec.ends and code == 0):
                log_line(self.spec.name, "stopped" if self._stopping else "done")
                return
            wait_s = FIRST_WAIT_S if time.monotonic() - started > STEADY_S else wait_s
            log_line(self.spec.name, f"ended unexpectedly ({_reason(code)}); restarted in {wait_s:g} s")
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _run_once(self) -> int:
        try:
            self.spec.before_start()
            self.process = await self._start()
        except Exception as err:  # logged and retried, as the death of the process would be
            log_line(self.spec.name, f"cannot start: {err}")
            return 1
        log_line(self.spec.name, f"started, process {self.process.pid}")
        printing = asyncio.create_task(_print_lines(self.spec.name, self.process.stdout))
        watching = asyncio.create_task(self._watch())
        code = await self.process.wait()
        watching.cancel()
        await asyncio.wait([printing], timeout=1)
        printing.cancel()
        self._signal(signal.SIGKILL)
        return code

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(LEASH), str(os.getpid())),
            *self.spec.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.spec.environment},
            process_group=0,
            limit=LINE_BYTES,
        )

    async def _watch(self) -> None:
        """Kill the process when its sign has not changed for too long; by a steady clock, whatever times it holds."""
        if self.spec.sign is None:
            return
        began = since = time.monotonic()
        first = last = await asyncio.to_thread(self.spec.sign)
        while time.monotonic() - since <= self.spec.silent_s:
            await asyncio.sleep(min(WATCH_S, self.spec.silent_s / 4))
            sign = await asyncio.to_thread(self.spec.sign)
            if sign is not None and sign == first and time.monotonic() - began < STARTING_S:
                sign = first, processor_ticks(self.process.pid if self.process else 0)
            if sign is None or sign != last:
                last, since = sign, time.monotonic()
        if not self._stopping:
            log_line(self.spec.name, f"frozen: no sign of work for {self.spec.silent_s:g} s; killed")
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and all that it started (they share its process group)."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


def processor_ticks(pid: int) -> int:
    """Return the processor time of a process so far, in ticks of the system; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return 0


async def _print_lines(name: str, stream: asyncio.StreamReader | None) -> None:
    while stream is not None:
        try:
            line = await stream.readline()
        except ValueError:
            log_line(name, f"(a line of more than {LINE_BYTES} bytes omitted)")
            continue
        if not line:
            return
        log_line(name, line.decode(errors="replace").rstrip())


def _reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
