"""Download of a data set: its plan and size first, then file by file; another run resumes it."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.filesize import decimal

from core.errors import ConfigError, NoDataError
from core.progress import Progress
from ingest.archive.download import Downloader
from ingest.archive.mirror import plan_mirror
from ingest.archive.plans import FetchPlan, Years, plan_listing, plan_record
from ingest.archive.progress import BYTES_PER_MB
from ingest.archive.settings import FetchSettings, ListedFiles, RecordFiles

FIRST_YEAR: Final = 1990
LAST_YEAR: Final = 2100
log = logging.getLogger(__name__)


def fetch_dataset(
    dataset: str,
    years: Years,
    out: str | Path,
    settings: FetchSettings,
    downloader: Downloader,
    agreed: Callable[[str], bool],
) -> bool:
    """Download a data set of some years.

    Args:
        dataset: radolan-ry, radolan-yw, radklim-yw, radklim-yw-netcdf, rydl (one file of all its years) or
            mlcast-radklim.
        years: first and last.
        out: folder for the files.
        settings: addresses of the data sets.
        downloader: the one connection.
        agreed: called with a description of the download; False cancels it.

    Returns:
        whether the download was agreed to.
    """
    out, remote = Path(out), settings.remote(dataset)
    if isinstance(remote, ListedFiles):
        plan, finish = plan_listing(remote, years, out, downloader), None
    elif isinstance(remote, RecordFiles):
        plan, finish = plan_record(remote, out, downloader), None
    else:
        mirror = plan_mirror(remote, years, out, downloader)
        plan, finish = mirror.plan, None if mirror.archive.exists() else mirror.finish
    if not agreed(describe(plan, dataset, out)):
        return False
    fetch_plan(plan, downloader)
    if finish is not None:
        finish()
    return True


def describe(plan: FetchPlan, dataset: str, out: Path) -> str:
    """Return a description of the download, for the question before it starts."""
    left = [file for file in plan.files if not file.is_there]
    left_bytes = plan.size_bytes if plan.is_estimate else sum(file.size_bytes or 0 for file in left)
    about = "about " if plan.is_estimate else ""
    unknown = sum(file.size_bytes is None for file in left)
    note = f", {unknown:,} of them of unknown size" if unknown and not plan.is_estimate else ""
    counted = f"{len(left):,} of {len(plan.files):,} files to fetch{note}"
    return f"{dataset}: {counted}, {about}{decimal(left_bytes)}, into {out}"


def fetch_plan(plan: FetchPlan, downloader: Downloader) -> None:
    """Download the files of a plan one after the other, with a progress bar, or a line a minute without a terminal."""
    before = 0 if plan.is_estimate else sum(file.path.stat().st_size for file in plan.files if file.is_there)
    with Progress(plan.size_bytes, "fetched, in MB:", before=before, scale=BYTES_PER_MB) as progress:
        for file in plan.files:
            if file.is_there:
                continue
            try:
                downloader.fetch(file, lambda count: progress.step(count=count))
            except NoDataError:
                if not plan.may_lack:
                    raise
                log.debug("%s does not exist: a chunk of fill values", file.url)


def parse_years(text: str) -> Years:
    """Return the first and last year of `2012` or `2012-2016`.

    Raises:
        ConfigError: any other text.
    """
    first, _, last = text.partition("-")
    years = (int(first), int(last or first)) if first.isdecimal() and (last or first).isdecimal() else (0, 0)
    if not FIRST_YEAR <= years[0] <= years[1] <= LAST_YEAR:
        raise ConfigError(f"--years: expected a year, or two like 2012-2016, got {text}")
    return years
