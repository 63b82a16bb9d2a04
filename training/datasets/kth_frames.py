"""The frames of one video of KTH: decoded from its AVI file or from a folder of its pictures, once, into the cache."""

import re
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from training.datasets.field_cache import cached_array

Frames = NDArray[np.uint8]
PICTURE: Final = re.compile(r"image[_-](\d+)\.(?:jpg|jpeg|png)")


def frames_of(video: Path, size: int, cache: Path) -> Frames:
    """Return all frames of a video, (T, size, size), memory-mapped from the cache; decoded if they are not there yet.

    Raises:
        ConfigError: a video that cannot be decoded, or no space for its frames.
    """
    size_bytes, changed_ns = size_and_change(video)
    path = cache / f"{video.stem}-{size_bytes}-{changed_ns}-{size}.npy"  # a changed file: another name
    return cached_array(path, lambda: decode(video, size))


def size_and_change(video: Path) -> tuple[int, int]:
    """Return bytes and time of the last change of a video, or of the pictures of its folder together."""
    found = [path.stat() for path in (pictures_of(video) if video.is_dir() else [video])]
    return sum(one.st_size for one in found), max((one.st_mtime_ns for one in found), default=0)


def pictures_of(folder: Path) -> list[Path]:
    """Return the frames of a folder of pictures in their order.

    Raises:
        ConfigError: the numbers are not 1, 2, 3 and so on, to which the ranges of frames refer.
    """
    numbered = {int(m[1]): path for path in folder.iterdir() if (m := PICTURE.fullmatch(path.name))}
    if sorted(numbered) != list(range(1, len(numbered) + 1)):
        got = f"{len(numbered)} between {min(numbered)} and {max(numbered)}"
        raise ConfigError(f"{folder.name}: expected pictures numbered from 1 without a gap, got {got}")
    return [numbered[number] for number in sorted(numbered)]


def decode(video: Path, size: int) -> Frames:
    """Return all frames of a video in grey, resized without a crop by plain bilinear interpolation.

    Raises:
        ConfigError: OpenCV can decode no frame of it.
    """
    if video.is_dir():
        return decode_pictures(video, size)
    capture = cv2.VideoCapture(str(video))
    frames: list[Frames] = []
    try:
        while True:
            there, frame_HWC = capture.read()
            if not there:
                break
            grey_HW = cv2.cvtColor(frame_HWC, cv2.COLOR_BGR2GRAY)
            frames.append(np.asarray(cv2.resize(grey_HW, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8))
    finally:
        capture.release()
    if not frames:
        raise ConfigError(
            f"{video.name}: expected a video of KTH's, got no frame from its {video.stat().st_size} bytes"
        )
    return np.stack(frames)


def decode_pictures(folder: Path, size: int) -> Frames:
    """Return the frames of a folder of pictures, as `decode` those of a video.

    Raises:
        ConfigError: no picture, or one that OpenCV cannot decode.
    """
    frames: list[Frames] = []
    for path in pictures_of(folder):
        grey_HW = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if grey_HW is None:
            raise ConfigError(f"{folder.name}/{path.name}: expected a picture, got {path.stat().st_size} bytes")
        frames.append(np.asarray(cv2.resize(grey_HW, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8))
    if not frames:
        raise ConfigError(f"{folder.name}: expected pictures like image_0001.jpg, got none")
    return np.stack(frames)


def write_video(path: Path, frames_THW: Frames, *, frames_per_s: float = 25.0) -> None:
    """Write grey frames as an AVI file (Motion JPEG, so nearly without loss).

    Raises:
        OSError: the file is not writable.
    """
    height, width = frames_THW.shape[1:]
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), fourcc, frames_per_s, (width, height))
    if not writer.isOpened():
        raise OSError(f"{path} cannot be written as a video")
    for frame_HW in frames_THW:
        writer.write(cv2.cvtColor(frame_HW, cv2.COLOR_GRAY2BGR))
    writer.release()
