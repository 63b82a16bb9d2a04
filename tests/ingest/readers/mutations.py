"""Damaged files of every reader, and what may become of them: `python -m tests.ingest.readers.mutations --help`.

A damaged file is refused by name or read; what is read is sound, and equal to the undamaged frames wherever the damage
touches neither the numbers nor what they mean. Both are found without the readers: by h5py, SciPy, or the text itself.
"""

import argparse
import faulthandler
import io
import json
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import netcdf_file

from core.errors import FrameError, TooLargeError
from core.frame import RadarFrame
from ingest.readers import read_frames
from ingest.readers.rydl import key_time, open_keys, read_field
from tests.ingest.readers import mutation_inputs

LONGEST_READ_S = 20.0
"""Of processor time: a read that takes longer counts as hanging."""

HANG_S = 300.0
MOST_BYTES = 2**26
MEMORY_BYTES = 6 * 2**30

Random = np.random.Generator
Parts = tuple[Any, tuple[np.ndarray, ...]]
"""What the numbers of a file mean, and its numbers."""


@dataclass(frozen=True)
class Subject:
    """One undamaged file of a reader."""

    reader: str
    name: str
    content: bytes
    parts: Callable[[bytes], Parts]
    is_hdf5: bool = False

    def read(self, content: bytes) -> list[RadarFrame]:
        """Return its frames, as the reader's own door does."""
        if self.reader != "rydl":
            return read_frames(content, name=self.name, max_bytes=MOST_BYTES)
        with tempfile.NamedTemporaryFile(suffix=".hdf5") as file:
            file.write(content)
            file.flush()
            return rydl_frames(Path(file.name))


def rydl_frames(path: Path) -> list[RadarFrame]:
    """Return all fields of a small RYDL.hdf5."""
    keys, _ = open_keys(path)
    with h5py.File(path, "r") as root:
        fields = [(key_time(key), read_field(root, key)) for key in keys]
    grid = mutation_inputs.SMALL_GRID
    return [RadarFrame(when, grid.resized(*rate.shape), rate, "RY") for when, rate in fields]


def hdf5_parts(*main: str) -> Callable[[bytes], Parts]:
    """Return the reader of an HDF5 file's parts: `main` are the data sets of rain, all others are meaning."""

    def parts(content: bytes) -> Parts:
        meaning: dict[str, Any] = {}
        numbers: dict[str, np.ndarray] = {}

        def visit(name: str, item: Any) -> None:
            meaning[name] = {key: exact(item.attrs[key]) for key in sorted(item.attrs)}
            if isinstance(item, h5py.Dataset):
                is_main = name in main or (not main and item.ndim >= 2)
                meaning[name]["type"] = f"{item.dtype} {item.shape}"
                if is_main:
                    numbers[name] = np.asarray(item[()]).ravel()
                elif item.dtype.kind != "V":
                    meaning[name]["values"] = exact(item[()])

        with h5py.File(io.BytesIO(content), "r") as root:
            meaning["/"] = {key: exact(root.attrs[key]) for key in sorted(root.attrs)}
            root.visititems(visit)
        return meaning, tuple(numbers[name] for name in sorted(numbers))

    return parts


def exact(value: Any) -> Any:
    """Return a value of an HDF5 file in a form that compares to the last bit."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind != "O":
        return f"{value.dtype} {value.shape}", value.tobytes()
    return repr(value)


def netcdf3_parts(content: bytes) -> Parts:
    """Return the parts of a classic NetCDF file."""
    with netcdf_file(io.BytesIO(content), mmap=False) as file:
        meaning = {name: repr(sorted(v._attributes.items())) + repr(v.dimensions) for name, v in file.variables.items()}
        meaning |= {f"{name}!": v.data.tobytes() for name, v in file.variables.items() if name != "rain"}
        return (meaning, repr(file._attributes)), (np.array(file.variables["rain"].data).ravel(),)


def radolan_parts(content: bytes) -> Parts:
    """Return the tokens of a RADOLAN header, and its counts."""
    header, _, body = content.partition(b"\x03")
    return mutation_inputs.meaning_of_header(header), (np.frombuffer(body, np.uint8),)


def ascii_parts(content: bytes) -> Parts:
    """Return the header of an ASCII grid in lower case, and its numbers."""
    lines = content.split(b"\n", 6)
    header = [(line.split()[0].lower(), float(line.split()[1])) for line in lines[:6]]
    return header, (np.array(lines[6].split(), np.float64),)


def zarr_parts(content: bytes) -> Parts:
    """Return the members of a zipped store, metadata as values; consolidated metadata are not used."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != ".zmetadata"}
    named = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
    return {name: json.loads(value) if name.endswith(named) else value for name, value in members.items()}, ()


def whole(content: bytes) -> Parts:
    """Take every byte as meaning: for packed files, of which only the frames are compared."""
    return "", ()


def subjects(reader: str) -> list[Subject]:
    """Return the undamaged files of a reader."""
    parts: dict[str, Callable[[bytes], Parts]] = {
        "radolan-binary": radolan_parts,
        "radolan-ascii": ascii_parts,
        "radklim": hdf5_parts("RR"),
        "netcdf4": hdf5_parts("rain"),
        "netcdf3": netcdf3_parts,
        "zarr": zarr_parts,
        "odim-h5": hdf5_parts("dataset1/data1/data"),
        "knmi-hdf5": hdf5_parts("image1/image_data"),
        "rydl": hdf5_parts(),
        "packed": whole,
    }
    is_hdf5 = reader in ("radklim", "netcdf4", "odim-h5", "knmi-hdf5", "rydl")
    return [
        Subject(reader, name, content, parts[reader], is_hdf5)
        for name, content in mutation_inputs.FILES[reader]().items()
    ]


READERS = tuple(mutation_inputs.FILES)


def damaged(subject: Subject, random: Random) -> bytes:
    """Return the file with one kind of damage: to its bytes, or to one attribute or member."""
    kind = int(random.integers(10))
    if subject.is_hdf5 and kind >= 6:
        return mutation_inputs.one_attribute_changed(subject.content, random)
    if subject.reader == "zarr" and kind >= 2:
        return mutation_inputs.one_member_changed(subject.content, lambda inside: damaged_bytes(inside, random), random)
    return damaged_bytes(subject.content, random)


def damaged_bytes(content: bytes, random: Random) -> bytes:
    """Return bytes cut, inserted, taken out, flipped or replaced, anywhere or near the beginning."""
    if not content:
        return b"0"
    kind = int(random.integers(10))
    end = len(content) if kind % 2 else min(len(content), 600)
    at = int(random.integers(end))
    changed = bytearray(content)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + content[at + int(random.integers(1, 64)) :]
    if kind == 2:
        return content[:at] + random.bytes(int(random.integers(1, 64))) + content[at:]
    if kind in (3, 4):
        for place in random.integers(0, end, int(random.integers(1, 9))):
            changed[place] ^= 1 << int(random.integers(8))
    elif kind in (5, 6):
        for place in random.integers(0, end, int(random.integers(1, 4))):
            changed[place] = ord(random.choice(list("0123456789 .-eE<>,")))
    elif kind == 7:
        count = int(random.integers(1, 64))
        changed[at : at + count] = random.bytes(count)
    else:
        start, count = int(random.integers(len(content))), int(random.integers(1, 256))
        changed[at : at + count] = content[start : start + count]
    return bytes(changed)


def outcome(subject: Subject, content: bytes, before: list[RadarFrame]) -> str:
    """Read a damaged file: "refused", "read", or what is wrong."""
    began = time.thread_time()
    try:
        frames = subject.read(content)
    except (FrameError, TooLargeError):
        frames = None
    except Exception as err:
        return f"crash: {type(err).__name__}: {err}"
    if time.thread_time() - began > LONGEST_READ_S:
        return "hang: more than 20 s"
    if frames is None:
        return "refused"
    return unsound(frames) or wrong(subject, content, before, frames) or "read"


def unsound(frames: list[RadarFrame]) -> str:
    """Return what no frame may be, or an empty text."""
    for frame in frames:
        observed = frame.rate_mmh_HW[~np.isnan(frame.rate_mmh_HW)]
        if not (np.isfinite(observed).all() and (observed >= 0).all() and frame.lead_minutes >= 0):
            return "unsound: rates below 0, infinite, or a lead below 0"
    return "" if frames else "unsound: no frame and no refusal"


def wrong(subject: Subject, content: bytes, before: list[RadarFrame], after: list[RadarFrame]) -> str:
    """Return where frames differ from the undamaged ones though the damage does not explain it, or an empty text."""
    meaning, numbers = subject.parts(subject.content)
    try:
        meaning_now, numbers_now = subject.parts(content)
    except Exception:
        return ""  # the file has other parts now; nothing to compare with
    sizes = [(one.dtype, one.size) for one in numbers]
    if meaning != meaning_now or sizes != [(one.dtype, one.size) for one in numbers_now]:
        return ""
    changed = sum(int((a.view(np.uint8) != b.view(np.uint8)).sum()) for a, b in zip(numbers, numbers_now, strict=True))
    return differences(before, after, changed)


def differences(before: list[RadarFrame], after: list[RadarFrame], changed_bytes: int) -> str:
    """Return how frames differ in more than as many cells as bytes of their numbers changed, or an empty text."""
    by_time = {(frame.valid_time, frame.lead_minutes): frame for frame in before}
    cells = 0
    for frame in after:
        old = by_time.get((frame.valid_time, frame.lead_minutes))
        if old is None or (old.grid, old.product, old.interval_minutes) != (
            frame.grid,
            frame.product,
            frame.interval_minutes,
        ):
            return f"wrong: {frame.valid_time} {frame.product} {frame.lead_minutes} is in no undamaged frame"
        same = (frame.rate_mmh_HW == old.rate_mmh_HW) | (np.isnan(frame.rate_mmh_HW) & np.isnan(old.rate_mmh_HW))
        cells += int((~same).sum())
    if len(after) < len(before) and not changed_bytes and after:
        return f"wrong: {len(after)} of {len(before)} frames, though no number changed"
    return f"wrong: {cells} cells differ, {changed_bytes} bytes changed" if cells > changed_bytes else ""


def tried(reader: str, seed: int, count: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield name, outcome and bytes of `count` damaged files of a reader, always the same ones of a seed."""
    files = [(subject, subject.read(subject.content)) for subject in subjects(reader)]
    random = np.random.default_rng([seed, READERS.index(reader)])
    for number in range(count):
        subject, before = files[number % len(files)]
        content = damaged(subject, random)
        yield subject.name, outcome(subject, content, before), content


def main() -> None:
    """Try one part, and append its counts to a file; a part that is there already is not tried again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reader", choices=READERS, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="folder for files that are neither refused nor read right")
    options = parser.parse_args()
    key = {"reader": options.reader, "seed": options.seed, "count": options.count}
    done = options.log.read_text().splitlines() if options.log.exists() else []
    if any(key.items() <= json.loads(line).items() for line in done):
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    counts, bad = Counter[str](), list[str]()
    for name, found, content in tried(options.reader, options.seed, options.count):
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        counts[found.partition(":")[0]] += 1
        if found not in ("refused", "read"):
            bad.append(f"{name}: {found}")
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{options.reader}-{options.seed}-{len(bad)}").write_bytes(content)
    faulthandler.cancel_dump_traceback_later()
    with options.log.open("a") as log:
        log.write(json.dumps({**key, **counts, "bad": bad}) + "\n")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
