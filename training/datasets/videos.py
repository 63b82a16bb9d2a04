"""Frames of videos as grey pictures, each video decoded once and kept in a file."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from training.datasets.field_cache import cached_array

Frames = NDArray[np.uint8]


def frames_of(video: Path, size: int, cache: Path) -> Frames:
    """All frames of a video, (T, size, size), mapped from the cache; decoded where they are not there yet.

    Raises:
        ConfigError: no video that can be decoded, or no room for its frames.
    """
    found = video.stat()
    path = cache / f"{video.stem}-{found.st_size}-{found.st_mtime_ns}-{size}.npy"  # a file that changed has another
    return cached_array(path, lambda: decode(video, size))


def decode(video: Path, size: int) -> Frames:
    """All frames of a video in grey, resized without a crop by plain bilinear interpolation.

    Raises:
        ConfigError: OpenCV can decode no frame of it.
    """
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
        raise ConfigError(f"{video.name} gives no frame ({video.stat().st_size} bytes); a video of KTH's was due")
    return np.stack(frames)


def write_video(path: Path, frames_THW: Frames, *, frames_per_s: float = 25.0) -> None:
    """Write grey frames as an AVI file (Motion JPEG, so nearly without loss).

    Raises:
        OSError: it cannot be written.
    """
    height, width = frames_THW.shape[1:]
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), fourcc, frames_per_s, (width, height))
    if not writer.isOpened():
        raise OSError(f"{path} cannot be written as a video")
    for frame_HW in frames_THW:
        writer.write(cv2.cvtColor(frame_HW, cv2.COLOR_GRAY2BGR))
    writer.release()
