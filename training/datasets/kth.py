"""KTH actions: 25 people who walk, jog and run (Schuldt et al. 2004), from the original AVI files."""

import hashlib
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.errors import ConfigError
from training.datasets.base import DATASETS, NowcastDataset, Sample, Split
from training.datasets.field_cache import cache_folder
from training.datasets.kth_frames import frames_of, size_and_change, write_video

log = logging.getLogger(__name__)
RANGES: Final = Path(__file__).parent / "kth_ranges.txt"
TRAIN_PERSONS: Final = range(1, 17)
TEST_PERSONS: Final = range(17, 26)
VIDEO: Final = re.compile(r"(?P<name>person(?P<person>\d\d)_(?P<action>[a-z]+)_d\d)")
EXPECTED: Final = (
    "expected the videos of the KTH action database, from its page www.csc.kth.se/cvap/actions: walking.zip, "
    "jogging.zip and running.zip, unpacked into one folder (subfolders are searched, too), with files like "
    "person01_walking_d1_uncomp.avi, or folders of that name with image_0001.jpg and so on, as OpenSTL has them; "
    "--data FOLDER, or ./data/kth. The ranges of frames are part of this package"
)


class KTHOptions(BaseModel):
    """Options of the data set; defaults are the paper's except for the validation split, which is cut from training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(88, ge=2, description="edge of a frame in pixels; no crop")
    actions: tuple[str, ...] = ("walking", "jogging", "running")
    validation_persons: tuple[int, ...] = Field((16,), description="of 1 to 16; empty trains on all, as the paper")
    stride: int = Field(10, ge=1, description="frames between the starts of windows of one range")
    running_stride: int = Field(3, ge=1, description="the same for running, whose ranges are short")
    ranges: Path | None = Field(None, description="a list of KTH's or MCnet's format instead of MCnet's own numbers")
    cache: Path | None = Field(None, description="folder for decoded frames; None: .cache in the data folder")

    @model_validator(mode="after")
    def _are_training_persons(self) -> Self:
        if not set(self.validation_persons) < set(TRAIN_PERSONS):
            raise ValueError(
                f"validation_persons: expected some of 1 to 16, but not all, got {self.validation_persons}"
            )
        return self


class Range(NamedTuple):
    """Frames of a video, counted from 1, both ends included."""

    video: str
    first: int
    last: int


class Clip(NamedTuple):
    """A window of a video by the index of its first frame."""

    video: str
    start: int


@DATASETS.register("kth")
class KTH(NowcastDataset):
    """Windows of 20 frames of 88 x 88, ten as input and ten to forecast (paper, section 5.1), values 0 to 1.

    `data` is the folder with the AVI files, or with a folder of pictures for each video. Persons 1 to 16 train, 17 to
    25 test; with all three actions these are 3,725 windows (validation included) and 2,166. Decoded frames are kept in
    the cache. Options: `KTHOptions`.
    """

    options_class: ClassVar[type[BaseModel]] = KTHOptions
    is_rain = False

    def __init__(
        self,
        data: Path | None,
        split: Split,
        *,
        input_steps: int = 10,
        lead_steps: int = 10,
        seed: int = 0,
        options: BaseModel | None = None,
    ) -> None:
        super().__init__(data, split, input_steps=input_steps, lead_steps=lead_steps, seed=seed)
        self.options = options if isinstance(options, KTHOptions) else KTHOptions()
        if data is None or not data.is_dir():
            raise ConfigError(f"no folder {data or 'data/kth'}: {EXPECTED}")
        ranges = read_ranges(self.options.ranges or RANGES)
        wanted = [r for r in ranges if _person(r.video) in self._persons() and _action(r.video) in self.options.actions]
        self.videos = self._find(data, {r.video for r in wanted})
        self.cache = cache_folder(self.options.cache, data)
        self.clips = self._clips(r for r in wanted if r.video in self.videos)
        if not self.clips and (split != "validation" or self.options.validation_persons):
            raise ConfigError(
                f"no window of {input_steps + lead_steps} frames for the {split} split in {len(self.videos)} videos"
            )
        self.fingerprint = {
            "videos": len(self.videos),
            "clips": len(self.clips),
            "sha256": hashlib.sha256(repr((self._sizes(), self.clips)).encode()).hexdigest(),
        }

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Sample:
        self._check(index)
        video, start = self.clips[index]
        steps = self.input_steps + self.lead_steps
        pixels_THW = frames_of(self.videos[video], self.options.size, self.cache)[start : start + steps]
        return self._sample((pixels_THW / np.float32(255))[:, None])

    @classmethod
    def miniature(cls, folder: Path) -> dict[str, Any]:
        """Write 48 frames of a moving bright square, for three persons of the three splits; the preset fits, too."""
        (folder / "walking").mkdir()
        for person in (1, 16, 17):
            frames_THW = np.full((48, 30, 64), 40, np.uint8)
            for t in range(48):
                frames_THW[t, 10:22, t + person % 5 : t + person % 5 + 12] = 180 + person
            write_video(folder / "walking" / f"person{person:02d}_walking_d1_uncomp.avi", frames_THW)
        lines = [f"person{person:02d}_walking_d1\t\tframes\t1-22, 24-48" for person in (1, 16, 17)]
        (folder / "00sequences.txt").write_text("\n".join(["Ranges of frames", "", *lines]) + "\n")
        return {"size": 16, "actions": ["walking"], "stride": 2, "ranges": str(folder / "00sequences.txt")}

    def _persons(self) -> set[int]:
        if self.split == "test":
            return set(TEST_PERSONS)
        held_out = set(self.options.validation_persons)
        return held_out if self.split == "validation" else set(TRAIN_PERSONS) - held_out

    def _find(self, data: Path, wanted: set[str]) -> dict[str, Path]:
        """Return the required videos that exist, by their names."""
        videos = [path for path in sorted(data.rglob("person*")) if path.is_dir() or path.suffix == ".avi"]
        every = {m["name"]: path for path in videos if (m := VIDEO.match(path.name))}
        if not every:
            raise ConfigError(f"{data}: no AVI file of KTH's and no folder of its frames: {EXPECTED}")
        missing = sorted(wanted - set(every))
        if missing:
            log.warning(
                "%d of %d videos of the %s split are not in %s: %s%s",
                *(
                    len(missing),
                    len(wanted),
                    self.split,
                    data,
                    ", ".join(missing[:3]),
                    " ..." if len(missing) > 3 else "",
                ),
            )
        return {name: every[name] for name in sorted(wanted & set(every))}

    def _clips(self, ranges: Iterable[Range]) -> list[Clip]:
        """Return all windows, none beyond a video's end; videos that are not in the cache are decoded here."""
        log.info("%d videos of the %s split; frames are kept in %s", len(self.videos), self.split, self.cache)
        lengths = {name: len(frames_of(path, self.options.size, self.cache)) for name, path in self.videos.items()}
        steps = self.input_steps + self.lead_steps
        clips = windows_of(ranges, steps, stride=self.options.stride, running_stride=self.options.running_stride)
        whole = [clip for clip in clips if clip.start + steps <= lengths[clip.video]]
        if len(whole) < len(clips):
            log.warning("%d windows go past the end of their videos and are left out", len(clips) - len(whole))
        return whole

    def _sizes(self) -> list[tuple[str, int]]:
        return [(name, size_and_change(path)[0]) for name, path in self.videos.items()]


def windows_of(ranges: Iterable[Range], steps: int, *, stride: int = 10, running_stride: int = 3) -> list[Clip]:
    """Yield every window within its range, in the order of the list."""
    return [
        Clip(one.video, start - 1)
        for one in ranges
        for start in range(
            one.first, one.last - steps + 2, running_stride if _action(one.video) == "running" else stride
        )
    ]


def read_ranges(path: Path) -> list[Range]:
    """Read the ranges of a list in KTH's format (`NAME frames 1-95, 96-185`) or MCnet's (`NAME 1 95`).

    Raises:
        ConfigError: no such file, no range in it, or a range that ends before it begins.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"the list of frame ranges {path} cannot be read: {err}") from err
    ranges: list[Range] = []
    for line in lines:
        found = VIDEO.match(line)
        pairs = re.findall(r"(\d+)\s*[-\s]\s*(\d+)", line[found.end() :]) if found else []
        ranges += [Range(found["name"], int(first), int(last)) for first, last in pairs if found]
    wrong = [one for one in ranges if not 1 <= one.first <= one.last]
    if wrong or not ranges:
        got = f"{wrong[0].video} {wrong[0].first}-{wrong[0].last}" if wrong else f"{len(lines)} lines without a range"
        raise ConfigError(f"{path.name}: expected lines like 'person01_walking_d1 frames 6-69, 160-219', got {got}")
    return ranges


def _person(video: str) -> int:
    return int(video[6:8])


def _action(video: str) -> str:
    return video.split("_")[1]
