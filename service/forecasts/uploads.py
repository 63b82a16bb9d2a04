"""Uploads: files of a client, the forecast from them, and their place on the disk while a job waits for its worker."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Final

from core.errors import InputError, NoDataError, UnavailableError
from core.files import write_atomically
from core.frame import RadarFrame
from core.settings import Settings
from core.shared_files import is_there, keeper_of, withdraw
from ingest.sandbox.pool import DecodeLimits, UploadedFile, decoder_pool
from ingest.store.locks import translate_os_errors
from service.forecasts.member_maker import lacks_members, make_members
from service.forecasts.nowcast import NowcastService, StoredForecast
from service.inference.request_scope import current_scope
from service.telemetry.stages import stage

FOLDER: Final = "uploads"
GROUPS: Final = ("frames", "observations")
HEAD: Final = "upload.json"
PRIVATE: Final = 0o600


@dataclass(frozen=True)
class Upload:
    """The multipart form of POST /nowcast, not yet decoded."""

    frames: tuple[UploadedFile, ...]
    observations: tuple[UploadedFile, ...]
    model: str
    members: bool = False


def decoded(upload: Upload, settings: Settings) -> tuple[list[RadarFrame], list[RadarFrame], list[str]]:
    """Decode the frames and the observations of an upload in another process, in the order of the files.

    Returns frames, observations, and notes on what was left out of the files.

    Raises:
        FrameError: a file is not in a supported radar format, or decoding it took too long or failed.
        TooLargeError: more bytes, frames or cells than the limits, found before decoding.
        BusyError: no decoder was free within the request's time limit.
        ClientDisconnectedError: the client has disconnected.
    """
    limits = DecodeLimits(
        max_bytes=settings.upload_max_unpacked_bytes,
        max_frames=settings.upload_max_frames,
        max_cells=settings.grid_max_cells,
        limit_s=settings.upload_decode_s,
        memory_bytes=settings.upload_decode_bytes,
    )
    wait_s = current_scope().remaining_s("a decoder was free")
    notes: list[str] = []
    frames, observations = decoder_pool().decode(
        (upload.frames, upload.observations), limits, wait_s=wait_s, notes=notes
    )
    return frames, observations, notes


def forecast_of_upload(service: NowcastService, upload: Upload) -> StoredForecast:
    """Return the forecast from an upload, with its ensemble members where it asks for them.

    Raises:
        InputError: the files make no window, or no file of the observations has a frame; and all of `decoded`.
    """
    with stage("decode"):
        frames, observations, notes = decoded(upload, service.settings)
    if upload.observations and not observations:
        raise InputError("observations: expected frames after the reference time, got files without frames")
    forecast = service.forecast_upload(frames, observations, upload.model, notes=notes)
    if upload.members and lacks_members(forecast, service.settings.members):
        with stage("members"):
            make_members(forecast, service.settings.members)
    return forecast


class KeptUploads:
    """Uploads whose forecasts are jobs: one file each, until the job has ended.

    The file is in `home`, which API and workers have in common, or in the store of files where there is one.

    Args:
        home: of the live store.
    """

    def __init__(self, home: Path) -> None:
        self._home, self._folder = home, home.resolve() / FOLDER

    def keep(self, name: str, upload: Upload) -> None:
        """Write an upload under the id of its job.

        Raises:
            UnavailableError: the disk refuses.
        """
        head = {"model": upload.model, "members": upload.members}
        names = {group: [file.name for file in getattr(upload, group)] for group in GROUPS}

        def write(target: Path | BytesIO) -> None:
            with zipfile.ZipFile(target, "w") as packed:
                packed.writestr(HEAD, json.dumps({**head, **names}))
                for group in GROUPS:
                    for number, file in enumerate(getattr(upload, group)):
                        packed.writestr(f"{group}/{number}", file.content)

        if keeper := keeper_of(self._folder):  # no copy stays here: another machine drops the upload
            write(packed_file := BytesIO())
            keeper.publish(self._path(name), packed_file.getvalue())
            return
        with translate_os_errors(self._home):
            write_atomically(self._path(name), write, mode=PRIVATE)

    def read(self, name: str) -> Upload:
        """Return the upload of a job.

        Raises:
            NoDataError: its file is not there, or damaged.
            UnavailableError: the store of files does not respond.
        """
        is_there(self._path(name))
        try:
            with zipfile.ZipFile(self._path(name)) as packed:
                head = json.loads(packed.read(HEAD))
                frames, observations = (
                    tuple(UploadedFile(one, packed.read(f"{group}/{at}")) for at, one in enumerate(head[group]))
                    for group in GROUPS
                )
        except (OSError, zipfile.BadZipFile, ValueError, LookupError) as err:
            raise NoDataError(
                f"the files of the upload cannot be read ({type(err).__name__}): API and workers need the same folder "
                f"NOWCAST_HOME/{FOLDER}, or the same NOWCAST_FILES_URL, where they are kept for a day at most"
            ) from err
        return Upload(frames, observations, head["model"], head["members"])

    def drop(self, name: str) -> None:
        """Delete the upload of a job that has ended; there may be none."""
        self._path(name).unlink(missing_ok=True)
        with suppress(UnavailableError):  # it is swept when it is a day old
            withdraw([self._path(name)])

    def count(self) -> int:
        """Return how many uploads wait, those of all machines."""
        keeper = keeper_of(self._folder)
        found = (path for path, _ in keeper.listed(self._folder)) if keeper else self._folder.glob("*.zip")
        return sum(path.suffix == ".zip" for path in found)

    def sweep(self, before: datetime) -> int:
        """Delete what is left from before a time, also of writing that was interrupted; return the number of files."""
        old = {path for path, at in self._files() if at < before.timestamp()}
        withdraw(list(old))
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _files(self) -> Iterator[tuple[Path, float]]:
        """Yield the files, here and in the store of files, with the time of their writing."""
        here = set(self._folder.glob("*"))
        yield from ((path, _written_at(path)) for path in here)
        if keeper := keeper_of(self._folder):
            yield from (
                (path, one.changed_at.timestamp()) for path, one in keeper.listed(self._folder) if path not in here
            )

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.zip"


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # its job has just ended
        return float("inf")
