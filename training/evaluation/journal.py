"""The journal of an evaluation: a run that ends early goes on where it stopped."""

import base64
import hashlib
import inspect
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

from core.errors import ConfigError
from models import Forecaster


class WindowJournal:
    """A file with the plan of the run in its first line and one line for every window.

    A line is on the disk before the next window begins. The part of a line that a killed process left is removed; a
    file that is no journal of this run is left as it is.

    Args:
        path: the file; it is made, with its folders, if it does not exist.
        plan: what the numbers depend on; a file of another plan is refused.

    Raises:
        ConfigError: the file is of another plan, or cannot be written.
    """

    def __init__(self, path: Path, plan: dict[str, Any]) -> None:
        self.path = path
        self._plan: dict[str, Any] = json.loads(json.dumps(plan))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = path.open("a+b")
        except OSError as err:
            raise ConfigError(f"--journal {path} cannot be written: {err.strerror}") from err
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def windows(self) -> Iterator[dict[str, Any]]:
        """Yield the content of each line after the plan.

        Raises:
            ConfigError: a line is damaged.
        """
        with self.path.open("rb") as file:
            next(file)
            for number, line in enumerate(file, start=2):
                try:
                    content = json.loads(zlib.decompress(base64.b64decode(line)))
                except (ValueError, zlib.error) as err:
                    raise ConfigError(
                        f"--journal {self.path}: expected a window in line {number}, got a damaged line; without it "
                        "and the lines after it the run continues"
                    ) from err
                yield content

    def append(self, content: dict[str, Any]) -> None:
        """Write a line, so that it survives a crash of the machine."""
        self._write(base64.b64encode(zlib.compress(json.dumps(content).encode())))

    def _begin(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            if whole:
                self._check(whole.partition(b"\n")[0])
            elif not json.dumps(self._plan).encode().startswith(content):
                raise ConfigError(self._another_file())
        except ConfigError:
            self._file.close()
            raise
        if len(whole) < len(content):  # only now is it known to be a journal: of another file nothing is removed
            self._file.truncate(len(whole))
        if not whole:
            self._write(json.dumps(self._plan).encode())

    def _check(self, first_line: bytes) -> None:
        try:
            plan = json.loads(first_line)
        except ValueError as err:
            raise ConfigError(self._another_file()) from err
        if not isinstance(plan, dict):
            raise ConfigError(self._another_file())
        if plan != self._plan:
            raise ConfigError(
                f"--journal {self.path}: expected the journal of this run, got one of another: "
                f"{_first_difference(plan, self._plan)}"
            )

    def _another_file(self) -> str:
        return f"--journal {self.path}: expected the journal of an evaluation, got another file"

    def _write(self, line: bytes) -> None:
        self._file.write(line + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _first_difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    key = next(key for key in [*new, *old] if old.get(key) != new.get(key))
    return f"{key} was {str(old.get(key))[:120]}, is {str(new.get(key))[:120]}"


def forecaster_key(forecaster: Forecaster) -> str:
    """Return a short name of what a forecaster's results depend on: its weights, and the code of its package.

    Calibration and cuts are code, so a change of them alone makes another journal.
    """
    digest = hashlib.sha256(str(forecaster.card.get("sha256", "")).encode())
    for path in sorted(Path(inspect.getfile(type(forecaster))).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]
