"""Apply the mutants one by one to a copy of the tree and run the tests that must notice them.

`python -m tests.mutation.run [--json FILE] [--resume] [--only TEXT] [--limit-s 600]`

The checkout itself is never changed. The libraries are loaded once; each mutant runs in a process that is forked from
this one, which imports the project from the copy. A mutant is killed where a test fails or the time is over; first the
same tests must pass without it, else their failure would say nothing.
"""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import pytest
import typer

from tests.mutation.mutants import MUTANTS, Mutant

ROOT: Final = Path(__file__).resolve().parents[2]
LIBRARIES: Final = (
    "numpy",
    "xarray",
    "netCDF4",
    "sqlalchemy",
    "alembic",
    "fastapi",
    "starlette.testclient",
    "celery",
    "redis.asyncio",
    "limits.aio.strategies",
    "hypothesis",
    "scores.categorical",
    "scipy.stats",
    "scipy.ndimage",
    "torch",
    "pint",
    "h5py",
    "zarr",
    "dask.array",
    "shapely",
    "rasterio",
    "pyproj",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "httpcore2",
    "paho.mqtt.client",
    "py_vapid",
    "uvicorn",
)
"""Imported once, and not by the process of each mutant."""
SHARED: Final = "shared"


def copy_tree(folder: Path) -> Path:
    """Copy the files of the checkout, and link the real data next to it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    copy = folder / "tree"
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    if (data := ROOT.parent / SHARED).exists():
        (folder / SHARED).symlink_to(data.resolve())
    return copy


def applied(mutant: Mutant, text: str) -> str:
    """The text of a file with the mutant in it.

    Raises:
        ValueError: the line is not there, or more than once.
    """
    if text.count(mutant.before) != 1:
        raise ValueError(f"{mutant.file}: expected {mutant.before!r} once, got {text.count(mutant.before)}")
    return text.replace(mutant.before, mutant.after)


def outcome(copy: Path, tests: tuple[str, ...], limit_s: float, log: Path) -> str:
    """Run the tests on the copy in a fork of this process: killed, survived, or what else happened.

    Of files those that need no other server are run, of single tests all.
    """
    child = os.fork()
    if child == 0:
        os.setsid()
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(copy)
        # Mutants of one file may have one size and one second of change: compiled files would be confused
        sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
        sys.path[:] = [str(copy), *(one for one in sys.path if one not in ("", str(ROOT)))]
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]
        marks = "not long" if all("::" in one for one in tests) else "not long and not stack"
        options = [
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
            "-m",
            marks,
            "--rootdir",
            str(copy),
        ]
        code = 99
        try:
            code = int(pytest.main([*options, *tests]))
        finally:
            os._exit(code)
    ends = time.monotonic() + limit_s
    while time.monotonic() < ends:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return {0: "survived", 1: "killed"}.get(code, f"exit status {code}")
        time.sleep(0.1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "killed by time"


def verdict(plain: str, mutated: Callable[[], str]) -> str:
    """What became of a mutant whose tests ended in `plain` without it."""
    return mutated() if plain == "survived" else f"not run: its tests without it: {plain}"


def killed_before(json_file: Path | None) -> list[dict[str, Any]]:
    """The mutants that an earlier run has killed, if they are those of today."""
    found = json.loads(json_file.read_text()) if json_file and json_file.exists() else []
    today = {(one.file, one.before, one.after) for one in MUTANTS}
    return [
        one
        for one in found
        if one["result"].startswith("killed") and (one["file"], one["before"], one["after"]) in today
    ]


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="file of the results")] = None,
    resume: Annotated[bool, typer.Option(help="leave out those that the file of results has as killed")] = False,
    only: Annotated[str, typer.Option(help="mutants of files whose name has this in it")] = "",
    limit_s: Annotated[float, typer.Option(help="longest time of one mutant")] = 600.0,
) -> None:
    """Run the mutants and print what became of each."""
    for name in LIBRARIES:
        importlib.import_module(name)
    found = killed_before(json_file) if resume else []
    done = {(one["file"], one["before"], one["after"]) for one in found}
    plain: dict[tuple[str, ...], str] = {}
    with tempfile.TemporaryDirectory() as folder:
        copy, log = copy_tree(Path(folder)), Path(folder) / "log"
        for mutant in (one for one in MUTANTS if only in one.file):
            if (mutant.file, mutant.before, mutant.after) in done:
                continue
            if mutant.tests not in plain:
                plain[mutant.tests] = outcome(copy, mutant.tests, limit_s, log)
            path = copy / mutant.file
            text, began = path.read_text(), time.monotonic()
            path.write_text(applied(mutant, text))
            result = verdict(plain[mutant.tests], partial(outcome, copy, mutant.tests, limit_s, log))
            path.write_text(text)
            failed = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("FAILED")]
            found.append({"file": mutant.file, "before": mutant.before, "after": mutant.after, "result": result})
            found[-1] |= {"by": failed[0][7:200] if failed else "", "seconds": round(time.monotonic() - began)}
            print(f"{result}: {mutant.file}: {mutant.before.strip()[:70]!r} {found[-1]['by'][:100]}", flush=True)
            if json_file:
                json_file.parent.mkdir(parents=True, exist_ok=True)
                json_file.write_text(json.dumps(found, indent=1) + "\n")
    counts = Counter(one["result"] for one in found)
    print(dict(counts))
    raise typer.Exit(int(any(not one["result"].startswith("killed") for one in found)))


if __name__ == "__main__":
    typer.run(main)
