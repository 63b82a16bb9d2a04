"""What a fault may touch of a running system, and the list of the kinds of faults."""

import json
import random
import resource
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import redis

from core.files import write_bytes_atomically
from core.grid import Grid
from tests.chaos.machine import Database, SlowDisk
from tests.end_to_end.clock import Clock
from tests.end_to_end.stack import Stack, fetch

BACK_WITHIN_S: Final = 600.0
"""Two cycles of a radar of five minutes: by then everything is repaired without a person."""

ANSWER_S: Final = 30.0
LOOK_S: Final = 1.0
"""Between two looks: they must not take the machine from the service."""

DAY_IS_OVER: Final = b'"detail":"forecast: expected a new one'
"""What /readyz rightly says when the last scan of the day is a while ago."""

PARTS: Final = frozenset({"api", "worker", "beat", "ingest", "alerts", "queue"})


@dataclass
class Scene:
    """A running system under faults.

    Attributes:
        stack: the processes.
        home: the live store.
        inbox: the watched folder.
        chance: of all choices; one seed gives one list of faults.
        scans: the files of the day, in order of time.
        grid: of the scans.
        clock: of the whole tree; None: it is not stepped here.
        is_mounted: whether the store is a file system of its own.
        disk: of the store; None: it is not slowed down here.
        database: server of the catalogue; None: it is a file of the store.
        played: files that have been written to the inbox.
        refused: kinds of requests with an answer of 500 or above but 503, with their number.
        lost: forecasts whose file a fault has damaged or deleted.
        unrepaired: what was not well again within `BACK_WITHIN_S`.
    """

    stack: Stack
    home: Path
    inbox: Path
    chance: random.Random
    scans: Sequence[Path]
    grid: Grid
    clock: Clock | None = None
    is_mounted: bool = False
    disk: SlowDisk | None = None
    database: Database | None = None
    played: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lost: set[str] = field(default_factory=set)
    unrepaired: list[str] = field(default_factory=list)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def take(self, count: int = 1) -> Sequence[Path]:
        """The next scans, which no other thread plays; none of the last ones where fewer are left."""
        with self.turn:
            found = self.scans[self.played : self.played + count]
            found = found if len(found) == count else []
            self.played += len(found)
        return found

    def play(self, count: int = 1) -> None:
        """Write the next scans to the inbox, each whole at once."""
        for _ in range(count):
            for path in self.take():
                write_bytes_atomically(self.inbox / path.name, path.read_bytes())

    def part(self, name: str) -> int:
        """The process id of a part, waiting for one that is just restarted."""
        return self.stack.wait_until(lambda: self.stack.parts().get(name), f"running {name}", BACK_WITHIN_S) or 0

    def file_of(self, pattern: str) -> Path | None:
        """Any file of the store; None without one."""
        found = sorted(path for path in self.home.glob(pattern) if not path.name.startswith("."))
        return self.chance.choice(found) if found else None

    def forecast(self) -> Path | None:
        """The file of any forecast."""
        found = [
            path
            for path in sorted(self.home.glob("forecasts/*/*/*/*.nc"))
            if "." not in path.stem and not path.name.startswith("inputs-")
        ]
        return self.chance.choice(found) if found else None

    def redis(self) -> redis.Redis:
        """A client of the queue server."""
        return redis.Redis.from_url(self.stack.redis_url(), socket_timeout=10)

    def limited(self, part: str, what: int, most: Callable[[int], int], for_s: float) -> None:
        """Lower the limit of a resource of a part for some seconds; `most` gets its process id."""
        pid = self.part(part)
        before = resource.prlimit(pid, what)
        resource.prlimit(pid, what, (most(pid), before[1]))
        time.sleep(for_s)
        try:
            resource.prlimit(pid, what, before)
        except ProcessLookupError:
            return  # it has ended of it, and the next one has its own limits

    def shrink(self, for_s: float) -> None:
        """Leave no block free on the disk of the store for some seconds."""
        whole = shutil.disk_usage(self.home)
        mount = ["mount", "-o"]
        subprocess.run([*mount, f"remount,size={-(-whole.used // 4096) * 4096}", self.home], check=True)
        time.sleep(for_s)
        subprocess.run([*mount, f"remount,size={whole.total}", self.home], check=True)

    def get(self, path: str) -> Any:
        """The JSON answer to GET `path`, None unless it is 200 within `ANSWER_S`."""
        status, body = fetch(self.stack.url + path, limit_s=ANSWER_S)
        return json.loads(body) if status == 200 else None

    def newest(self) -> datetime | None:
        """The reference time of the newest forecast by the API; None without an answer."""
        latest = self.get("/nowcast/latest")
        return datetime.fromisoformat(latest["reference_time"]) if latest else None

    def trouble(self) -> str:
        """What is not repaired; empty where each part runs, /readyz agrees and the last but one scan has a forecast."""
        if missing := PARTS - set(self.stack.parts()):
            return f"does not run: {sorted(missing)}"
        status, body = fetch(self.stack.url + "/readyz", limit_s=ANSWER_S)
        if status != 200 and not (self.played == len(self.scans) and DAY_IS_OVER in body):
            return f"/readyz: {status} {body.decode(errors='replace')[:400]}"
        scans, latest = self.get("/scans"), self.newest()
        if not scans or latest is None:
            return f"/scans or /nowcast/latest: {scans}, {latest}"
        newest = datetime.fromisoformat(scans["scans"][0]["valid_time"])
        return "" if (newest - latest).total_seconds() <= 600 else f"newest scan of {newest}, forecast of {latest}"

    def await_well(self) -> float:
        """Wait for the repair; return how long it took in seconds, or add what is not repaired to `unrepaired`."""
        began = time.monotonic()
        while trouble := self.trouble():
            assert self.stack.process.poll() is None, f"the service ended\n{self.stack.log()[-3000:]}"
            if time.monotonic() - began > BACK_WITHIN_S:
                self.unrepaired.append(trouble)
                break
            time.sleep(LOOK_S)
        return time.monotonic() - began


Inject = Callable[[Scene], str]
FAULTS: Final[dict[str, Inject]] = {}
"""Every kind of fault by its name; a call returns what it did, empty where nothing could be done."""


def fault(name: str) -> Callable[[Inject], Inject]:
    """Enter a kind of fault under a name."""

    def enter(inject: Inject) -> Inject:
        assert name not in FAULTS, name
        FAULTS[name] = inject
        return inject

    return enter
