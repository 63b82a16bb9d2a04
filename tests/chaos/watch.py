"""What is sampled while faults are injected: readiness, delays, memory and handles of each part."""

import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from tests.chaos.scene import Scene
from tests.end_to_end.stack import fetch

EVERY_S: Final = 2.0
PAGE_BYTES: Final = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True)
class Sample:
    """One look at the API: at a steady time, the delays in seconds, and the statuses."""

    at_s: float
    livez_s: float
    livez: int
    readyz: int
    words: str


@dataclass(frozen=True)
class PartSample:
    """Resident memory in bytes and open handles of a process."""

    at_s: float
    pid: int
    memory_bytes: int
    handles: int


@dataclass
class Watch:
    """Samples a scene from a thread until it is stopped."""

    scene: Scene
    samples: list[Sample] = field(default_factory=list)
    parts: dict[str, list[PartSample]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(EVERY_S):
            began = time.monotonic()
            livez, _ = fetch(self.scene.stack.url + "/livez", limit_s=60)
            livez_s = time.monotonic() - began
            readyz, body = fetch(self.scene.stack.url + "/readyz", limit_s=60)
            words = "" if readyz == 200 else body.decode(errors="replace")[:300]
            self.samples.append(Sample(began, livez_s, livez, readyz, words))
            for name, pid in self.scene.stack.parts().items():
                if (found := part_sample(pid)) is not None:
                    self.parts[name].append(found)

    def outside(self, faults: list[tuple[float, float]]) -> list[Sample]:
        """The samples that are in none of these spans."""
        return [
            one
            for one in self.samples
            if not any(start <= one.at_s + one.livez_s and one.at_s <= end for start, end in faults)
        ]

    def figures(self) -> dict[str, Any]:
        """Delays of /livez where it answered, and by part: memory and handles of the longest-lived process."""
        delays = sorted(one.livez_s for one in self.samples if one.livez == 200)
        found: dict[str, Any] = {"samples": len(self.samples), "livez_s": {}}
        if len(delays) > 1:
            found["livez_s"] = {"median": round(median(delays), 4), "p99": round(quantiles(delays, n=100)[-1], 3)}
        return found | {"parts": {name: flatness(samples) for name, samples in sorted(self.parts.items())}}


def part_sample(pid: int) -> PartSample | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return PartSample(time.monotonic(), pid, pages * PAGE_BYTES, len(list(Path(f"/proc/{pid}/fd").iterdir())))
    except OSError:
        return None


def flatness(samples: list[PartSample]) -> dict[str, Any]:
    """Growth of the process with the most samples, from the second quarter of its life to the last one, and peaks."""
    by_pid: dict[int, list[PartSample]] = defaultdict(list)
    for one in samples:
        by_pid[one.pid].append(one)
    longest = max(by_pid.values(), key=len)
    quarter = max(1, len(longest) // 4)
    second, last = longest[quarter : 2 * quarter] or longest, longest[-quarter:]
    memory = [median(one.memory_bytes for one in some) for some in (second, last)]
    handles = [median(one.handles for one in some) for some in (second, last)]
    return {
        "processes": len(by_pid),
        "longest_s": round(longest[-1].at_s - longest[0].at_s),
        "memory_mb": [round(one / 2**20) for one in memory],
        "handles": [round(one) for one in handles],
        "most_mb": round(max(one.memory_bytes for one in samples) / 2**20),
        "most_handles": max(one.handles for one in samples),
    }
