"""Run in a checkout by benchmarks.structure: ingest one scan, or upload one window, and print what that used.

It calls only what every release has: `ingest.synthetic`, `ingest.run --once`, `service.app:app` and `POST /nowcast`.
"""

import json
import os
import runpy
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path.cwd()
BUSY, TRIES, PAUSE_S = (429, 503), 24, 5.0
FRAMES = ("0000", "0030", "0100", "0130", "0200")


class Recorder:
    """Files of the checkout whose functions run while `active`, and connections to SQLite."""

    def __init__(self) -> None:
        self.active = False
        self.files: set[str] = set()
        self.connections = 0
        self._first: str | None = None
        sys.addaudithook(self._audit)
        threading.setprofile(self._call)
        sys.setprofile(self._call)

    def _call(self, frame: FrameType, event: str, _: Any) -> None:
        if self.active and event == "call" and frame.f_code.co_name != "<module>":
            self.files.add(frame.f_code.co_filename)

    def begin_at(self, path: Path) -> Path:
        """Record from the moment that a file is opened; return its path."""
        self._first = str(path)
        return path

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]) == self._first:
            self.active = True
        if self.active and event == "sqlite3.connect":
            self.connections += 1

    def numbers(self) -> dict[str, int]:
        """Return the counts, files of the checkout alone."""
        ours = {name for name in self.files if Path(name).is_relative_to(ROOT) and "site-packages" not in name}
        return {"files": len(ours), "connections": self.connections}


def run(module: str, *arguments: str) -> None:
    """Run a command of the checkout in this process."""
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise


def scan(recorder: Recorder, home: Path) -> dict[str, int]:
    """Ingest one scan, recorded from the moment that its file is opened."""
    radar = home / "radar"
    run("ingest.synthetic", "--out", str(home / "all"), "--start", "2026-06-01T00:00Z", "--hours", "0")
    radar.mkdir()
    run("ingest.run", "--source", str(radar), "--once")  # makes the store
    (path,) = (home / "all").iterdir()
    path.rename(recorder.begin_at(radar / path.name))
    run("ingest.run", "--source", str(radar), "--once")
    recorder.active = False
    return recorder.numbers()


def upload(recorder: Recorder, home: Path) -> dict[str, int]:
    """Upload one window to the app in this process, after a first upload that warms it."""
    run("ingest.synthetic", "--out", str(home / "all"), "--start", "2026-06-01T00:00Z", "--hours", "4.5")
    from fastapi.testclient import TestClient

    from service.app import app

    def post(times: tuple[str, ...]) -> None:
        paths = [home / "all" / f"raa01-ry_10000-260601{time}-dwd---bin.gz" for time in times]
        for _ in range(TRIES):
            answer = client.post("/nowcast", files=[("frames", (path.name, path.read_bytes())) for path in paths])
            if answer.status_code not in BUSY:
                break
            time.sleep(PAUSE_S)
        answer.raise_for_status()

    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        post(tuple(f"{int(time[:2]) + 2:02d}{time[2:]}" for time in FRAMES))
        recorder.active = True
        post(FRAMES)
        recorder.active = False
    return recorder.numbers()


def main() -> None:
    """Record what the first argument names, in the live store of the second."""
    what, home = sys.argv[1], Path(sys.argv[2])
    os.environ["NOWCAST_HOME"] = str(home / "var")
    os.environ["NOWCAST_REQUEST_LIMIT_S"] = "300"
    sys.path[0] = str(ROOT)  # in place of this file's folder
    recorder = Recorder()
    print(json.dumps({"scan": scan, "upload": upload}[what](recorder, home)))


if __name__ == "__main__":
    main()
