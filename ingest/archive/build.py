"""Building of an archive: units of work in parallel, then all fields linked into one store."""

import fcntl
import hashlib
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dask
import zarr

from core.errors import ConfigError, FrameError, NoDataError, TooLargeError
from ingest.archive.gaps import build_report, write_report
from ingest.archive.layout import write_store
from ingest.archive.order import Order, field_files, put_in_order, read_journals
from ingest.archive.pieces import pieces
from ingest.archive.progress import shown
from ingest.archive.settings import ArchiveSettings
from ingest.archive.staging import RATE, Target, stage
from ingest.archive.units import Unit, base_folder, find_units

WORK_SUFFIX: Final = ".building"


@dataclass(frozen=True)
class Built:
    """The result of a build.

    Attributes:
        report: the gap report; empty if the archive existed already, made of the same files.
    """

    archive: Path
    report: dict[str, Any]


def build_archive(
    source: str | Path, out: str | Path, settings: ArchiveSettings, *, workers: int = 1, product: str | None = None
) -> Built:
    """Build an archive, or resume an interrupted build.

    Everything is written to `OUT.building` until it is complete; then the store is renamed to `out`.

    Args:
        source: a folder of radar files, of archives of them, or both; or one file.
        out: path of the Zarr store.
        settings: metadata of the archive.
        workers: number of processes.
        product: the product to archive; by default that of the first field.

    Raises:
        ConfigError: no files, another build at work, or an `out` made of other files.
        NoDataError: no file holds a field.
    """
    source, out = Path(source), Path(out)
    units = find_units(source)
    build_id = _build_id(units, product)
    work = out.with_name(out.name + WORK_SUFFIX)
    if out.exists():
        _check_same(out, build_id)
        shutil.rmtree(work, ignore_errors=True)
        return Built(out, {})
    with _alone(work):
        target = _target(units, work, base_folder(source), product)
        with shown(units, target):
            stage_all(units, target, workers)
        built = _finish(units, target, out, build_id, settings)
    shutil.rmtree(work)
    return built


def stage_all(units: Sequence[Unit], target: Target, workers: int) -> None:
    """Store the fields of all units, in this process or in several."""
    if workers == 1:
        for unit in units:
            stage(unit, target)
        return
    tasks = [dask.delayed(stage, pure=False)(unit, target) for unit in units]  # type: ignore[attr-defined]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_die_with_parent) as pool:
        dask.compute(*tasks, scheduler="processes", pool=pool, num_workers=workers, chunksize=1)  # type: ignore[attr-defined,no-untyped-call]


def _finish(units: Sequence[Unit], target: Target, out: Path, build_id: str, settings: ArchiveSettings) -> Built:
    found = read_journals(units, target)
    if not found.seconds:
        raise NoDataError(f"no field of {target.product} in {found.rejected_count:,} files: {found.rejected[:3]}")
    order = put_in_order(found, target.grid.height * target.grid.width)
    store = target.folder / "store"
    shutil.rmtree(store, ignore_errors=True)
    write_store(store, target.grid, order.table, product=target.product, build_id=build_id, settings=settings)
    _link_fields(order, units, target, store / RATE)
    report = build_report(found, order, target.product)
    write_report(report, out)
    store.rename(out)
    return Built(out, report)


def _link_fields(order: Order, units: Sequence[Unit], target: Target, folder: Path) -> None:
    """Link each field's chunk into the store, so that a kill loses nothing; copy where links are impossible."""
    for number, path in enumerate(field_files(order, units, target)):
        try:
            os.link(path, folder / f"{number}.0.0")
        except OSError:
            shutil.copyfile(path, folder / f"{number}.0.0")


def _target(units: Sequence[Unit], work: Path, root: Path, product: str | None) -> Target:
    """Return grid and product of the first readable field; of the first one of `product` if that is given."""
    reasons = []
    for unit in units:
        with closing(pieces(unit, root)) as found:
            for piece in found:
                try:
                    frames = piece.load([])
                except (FrameError, TooLargeError) as err:
                    reasons.append(str(err))
                    continue
                for frame in frames:
                    if not frame.is_forecast and product in (None, frame.product):
                        return Target(work, root, frame.grid, frame.product)
    what = f"of {product} " if product else ""
    raise NoDataError(f"no observed field {what}in the source; {len(reasons)} files could not be read: {reasons[:3]}")


def _build_id(units: Sequence[Unit], product: str | None) -> str:
    return hashlib.sha256(repr(([unit.id for unit in units], product)).encode()).hexdigest()


def _check_same(out: Path, build_id: str) -> None:
    try:
        there = zarr.open_group(str(out), mode="r").attrs.get("build_id")
    except (OSError, ValueError, KeyError) as err:
        raise ConfigError(f"--out {out}: expected an unused path or an archive, got {err}") from err
    if there != build_id:
        raise ConfigError(
            f"--out {out}: expected an unused path, got an archive of other files (remove it first, or choose another)"
        )


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Exclude other builds on this archive, and wait for workers of a killed one."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "build.lock").open("w") as build, (work / "workers.lock").open("w") as left_over:
        try:
            fcntl.flock(build, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            raise ConfigError(f"{work}: another build is running there; expected one at a time") from err
        fcntl.flock(left_over, fcntl.LOCK_EX)
        fcntl.flock(left_over, fcntl.LOCK_UN)
        yield


def _die_with_parent() -> None:
    """Make a worker end at once when the build is killed, and silently when it is interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
