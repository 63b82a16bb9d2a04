"""A build that is killed at any moment and started again ends in what an undisturbed one makes."""

import json
import multiprocessing
import os
import pkgutil
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.archive.build import build_archive
from ingest.archive.settings import archive_settings
from tests.ingest.archive.sources import START, STEP, small_rates, tar_bytes, write_event

TIMES_OF_CREATION = ("mlcast_created_on",)


def make_source(folder: Path) -> Path:
    """Event files and archives of them, with a gap, a repeated time and a file that is none."""
    for number in range(3):
        write_event(folder / f"{number}.nc", small_rates(40, number), START + 41 * number * STEP)
    parts = {}
    for number in range(12):
        path = write_event(folder / "part.nc", small_rates(2, 50 + number), START + (130 + number) * STEP)
        parts[f"{number}.nc"] = path.read_bytes()
        path.unlink()
    (folder / "month.tar.gz").write_bytes(tar_bytes(parts, "w:gz"))
    (folder / "notes.txt").write_text("no radar file")
    return folder


def contents(out: Path) -> dict[str, bytes]:
    """Everything of an archive and its reports, without the times of creation."""
    found = {path.relative_to(out.parent).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    found |= {path.name: path.read_bytes() for path in out.parent.glob(f"{out.stem}.gaps.*")}
    for name in (f"{out.name}/.zattrs", f"{out.name}/.zmetadata"):
        values = json.loads(found[name])
        attributes = values["metadata"][".zattrs"] if "metadata" in values else values
        for key in TIMES_OF_CREATION:
            del attributes[key]
        found[name] = json.dumps(values).encode()
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, dict[str, bytes], float]:
    folder = tmp_path_factory.mktemp("undisturbed")
    source, out = make_source(folder / "in"), folder / "out.zarr"
    start = time.perf_counter()
    build_archive(source, out, archive_settings())
    return source, contents(out), time.perf_counter() - start


class Fatal:
    """A function that kills its process at a call."""

    def __init__(self, function: Callable[..., object], call: int) -> None:
        self._function, self._left = function, call

    def __call__(self, *args: object, **options: object) -> object:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._function(*args, **options)


def killed_after(seconds: float, source: Path, out: Path) -> bool:
    """Whether a build was still at work when it was killed."""
    process = multiprocessing.get_context("fork").Process(target=build_archive, args=(source, out, archive_settings()))
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def test_killed_again_and_again_it_ends_the_same(tmp_path, undisturbed):
    source, expected, lasted_s = undisturbed
    out = tmp_path / "out.zarr"
    chance = random.Random(7)
    kills = [killed_after(chance.uniform(0.05, 0.6) * lasted_s, source, out) for _ in range(5)]
    assert any(kills)
    build_archive(source, out, archive_settings())
    assert contents(out) == expected
    assert not list(tmp_path.glob("out*.building"))


@pytest.mark.parametrize(
    ("moment", "calls"),
    [
        ("ingest.archive.build.write_store", 1),
        ("os.link", 90),
        ("ingest.archive.build.write_report", 1),
        ("shutil.rmtree", 2),
    ],
)
def test_killed_while_it_finishes_it_ends_the_same(tmp_path, undisturbed, moment, calls, monkeypatch):
    source, expected, _ = undisturbed
    out = tmp_path / "out.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(moment, Fatal(pkgutil.resolve_name(moment), calls))
        assert killed_after(60, source, out)
    build_archive(source, out, archive_settings())
    assert contents(out) == expected
    assert not list(tmp_path.glob("out*.building"))


@pytest.mark.long
def test_killed_with_its_workers_at_50_moments(tmp_path, undisturbed):
    source, expected, _ = undisturbed
    chance = random.Random(11)
    kills = 0
    for number in range(50):
        out = tmp_path / str(number) / "out.zarr"
        out.parent.mkdir()
        command = [sys.executable, "-m", "ingest.archive", "build", "--source", source, "--out", out, "--workers", "2"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(1.0, 12.0))
        except subprocess.TimeoutExpired:
            process.kill()
            kills += process.wait() == -signal.SIGKILL
        build_archive(source, out, archive_settings())
        assert contents(out) == expected
    assert kills > 10
