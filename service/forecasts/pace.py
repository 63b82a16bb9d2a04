"""The pace of a replay: it stands still until the forecast of its newest scan is stored, and says what that costs."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from core.files import write_bytes_atomically
from core.times import iso

FILE: Final = "replay.json"
"""File in the live store of a replay with its present pace."""

STEP_S: Final = 300.0
"""Time between two scans of a replay at its own speed."""

LOOK_S: Final = 0.25
TOLERANCE: Final = 1.1
"""A replay that is slower than asked by less than this factor is not called slowed down."""


@dataclass
class ReplayPace:
    """Holds a replay for its forecasts; an instance is the `hold` of `ingest.sources.replay.play`.

    Attributes:
        home: live store, in which the pace is written.
        speed: replayed minutes per minute that were asked for.
        is_settled: whether the scan of a time is stored and its scheduled forecast too.
        limit_s: longest wait for one forecast, after which the replay goes on without it; three times as long for the
            first one, which waits for the start of all processes.
        say: prints one line.
    """

    home: Path
    speed: float
    is_settled: Callable[[datetime], bool]
    limit_s: float
    say: Callable[[str], object] = print
    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep
    _shown: str = field(default="", init=False)
    _is_first: bool = field(default=True, init=False)

    def __call__(self, scan_time: datetime) -> None:
        """Return once the forecast of the scan is stored, or after the limit."""
        began, limit_s = self.clock(), self.limit_s * (3 if self._is_first else 1)
        if self._is_first:
            self._write("waiting for the first forecast")
        while not (settled := self.is_settled(scan_time)) and self.clock() - began < limit_s:
            self.wait(LOOK_S)
        took_s = self.clock() - began
        if not settled:
            self._write(f"no forecast of the scan of {iso(scan_time)} within {limit_s:.0f} s; the replay goes on")
        elif not self._is_first:
            self._write(pace_words(self.speed, took_s), took_s)
        else:
            self._write("ok")
        self._is_first = self._is_first and not settled

    def _write(self, message: str, forecast_s: float | None = None) -> None:
        """Write the pace for other processes, and print what has changed."""
        content = {"speed": self.speed, "forecast_s": forecast_s, "message": message}
        write_bytes_atomically(self.home / FILE, json.dumps(content).encode())
        if message != self._shown and (message != "ok" or self._shown.startswith("slowed down")):
            self.say(message if message != "ok" else f"{self.speed:g} minutes per minute again")
        self._shown = message


def pace_words(speed: float, forecast_s: float) -> str:
    """Return "ok", or by how much a forecast that takes `forecast_s` slows a replay of `speed` down."""
    if forecast_s * speed <= STEP_S * TOLERANCE:
        return "ok"
    return (
        f"slowed down to {STEP_S / forecast_s:.2g} minutes per minute because a forecast takes {forecast_s:.0f} s "
        f"({speed:g} minutes per minute were asked for)"
    )


def replay_state(home: Path) -> str:
    """Return the pace of the replay in this live store in words; "ok" at full speed, and where there is none."""
    try:
        found: Any = json.loads((home / FILE).read_text())
        return str(found["message"])
    except (OSError, ValueError, KeyError):
        return "ok"
