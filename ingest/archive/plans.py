"""The files of a data set before any is downloaded: from a listing, a record, or a Zarr store's metadata."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx2 as httpx

from core.errors import NoDataError, UnavailableError
from ingest.archive.download import Downloader
from ingest.archive.partial import RemoteFile
from ingest.archive.settings import ListedFiles, ListedFolder, RecordFiles
from ingest.sources.http import is_within
from ingest.sources.listing import HREF

Years = tuple[int, int]


@dataclass(frozen=True)
class FetchPlan:
    """The files of one download.

    Attributes:
        files: in the order of their download.
        size_bytes: of all together, as far as it is known before.
        is_estimate: whether the size is extrapolated from samples.
        may_lack: whether a file that the server lacks is no error (a Zarr chunk of fill values alone).
    """

    files: tuple[RemoteFile, ...]
    size_bytes: int
    is_estimate: bool = False
    may_lack: bool = False


def plan_listing(remote: ListedFiles, years: Years, out: Path, downloader: Downloader) -> FetchPlan:
    """Plan the files of DWD's tree whose names are within the years; of equal names in two folders the first is used.

    Raises:
        NoDataError: no such file in any of the folders, or none of a year that DWD withdrew elsewhere.
    """
    found: dict[str, str] = {}
    found_years: set[int] = set()
    looked = []
    for place, url in _folders(remote, years):
        looked.append(url)
        try:
            page = downloader.content(url).decode("utf-8", "replace")
        except NoDataError:
            continue
        for name in sorted(_names(page)):
            year = _year(name, place, years)
            if name not in found and year is not None:
                found[name] = f"{url}{name}"
                found_years.add(year)
    lacking = [year for year in _withdrawn(remote, years) if year not in found_years]
    if lacking:
        raise NoDataError(
            f"expected the corrected files of {', '.join(map(str, lacking))}, whose first ones DWD withdrew, "
            f"got none in {', '.join(looked)}"
        )
    if not found:
        raise NoDataError(f"no file of {years[0]} to {years[1]} in {', '.join(looked)}")
    files = []
    for name, url in sorted(found.items()):
        file = RemoteFile(url, out / name)
        size = file.path.stat().st_size if file.is_there else downloader.size_bytes(url)
        files.append(RemoteFile(url, out / name, size))
    return FetchPlan(tuple(files), sum(file.size_bytes or 0 for file in files))


def plan_record(remote: RecordFiles, out: Path, downloader: Downloader) -> FetchPlan:
    """Plan the files of a Zenodo record, with the sizes and MD5 sums that it states.

    Raises:
        NoDataError: the record has no such file.
        UnavailableError: the response is not a record.
    """
    content = downloader.content(remote.root)
    try:
        entries = {entry["key"]: entry for entry in json.loads(content)["files"]}
        files = []
        for name in remote.files:
            if name not in entries:
                raise NoDataError(f"{remote.root}: expected {name}, got {', '.join(sorted(entries)) or 'no files'}")
            url = httpx.URL(entries[name]["links"]["self"])
            if not is_within(httpx.URL(remote.root), url):
                raise UnavailableError(f"{remote.root}: expected files of the same host, got {url}")
            algorithm, _, digest = str(entries[name]["checksum"]).partition(":")
            md5 = digest if algorithm == "md5" else None
            files.append(RemoteFile(str(url), out / name, int(entries[name]["size"]), md5))
    except (ValueError, KeyError, TypeError, httpx.InvalidURL) as err:
        raise UnavailableError(f"{remote.root}: expected a record of files, got {content[:80]!r}...: {err!r}") from err
    return FetchPlan(tuple(files), sum(file.size_bytes or 0 for file in files))


def _folders(remote: ListedFiles, years: Years) -> Iterator[tuple[ListedFolder, str]]:
    for place in remote.places:
        in_place = range(years[0], years[1] + 1) if "{year}" in place.folder else range(1)
        for year in in_place:
            if year not in place.withdrawn:
                yield place, f"{remote.root.rstrip('/')}/{place.folder.format(year=year).strip('/')}/"


def _withdrawn(remote: ListedFiles, years: Years) -> list[int]:
    return sorted({year for place in remote.places for year in place.withdrawn if years[0] <= year <= years[1]})


def _names(page: str) -> set[str]:
    links = (unquote(next(filter(None, found), "")) for found in HREF.findall(page))
    return {urlsplit(link).path.rsplit("/", 1)[-1] for link in links}


def _year(name: str, place: ListedFolder, years: Years) -> int | None:
    """Return the year of a file's name; None for other names, other years and withdrawn ones."""
    match = re.fullmatch(place.pattern, name)
    if match is None:
        return None
    try:
        time = datetime.strptime(match["time"], place.format).replace(tzinfo=UTC)
    except ValueError:
        return None
    return time.year if years[0] <= time.year <= years[1] and time.year not in place.withdrawn else None
