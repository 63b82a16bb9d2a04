"""Machines that share PostgreSQL, Redis and an S3 server and no folder, and what is in the store afterwards."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.filestore import Bucket, FileStore
from service.forecasts.catalogue import Catalogue
from tests.end_to_end.stack import ROOT, end, process_environment
from tests.servers import S3_KEY, S3_KEY_ID

BUCKET, FILES_URL = "rain", "s3://rain/one"


@dataclass
class Machine:
    """One machine: a folder and the processes in it.

    Attributes:
        home: its folder.
        environment: of its processes.
        root: the checkout whose code runs.
        release: end of the names of the logs.
        processes: by part.
    """

    home: Path
    environment: Mapping[str, str]
    root: Path = ROOT
    release: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log_file(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**self.environment, "NOWCAST_HOME": str(self.home), "PYTHONPATH": str(self.root)},
                cwd=self.root,
                stdout=log,
                stderr=log,
            )

    def log_file(self, name: str) -> Path:
        return self.home.parent / f"{self.home.name}-{name}{self.release}.log"

    def log(self, release: str = "") -> str:
        """What all of its parts printed so far, or those of one release."""
        files = sorted(self.home.parent.glob(f"{self.home.name}-*{release}.log"))
        return "\n".join(file.read_text(errors="replace") for file in files)

    def stop(self, name: str | None = None, grace_s: float = 30) -> None:
        """Stop a part, or all of them."""
        for part in [name] if name else list(self.processes):
            end(self.processes.pop(part), grace_s=grace_s)

    def lose(self) -> None:
        """Delete the folder while the processes work."""
        while self.home.exists():
            shutil.rmtree(self.home, ignore_errors=True)


def shared_environment(database_url: str, redis_url: str, s3_port: int) -> dict[str, str]:
    """What all machines start with."""
    return {
        **process_environment(),
        "NOWCAST_DATABASE_URL": database_url,
        "NOWCAST_REDIS_URL": redis_url,
        "NOWCAST_FILES_URL": FILES_URL,
        "NOWCAST_FILES_ENDPOINT": f"http://127.0.0.1:{s3_port}",
        "NOWCAST_FILES_KEY_ID": S3_KEY_ID,
        "NOWCAST_FILES_KEY": S3_KEY,
        "NOWCAST_LIMIT_PER_ADDRESS": "100000/minute",
        "NOWCAST_LIMIT_MONITORING": "100000/minute",
        "NOWCAST_CYCLE_S": "1",
        "NOWCAST_ALLOW_NO_KEYS": "true",
    }


def files_of(environment: Mapping[str, str]) -> FileStore:
    """The store of files that the machines of an environment share."""
    return FileStore(FILES_URL, Bucket(environment["NOWCAST_FILES_ENDPOINT"], None, S3_KEY_ID, S3_KEY))


def assert_each_forecast_has_its_object(catalogue: Catalogue, files: FileStore) -> int:
    """Nothing is lost: each row's file is in the store; nothing is doubled: a window has one forecast of a model."""
    entries = catalogue.entries()
    stored = {one.name for one in files.list("forecasts")}
    wanted = {f"forecasts/{entry.path.relative_to(catalogue.folder).as_posix()}" for entry in entries}
    assert wanted <= stored, sorted(wanted - stored)
    whole = {name for name in stored if name.count(".") == 1 and "/inputs-" not in name}
    assert whole - wanted == set(), "no file without a row"
    made = [(entry.model, entry.inputs_sha256) for entry in entries]
    assert len(made) == len(set(made))
    return len(entries)
