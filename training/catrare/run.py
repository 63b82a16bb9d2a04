"""The run of the benchmark: window by window, with progress, resumed from its state file after an interruption."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import typer

from core.errors import ConfigError
from core.files import write_bytes_atomically
from core.progress import Progress
from core.records import RecordCodec
from core.times import iso, utc
from models import Forecaster, load_forecaster
from training.catrare.catalogue import read_catalogue
from training.catrare.protocol import CatrareProtocol, WindowTally
from training.catrare.report import CatrareResult
from training.catrare.scoring import HourScores, score_window
from training.catrare.windows import HourWindows
from training.evaluation.document import write_json
from verification.baselines import BASELINES

PROTOCOL: Final = RecordCodec(CatrareProtocol, extra="forbid", error=ConfigError)
SAVE_EVERY_S: Final = 60.0
MOST_REASONS: Final = 3


@dataclass(frozen=True)
class Outputs:
    """Files that hold all rows, None is not written, and the command that made them."""

    command: str
    json_file: Path | None = None
    csv_file: Path | None = None


def print_catrare(
    checkpoint: str,
    folder: Path | None,
    catalogue: Path | None,
    options: Mapping[str, Any],
    journal: Path | None,
    outputs: Outputs,
) -> None:
    """Run the benchmark as the command line requests it; print its tables and write its files.

    Args:
        checkpoint: a shipped name, or a checkpoint's folder.
        folder: as `run_catrare`.
        catalogue: as `run_catrare`.
        options: fields of `CatrareProtocol`, and `members`.
        journal: as `run_catrare`.
        outputs: files to write.

    Raises:
        ConfigError: no folder or table, an unknown option, and as `run_catrare`.
    """
    if folder is None or catalogue is None:
        raise ConfigError(
            "--protocol catrare: expected --data FOLDER of RADKLIM YW and --catalogue FILE of CatRaRE, got "
            f"--data {folder or 'nothing'} and --catalogue {catalogue or 'nothing'}"
        )
    members = options.get("members", 0)
    if not isinstance(members, int) or members < 0:
        raise ConfigError(f"--set members: expected a whole number of 0 or more, got {members!r}")
    protocol = PROTOCOL.from_dict({name: value for name, value in options.items() if name != "members"})
    scored = load_forecaster(checkpoint, precision="float32")
    result = run_catrare([scored], folder, catalogue, protocol=protocol, members=members, journal=journal)
    typer.echo(result.to_text())
    if outputs.json_file is not None:
        write_json(outputs.json_file, {"command": outputs.command, **result.to_dict()})
    if outputs.csv_file is not None:
        write_bytes_atomically(outputs.csv_file, result.to_csv().encode())


def run_catrare(
    scored: Sequence[Forecaster],
    folder: Path,
    catalogue: Path,
    *,
    protocol: CatrareProtocol = CatrareProtocol(),  # noqa: B008 (frozen)
    members: int = 0,
    journal: Path | None = None,
) -> CatrareResult:
    """Score forecasters, persistence and extrapolation by the benchmark of RainNet2024.

    Args:
        scored: rows below the baselines.
        folder: RADKLIM YW of DWD, binary or NetCDF, also packed in archives by month or day.
        catalogue: CatRaRE of DWD as CSV.
        protocol: years, thresholds, cut-outs and starts.
        members: ensemble members to request from the scored forecasters.
        journal: file that an interrupted run goes on from; it is written once a minute.

    Raises:
        ConfigError: unusable files, no window, or the state of another run.
    """
    events = read_catalogue(catalogue, protocol.years)
    own = [one for one in scored if one.name not in BASELINES]
    forecasters = (*(load_forecaster(name) for name in BASELINES), *own)
    requested = [(one, 0 if one.name in BASELINES else members) for one in forecasters]
    run = _RunState(journal, _fingerprint(forecasters, catalogue, protocol, members))
    windows = HourWindows(folder, events, protocol, after=run.until, tally=run.tally)
    with Progress(windows.tally.planned, "window", before=windows.tally.complete) as progress:
        for window in windows:
            run.before(window.reference_time)
            run.scores.add(window, score_window(window, requested, protocol.thresholds_mm))
            progress.step()
    run.finish()
    if not windows.tally.complete:
        raise ConfigError(_nothing(folder, windows.tally, len(events)))
    return CatrareResult(protocol, run.scores, windows.tally, forecasters, len(events))


class _RunState:
    """Scores, and the reference time up to which they are complete, in a file if there is one."""

    def __init__(self, path: Path | None, fingerprint: dict[str, Any]) -> None:
        self.scores, self.tally = HourScores(), WindowTally()
        self.until: datetime | None = None
        self._path, self._fingerprint = path, fingerprint
        self._newest: datetime | None = None
        self._saved = time.monotonic()
        if path is not None and path.exists():
            self._restore(path)

    def before(self, reference_time: datetime) -> None:
        """Note the time of a window that is scored next; all earlier ones are complete."""
        if self._newest is not None and reference_time > self._newest:
            self.until = self._newest
            if time.monotonic() - self._saved > SAVE_EVERY_S:
                self._write()
        self._newest = reference_time

    def finish(self) -> None:
        """Write the state of all windows."""
        self.until = self._newest or self.until
        self._write()

    def _write(self) -> None:
        if self._path is None or self.until is None:
            return
        last = int(self.until.timestamp() // 60)
        tally = self.tally.to_dict()
        tally["complete"] = self.scores.number
        tally["uncovered"] = [one for one in tally["uncovered"] if one[0] <= last]
        content = {**self._fingerprint, "until": iso(self.until), "tally": tally, "scores": self.scores.to_dict()}
        try:
            write_bytes_atomically(self._path, json.dumps(content).encode())
        except OSError as err:
            raise ConfigError(f"{self._path} cannot be written: {err.strerror or err}") from err
        self._saved = time.monotonic()

    def _restore(self, path: Path) -> None:
        try:
            content = json.loads(path.read_text())
            found = {name: content[name] for name in self._fingerprint}
            self.scores = HourScores.from_dict(content["scores"])
            self.tally = WindowTally.from_dict(content["tally"])
            self.until = utc(content["until"])
        except (OSError, ValueError, LookupError, TypeError) as err:
            raise ConfigError(f"{path}: expected the state of a run of this benchmark, got {err!r}") from err
        wrong = [name for name, value in self._fingerprint.items() if found[name] != value]
        if wrong:
            raise ConfigError(
                f"{path}: expected the state of this run, got one with another {', '.join(wrong)}; remove the file, "
                "or name another"
            )


def _fingerprint(
    forecasters: Sequence[Forecaster], catalogue: Path, protocol: CatrareProtocol, members: int
) -> dict[str, Any]:
    """Return what a run must have in common with the one that it goes on from, as JSON has it."""
    models = [[one.name, one.version, one.card.get("sha256")] for one in forecasters]
    digest = hashlib.sha256(catalogue.read_bytes()).hexdigest()
    found: dict[str, Any] = json.loads(
        json.dumps({"catalogue": digest, "protocol": asdict(protocol), "models": models, "members": members})
    )
    return found


def _nothing(folder: Path, tally: WindowTally, events: int) -> str:
    """Return why there is no window."""
    reasons = "".join(f"; {reason}" for reason in sorted(tally.unreadable)[:MOST_REASONS])
    return (
        f"--data {folder}: expected windows of {events:,} events, got 0 of {tally.planned:,}: {tally.incomplete:,} "
        f"lack a field of their time, {len(tally.uncovered):,} have no observed cell, {len(tally.outside):,} events "
        f"are not on the grid, {len(tally.unreadable):,} files were not read{reasons}"
    )
