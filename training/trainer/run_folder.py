"""The folder of a run: created once, never overwritten, and resumed only by the run that it belongs to."""

import json
import logging
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
import yaml

from core.errors import ConfigError
from core.files import write_bytes_atomically
from models.device import machine, pick_device
from training.config import FREE_ON_RESUME, RunConfig, is_first_process
from training.datasets import NowcastDataset

log = logging.getLogger("training")
CONFIG: Final = "config.yaml"
LAST: Final = "last.ckpt"
BEST: Final = "best.ckpt"
RUN: Final = "run"
"""Key of a checkpoint's run record: configuration, data fingerprints, code, machines, whether the run has ended."""


def new_folder(out: Path | None, config: RunConfig) -> Path:
    """Return the folder of a new run; it is not created yet, so that a wrong configuration leaves nothing behind.

    Raises:
        ConfigError: the folder exists and is not empty.
    """
    folder = out or Path("runs") / f"{config.dataset}-{config.model}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    if is_first_process() and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"run folder {folder} is not empty; expected a new one, or --resume {folder} to continue it")
    return folder


def run_to_resume(path: Path, dataset: str | None) -> tuple[Path, Path | None, str]:
    """Return folder, checkpoint and data set of a run to resume; no checkpoint if it was killed before its first.

    Raises:
        ConfigError: nothing to resume there, or a run of another data set.
    """
    folder, checkpoint = (path, path / LAST) if path.is_dir() else (path.parent, path)
    config_file = folder / CONFIG
    if not config_file.is_file() or (path != folder and not checkpoint.is_file()):
        raise ConfigError(f"nothing to resume at {path}: expected a run folder with {CONFIG} and {LAST}")
    try:
        found = str(yaml.safe_load(config_file.read_text())["dataset"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as err:
        what = " ".join(str(err).split())
        raise ConfigError(f"{config_file} cannot be read as a run's configuration ({what})") from err
    if dataset not in (None, found):
        raise ConfigError(f"--dataset: expected {found}, the data set of the run in {folder}, got {dataset}")
    return folder, checkpoint if checkpoint.is_file() else None, found


def write_config(folder: Path, config: RunConfig) -> None:
    """Create the folder and write the resolved configuration into it; remove partial files of a killed process."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    write_bytes_atomically(folder / CONFIG, text.encode())


def take_back(folder: Path) -> None:
    """Remove the files of a new run that failed before its first checkpoint."""
    if not (folder / LAST).exists():
        for name in (CONFIG, BEST, "metrics.csv", "metrics.jsonl"):
            (folder / name).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def run_record(
    config: RunConfig, datasets: Mapping[str, NowcastDataset], total_steps: int, saved: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the run record of a checkpoint; `saved` is the record of the earlier part, or empty."""
    revision = code_revision()  # at the start: the checkout may change while the run trains
    before = list(saved.get("revisions", []))
    if before and before[-1] != revision:
        log.warning("the run was started by other code: %s then, %s now", before[-1][:7], revision[:7])
    return {
        "config": config.model_dump(mode="json"),
        "data": {split: json.loads(json.dumps(one.fingerprint, default=str)) for split, one in datasets.items()},
        "revisions": _with_newest(before, revision),
        "machines": _with_newest(list(saved.get("machines", [])), machine(pick_device("auto").type)),
        "total_steps": total_steps,
        "ended": False,
    }


def _with_newest(before: list[str], newest: str) -> list[str]:
    return before if before and before[-1] == newest else [*before, newest]


def is_over(saved: Mapping[str, Any], now: Mapping[str, Any], done: int) -> bool:
    """Return whether a checkpoint is of a run's end; not if the run is now longer, or stops early by another rule."""
    rule = "early_stopping"
    same = saved["total_steps"] == now["total_steps"] and saved["config"].get(rule) == now["config"][rule]
    return done == now["total_steps"] or bool(saved["ended"] and same)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint of this trainer; nothing in it is executed.

    Raises:
        ConfigError: truncated, of another program, or of a version of this one without run records.
    """
    checkpoint = read_saved(path)
    if RUN not in checkpoint:
        raise ConfigError(f"{path} has no record of its run; expected a {LAST} of this trainer")
    return checkpoint


def read_saved(path: Path) -> dict[str, Any]:
    """Return the content of a file that this trainer wrote; nothing in it is executed.

    Raises:
        ConfigError: truncated, or of another program.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as err:
        first = str(err).splitlines()[0][:120] if str(err) else type(err).__name__
        raise ConfigError(f"{path} is not a complete checkpoint of this trainer ({first})") from err
    return content if isinstance(content, dict) else {}


def refuse_another_run(path: Path, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare two run records and refuse a different run.

    Raises:
        ConfigError: another data set, other data, another model, or another value of any key that decides the weights.
    """
    keys = [key for key in RunConfig.model_fields if key not in FREE_ON_RESUME]
    changed = [f"{k} {saved['config'].get(k)!r}, not {now['config'][k]!r}" for k in keys if _differs(saved, now, k)]
    if changed:
        raise ConfigError(
            f"{path} is of a run with {'; '.join(changed)}: continue with its own values, or start a new run"
        )
    for split, fingerprint in now["data"].items():
        if fingerprint != saved["data"].get(split):
            what = _difference(saved["data"].get(split) or {}, fingerprint)
            raise ConfigError(f"{path} was trained on other data; the {split} part differs in {what}")


def _differs(saved: Mapping[str, Any], now: Mapping[str, Any], key: str) -> bool:
    default = RunConfig.model_fields[key].get_default(call_default_factory=True)
    return bool(saved["config"].get(key, default) != now["config"][key])


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Describe the first entry of two fingerprints that differs."""
    key = next(key for key in [*new, *old] if old.get(key) != new.get(key))
    return f"{key}: {str(old.get(key))[:200]} then, {str(new.get(key))[:200]} now"


def code_revision() -> str:
    """Return the commit of the running code, with `-dirty` if it has changes; `unknown` outside of a checkout."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
